"""Runs by NATS through a real broker to the stub of cc-backend, which takes them as recorded."""

from __future__ import annotations

import functools
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_site import run_of
from drain_process import TOKEN, DrainProcess, until
from nats_site import SUBJECT, NatsServer, Subscriber, needs_broker
from stub_server import Model, StubServer

from spool.files.layout import Directory
from spool.files.run import End, EndSource

pytestmark = needs_broker
BEGAN = int(time.time()) - 3600
JOBS = int(os.environ.get("NATS_JOBS", "150"))
KILLS = 5
COMMIT_SECONDS = float(os.environ.get("NATS_COMMIT_SECONDS", "1"))


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a cc-backend in NATS mode."""
    model = Model(version="1.5.4", token=TOKEN, nats=True, commit_seconds=COMMIT_SECONDS)
    with StubServer(model) as stub:
        yield stub


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NatsServer]:
    """Return a broker that runs."""
    with NatsServer(tmp_path) as running:
        yield running


@pytest.fixture
def drain(tmp_path: Path, server: StubServer, broker: NatsServer) -> DrainProcess:
    """Return a drain that delivers by NATS and does not run yet."""
    process = DrainProcess(tmp_path, server)
    nats = {"servers": broker.url, "mode": "transport", "subject": SUBJECT}
    process.site.document |= {"nats": nats, "drain": {"stop_hold_seconds": COMMIT_SECONDS + 2}}
    process.site.write()
    return process


def put_ended(drain: DrainProcess, job_ids: range) -> None:
    """Put short jobs into `todo/` that are over: each start is followed by its stop at once."""
    for job_id in job_ids:
        end = End(time=BEGAN + job_id % 6, state="COMPLETED", source=EndSource.CONTROLLER)
        drain.site.put(Directory.TODO, run_of(job_id, BEGAN, end=end))


def has_more_rows(server: StubServer, number: int) -> bool:
    """Return whether the server has more rows than this."""
    return len(server.rows()) > number


def test_no_job_is_lost_while_the_broker_is_killed(
    drain: DrainProcess, server: StubServer, broker: NatsServer
) -> None:
    """Every job has exactly one row with its end, though what a dead broker holds is lost."""
    part = JOBS // (KILLS + 1)
    with Subscriber(broker.url, server), drain:
        for kill in range(KILLS + 1):
            first = 1 + kill * part
            put_ended(drain, range(first, JOBS + 1 if kill == KILLS else first + part))
            until(functools.partial(has_more_rows, server, first), 120)
            if kill < KILLS:
                broker.kill()
                broker.start()
        until(lambda: not drain.site.names("todo") and not drain.site.names("open"), 600)

    rows = Counter(job_id for job_id, _ in server.rows())
    wrong = {key: state for key, state in server.rows().items() if state != "completed"}
    assert (JOBS, {1}, {}, []) == (
        len(rows),
        set(rows.values()),
        wrong,
        drain.site.names("dead"),
    )
