"""The state report on waiting runs: causes, counts, held stops and the next attempt."""

from __future__ import annotations

from pathlib import Path

import pytest
from state_reporter import HOUR, Reporter

from ccbackend.outcomes import Reason
from ccbackend.version import Version
from spool.drain.state_report import (
    MAX_CAUSES,
    WAITING_SECONDS,
)
from spool.files.drain_state import (
    WaitingCause,
)


@pytest.fixture
def reporter(tmp_path: Path) -> Reporter:
    """Return a drain that has done nothing yet."""
    return Reporter(tmp_path)


def test_waiting_runs_are_counted_by_cause(reporter: Reporter) -> None:
    """The most frequent cause comes first; a cause has the time when it was first seen."""
    world = reporter.world
    world.backend.answers = {1: Reason.UNKNOWN_HOST, 4: Reason.UNKNOWN_HOST}
    world.begin(1, nodes=("a1",))
    world.run()
    reporter.state()
    first = reporter.wall
    for job_id, host in ((2, "a1"), (3, "a1"), (4, "b1")):
        world.begin(job_id, nodes=(host,))
    world.run(5)
    waiting = reporter.state().waiting

    assert (
        WaitingCause(cause="host a1 is unknown to cc-backend", count=3, since=first),
        WaitingCause(cause="host b1 is unknown to cc-backend", count=1, since=reporter.wall),
    ) == waiting


def test_waiting_runs_are_counted_at_intervals(reporter: Reporter) -> None:
    """To count reads all waiting runs, which is too much for each of 25 passes a second."""
    reporter.state()
    reporter.world.backend.answers = {1: Reason.UNKNOWN_HOST}
    reporter.world.begin(1)
    reporter.world.run()
    early = reporter.state().waiting
    reporter.world.now += WAITING_SECONDS
    late = reporter.state().waiting

    assert ([], [1]) == ([each.count for each in early], [each.count for each in late])


def test_a_run_that_is_due_is_not_waiting(reporter: Reporter) -> None:
    """A run whose next attempt is due is tried in the next pass, so it is not counted."""
    reporter.world.backend.answers = {1: Reason.UNKNOWN_HOST}
    reporter.world.begin(1)
    reporter.world.run()
    reporter.world.now += 2 * HOUR

    assert () == reporter.state().waiting


def test_at_most_twenty_causes_are_named(reporter: Reporter) -> None:
    """25 runs wait for 25 unknown hosts, for example after a site has renamed its hosts."""
    world = reporter.world
    numbers = range(1, MAX_CAUSES + 6)
    world.backend.answers = dict.fromkeys(numbers, Reason.UNKNOWN_HOST)
    for number in numbers:
        world.begin(number, nodes=(f"n{number}",))
    world.run()

    assert MAX_CAUSES == len(reporter.state().waiting)


def test_held_stops_are_counted(reporter: Reporter) -> None:
    """A stop that waits for cc-backend's job cache is counted; the run of a running job is not."""
    world = reporter.world
    world.backend.version = Version(1, 5, 4)
    world.backend.is_cached = True
    for job_id in (1, 2):
        world.begin(job_id)
    world.run()
    world.end(1)
    world.run(10)

    assert 1 == reporter.state().held_stops


def test_the_next_attempt_is_a_time_of_the_wall_clock(reporter: Reporter) -> None:
    """A run with an unknown host is tried again within an hour."""
    reporter.world.backend.answers = {1: Reason.UNKNOWN_HOST}
    reporter.world.begin(1)
    reporter.world.run()
    found = reporter.state().next_attempt

    assert found is not None
    assert reporter.wall < found <= reporter.wall + HOUR


def test_without_waiting_requests_there_is_no_next_attempt(reporter: Reporter) -> None:
    """The state report of an idle drain has no time of a next attempt."""
    assert reporter.state().next_attempt is None
