"""Runs whose files are damaged, gone or deadly while they are told; replies that come too late."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from drain_world import NOON, World

from ccbackend.classify import Reason, ReplyVerdict
from spool.deliver.schedule import RequestKind
from spool.deliver.senders import SendRequest, SendResult

NAME = f"1-{NOON}.json"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def stored(world: World, *job_ids: int) -> None:
    """Let runs lie in `todo/` because cc-backend is away."""
    world.backend.everything = Reason.UNREACHABLE
    for job_id in job_ids:
        world.begin(job_id)
    world.run()
    world.backend.everything = None


def test_a_run_file_that_was_damaged_is_set_aside(world: World) -> None:
    """The others go on."""
    stored(world, 1, 2)
    (world.root / "todo" / NAME).write_text("{")
    world.run(60)

    assert {(2, NOON): "running"} == world.backend.rows
    assert {"open": [f"2-{NOON}.json"], "dead": [NAME, f"{NAME}.why"]} == world.files()


def test_a_run_file_that_vanished_is_told_of(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody removed it; nothing can be set aside."""
    stored(world, 1, 2)
    (world.root / "todo" / NAME).unlink()
    world.run(60)

    assert {(2, NOON): "running"} == world.backend.rows
    assert f"todo/{NAME}" in caplog.text
    assert "it stays there" in caplog.text


def test_a_run_that_ends_the_drain_again_and_again_is_not_tried_a_fourth_time(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It was being mapped at each of three deaths."""
    world.parts.crash_marker.close()
    (world.root / "handling").write_bytes(f"3 {NAME}".encode())
    world.boot()
    world.begin(1)
    world.begin(2)
    world.run()

    assert {(2, NOON): "running"} == world.backend.rows
    assert "handling it ended the drain three times" in caplog.text


def test_a_reply_about_a_run_that_is_gone_changes_nothing(world: World) -> None:
    """An operator discarded it meanwhile."""
    world.run()
    before = world.files()
    request = SendRequest(call=RequestKind.START, job_id=7, start_time=NOON, cluster="alex")
    world.delivery.handle(
        SendResult(request=request, verdict=ReplyVerdict(Reason.CREATED)), world.now
    )

    assert before == world.files()


def test_a_reply_about_a_run_that_cannot_be_read_any_more(world: World) -> None:
    """It is set aside; the answer is lost with it."""
    stored(world, 1)
    (entry,) = world.store.schedule
    entry.in_flight = RequestKind.START
    (world.root / "todo" / NAME).write_text("{")
    request = SendRequest(call=RequestKind.START, job_id=1, start_time=NOON, cluster="alex")
    world.delivery.handle(
        SendResult(request=request, verdict=ReplyVerdict(Reason.CREATED)), world.now
    )

    assert {"dead": [NAME, f"{NAME}.why"]} == world.files()


@pytest.mark.parametrize("call", [RequestKind.PROBE, RequestKind.LIST])
def test_a_question_that_was_not_sent_tells_nothing(world: World, call: RequestKind) -> None:
    """It comes back when the drain ends."""
    before = world.backend_health.destination
    request = SendRequest(call=call, job_id=0, start_time=0, cluster="alex")
    world.delivery.handle(SendResult(request=request, verdict=None), world.now)

    assert (before, None) == (world.backend_health.destination, world.backend_health.server)


def test_a_monitoring_status_of_the_sweeper_is_sent(world: World) -> None:
    """Its event may say that a job was not monitored."""
    world.slurm.records[1] = world.job(1)
    world.hook("start", 1, extras="monitoring_status=0\n")
    world.run()

    assert [0] == [document["monitoringStatus"] for document in world.backend.documents]


def test_a_failing_file_system_is_told_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no full disk: an operator must look; when it works again, that is told too."""
    caplog.set_level(logging.INFO)
    world.begin(1)
    with monkeypatch.context() as patched:
        flush = world.store.flush

        def fail(*, without_texts: bool = False) -> None:
            del without_texts
            raise OSError(5, "Input/output error")

        patched.setattr(world.store, "flush", fail)
        for _ in range(60):
            world.drain.step(0.0)
            world.now += 1
        assert world.drain.is_full
        patched.setattr(world.store, "flush", flush)
        for _ in range(30):
            world.drain.step(0.0)
            world.now += 1
    said = [record.message for record in caplog.records]

    assert (False, {"open": [NAME]}) == (world.drain.is_full, world.files())
    assert 1 == sum(line.startswith("the spool cannot be written") for line in said)
    assert "the spool can be written again" in said


def test_a_host_that_is_not_known_is_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """However many runs of it were under way."""
    world.backend.answers = {1: Reason.UNKNOWN_HOST, 2: Reason.UNKNOWN_HOST}
    stored(world, 1, 2)
    world.run(60)

    assert (1, 1) == (
        sum("does not know host n1" in record.message for record in caplog.records),
        world.delivery.unknown_hosts,
    )


def test_a_run_that_was_not_sent_is_due_again(world: World) -> None:
    """Its request stood behind one that found cc-backend away."""
    stored(world, 1)
    entry = world.store.schedule.take_next(world.now, stops=False)
    assert entry is not None
    request = SendRequest(call=RequestKind.START, job_id=1, start_time=NOON, cluster="alex")
    world.delivery.handle(SendResult(request=request, verdict=None), world.now)

    assert entry is world.store.schedule.take_next(world.now, stops=False)


def test_an_event_that_nobody_knows_and_that_is_gone_is_told_of(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot be set aside a day later."""
    world.hook("start", 9)
    world.run()
    (event,) = (world.root / "new").iterdir()
    event.unlink()
    world.now += 25 * 3600
    world.run(400)

    assert f"new/{event.name} cannot be set aside" in caplog.text
