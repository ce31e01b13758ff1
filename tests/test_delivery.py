"""What becomes of runs while they are delivered: blame, waiting, files that fail, late answers."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drain_world import NOON, World

from ccbackend.metadata import MetadataPolicy
from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow
from ccbackend.version import ServerInfo, Version, server_info
from slurm.job import NodeAllocation
from spool.deliver.channel import SILENT_SECONDS
from spool.deliver.delivery import MAX_META_FAILURES, TEXTS
from spool.deliver.health_rules import Channel, Health
from spool.deliver.pending_run import PendingRun, RequestKind
from spool.deliver.reaction import SLIM_FAILURES
from spool.deliver.senders import SendRequest, SendResult, ServerQuery, Topic
from spool.deliver.server_topology import TOPOLOGY_PATIENCE_SECONDS, ServerTopology
from spool.drain.state_report import StateReport
from spool.files import codec
from spool.files.layout import Directory
from spool.files.run import Run
from spool.files.state_files import CrashMarker
from spool.worker import Worker

NAME = f"1-{NOON}.json"
HOUR = 3600.0
NEW = Version(1, 5, 4)


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


def entry_of(world: World, job_id: int) -> PendingRun:
    """Return the entry of a job's one run."""
    (entry,) = world.store.lane(job_id, world.moment)
    return entry


def started(world: World, job_id: int = 1) -> PendingRun:
    """Return the entry of a run that was started long ago."""
    world.begin(job_id)
    world.run(6)
    world.now += HOUR
    return entry_of(world, job_id)


def calls(world: World, kind: str) -> list[int]:
    """Return the job ids of the requests of a kind."""
    return [job_id for call, job_id in world.backend.asked if call == kind]


def request(job_id: int = 1, kind: RequestKind = RequestKind.START) -> SendRequest:
    """Return a request for a run."""
    return SendRequest(kind=kind, job_id=job_id, start_time=NOON, cluster="alex")


def result(reason: Reason = Reason.CREATED, **facts: Any) -> SendResult:
    """Return what came of a start."""
    reply = ApiReply(call=ApiCall.START, verdict=ReplyVerdict(reason), **facts)
    return SendResult(reply=reply, server=ServerInfo())


@contextmanager
def held(worker: Worker[Any, Any], world: World) -> Iterator[list[Any]]:
    """Let a worker be silent; its questions are answered when this ends."""
    waiting: list[Any] = []
    with pytest.MonkeyPatch.context() as patched:

        def ask(question: Any) -> None:
            worker.busy_since = world.now if not worker.outstanding else worker.busy_since
            worker.outstanding += 1
            waiting.append(question)

        def recall() -> list[Any]:
            recalled = waiting[1:]
            del waiting[1:]
            worker.outstanding -= len(recalled)
            return recalled

        patched.setattr(worker, "ask", ask)
        patched.setattr(worker, "recall", recall)
        yield waiting
    for question in waiting:
        worker.put_answer(question, worker.work(question))


@contextmanager
def unreadable(world: World, error: OSError) -> Iterator[None]:
    """Let run files be unreadable for a while."""
    layout = world.parts.layout
    read = layout.read

    def fail(directory: Directory, name: str, limit_bytes: int) -> Any:
        if directory is not Directory.NEW:
            raise error
        return read(directory, name, limit_bytes)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layout, "read", fail)
        yield


def alarms(world: World) -> dict[str, str]:
    """Return the files that the drain names as unreadable."""
    found = StateReport(world.drain, world.parts, once=False).state(world.moment).unreadable
    return {each.name: each.reason for each in found}


# ---- files that fail


def test_a_run_file_that_was_damaged_is_set_aside(world: World) -> None:
    """The others go on."""
    stored(world, 1, 2)
    (world.root / "todo" / NAME).write_text("{")
    world.run(60)

    assert {(2, NOON): "running"} == world.backend.rows
    assert {"open": [f"2-{NOON}.json"], "dead": [NAME, f"{NAME}.why"]} == world.files()
    assert {} == alarms(world)


def test_a_run_file_that_vanished_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody removed it; nothing can be set aside."""
    stored(world, 1, 2)
    (world.root / "todo" / NAME).unlink()
    world.run(60)

    assert {(2, NOON): "running"} == world.backend.rows
    assert f"the run file {NAME} was removed by another program" in caplog.text
    assert {"open": [f"2-{NOON}.json"]} == world.files()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENFILE])
def test_a_run_file_that_cannot_be_read_now_stays(
    world: World, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """The fault is on our side: it is an alarm, and delivered within a minute of its end."""
    stored(world, 1)
    with unreadable(world, OSError(number, "no luck")):
        world.run(200)
        assert ({"todo": [NAME]}, {NAME: "no luck"}) == (world.files(), alarms(world))
        assert 1 == sum(
            "stays in the spool and is not sent: no luck" in r.message for r in caplog.records
        )
    world.run(61)

    assert ({"open": [NAME]}, {}) == (world.files(), alarms(world))


@pytest.mark.parametrize("change", ["gone", "damaged"])
def test_an_unreadable_run_that_is_no_more_ends_the_alarm(world: World, change: str) -> None:
    """Nothing is left to look at."""
    stored(world, 1)
    with unreadable(world, OSError(errno.EIO, "no luck")):
        world.run(61)
    path = world.root / "todo" / NAME
    if change == "gone":
        path.unlink()
    else:
        path.write_text("{")
    world.run(61)

    assert {} == alarms(world)


def test_an_error_without_a_text_is_named(world: World) -> None:
    """An alarm needs a reason."""
    stored(world, 1)
    with unreadable(world, OSError("odd")):
        world.run(61)

        assert {NAME: "odd"} == alarms(world)


def test_a_run_file_of_a_later_version_stays(world: World) -> None:
    """Somebody went back to this program; the newer one will deliver it."""
    stored(world, 1)
    (world.root / "todo" / NAME).write_text('{"version": 99}')
    world.run(100)

    assert ({"todo": [NAME]}, [NAME]) == (world.files(), list(alarms(world)))


@pytest.mark.parametrize("is_loaded", [True, False])
def test_an_end_is_not_lost_while_its_run_cannot_be_read(world: World, *, is_loaded: bool) -> None:
    """Its event stays; what Slurm said counts, although it may have forgotten it by then."""
    world.begin(1)
    world.run(6)
    world.now += HOUR
    if is_loaded:
        entry_of(world, 1)
    with unreadable(world, OSError(errno.EIO, "no luck")):
        world.end(1)
        world.run(6)
        asked = world.slurm.looks
        world.run(100)
        assert asked == world.slurm.looks
        assert {"new", "open"} == set(world.files())
        assert [NAME] == list(alarms(world))
    del world.slurm.records[1]
    world.slurm.rows.clear()
    world.run(70)

    assert ({(1, NOON): "completed"}, {}) == (world.backend.rows, world.files())


def test_a_run_whose_file_is_gone_at_its_end_is_taken_from_slurm_again(world: World) -> None:
    """Somebody removed it; the row is closed all the same."""
    started(world)
    (world.root / "open" / NAME).unlink()
    world.end(1)
    world.run(30)

    assert ({(1, NOON): "completed"}, {}) == (world.backend.rows, world.files())


def test_a_run_that_ends_the_drain_again_and_again_is_left_alone_for_an_hour(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It was being mapped at each of three deaths; nothing is buried for it."""
    world.service.close()
    (world.state / "handling").write_bytes(f"3 {NAME}".encode())
    world.boot()
    world.begin(1)
    world.begin(2)
    world.run(10)

    assert {(2, NOON): "running"} == world.backend.rows
    assert (
        f"{NAME} stays in the spool and is not sent:"
        " the drain crashed three times while processing this file" in caplog.text
    )
    assert {"open": [f"2-{NOON}.json"], "todo": [NAME]} == world.files()
    world.now += HOUR
    world.run(6)  # its comments are read again before
    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


def test_a_new_run_is_tried_again_in_a_minute_if_the_state_directory_is_full(world: World) -> None:
    """Its name cannot be noted before it is mapped: no fault of the run, and soon repaired."""

    def fail(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "pwrite", fail)
        world.begin(1)
        world.run(20)
    assert ({}, {NAME: "No space left on device"}) == (world.backend.rows, alarms(world))
    world.now += 60
    world.run(6)

    assert ({(1, NOON): "running"}, {}) == (world.backend.rows, alarms(world))


def test_a_run_that_our_own_code_cannot_map_is_left_alone_for_an_hour(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The others go on, and nothing is buried for a fault of ours."""
    document = world.composer.document

    def fail(run: Run, *args: Any, **facts: Any) -> Any:
        if run.job_id == 1:
            raise TypeError("secret")
        return document(run, *args, **facts)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(world.composer, "document", fail)
        world.begin(1)
        world.begin(2)
        world.run(20)
    assert {(2, NOON): "running"} == world.backend.rows
    assert {NAME: "internal error (TypeError); please report it with the log"} == alarms(world)
    assert f"no request can be made from {NAME}, internal error: TypeError" in caplog.text
    world.now += HOUR
    world.run(6)

    assert ({1, 2}, {}) == ({job_id for job_id, _ in world.backend.rows}, alarms(world))


def test_a_failing_file_system_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no full disk: an operator must look; when it works again, that is said too."""
    caplog.set_level(logging.INFO)
    world.begin(1)
    with monkeypatch.context() as patched:

        def fail(*_args: object, **_facts: object) -> None:
            raise OSError(5, "Input/output error")

        patched.setattr(world.store, "flush", fail)
        for _ in range(60):
            world.drain.step(0.0)
            world.now += 1
        assert "Input/output error" == world.drain.disk_reason
    for _ in range(30):
        world.drain.step(0.0)
        world.now += 1
    said = [record.message for record in caplog.records]

    assert ("", {"open": [NAME]}) == (world.drain.disk_reason, world.files())
    assert 1 == sum(line.startswith("the spool cannot be written") for line in said)
    assert "the spool is writable again" in said


def test_an_event_that_nobody_knows_and_that_is_gone_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot be moved to dead/ a day later."""
    world.hook("start", 9)
    world.run()
    (event,) = (world.root / "new").iterdir()
    event.unlink()
    world.now += 25 * HOUR
    world.run(400)

    assert f"new/{event.name} cannot be moved to dead/" in caplog.text


# ---- answers that come late


def test_a_reply_about_a_run_that_is_gone_changes_nothing(world: World) -> None:
    """An operator discarded it meanwhile."""
    world.run()
    before = world.files()
    world.delivery.take_result(request(7), result(), world.moment)

    assert before == world.files()


def test_a_reply_about_a_run_that_is_damaged_meanwhile(world: World) -> None:
    """It is set aside; the answer is lost with it."""
    stored(world, 1)
    entry_of(world, 1).in_flight = RequestKind.START
    (world.root / "todo" / NAME).write_text("{")
    world.delivery.take_result(request(), result(), world.moment)

    assert {"dead": [NAME, f"{NAME}.why"]} == world.files()


def test_a_reply_about_a_run_that_cannot_be_read_now(world: World) -> None:
    """Its start is sent again: cc-backend knows it as the same."""
    stored(world, 1)
    entry_of(world, 1).in_flight = RequestKind.START
    world.backend.rows[1, NOON] = "running"
    with unreadable(world, OSError(errno.EIO, "no luck")):
        world.delivery.take_result(request(), result(), world.moment)
    world.run(70)

    assert ({(1, NOON): "running"}, {"open": [NAME]}) == (world.backend.rows, world.files())


@pytest.mark.parametrize("topic", list(Topic))
def test_a_question_that_was_not_asked_says_nothing(world: World, topic: Topic) -> None:
    """It comes back when the drain ends."""
    before = world.health.state
    world.delivery.questions.take(ServerQuery(topic=topic), None, world.moment)

    assert (before, None) == (world.health.state, world.health.server)


def test_a_run_that_was_not_sent_is_due_again(world: World) -> None:
    """Its request stood behind one that hung."""
    stored(world, 1)
    entry = entry_of(world, 1)
    entry.retry_at = 0.0
    entry.in_flight = RequestKind.START
    world.delivery.take_result(request(), None, world.moment)

    assert entry is world.store.schedule.take_next(world.now, stops=False)


def test_one_silent_start_does_not_hold_up_the_others(world: World) -> None:
    """They go through the second connection, and those behind the silent one too."""
    world.run()
    first, *_ = world.parts.backend.starts.workers
    with held(first, world):
        for job_id in range(1, 4):
            world.begin(job_id)
        world.run(SILENT_SECONDS + 3)
        world.begin(4)
        world.run(3)

        assert 3 == len({job_id for job_id, _ in world.backend.rows})
    world.run()

    assert {1, 2, 3, 4} == {job_id for job_id, _ in world.backend.rows}


def fail_once(world: World, *job_ids: int) -> None:
    """Let the requests of some runs fail, and others be accepted in between."""
    world.run()
    world.backend.answers = dict.fromkeys(job_ids, Reason.BROKEN)
    for job_id in (*job_ids, 99):
        world.begin(job_id)
    world.run(6)
    world.backend.answers.clear()


def test_a_silent_run_that_failed_before_does_not_hold_up_others_that_failed(world: World) -> None:
    """A lost answer is soon repaired, whatever another run does to the server."""
    fail_once(world, 1, 2)
    entry_of(world, 2).retry_at = world.now + 10
    first, *_ = world.parts.backend.starts.workers
    with held(first, world) as waiting:
        world.run(9)
        assert [1] == [each.job_id for each in waiting]
        world.run(9)

        assert 2 in {job_id for job_id, _ in world.backend.rows}


def test_silent_runs_that_failed_before_leave_a_connection_for_new_runs(world: World) -> None:
    """However many of them there are."""
    fail_once(world, 1, 2, 3, 4)
    first, second, _ = world.parts.backend.starts.workers
    with held(first, world) as one, held(second, world) as two:
        world.run(30)
        world.begin(5)
        world.run(3)

        assert (1, 1) == (len(one), len(two))
        assert {5, 99} == {job_id for job_id, _ in world.backend.rows}


def test_a_silent_stop_does_not_hold_up_the_others(world: World) -> None:
    """As with starts."""
    for job_id in (1, 2, 3):
        world.begin(job_id)
    world.run(6)
    first, *_ = world.parts.backend.stops.workers
    with held(first, world):
        for job_id in (1, 2, 3):
            world.end(job_id)
        world.run(SILENT_SECONDS + 3)

        assert ["completed", "completed", "running"] == sorted(world.backend.rows.values())


# ---- who is to blame


def test_nobody_is_charged_while_no_other_run_is_accepted(world: World) -> None:
    """However long it lasts, and although the probe succeeds."""
    world.begin(1)
    world.begin(2)
    world.backend.answers = {1: Reason.UNEXPECTED, 2: Reason.UNEXPECTED}
    world.run(400)

    assert (0, 0) == tuple(world.stored("todo", i).attempts for i in (1, 2))
    assert Health.DOWN is world.health.state.channels[Channel.STARTS].condition.health


def test_a_run_that_fails_alone_is_charged(world: World) -> None:
    """Another one was accepted between its two failures; `show` says what to do."""
    world.backend.answers[1] = Reason.UNEXPECTED
    world.begin(1)
    world.begin(2)
    world.run(6)
    run = world.stored("todo", 1)

    assert 1 <= run.attempts <= 3
    assert run.last_error is not None
    assert "only this one is refused" in run.last_error.hint
    assert entry_of(world, 1).is_blamed


def test_a_run_that_always_fails_alone_becomes_a_dead_letter(world: World) -> None:
    """After a day or so, and after 24 charged attempts."""
    world.backend.answers[1] = Reason.TOKEN_REFUSED
    world.begin(1)
    for job_id in range(2, 60):
        world.begin(job_id)
        world.run(2)
        world.now += HOUR

    assert world.health.is_up
    run = world.stored("dead", 1)
    assert 24 == run.attempts
    assert [job_id for job_id, _ in world.backend.rows] == list(range(2, 60))


def test_a_failing_kind_of_request_is_tried_one_by_one(world: World) -> None:
    """Single starts find out when they are accepted again; stops go on meanwhile."""
    world.begin(1)
    world.run(6)
    world.backend.answers = dict.fromkeys(range(2, 12), Reason.DATABASE)
    for job_id in range(2, 12):
        world.begin(job_id)
    world.end(1)
    world.run(6)
    before = len(calls(world, "start"))
    world.run(10)
    assert len(calls(world, "start")) - before <= 6
    assert "completed" == world.backend.rows[1, NOON]
    world.backend.answers.clear()
    world.run(31)

    assert set(range(1, 12)) == {job_id for job_id, _ in world.backend.rows}


@pytest.mark.parametrize("change", ["gone", "damaged"])
def test_a_failed_run_that_is_no_more_does_not_hold_back_the_others(
    world: World, change: str
) -> None:
    """Of the runs that failed one is sent at a time; this one cannot be sent."""
    world.run()
    world.backend.answers = {1: Reason.BROKEN, 2: Reason.BROKEN}
    start = int(world.now)
    for job_id in (1, 2, 3):
        world.begin(job_id)
    world.run(6)
    world.backend.answers.clear()
    path = world.root / "todo" / f"1-{start}.json"
    assert path.exists()
    if change == "gone":
        path.unlink()
    else:
        path.write_text("{")
    entry_of(world, 2).retry_at = 0.0
    world.now += HOUR
    world.run(60)

    assert {2, 3} == {job_id for job_id, _ in world.backend.rows}


def test_a_failed_run_that_is_gone_while_it_is_sent_does_not_hold_back_the_others(
    world: World,
) -> None:
    """Its answer finds nobody."""
    world.run()
    world.backend.answers = {1: Reason.BROKEN, 2: Reason.BROKEN}
    for job_id in (1, 2, 3):
        world.begin(job_id)
    world.run(6)
    world.backend.answers.clear()
    entry_of(world, 2).retry_at = world.now + 90
    first, *_ = world.parts.backend.starts.workers
    with held(first, world) as waiting:
        world.now += 60
        world.run(6)
        assert [1] == [each.job_id for each in waiting]
        (world.root / "todo" / entry_of(world, 1).name).unlink()
        world.store.forget(entry_of(world, 1), world.moment)
    world.run(60)

    assert 2 in {job_id for job_id, _ in world.backend.rows}


@pytest.mark.parametrize("reason", [Reason.TIMED_OUT, Reason.BROKEN, Reason.BUSY])
def test_a_start_that_may_have_arrived_says_so(world: World, reason: Reason) -> None:
    """A duplicate may be itself then."""
    world.backend.answers[1] = reason
    world.begin(1)
    world.run(6)
    world.backend.answers.clear()
    world.run(60)

    assert (False, True) == (world.backend.maybe_sent[0], world.backend.maybe_sent[-1])


@pytest.mark.parametrize(
    ("version", "maybe_sent"), [(NEW, [True, False]), (Version(1, 4, 1), [True, True])]
)
def test_a_start_waits_only_once_for_a_flush(
    world: World, version: Version, maybe_sent: list[bool]
) -> None:
    """Something in front may refuse it each time with its texts; then it is visible, if stored."""
    world.backend.version = version
    world.run(60)
    world.begin(1)
    asked = []
    for _ in range(2):
        world.backend.answers[1] = Reason.BUSY
        world.run(6)
        world.backend.answers[1] = Reason.AFTER_FLUSH
        world.run(60)
        asked.append(world.backend.maybe_sent[-1])
        world.backend.answers[1] = Reason.BUSY
        world.run(180)

    assert maybe_sent == asked


def test_a_run_that_something_in_front_refuses_goes_without_its_texts(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """And the texts that it has are tried by themselves where the server can add them."""
    world.backend.version = NEW
    world.texts[1] = ("#!/bin/sh\nrm -rf /\n", None)
    dislike_scripts(world)
    world.begin(1)
    world.begin(2)
    world.run(20)
    world.now += HOUR
    world.run()

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}
    assert "refused with script and description, accepted without them" in caplog.text
    assert 1 == len(calls(world, "edit_meta"))
    assert () == world.stored("open", 1).late_texts


def test_a_start_that_was_not_sent_keeps_its_texts(world: World) -> None:
    """An expired token is noticed here; nothing in front of the server disliked the script."""
    world.backend.version = NEW
    world.texts[1] = ("#!/bin/sh\n", None)
    had_script: list[bool] = []

    def refuse(document: dict[str, Any], *, maybe_sent: bool = False) -> ApiReply:
        had_script.append("jobScript" in document.get("metaData", {}))
        verdict = ReplyVerdict(Reason.TOKEN_EXPIRED)
        return ApiReply(call=ApiCall.START, verdict=verdict, sent=maybe_sent)

    world.backend.start = refuse  # type: ignore[method-assign]
    world.begin(1)
    for _ in range(12):
        world.run(60)

    assert [True] * len(had_script) == had_script
    assert len(had_script) > SLIM_FAILURES


def test_a_start_without_texts_is_stored_with_what_is_to_be_added(world: World) -> None:
    """A kill before that loses nothing."""
    world.backend.version = NEW
    world.texts[1] = ("#!/bin/sh\n", "JobId=1")
    dislike_scripts(world)
    world.begin(1)
    world.begin(2)
    edit = world.backend.edit_meta
    stored: list[tuple[str, ...]] = []

    def note(document: dict[str, Any]) -> ApiReply:
        stored.append(world.store.load_run(world.store.lane(1, world.moment)[0]).late_texts)
        return edit(document)

    world.backend.edit_meta = note  # type: ignore[method-assign]
    world.run(20)
    world.now += HOUR
    world.run()

    assert [TEXTS, TEXTS] == stored


def dislike_scripts(world: World) -> None:
    """Let a firewall refuse starts that hold a script."""
    start = world.backend.start

    def refuse(document: dict[str, Any], *, maybe_sent: bool = False) -> ApiReply:
        if "jobScript" in document.get("metaData", {}):
            world.backend.asked.append(("start", document["jobId"]))
            return ApiReply(call=ApiCall.START, verdict=ReplyVerdict(Reason.TOKEN_REFUSED))
        return start(document, maybe_sent=maybe_sent)

    world.backend.start = refuse  # type: ignore[method-assign]


# ---- what is sent, and when


def test_a_monitoring_status_of_the_sweeper_is_sent(world: World) -> None:
    """Its event may say that a job was not monitored."""
    world.slurm.records[1] = world.job(1)
    world.hook("start", 1, extras="monitoring_status=0\n")
    world.run()

    assert [0] == [document["monitoringStatus"] for document in world.backend.documents]


def test_a_stop_carries_the_word_of_slurm(world: World) -> None:
    """An old server may need another one for it."""
    world.begin(1)
    world.run(6)
    world.end(1, "OUT_OF_MEMORY")
    world.run(6)

    assert ["OUT_OF_MEMORY"] == world.backend.states


@pytest.mark.parametrize(
    ("version", "probes"), [(None, 1), (Version(1, 4, 3), 0), (Version(1, 4, 4), 0)]
)
def test_an_answer_of_another_server_is_noticed(
    world: World, version: Version | None, probes: int
) -> None:
    """It was upgraded; one that refuses our dialect is asked for its version at once."""
    stored(world, 1)
    world.run(60)
    before = len(calls(world, "probe"))
    sent = SendResult(
        reply=result().reply, server=server_info(version) if version else ServerInfo()
    )
    world.delivery.take_result(request(), sent, world.moment)
    assert sent.server == world.health.server
    world.run()

    assert probes == len(calls(world, "probe")) - before


def test_a_start_waits_for_the_topology(world: World) -> None:
    """Its hardware threads are computed from it, and no row can be corrected."""
    world.backend.topology = None
    world.begin(1, allocations=(NodeAllocation(name="n1", cores=(0, 1)),))
    world.begin(2)
    world.run(30)
    assert {(2, NOON): "running"} == world.backend.rows
    assert "the server's topology cannot be read yet" == entry_of(world, 1).waits_for
    world.backend.topology = ()
    world.run(20)

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


def test_a_refused_query_of_the_topology_halts(world: World) -> None:
    """The token expires between the first probe and the topology that a start waits for."""
    world.backend.topology = None
    world.run()
    world.begin(1)
    world.run()
    world.backend.everything = Reason.TOKEN_EXPIRED
    world.run(120)

    assert Health.HALTED is world.health.state.server.health


def test_a_start_does_not_wait_for_the_topology_for_ever(world: World) -> None:
    """After a quarter of an hour it goes without."""
    world.backend.topology = None
    world.begin(1, allocations=(NodeAllocation(name="n1", cores=(0, 1)),))
    world.run(5)
    world.now += TOPOLOGY_PATIENCE_SECONDS - 10
    world.run(4)
    assert {} == world.backend.rows
    world.run(10)

    assert {(1, NOON): "running"} == world.backend.rows


def test_a_topology_that_was_read_is_never_missing(world: World) -> None:
    """It is kept when it cannot be read for a while."""
    topology = ServerTopology()
    before = topology.is_missing(world.moment)
    topology.clusters = ()

    assert (True, False) == (before, topology.is_missing(world.moment))


def lacks_host(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the topology that is known lack the host of job 1."""
    monkeypatch.setattr(world.composer, "needs_newer_topology", lambda run: run.job_id == 1)
    world.run(6)
    world.begin(1)
    world.begin(2)


def test_a_start_on_a_new_host_has_the_topology_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, not within the hour; then it goes, with what there is."""
    lacks_host(world, monkeypatch)
    before = world.delivery.builder.topology.read_at
    world.run(6)

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}
    assert before < world.delivery.builder.topology.read_at


def test_a_start_on_a_new_host_does_not_wait_for_the_topology_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others do not wait at all."""
    world.run(6)
    world.backend.topology = None
    lacks_host(world, monkeypatch)
    world.run(6)
    world.now += TOPOLOGY_PATIENCE_SECONDS - 20
    world.run(3)
    assert {2} == {job_id for job_id, _ in world.backend.rows}
    world.run(30)

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


@pytest.mark.parametrize("reason", [Reason.UNKNOWN_HOST, Reason.BROKEN])
def test_each_try_on_a_new_host_has_the_topology_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch, reason: Reason
) -> None:
    """A restart of the server may have brought the host; its threads must be in the row."""
    world.backend.answers[1] = reason
    lacks_host(world, monkeypatch)
    world.run(6)
    world.backend.answers.clear()
    world.backend.topology = None
    world.run(90)
    early = {job_id for job_id, _ in world.backend.rows}
    world.backend.topology = ()
    world.run(20)

    assert ({2}, {1, 2}) == (early, {job_id for job_id, _ in world.backend.rows})


def test_a_start_on_a_new_host_is_not_repeated_without_its_topology(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection may break because the server restarts with the host."""
    world.backend.answers[1] = Reason.BROKEN
    lacks_host(world, monkeypatch)
    while 1 not in calls(world, "start"):
        world.run(0.04)

    assert 1 == calls(world, "start").count(1)


def test_a_host_that_is_not_known_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """However many runs of it were under way."""
    world.backend.answers = {1: Reason.UNKNOWN_HOST, 2: Reason.UNKNOWN_HOST}
    stored(world, 1, 2)
    world.run(60)

    assert 1 == sum("does not have host n1" in record.message for record in caplog.records)
    assert 1 == len(world.delivery.builder.hosts)


def test_a_changed_topology_lets_the_runs_of_unknown_hosts_go(world: World) -> None:
    """Within seconds: it is read again and again while a name is unknown."""
    world.backend.answers = {1: Reason.UNKNOWN_HOST}
    world.begin(1)
    world.run(16)
    world.backend.answers.clear()
    world.backend.topology = ()
    before = len(calls(world, "start"))
    world.delivery.builder.topology.clusters = None
    world.run(16)

    assert ({(1, NOON): "running"}, 1) == (
        world.backend.rows,
        len(calls(world, "start")) - before,
    )


def test_a_start_that_stays_in_the_future_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It is looked at every few seconds, and goes after a minute."""
    world.begin(1, start_time=NOON + 1000)
    world.run(40)
    assert {} == world.backend.rows
    world.run(40)
    assert {(1, NOON + 1000): "running"} == world.backend.rows

    assert 1 == sum("is in the future" in record.message for record in caplog.records)


def test_the_next_moment_is_that_of_the_next_try(world: World) -> None:
    """Of the server, or of a kind of requests; none while nothing has failed."""
    assert None is world.delivery.next_time(world.moment)
    stored(world, 1)
    assert world.health.state.server.retry_at == world.delivery.next_time(world.moment)
    world.run(60)
    assert None is world.delivery.next_time(world.moment)
    world.backend.answers = {2: Reason.BROKEN, 3: Reason.BROKEN}
    world.begin(2)
    world.begin(3)
    world.run(2)

    condition = world.health.state.channels[Channel.STARTS].condition
    assert condition.retry_at == world.delivery.next_time(world.moment)


# ---- an administrator's word


def parked(world: World, *job_ids: int) -> None:
    """Let runs wait for an hour because each of them failed alone."""
    stored(world, *job_ids)
    for job_id in job_ids:
        entry = entry_of(world, job_id)
        run = replace(world.stored("todo", job_id), not_before=int(world.now + HOUR), attempts=9)
        world.store.persist(entry, run, world.moment)
    world.health.cause_changed(world.moment)
    world.run(5)
    assert {} == world.backend.rows


def test_a_waiting_run_is_tried_at_once_when_it_is_retried(world: World) -> None:
    """The others wait on."""
    parked(world, 1, 2)
    world.delivery.retry_now(1, world.moment)
    world.run()

    assert {(1, NOON): "running"} == world.backend.rows


def test_all_waiting_runs_are_tried_at_once_when_all_are_retried(world: World) -> None:
    """Those that are only stored, too."""
    parked(world, 1, 2)
    world.store.unload(entry_of(world, 2), world.moment)
    world.delivery.retry_now(0, world.moment)
    world.run()

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


def test_a_retry_of_all_tries_server_and_unknown_names_at_once(world: World) -> None:
    """What was wrong there may be right now."""
    world.backend.answers = {1: Reason.UNKNOWN_HOST}
    world.begin(1)
    world.run()
    world.backend.everything = Reason.UNREACHABLE
    world.begin(2)
    world.run(200)
    world.backend.everything, world.backend.answers = None, {}
    world.delivery.retry_now(0, world.moment)
    world.run(2)

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


def test_a_retry_leaves_the_stop_hold(world: World) -> None:
    """A stop that comes too early closes a stranger's job."""
    world.backend.version = NEW
    world.backend.is_cached = True
    world.begin(1)
    world.run(6)
    world.end(1)
    world.run()
    world.delivery.retry_now(1, world.moment)
    world.run(3)

    assert [] == calls(world, "stop")


def test_a_retry_passes_by_what_is_under_way_or_has_nothing_to_send(world: World) -> None:
    """There is nothing to hurry."""
    entry = started(world)
    world.delivery.retry_now(1, world.moment)
    world.begin(2)
    first, *_ = world.parts.backend.starts.workers
    with held(first, world):
        world.run(6)
        world.delivery.retry_now(2, world.moment)

        assert (RequestKind.START, None) == (entry_of(world, 2).in_flight, entry.next_request)


def test_a_retry_of_what_cannot_be_read_now_changes_nothing(world: World) -> None:
    """The file is tried again in its turn."""
    parked(world, 1)
    with unreadable(world, OSError(errno.EIO, "no luck")):
        world.delivery.retry_now(1, world.moment)
        world.run(2)
    assert ({}, {"todo": [NAME]}) == (world.backend.rows, world.files())


# ---- texts that came late


def with_text(world: World, *texts: str) -> PendingRun:
    """Return a started run with script and description of which some are to be added."""
    entry = started(world)
    run = replace(world.stored("open", 1), script="#!/bin/sh\n", description="JobId=1")
    world.store.persist(entry, run, world.moment)
    entry.new_texts = texts
    world.store.schedule.reschedule(1, world.now)
    return entry


def payloads(world: World) -> list[tuple[str, str]]:
    """Return the texts that were added."""
    found = [each["payload"] for each in world.backend.documents if "payload" in each]
    return [(each["key"], each["value"]) for each in found]


def test_late_texts_are_added_to_the_row(world: World) -> None:
    """One after the other; the run itself is not touched."""
    world.backend.version = NEW
    with_text(world, *TEXTS)
    world.run(2)

    assert [("jobScript", "#!/bin/sh\n"), ("slurmInfo", "JobId=1")] == payloads(world)
    assert {(1, NOON): "running"} == world.backend.rows
    assert {"open": [NAME]} == world.files()


def test_late_texts_are_added_after_the_drain_was_killed(world: World) -> None:
    """The run's file says which are still to be sent, until they have been."""
    world.backend.version = NEW
    with_text(world, *TEXTS)
    world.store.flush(world.moment)
    run = replace(world.stored("open", 1), late_texts=TEXTS)
    (world.root / "open" / NAME).write_bytes(codec.encode(run))
    world.boot()
    world.run(2)
    before = payloads(world)
    world.end(1)
    world.run(400)

    assert [] == before  # an open run is read when there is something to do about it
    assert [("jobScript", "#!/bin/sh\n"), ("slurmInfo", "JobId=1")] == payloads(world)
    assert {(1, NOON): "completed"} == world.backend.rows


def test_an_old_server_is_not_asked_to_add_texts(world: World) -> None:
    """Only from 1.5.0 on it can name the row."""
    entry = with_text(world, *TEXTS)
    world.run(2)

    assert ([], ()) == (payloads(world), entry.new_texts)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (MetadataPolicy(job_script=False), ["slurmInfo"]),
        (MetadataPolicy(slurm_info=False), ["jobScript"]),
        (MetadataPolicy(job_script=False, slurm_info=False), []),
    ],
)
def test_texts_that_the_site_withholds_are_not_added(
    world: World, policy: MetadataPolicy, expected: list[str]
) -> None:
    """Nor is an empty one put in their place."""
    world.backend.version = NEW
    world.composer.metadata = policy
    entry = with_text(world, *TEXTS)
    world.run(2)

    assert (expected, ()) == ([key for key, _ in payloads(world)], entry.new_texts)


def test_a_text_that_cannot_be_added_is_left_out_after_some_tries(world: World) -> None:
    """It delays the stop by seconds, and charges nobody."""
    world.backend.version = NEW
    entry = with_text(world, "script")
    world.backend.answers = {1: Reason.BUSY}
    world.run(30)

    assert (MAX_META_FAILURES * 2, ()) == (len(calls(world, "edit_meta")), entry.new_texts)
    assert 0 == world.stored("open", 1).attempts
    world.backend.answers.clear()
    world.end(1)
    world.run(10)
    assert {(1, NOON): "completed"} == world.backend.rows


def test_a_text_that_failed_leaves_the_next_one_its_tries(world: World) -> None:
    """Each has as many."""
    world.backend.version = NEW
    with_text(world, *TEXTS)
    world.backend.answers = {1: Reason.DATABASE}
    world.run(60)

    assert 2 * MAX_META_FAILURES == len(calls(world, "edit_meta"))


def test_a_run_that_is_over_does_not_wait_for_its_texts(world: World) -> None:
    """Its stop goes at the first failure of each."""
    world.backend.version = NEW
    entry = with_text(world, *TEXTS)
    entry.retry_at = world.now + 9
    world.end(1)
    world.run(1)
    world.backend.answers = {1: Reason.DATABASE}
    entry.retry_at = 0.0
    world.store.schedule.reschedule(1, world.now)
    world.run(0.1)

    assert [1, 1] == calls(world, "edit_meta")
    assert [1] == calls(world, "stop")


def test_a_text_that_is_refused_is_left_out(world: World) -> None:
    """The run is not: a dead letter for a script would cost its stop."""
    world.backend.version = NEW
    entry = with_text(world, *TEXTS)
    world.backend.answers = {1: Reason.FEATURE_ABSENT}
    world.run(5)

    assert ([1, 1], ()) == (calls(world, "edit_meta"), entry.new_texts)
    assert {"open": [NAME]} == world.files()


# ---- other runs in the way


def requeued(world: World) -> None:
    """Let a job's second run begin, whose first one was delivered long ago and is forgotten."""
    world.backend.rows[1, NOON - 600] = "completed"
    world.slurm.rows.append(
        replace(world.job(1), start_time=NOON - 600, end_time=NOON - 60, state="REQUEUED")
    )
    world.begin(1, restart_count=1)


def test_a_start_waits_for_the_proof_that_both_are_the_same_job(world: World) -> None:
    """Accounting knows, and takes its time; nothing else is sent for the run meanwhile."""
    world.run()
    requeued(world)
    with held(world.parts.accounting, world):
        world.run(10)
        assert RequestKind.START is entry_of(world, 1).in_flight
        assert [1] == calls(world, "start")
        world.begin(2)
        world.run(6)
        assert 2 in {job_id for job_id, _ in world.backend.rows}
    world.run()

    assert [1] == calls(world, "delete")
    assert (1, NOON - 600) not in world.backend.rows


def test_a_row_is_deleted_only_when_its_run_is_out_of_the_spool(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in between would bring the run back, to be started and stopped once more."""
    started(world)
    seen: list[bool] = []
    delete = world.backend.delete

    def look(document: dict[str, Any]) -> ApiReply:
        seen.append((world.root / "open" / NAME).exists())
        return delete(document)

    monkeypatch.setattr(world.backend, "delete", look)
    second = int(world.now)
    world.requeue(1)
    world.slurm.records[1] = world.job(1, restart_count=1)
    world.hook("start", 1)
    world.run(30)

    assert [False] == seen
    assert [(1, second)] == list(world.backend.rows)


def test_an_end_that_comes_before_the_proof_is_not_lost(world: World) -> None:
    """The run is replaced, started and stopped."""
    world.run()
    requeued(world)
    start = int(world.now)
    with held(world.parts.accounting, world):
        world.run(10)
        world.end(1)
        world.run(2)
    world.run(10)

    assert {(1, start): "completed"} == world.backend.rows
    assert {} == world.files()


def test_a_run_that_is_gone_before_the_proof_comes_is_forgotten(world: World) -> None:
    """Somebody took its file away."""
    world.run()
    requeued(world)
    start = int(world.now)
    with held(world.parts.accounting, world):
        world.run(10)
        (world.root / "todo" / f"1-{start}.json").unlink()
    world.run(5)

    assert ({}, [1]) == (world.files(), calls(world, "start"))


def test_a_run_that_is_over_and_stays_unreported_by_policy_is_removed(tmp_path: Path) -> None:
    """Its end came before the proof."""
    world = World(tmp_path, replace_earlier=False)
    world.run()
    requeued(world)
    with held(world.parts.accounting, world):
        world.run(10)
        world.end(1)
        world.run(2)
    world.run(10)

    assert ({(1, NOON - 600): "completed"}, {}) == (world.backend.rows, world.files())


def test_a_run_before_a_stranger_becomes_a_dead_letter_in_the_end(world: World) -> None:
    """cc-backend takes runs of one id in order alone; the request lies beside the reason."""
    stored(world, 1)
    entry = entry_of(world, 1)
    run = replace(world.stored("todo", 1), attempts=23)
    world.store.persist(entry, run, world.moment)
    entry.in_flight = RequestKind.START
    rows = (BackendRow(1, "alex", NOON + 50, "running", 0), BackendRow(1, "alex", NOON, "", 0))
    document = {"jobId": 1, "metaData": {"jobScript": "x"}}
    world.delivery.take_result(
        request(), result(Reason.DUPLICATE, rows=rows, document=document), world.moment
    )
    world.run(1)

    dead = world.stored("dead", 1)
    assert (24, '{"jobId": 1}') == (dead.attempts, dead.last_error and dead.last_error.request)


def test_a_crash_is_counted_against_the_run_that_is_mapped(world: World) -> None:
    """The name is on disk while its request is made."""
    seen: list[bytes] = []
    cluster = world.composer.cluster

    def look(run: Run) -> str:
        seen.append((world.state / "handling").read_bytes().rstrip(b"\0"))
        return cluster(run)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(world.composer, "cluster", look)
        world.begin(1)
        world.run(6)

    assert f"1 {NAME}".encode() == seen[0]
    assert not CrashMarker(world.state / "handling").is_poison(NAME)
