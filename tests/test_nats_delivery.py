"""Runs delivered by NATS through a real broker to the stub of cc-backend."""

from __future__ import annotations

import functools
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_site import run_of
from drain_process import TOKEN, DrainProcess, until
from nats_site import SUBJECT, NatsServer, Subscriber, needs_broker
from stub_server import Model, StubServer, refusal

from ccbackend.nats_api.event_lines import event_line
from ccbackend.nats_api.publish import Broker, BrokerSettings
from ccbackend.outcomes import ApiCall
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
    """Put short jobs that have ended into `todo/`: each stop follows its start at once."""
    for job_id in job_ids:
        end = End(time=BEGAN + job_id % 6, state="COMPLETED", source=EndSource.CONTROLLER)
        drain.site.put(Directory.TODO, run_of(job_id, BEGAN, end=end))


def has_more_rows(server: StubServer, number: int) -> bool:
    """Return whether the server has more rows than this."""
    return len(server.rows()) > number


def test_no_job_is_lost_while_the_broker_is_killed(
    drain: DrainProcess, server: StubServer, broker: NatsServer
) -> None:
    """Each job has one row with its end, although a killed broker loses its messages."""
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


def test_unconfirmed_publishing_loses_stops(server: StubServer, broker: NatsServer) -> None:
    """A stop that overtakes its start has no effect, so the row stays running at the server."""
    connection = Broker(BrokerSettings(servers=(broker.url,), subject=SUBJECT))
    with Subscriber(broker.url, server, slowest_seconds=0.05) as subscriber:
        for job_id in range(1, 101):
            run = {"jobId": job_id, "cluster": "lab", "startTime": BEGAN}
            node = {"numNodes": 1, "resources": [{"hostname": "n1"}], "shared": "none"}
            more = {"user": "ada", "project": "p1", **node}
            connection.publish(event_line(ApiCall.START, run | more, 1))
            end = {"stopTime": BEGAN + 5, "jobState": "completed"}
            connection.publish(event_line(ApiCall.STOP, run | end, 1))
        until(lambda: len(subscriber.messages) == 200)
    connection.close()

    states = Counter(server.rows().values())
    assert (100, True) == (states.total(), states["running"] > 10)


def test_a_run_that_the_server_drops_silently_is_reported(
    drain: DrainProcess, server: StubServer, broker: NatsServer
) -> None:
    """Other runs are delivered; the dropped run stays in `todo/` until the cause is repaired."""
    server.model.poison[2] = refusal(400, "no subcluster found")
    put_ended(drain, range(1, 4))
    with Subscriber(broker.url, server), drain:
        until(lambda: "cc-backend gave no reason" in drain.site.call("show", "2").out, 60)
        until(lambda: [f"2-{BEGAN}.json"] == drain.site.names("todo"), 60)
        server.model.poison.clear()
        drain.site.call("retry", "2")
        until(lambda: not drain.site.names("todo"), 60)

    assert dict.fromkeys((1, 2, 3), "completed") == drain.states()


def test_no_attempt_is_counted_while_cc_backend_is_not_subscribed(
    drain: DrainProcess, server: StubServer, broker: NatsServer
) -> None:
    """`status` shows the missing subscription; runs are delivered when it is restored."""
    put_ended(drain, range(1, 4))
    with drain:
        until(lambda: "is not subscribed" in drain.site.call("status").out, 30)
        attempts = [run["attempts"] for run in json.loads(drain.site.call("list", "--json").out)]
        with Subscriber(broker.url, server):
            until(lambda: not drain.site.names("todo"), 60)

    assert [0, 0, 0] == attempts
    assert dict.fromkeys((1, 2, 3), "completed") == drain.states()


def test_the_second_run_of_a_job_replaces_the_row_of_the_first_run(
    drain: DrainProcess, server: StubServer, broker: NatsServer
) -> None:
    """The server drops the second start silently until the first row is deleted."""
    put_ended(drain, range(1, 2))
    with Subscriber(broker.url, server), drain:
        until(lambda: not drain.site.names("todo"), 60)
        end = End(time=BEGAN + 160, state="FAILED", source=EndSource.CONTROLLER)
        drain.site.put(Directory.TODO, run_of(1, BEGAN + 100, end=end))
        until(lambda: not drain.site.names("todo"), 60)

    assert {(1, BEGAN + 100): "failed"} == server.rows()
