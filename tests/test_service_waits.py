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
    """The drain waits for 45 s, because the kernel wakes it for each event."""
    waits.boot()

    assert QUIET_SECONDS == waits.wait_after(QUIET_PASSES)


def test_a_drain_makes_a_pass_each_second_after_its_start(waits: Waits) -> None:
    """The drain's periodic tasks run in these first 6 s."""
    waits.boot()

    assert WATCHED_SECONDS == waits.wait_after(int(QUIET_AFTER_SECONDS) - 1)


def test_running_jobs_need_no_passes(waits: Waits) -> None:
    """A drain with a running job waits for 45 s: the end of the job comes as an event."""
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
def test_a_drain_with_unfinished_work_makes_a_pass_each_second(
    waits: Waits, cause: Callable[[World], None]
) -> None:
    """The spool has a run with an unknown host, an empty event, or a job while Slurm is silent."""
    waits.boot()
    cause(waits.world)

    assert WATCHED_SECONDS == waits.wait_after(QUIET_PASSES)


def test_a_drain_that_counts_a_large_spool_makes_a_pass_each_second(waits: Waits) -> None:
    """Each pass reads 200 of the files at most, for the counts in the state file."""
    waits.world.slurm.silent = True  # else the made-up jobs are compared with Slurm's job list
    for job_id in range(1, 4 * MAX_READ):
        (waits.world.root / "open" / f"{job_id}-1.json").touch()
    waits.boot()

    assert WATCHED_SECONDS == waits.wait_after(QUIET_PASSES)


def test_an_outage_needs_few_passes(waits: Waits) -> None:
    """The drain waits for 45 s, because it knows the time of the next probe of cc-backend."""
    waits.boot()
    waits.world.begin(1)
    waits.world.backend.everything = Reason.UNREACHABLE
    waits.site.settle(3.0)

    assert QUIET_SECONDS == waits.wait_after(100)


def test_a_failed_probe_needs_no_further_pass(waits: Waits) -> None:
    """The result of the probe is in the state file at once, without a pass a second later."""
    waits.world.backend.everything = Reason.UNREACHABLE
    waits.sleeps = True
    waits.boot()
    waits.wait_after(100)

    after_start = waits.of_passes[-40:]  # at the start passes are a second apart

    assert WATCHED_SECONDS not in after_start


def test_a_late_change_needs_one_pass_a_second_later(waits: Waits) -> None:
    """A value changes twice within a second; the state file must have the second value, too."""
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


def test_a_quiet_drain_writes_its_state_file(waits: Waits) -> None:
    """At most 50 s pass between two writes; `check` warns after 60 s."""
    written: list[float] = []

    def look(_number: int) -> bool:
        written.append(waits.site.state().updated or 0.0)
        return False

    waits.sleeps = True
    waits.boot()
    waits.wait_after(100, look)
    longest = max(after - before for before, after in pairwise(written))

    assert 0 < longest <= 50


def test_a_quiet_drain_wakes_up_to_read_a_run_file_again(
    waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file could not be read for a moment; the next try is a minute after the first."""

    def fail(*_args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (waits.world.root / "todo" / "5-1.json").touch()
    waits.boot()
    monkeypatch.setattr(waits.world.parts.layout, "read", fail)
    waits.wait_after(40)

    assert 0 < waits.timeout < READ_AGAIN_SECONDS - 30.0


def test_a_quiet_drain_wakes_up_for_a_round_of_node_states(waits: Waits) -> None:
    """The first round is due at most 20 s after the start, so the drain does not wait for 45 s."""
    waits.world.nodes = lambda last: last
    waits.world.nodes_interval = 300.0
    waits.boot()
    waits.wait_after(QUIET_PASSES)

    assert 0 < waits.timeout < FIRST_SECONDS + JITTER_SECONDS - QUIET_AFTER_SECONDS


def test_after_a_wake_up_a_drain_makes_a_pass_each_second(waits: Waits) -> None:
    """A second change may leave the modification time of the directory `todo/` unchanged."""
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


def test_a_changed_input_file_is_used_at_once(waits: Waits) -> None:
    """A corrected token, for example, ends a halt: the next pass follows without a wait."""
    waits.boot()
    waits.wait_after(QUIET_PASSES + 2, lambda number: number == QUIET_PASSES)

    assert [0.0, WATCHED_SECONDS] == waits.of_passes[QUIET_PASSES - 1 : QUIET_PASSES + 1]


def test_a_state_file_that_cannot_be_written_is_tried_again_each_second(waits: Waits) -> None:
    """`check` would take a drain with an old state file for one that hangs."""
    (waits.world.state / "drain.json").unlink(missing_ok=True)
    (waits.world.state / "drain.json").mkdir()
    waits.boot()

    assert WATCHED_SECONDS == waits.wait_after(QUIET_PASSES + 10)


def test_input_files_that_cannot_be_watched_are_checked_each_second(
    waits: Waits, tmp_path: Path
) -> None:
    """The directory of the token file does not exist, so that the kernel cannot watch it."""
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
    """Without an inotify descriptor the drain makes a pass every 40 ms."""
    assert IDLE_SECONDS == polling.wait_after(QUIET_PASSES)


def test_a_drain_that_must_poll_shows_the_reason(polling: Waits) -> None:
    """The state file has the error of inotify, because polling takes more CPU time."""
    polling.wait_after(3)

    assert "Too many open files" == polling.site.state().polling_reason


def test_a_drain_with_inotify_shows_no_reason_to_poll(waits: Waits) -> None:
    """The state file has no reason, so that `status` does not mention polling."""
    waits.boot()
    waits.wait_after(3)

    assert "" == waits.site.state().polling_reason
