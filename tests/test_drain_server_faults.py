"""A drain that gets odd answers and network faults loses and duplicates no run."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

import dead_letter_changes
import pytest
import requests
from command_site import run_of
from drain_process import TOKEN
from empty_spool import make_directories
from odd_server import ODD, OddServer, accepted
from stub_backend.wire.faults import Fault, Kind
from stub_server import Answer, Model, StubServer

from ccbackend.client import BackendClient
from ccbackend.job_filters import JobFilters
from ccbackend.metadata import MetadataPolicy
from ccbackend.site_map import SiteMap
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import Transport
from slurm.errors import SlurmError
from slurm.job import Job
from spool.deliver.compose import PayloadComposer
from spool.drain.assembly import assemble
from spool.drain.externals import DrainSettings, Externals
from spool.files import codec
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource
from spool.moment import Clocks
from spool.resolve.job_texts import TextsReply

BEGAN = int(time.time()) - 3600
RUNS = range(1, 6)
HOUR = 3600.0
HTML = "<html><body><h1>Bad Gateway</h1></body></html>"


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a cc-backend that knows our token."""
    with StubServer(OddServer(version="1.4.4", token=TOKEN)) as stub:
        yield stub


class Backlog:
    """Five ended runs in a spool that is drained once, with a fast clock."""

    def __init__(self, root: Path, server: StubServer) -> None:
        self.root = root
        self.server = server
        self.now = float(BEGAN + HOUR)
        make_directories(root)
        (root / "state").mkdir()
        end = End(time=BEGAN + 60, state="COMPLETED", source=EndSource.CONTROLLER)
        for job_id in RUNS:
            run = run_of(job_id, BEGAN, end=end)
            (root / "todo" / run.name).write_bytes(codec.encode(run))

    def clock(self) -> float:
        """Return the time, later at each call."""
        self.now += 0.05
        return self.now

    def drain(self) -> bool:
        """Drain once; return whether nothing is left."""
        site = DrainSettings(
            state=self.root / "state",
            hold_seconds=0.0,
            replace_earlier=True,
            keep_days=0,
            min_free_bytes=0,
        )
        known, silent = SharedServerInfo(), _Silent()
        externals = Externals(
            new_watch=lambda *_: None,
            slurm=lambda: silent,
            backend=lambda: BackendClient(
                Transport(requests.Session(), self.server.url, token=lambda: TOKEN), known
            ),
            texts=lambda _query: TextsReply(),
            inputs_changed=lambda: False,
            clocks=Clocks(wall=self.clock, steady=self.clock),
        )
        composer = PayloadComposer(lambda _: SiteMap(cluster="lab"), MetadataPolicy(), JobFilters())
        with Layout(self.root) as layout:
            return assemble(site, composer, externals, layout=layout).run_once()

    def where(self, job_id: int) -> list[str]:
        """Return the directories that contain a run."""
        return [d for d in ("todo", "open", "dead") if list((self.root / d).glob(f"{job_id}-*"))]

    def health(self) -> str:
        """Return the server's health in the drain's last state."""
        document = json.loads((self.root / "state" / "drain.json").read_text())
        return str(document["health"]["state"])

    def retry(self) -> None:
        """Retry all dead letters."""
        with Layout(self.root) as layout:
            for name in list(layout.names(Directory.DEAD)):
                dead_letter_changes.retry(layout, name)


class _Silent:
    """A Slurm that has purged everything."""

    has_accounting = True

    @staticmethod
    def jobs(
        ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> dict[int, Job | SlurmError]:
        """Return nothing."""
        del ids, states_only
        return {}

    @staticmethod
    def accounting(ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return nothing."""
        del ids, since, until
        return ()

    @staticmethod
    def listing() -> tuple[Any, ...]:
        """Return nothing."""
        return ()


STATUSES = [
    *(200, 201, 204, 300, 303, 304, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 413),
    *(415, 418, 422, 425, 451, 500, 501, 502, 503, 504, 507, 511, 520, 599),
]
ANSWERS = {
    **{f"{status} empty": Answer(status, "") for status in STATUSES},
    "200 login page": Answer(200, HTML, "text/html"),
    "201 cut": Answer(201, '{"msg":"succ'),
    "301 elsewhere": Answer(301, "", headers=(("Location", "http://127.0.0.1:1/x"),)),
    "307 elsewhere": Answer(307, "", headers=(("Location", "http://127.0.0.1:1/x"),)),
    "400 plain": Answer(400, "Bad Request\n", "text/plain"),
    "429 with a wish": Answer(429, "", headers=(("Retry-After", "2"),)),
    "502 page": Answer(502, HTML, "text/html"),
    "503 page": Answer(503, HTML, "text/html"),
}


@pytest.mark.parametrize("what", sorted(ANSWERS))
def test_an_odd_answer_loses_or_duplicates_no_run(
    tmp_path: Path, server: StubServer, what: str
) -> None:
    """One of five starts gets an odd answer; in the end each start and stop was accepted once."""
    assert isinstance(server.model, OddServer)
    backlog = Backlog(tmp_path, server)
    server.model.odd = ANSWERS[what]
    backlog.drain()
    others = {(job_id, BEGAN): "completed" for job_id in RUNS if job_id != ODD}
    health = backlog.health()

    assert backlog.where(ODD) in (["todo"], ["dead"])
    assert (ODD, BEGAN) not in server.rows()
    assert health == "halted" or others == server.rows()

    before = accepted(server)
    before.pop(("start_job", ODD), None)  # the strange answer itself
    server.log.clear()
    server.model.odd = None
    backlog.retry()
    backlog.now += 2 * HOUR
    assert backlog.drain()
    assert {**others, (ODD, BEGAN): "completed"} == server.rows()
    assert {(call, job_id): 1 for call in ("start_job", "stop_job") for job_id in RUNS} == dict(
        before + accepted(server)
    )


FAULTS = {
    "reset": Fault(Kind.RESET, times=3, path="/api/jobs/"),
    "reset when done": Fault(Kind.RESET, times=3, path="/api/jobs/", handled=True),
    "closed": Fault(Kind.CLOSE, times=3, path="/api/jobs/"),
    "closed when done": Fault(Kind.CLOSE, times=3, path="/api/jobs/", handled=True),
    "cut at once": Fault(Kind.CUT, times=3, path="/api/jobs/"),
    "cut in the head": Fault(Kind.CUT, times=3, path="/api/jobs/", after_bytes=20),
    "cut in the body when done": Fault(
        Kind.CUT, times=3, path="/api/jobs/", handled=True, after_bytes=150
    ),
    "drip": Fault(Kind.DRIP, times=3, path="/api/jobs/", handled=True, pause_seconds=0.001),
}


@pytest.mark.parametrize("what", sorted(FAULTS))
def test_no_network_fault_loses_or_duplicates_a_run(
    tmp_path: Path, server: StubServer, what: str
) -> None:
    """Some requests take effect but lose their answer; each request is accepted exactly once."""
    backlog = Backlog(tmp_path, server)
    server.fail(FAULTS[what])
    backlog.drain()
    server.fail(None)
    backlog.now += HOUR
    done = backlog.drain()

    assert done
    assert {(job_id, BEGAN): "completed" for job_id in RUNS} == server.rows()
    assert {1} == set(accepted(server).values())


def test_runs_wait_for_a_server_that_is_down(tmp_path: Path, server: StubServer) -> None:
    """Connections are refused; later a server of another release answers."""
    port = int(server.url.rpartition(":")[2])
    server.close()
    backlog = Backlog(tmp_path, server)
    assert not backlog.drain()
    assert {"todo"} == {place for job_id in RUNS for place in backlog.where(job_id)}
    with StubServer(Model(version="1.5.4", token=TOKEN), port) as again:
        backlog.now += HOUR
        assert backlog.drain()
        assert {(job_id, BEGAN): "completed" for job_id in RUNS} == again.rows()
