"""The files of a whole drain: crashes, full disks, damaged runs, and runs put into todo/."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from drain_world import NOON, World

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply
from ccbackend.version import ServerInfo, Version
from spool.deliver.pending_run import RequestKind
from spool.deliver.senders import SendRequest, SendResult
from spool.drain.loop import LARGE_TODO
from spool.files import codec
from spool.files.durable_files import WriteBatch


class FullDisk(WriteBatch):
    """A write batch on a disk that accepts no write while `error` is set."""

    error: ClassVar[OSError | None] = None

    def commit(self) -> None:
        """Fail, or commit the batch."""
        if FullDisk.error is not None:
            self.rollback()
            raise FullDisk.error
        super().commit()


@pytest.fixture(autouse=True)
def full_disk() -> Iterator[None]:
    """Make the disk of `FullDisk` full."""
    FullDisk.error = OSError(errno.ENOSPC, "No space left on device")
    yield
    FullDisk.error = None


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


@pytest.mark.parametrize("milliseconds", range(0, 1000, 100))
def test_a_run_that_is_fully_delivered_is_not_loaded_from_todo(
    world: World, milliseconds: int
) -> None:
    """The run file stays in `todo/` until the next group of writes; the stop is sent once only."""
    world.run(milliseconds / 1000)
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.end(1)
    world.run(2)
    world.backend.everything = None

    world.run(5)

    reported = [call for call, job_id in world.backend.asked if job_id == 1]
    assert ([RequestKind.START, RequestKind.STOP], {}) == (reported[-2:], world.files())
    assert 1 == reported.count(RequestKind.STOP)


def test_a_signal_just_before_the_end_of_a_wait_does_not_prolong_it(world: World) -> None:
    """The drain's wait of 0.06 s ends, although the signal handler alone takes 0.1 s."""
    signals = []

    def handler(_number: int, _frame: object) -> None:
        signals.append(time.monotonic())
        assert len(signals) == 1, "the wait did not end"
        while time.monotonic() < signals[0] + 0.1:
            pass

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 2.0)
    try:
        world.drain.take_answers(0.06)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert 1 == len(signals)


def test_an_event_survives_a_crash_before_its_run_is_stored(world: World) -> None:
    """A drain that crashed after the answer sends the start again, and there is one row."""
    world.begin(6)
    world.run(0.08)
    world.boot()

    world.run()

    assert {(6, NOON): "running"} == world.backend.rows
    assert {"open": [f"6-{NOON}.json"]} == world.files()


def test_a_run_file_damaged_before_its_stop_becomes_a_dead_letter(world: World) -> None:
    """The damage is found when the stop is to be delivered."""
    world.backend.version = Version(1, 5, 4)
    world.begin(1)
    world.run()
    world.end(1)
    world.run(5)
    (world.root / "todo" / f"1-{NOON}.json").write_text("{}")

    world.run(200)

    assert {"dead": [f"1-{NOON}.json", f"1-{NOON}.json.why"]} == world.files()


def test_a_run_file_damaged_in_open_is_replaced_from_slurm(world: World) -> None:
    """The damaged file becomes a dead letter; the run is delivered with Slurm's data."""
    world.begin(1)
    world.run()
    (world.root / "open" / f"1-{NOON}.json").write_text("{}")
    world.end(1)

    world.run()

    assert [f"1-{NOON}.json", f"1-{NOON}.json.why"] == world.files()["dead"]
    assert {(1, NOON): "completed"} == world.backend.rows


def test_a_run_put_into_todo_is_delivered(world: World) -> None:
    """The test writes the run file as `cc-spool retry` and `cc-spool replay` do."""
    world.backend.answers[1] = Reason.BAD_REQUEST
    world.begin(1)
    world.run()
    world.backend.answers.clear()
    run = replace(world.stored("dead", 1), last_error=None)
    (world.root / "todo" / run.name).write_bytes(codec.encode(run))

    world.run(3)

    assert {(1, NOON): "running"} == world.backend.rows


def test_a_run_put_into_todo_within_the_second_of_a_check_is_delivered(world: World) -> None:
    """Where directory times are whole seconds, the mtime of `todo/` does not change."""
    world.backend.answers[1] = Reason.BAD_REQUEST
    world.begin(1)
    world.run()
    world.backend.answers.clear()
    run = replace(world.stored("dead", 1), last_error=None)
    todo, second = world.root / "todo", int(world.now) + 5
    os.utime(todo, (second, second))
    world.now = second + 0.5
    world.run(0.1)
    (todo / run.name).write_bytes(codec.encode(run))
    os.utime(todo, (second, second))

    world.run(5)

    assert {(1, NOON): "running"} == world.backend.rows


def test_many_running_jobs_do_not_delay_a_run_put_into_todo(world: World) -> None:
    """`todo/` is listed less often only while it contains a backlog."""
    world.begin(1)
    world.run()
    run = world.stored("open", 1)
    for job_id in range(2, LARGE_TODO + 200):
        other = replace(run, job=replace(run.job, job_id=job_id))
        (world.root / "open" / other.name).write_bytes(codec.encode(other))
    new = replace(run, job=replace(run.job, job_id=9_999), started=None)
    world.slurm.silent = True  # otherwise the made-up jobs are compared with Slurm's job list
    world.boot()
    world.run(3)
    (world.root / "todo" / new.name).write_bytes(codec.encode(new))
    world.run(3)

    assert ("start", 9_999) in world.backend.asked


def test_a_run_put_into_todo_that_is_open_is_not_sent_again(world: World) -> None:
    """The drain has the run in memory already; cc-backend gets one start."""
    world.begin(1)
    world.run()
    run = replace(world.stored("open", 1), started=None)
    (world.root / "todo" / run.name).write_bytes(codec.encode(run))
    world.run(3)

    assert 1 == world.backend.asked.count((RequestKind.START, 1))


def test_a_full_disk_stops_new_requests_and_loses_nothing(world: World) -> None:
    """Events stay, and all runs are delivered when there is space."""
    world.batch_type = FullDisk
    world.boot()
    world.begin(1)
    world.run()
    world.begin(2)
    world.run(5)
    full, rows, files = bool(world.drain.disk_reason), dict(world.backend.rows), world.files()
    FullDisk.error = None
    world.run(15)

    assert (True, {(1, NOON)}) == (full, set(rows))
    assert 2 == len(files["new"])
    assert {"open": [f"1-{NOON}.json", f"2-{NOON + 1}.json"]} == world.files()


def test_a_failing_disk_loses_no_event(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The event stays in `new/`, and the log names an I/O error, not a full disk."""
    FullDisk.error = OSError(errno.EIO, "Input/output error")
    world.batch_type = FullDisk
    world.boot()
    world.begin(1)

    world.run(3)

    assert "cannot write to the spool: [Errno 5] Input/output error" in caplog.text
    assert ["1-start-1-0-0-1"] == world.files()["new"]


def test_little_free_space_drops_scripts(world: World) -> None:
    """Below spool.min_free_bytes a run is stored without its script."""
    world.min_free_bytes = 1 << 60
    world.texts[1] = ("#!/bin/sh", "JobId=1")
    world.boot()
    world.begin(1)

    world.run()

    assert None is world.stored("open", 1).script


def test_a_flush_writes_the_changes_in_memory_to_the_spool(world: World) -> None:
    """After `flush` the pending run is in `todo/`, not only in memory."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.run(0.05)

    world.drain.flush()

    assert {"todo": [f"1-{NOON}.json"]} == world.files()


def test_a_reply_about_a_missing_run_changes_no_file(world: World) -> None:
    """The run file may have been moved to `dead/` before the reply arrived."""
    request = SendRequest(kind=RequestKind.STOP, job_id=99, start_time=1, cluster="alex")
    reply = ApiReply(call=ApiCall.STOP, verdict=ReplyVerdict(Reason.STOPPED))

    result = SendResult(reply=reply, server=ServerInfo())
    world.delivery.replies.take_result(request, result, world.moment)

    assert {} == world.files()


def test_a_copy_of_an_open_run_in_todo_is_not_sent(world: World) -> None:
    """cc-backend gets one start for the run, although `todo/` and `open/` have its file."""
    world.begin(1)
    world.run()
    name = f"1-{NOON}.json"
    (world.root / "todo" / name).write_bytes((world.root / "open" / name).read_bytes())

    world.run(3)

    assert 1 == world.backend.asked.count((RequestKind.START, 1))
