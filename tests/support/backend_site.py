"""A site for tests: a fake Slurm, real events, a real drain and sweeper, and a server of any kind.

Time is real. `Slurm` holds the answers of the controller and accounting; the server is a stub or,
where one is installed, a real cc-backend.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import requests
from backend_version import parse_version
from empty_spool import make_directories
from slurm_lab import wait_until
from stub_server import Model, StubServer
from sweep_values import run_sweep
from sweep_world import SweptSlurm

from ccbackend.client import BackendClient
from ccbackend.job_filters import JobFilters
from ccbackend.metadata import MetadataPolicy
from ccbackend.replies import BackendRow
from ccbackend.site_map import SiteMap
from ccbackend.version import SharedServerInfo, Version, server_info
from ccbackend.wire.transport import Transport
from slurm.job import Job, NodeAllocation, Sharing
from spool.deliver.compose import PayloadComposer
from spool.drain.assembly import assemble
from spool.drain.externals import DrainSettings, Externals
from spool.files.layout import Layout
from spool.files.sweep_state import SweepState
from spool.resolve.job_texts import Texts, TextsQuery, TextsReply
from sweeper.apply import write_events
from sweeper.observe.sources import SweepSources
from sweeper.observe.spool_view import delivered_runs
from sweeper.plan import SweepOptions
from sweeper.sweep import SweepContext, SweepResult, next_state
from sweeper.values import Policy

CLUSTER = "lab"
PROMISE_SECONDS = 5.1
DESCRIPTION = "JobId=1 JobName=x\n   JobState=RUNNING Reason=None\n"


class Server(Protocol):
    """A cc-backend that can be stopped and started again under the same address."""

    token: str

    @property
    def url(self) -> str:
        """The base URL."""

    @property
    def version(self) -> Version:
        """The release of the server."""

    def start(self, *, nats: bool = False) -> None:
        """Start the server again."""

    def stop(self) -> None:
        """Stop the server; its database stays."""


class StubbedServer:
    """A stub of cc-backend that commits its job cache as often as the real server in the tests."""

    def __init__(self, version: str) -> None:
        self.version = parse_version(version)
        self.token = "TOKEN:svc"
        parts = [{"name": "cpu", "nodes": "n2cn[001-004]"}]
        clusters = [{"name": CLUSTER, "subClusters": parts}]
        self.model = Model(version=version, clusters=clusters, commit_seconds=0.2)
        self._server = StubServer(self.model)
        self._port = urlsplit(self._server.url).port or 0

    @property
    def url(self) -> str:
        """The base URL, the same after a restart."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *, nats: bool = False) -> None:
        """Start the server again."""
        self.model.nats = nats
        self._server = StubServer(self.model, self._port)
        self._server.__enter__()

    def stop(self) -> None:
        """Stop the server; its tables stay."""
        self._server.close()

    def become(self, version: str) -> None:
        """Change to another release and keep the tables, as an upgrade does."""
        self.stop()
        self.version = parse_version(version)
        self.model.version = version


class Slurm(SweptSlurm):
    """A Slurm whose controller and accounting answer by the real clock."""

    has_accounting = True

    @property
    def now(self) -> int:
        """The controller's clock."""
        return int(time.time())

    def listing(self) -> tuple[Any, ...]:
        """Return an empty job list, so that open runs are looked up one by one."""
        return ()


def _texts(query: TextsQuery) -> TextsReply:
    text = Texts(script="#!/bin/sh\n", description=DESCRIPTION)
    return TextsReply(texts={(job.job_id, job.start_time): text for job in query.jobs})


class BackendSite:
    """A site with Slurm, spool, drain and sweeper in front of one server."""

    def __init__(self, server: Server, root: Path) -> None:
        self.server = server
        self.token = server.token
        self.slurm = Slurm()
        self.metadata = MetadataPolicy()
        self.final_texts: dict[int, str] = {}
        self.spool = root / "spool"
        self._state = root / "state"
        self._pid = 0
        make_directories(self.spool)
        self._state.mkdir()
        self._session = requests.Session()

    def close(self) -> None:
        """Close the connections to the server."""
        self._session.close()

    def client(self, known: SharedServerInfo | None = None) -> BackendClient:
        """Return our client with the token of the site."""
        transport = Transport(requests.Session(), self.server.url, token=lambda: self.token)
        return BackendClient(transport, known)

    def begin(self, job_id: int, start: int, **facts: Any) -> Job:
        """Start a job in Slurm and run its prolog hook."""
        base = Job(
            job_id=job_id,
            cluster="slurm",
            user="ada",
            account="p1",
            partition="main",
            state="RUNNING",
            start_time=start,
            nodes=("n2cn001",),
            allocations=(NodeAllocation(name="n2cn001", cores=(0, 1)),),
            cpus=4,
            sharing=Sharing.NODE,
            time_limit_minutes=60,
            restart_count=0,
        )
        self.slurm.records[job_id] = replace(base, **facts)
        self.hook("start", job_id, start)
        return self.slurm.records[job_id]

    def end(self, job_id: int, end: int, state: str = "COMPLETED") -> None:
        """End a job in Slurm and run its epilog hook."""
        over = replace(self.slurm.records[job_id], state=state, end_time=end)
        self.slurm.records[job_id] = over
        self.slurm.rows.append(over)
        self.hook("stop", job_id, end)

    def requeue(self, job_id: int, end: int, again: int) -> None:
        """End a run and start the next run of the same job, with the hooks of both."""
        first = self.slurm.records[job_id]
        self.slurm.rows.append(replace(first, state="REQUEUED", end_time=end))
        self.hook("stop", job_id, end)
        self.begin(job_id, again, restart_count=1)

    def hook(self, kind: str, job_id: int, moment: int) -> None:
        """Write an event as a hook does at that moment."""
        self._pid += 1
        path = self.spool / "new" / f"1-{kind}-{job_id}-0-0-{self._pid}"
        path.write_text("end\n")
        os.utime(path, (moment, moment))

    def drain_all(self) -> bool:
        """Drain until nothing is pending; 1.4.0 and 1.4.1 put every start into a queue first."""
        reported = self.drain()
        for _ in range(4 if server_info(self.server.version).queues_starts else 0):
            if reported:
                break
            time.sleep(PROMISE_SECONDS)
            reported = self.drain()
        return reported

    def drain(self) -> bool:
        """Drain once; return whether nothing is pending any more."""
        site = DrainSettings(
            state=self._state,
            hold_seconds=0.0,
            replace_earlier=True,
            keep_days=3,
            min_free_bytes=0,
        )
        known = SharedServerInfo()
        externals = Externals(
            new_watch=lambda *_: None,
            slurm=lambda: self.slurm,
            backend=lambda: self.client(known),
            texts=_texts,
            final_texts=lambda jobs: {
                (job.job_id, job.start_time): self.final_texts[job.job_id]
                for job in jobs
                if job.job_id in self.final_texts
            },
            inputs_changed=lambda: False,
        )
        mapping = SiteMap(cluster=CLUSTER, assume_core_ids=True)
        composer = PayloadComposer(lambda _: mapping, self.metadata, JobFilters())
        with Layout(self.spool) as layout:
            return assemble(site, composer, externals, layout=layout).run_once()

    def destination(self) -> dict[str, Any]:
        """Return what the last drain recorded about the server: `{"state", "reason", ...}`."""
        document = json.loads((self._state / "drain.json").read_text())
        conditions = [document["health"], document["starts"], document["stops"]]
        found: dict[str, Any] = next((c for c in conditions if c["state"] != "up"), conditions[0])
        return found

    def sweep(self, state: SweepState) -> tuple[SweepResult, SweepState]:
        """Sweep once and write the repairs to the spool; return the result and the next state."""
        with Layout(self.spool) as layout:
            sources = SweepSources(
                slurm=self.slurm,
                backend=self.client(),
                clusters=(CLUSTER,),
                layout=layout,
                sees_all_jobs=lambda _settings: True,
                find_delivered=lambda keys: delivered_runs(self._state / "delivered", keys),
                clock=time.time,
            )
            site = SweepContext(
                sources=sources,
                policy=Policy(grace_seconds=60, close_after=None),
                exclusion_reason=lambda _job: None,
            )
            result = run_sweep(site, state, SweepOptions())
            changes = result.decision.plan.changes if result.decision.may_apply else ()
            written = write_events(layout, changes)
        return result, next_state(result, [each.key for each in written])

    def files(self) -> list[str]:
        """Return the names of all files in the spool."""
        return sorted(
            f"{directory}/{path.name}"
            for directory in ("new", "todo", "open", "dead")
            for path in (self.spool / directory).iterdir()
        )

    def states(self, job_ids: Iterable[int]) -> dict[tuple[int, int], str]:
        """Return the state of every committed run of some jobs at the server."""
        rows: list[BackendRow] = []
        for job_id in job_ids:
            rows += self.client().lookup(job_id, CLUSTER).rows or ()
        return {(row.job_id, row.start_time): row.state for row in rows}

    def wait_for(self, expected: dict[tuple[int, int], str]) -> None:
        """Wait until the server has exactly these runs of these jobs."""
        ids = {job_id for job_id, _ in expected}
        wait_until(lambda: self.states(ids) == expected, f"{expected} at the server", timeout=20)

    def shown(self, start: int) -> dict[str, Any]:
        """Return the one job that began then, as the server's REST listing shows it."""
        path = f"/api/jobs/?cluster={CLUSTER}&start-time={start}-{start}&with-metadata=true"
        answer = self._session.get(
            self.server.url + path, headers={"X-Auth-Token": self.token}, timeout=10
        )
        (job,) = answer.json()["jobs"]
        found: dict[str, Any] = job
        return found
