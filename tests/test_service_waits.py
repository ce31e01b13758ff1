"""How long a drain waits between its passes: idle, with work, and without inotify."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from drain_world import World
from service_waits import Waits

from ccbackend.outcomes import Reason
from spool.deliver.run_loader import READ_AGAIN_SECONDS
from spool.drain import systemd
from spool.drain.event_watch import EventWatch
from spool.drain.loop import IDLE_SECONDS
from spool.drain.node_rounds import FIRST_SECONDS, JITTER_SECONDS
from spool.drain.service import QUIET_AFTER_SECONDS, QUIET_SECONDS, WATCHED_SECONDS
from spool.drain.state_report import MAX_READ

QUIET_PASSES = int(QUIET_AFTER_SECONDS) + 3
"""The number of passes, of one second each, after which an idle drain is quiet."""


@pytest.fixture
def waits(tmp_path: Path) -> Iterator[Waits]:
    """Return an empty site."""
    waits = Waits(tmp_path)
    yield waits
    waits.world.service.close()


def test_an_idle_drain_makes_few_passes(waits: Waits) -> None:
    """The kernel wakes the drain for each event."""
    waits.boot()

    assert QUIET_SECONDS == waits.wait_after(QUIET_PASSES)


def test_a_drain_makes_a_pass_each_second_for_a_while(waits: Waits) -> None:
    """Its periodic tasks have run at the end of that time."""
    waits.boot()

    assert WATCHED_SECONDS == waits.wait_after(int(QUIET_AFTER_SECONDS) - 1)


def test_running_jobs_need_no_passes(waits: Waits) -> None:
    """Their ends come as events."""
    waits.boot()
    waits.world.begin(1)
    waits.site.settle(3.0)

    assert QUIET_SECONDS == waits.wait_after(QUIET_PASSES + 10)


def a_run_that_waits(world: World) -> None:
    """Make a run wait for its host to become known."""
    world.begin(1)
    world.backend.everything = Reason.UNKNOWN_HOST


def an_event_without_contents(world: World) -> None:
    """Make an event whose hook was interrupted before it wrote the contents."""
    (world.root / "new" / "1-start-5-0-0-1").touch()


def a_silent_slurm(world: World) -> None:
    """Make Slurm not answer about a job."""
    world.slurm.silent = True
    world.hook("start", 5)


@pytest.mark.parametrize("cause", [a_run_that_waits, an_event_without_contents, a_silent_slurm])
def test_work_in_hand_keeps_the_passes_close(waits: Waits, cause: Callable[[World], None]) -> None:
    """Some of this work has no known time."""
    waits.boot()
    cause(waits.world)

    assert WATCHED_SECONDS == waits.wait_after(QUIET_PASSES)


def test_a_large_spool_is_counted_soon(waits: Waits) -> None:
    """Each pass reads some of its files."""
    waits.world.slurm.silent = True  # else the made-up jobs are compared with Slurm's job list
    for job_id in range(1, 4 * MAX_READ):
        (waits.world.root / "open" / f"{job_id}-1.json").touch()
    waits.boot()

    assert WATCHED_SECONDS == waits.wait_after(QUIET_PASSES)


def test_an_outage_needs_few_passes(waits: Waits) -> None:
    """The time of the next probe is known."""
    waits.boot()
    waits.world.begin(1)
    waits.world.backend.everything = Reason.UNREACHABLE
    waits.site.settle(3.0)

    assert QUIET_SECONDS == waits.wait_after(100)


def test_a_failed_probe_does_not_keep_the_passes_close(waits: Waits) -> None:
    """Its result is in the state file at once, so that no further pass is needed."""
    waits.world.backend.everything = Reason.UNREACHABLE
    waits.sleeps = True
    waits.boot()
    waits.wait_after(100)

    after_start = waits.of_passes[-40:]  # at the start passes are a second apart

    assert WATCHED_SECONDS not in after_start


def test_a_late_change_needs_one_pass_a_second_later(waits: Waits) -> None:
    """A value changes twice within a second; each change must be written to the file."""
    waits.sleeps = True
    waits.boot()
    answers: Any = waits.world.parts.answers

    def change(number: int) -> bool:
        if number in {QUIET_PASSES, QUIET_PASSES + 1}:
            waits.world.drain.last_event = float(number)
            answers.put(NothingNew())  # the next pass does not wait
        return False

    waits.wait_after(QUIET_PASSES + 4, change)

    assert [WATCHED_SECONDS, QUIET_SECONDS] == waits.of_passes[QUIET_PASSES + 1 : QUIET_PASSES + 3]


class NothingNew:
    """An answer that changes nothing."""

    def take(self) -> None:
        """Do nothing."""


def test_the_state_file_of_a_quiet_drain_is_recent(waits: Waits) -> None:
    """`check` warns after 60 s; the difference allows for a pass that takes long."""
    written: list[float] = []

    def look(_number: int) -> bool:
        written.append(waits.site.state().updated or 0.0)
        return False

    waits.sleeps = True
    waits.boot()
    waits.wait_after(100, look)
    longest = max(after - before for before, after in pairwise(written))

    assert 0 < longest <= 50


def test_a_quiet_drain_wakes_up_to_read_a_file_again(
    waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read has failed for a moment."""

    def fail(*_args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (waits.world.root / "todo" / "5-1.json").touch()
    waits.boot()
    monkeypatch.setattr(waits.world.parts.layout, "read", fail)
    waits.wait_after(40)

    assert 0 < waits.timeout < READ_AGAIN_SECONDS - 30.0


def test_a_quiet_drain_wakes_up_for_a_round_of_node_states(waits: Waits) -> None:
    """The time of the round is known."""
    waits.world.nodes = lambda last: last
    waits.world.nodes_interval = 300.0
    waits.boot()
    waits.wait_after(QUIET_PASSES)

    assert 0 < waits.timeout < FIRST_SECONDS + JITTER_SECONDS - QUIET_AFTER_SECONDS


def test_a_wake_up_keeps_the_passes_close_for_a_while(waits: Waits) -> None:
    """A second change may leave the modification time of the directory unchanged."""
    waits.boot()

    def wake(number: int) -> bool:
        if number == QUIET_PASSES:
            (waits.world.root / "todo" / "unknown").touch()
            wait_until_put(waits.world.parts.answers)
        return False

    assert WATCHED_SECONDS == waits.wait_after(QUIET_PASSES + 2, wake)


def wait_until_put(answers: Any) -> None:
    """Wait until the watch's thread has put its wake-up into the queue."""
    deadline = time.monotonic() + 10.0
    while not answers.qsize():
        assert time.monotonic() < deadline, "the watch has put no wake-up into the queue"


def test_a_changed_input_is_used_at_once(waits: Waits) -> None:
    """A corrected token ends a halt: the probe does not wait for the end of a pause."""
    waits.boot()
    waits.wait_after(QUIET_PASSES + 2, lambda number: number == QUIET_PASSES)

    assert [0.0, WATCHED_SECONDS] == waits.of_passes[QUIET_PASSES - 1 : QUIET_PASSES + 1]


def test_a_state_file_that_cannot_be_written_is_tried_again_each_second(waits: Waits) -> None:
    """`check` would mistake a drain with an old file for one that hangs."""
    (waits.world.state / "drain.json").unlink(missing_ok=True)
    (waits.world.state / "drain.json").mkdir()
    waits.boot()

    assert WATCHED_SECONDS == waits.wait_after(QUIET_PASSES + 10)


def test_inputs_that_cannot_be_watched_are_checked_each_second(
    waits: Waits, tmp_path: Path
) -> None:
    """Their directory does not exist, so that no watch can be set."""
    missing = tmp_path / "missing" / "token"
    waits.world.new_watch = partial(EventWatch, inputs=[missing])
    waits.boot()

    assert WATCHED_SECONDS == waits.wait_after(QUIET_PASSES)


@pytest.mark.parametrize("period_seconds", [1, 20, 60, 90, 300])
def test_the_watchdog_notification_is_never_late(
    waits: Waits, monkeypatch: pytest.MonkeyPatch, period_seconds: int
) -> None:
    """The drain notifies systemd at least twice per period, whatever its length."""
    monkeypatch.setenv("WATCHDOG_USEC", str(period_seconds * 10**6))
    times: list[float] = []
    monkeypatch.setattr(systemd, "notify_systemd", lambda _: times.append(waits.world.now))
    waits.boot()
    waits.sleeps = True
    waits.wait_after(50)
    longest = max(after - before for before, after in pairwise(times))

    assert period_seconds / 2 == pytest.approx(longest)


@pytest.fixture
def polling(waits: Waits) -> Waits:
    """Return a site whose kernel has no inotify descriptor left."""

    def refuse(_watched: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    waits.world.new_watch = partial(EventWatch, new_descriptor=refuse)
    waits.boot()
    return waits


def test_a_drain_without_inotify_polls(polling: Waits) -> None:
    """Its passes are close together then."""
    assert IDLE_SECONDS == polling.wait_after(QUIET_PASSES)


def test_a_drain_that_must_poll_shows_the_reason(polling: Waits) -> None:
    """Polling takes more CPU time."""
    polling.wait_after(3)

    assert "Too many open files" == polling.site.state().polling_reason


def test_a_watched_drain_has_no_reason_to_poll(waits: Waits) -> None:
    """`status` does not mention polling."""
    waits.boot()
    waits.wait_after(3)

    assert "" == waits.site.state().polling_reason
