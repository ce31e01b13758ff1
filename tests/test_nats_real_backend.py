"""Runs by NATS through a real broker to a real cc-backend, where `CC_BACKEND` names its binary."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from cc_backend_server import RealServer
from command_site import run_of
from drain_process import DrainProcess, until
from nats_site import SUBJECT, NatsServer, needs_broker

from ccbackend.client import BackendClient
from ccbackend.wire.transport import Transport
from slurm.job import NodeAllocation
from spool.files.layout import Directory
from spool.files.run import End, EndSource

BINARY = os.environ.get("CC_BACKEND", "")
pytestmark = [
    needs_broker,
    pytest.mark.skipif(not BINARY, reason="CC_BACKEND does not name the binary of a server"),
]
BEGAN = int(time.time()) - 3600
JOBS = int(os.environ.get("NATS_JOBS", "500"))
COMMIT_SECONDS = int(os.environ.get("NATS_COMMIT_SECONDS", "2"))
KILLS = 5
HOST = "n2cn001"


class RealSite:
    """A real server in NATS mode, with a client that lists its runs."""

    def __init__(self, root: Path, broker: NatsServer) -> None:
        root.mkdir()
        self.real = RealServer(Path(BINARY).resolve(), root)
        self.real.broker_url, self.real.commit_interval = broker.url, f"{COMMIT_SECONDS}s"
        self.url = self.real.url
        self._session = requests.Session()
        transport = Transport(self._session, self.url, token=lambda: self.real.token)
        self._client = BackendClient(transport)

    def rows(self, job_ids: range = range(1, JOBS + 1)) -> list[tuple[int, str]]:
        """Return job id and state of every listed run of some jobs."""
        listing = self._client.list_runs(job_ids, "lab")
        return [(row.job_id, row.state) for row in listing.rows or ()]

    def durations(self) -> dict[int, int]:
        """Return the seconds that each job ran, from the server's own database."""
        with contextlib.closing(sqlite3.connect(self.real.database)) as database:
            return dict(database.execute("SELECT job_id, duration FROM job"))

    def close(self) -> None:
        """Close the client and stop the server."""
        self._session.close()
        self.real.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NatsServer]:
    """Return a broker that runs."""
    with NatsServer(tmp_path) as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, broker: NatsServer) -> Iterator[RealSite]:
    """Return a server that runs."""
    site = RealSite(tmp_path / "server", broker)
    site.real.start(nats=True)
    yield site
    site.close()


@pytest.fixture
def drain(tmp_path: Path, server: RealSite, broker: NatsServer) -> DrainProcess:
    """Return a drain that delivers by NATS and does not run yet."""
    return drain_by_nats(tmp_path, server, broker)


def drain_by_nats(root: Path, server: RealSite, broker: NatsServer) -> DrainProcess:
    """Make a drain that delivers by NATS and does not run yet."""
    process = DrainProcess(root, server)  # type: ignore[arg-type]  # like a stub, it has a URL
    process.site.token.write_text(server.real.token)
    nats = {"servers": broker.url, "mode": "transport", "subject": SUBJECT}
    process.site.document |= {"nats": nats, "drain": {"stop_hold_seconds": COMMIT_SECONDS + 3}}
    process.site.write()
    return process


def put_ended(drain: DrainProcess, job_ids: range) -> None:
    """Put short jobs that have ended into `todo/`."""
    for job_id in job_ids:
        end = End(time=BEGAN + job_id % 6, state="COMPLETED", source=EndSource.CONTROLLER)
        run = run_of(job_id, BEGAN, end=end, monitoring_status=0)
        node = NodeAllocation(name=HOST, cores=(0, 1))
        job = replace(run.job, nodes=(HOST,), allocations=(node,), partition="cpu")
        drain.site.put(Directory.TODO, replace(run, job=job))


def has_published(drain: DrainProcess, number: int) -> bool:
    """Return whether more messages than this were published."""
    return drain.log.read_text().count("outcome=confirm") > number


def test_no_job_is_lost_while_broker_and_server_are_restarted(
    drain: DrainProcess, server: RealSite, broker: NatsServer
) -> None:
    """After five kills of the broker and one restart of the server each job has one row."""
    part = JOBS // (KILLS + 1)
    with drain:
        for kill in range(KILLS + 1):
            first = 1 + kill * part
            put_ended(drain, range(first, JOBS + 1 if kill == KILLS else first + part))
            until(functools.partial(has_published, drain, first), 60)
            if kill < KILLS:
                broker.kill()
                broker.start()
            if kill == KILLS // 2:
                server.real.stop()
                server.real.start(nats=True)
        until(lambda: not drain.site.names("todo") and not drain.site.names("open"), 1800)
    rows = server.rows()

    assert (JOBS, JOBS, {"completed": JOBS}, []) == (
        len(rows),
        len({job_id for job_id, _ in rows}),
        Counter(state for _, state in rows),
        drain.site.names("dead"),
    )
    assert {job_id: job_id % 6 for job_id in range(1, JOBS + 1)} == server.durations()
