"""The time since when a delivery is due, as the drain reports it."""

from __future__ import annotations

from pathlib import Path

import pytest
from drain_world import NOON
from state_reporter import HOUR, Reporter

from ccbackend.outcomes import Reason
from spool.deliver.pending_run import PendingRun


@pytest.fixture
def reporter(tmp_path: Path) -> Reporter:
    """Return a drain that has done nothing yet."""
    return Reporter(tmp_path)


def test_a_single_run_that_fails_stays_due(reporter: Reporter) -> None:
    """`due_since` stays at the first attempt; if the clock is set back 1 h, it is 1 h earlier."""
    world = reporter.world
    world.run()
    idle = reporter.state().due_since
    world.backend.answers[1] = Reason.TIMED_OUT
    world.begin(1)
    world.run()
    began = reporter.state().due_since
    seen = set()
    for _ in range(40):
        world.run(5)
        seen.add(reporter.state().due_since)
    world.skew -= HOUR
    set_back = reporter.state().due_since

    assert (None, {began}) == (idle, seen)
    assert began is not None
    assert began - HOUR == set_back


def test_a_clock_shift_of_two_microseconds_keeps_due_since(reporter: Reporter) -> None:
    """If `due_since` followed such small shifts, each pass would write the state file again."""
    world = reporter.world
    world.backend.answers[1] = Reason.TIMED_OUT
    world.begin(1)
    world.run(20)
    began = reporter.state().due_since
    world.skew += 2e-6

    assert began is not None
    assert began == reporter.state().due_since


def test_a_run_in_flight_is_due(reporter: Reporter) -> None:
    """A run is due while cc-backend has its request and does not answer."""
    world = reporter.world
    world.run()
    schedule = world.store.schedule
    schedule.add(PendingRun(job_id=1, start_time=NOON), world.now)
    schedule.take_next(world.now, stops=False)
    began = round(reporter.wall, 1)
    world.now += 59

    assert began == reporter.state().due_since


def test_a_delivery_of_another_run_moves_due_since_of_a_failing_run(reporter: Reporter) -> None:
    """While a run fails, `due_since` is the last delivery; if no run fails, it is None."""
    world = reporter.world
    world.backend.answers[1] = Reason.TIMED_OUT
    world.begin(1)
    world.run(20)
    world.begin(2)
    world.run()
    reporter.state()
    delivered = reporter.wall
    first, last = reporter.state().due_since, reporter.state().last_delivery
    world.backend.answers.clear()
    world.run(60)

    assert first is not None
    assert last is not None
    assert last <= first <= delivered
    assert reporter.state().due_since is None


@pytest.mark.parametrize(
    "reason", [Reason.UNKNOWN_HOST, Reason.BAD_REQUEST, Reason.UNKNOWN_CLUSTER_ALONE]
)
def test_a_run_delayed_by_a_known_cause_is_not_due(reporter: Reporter, reason: Reason) -> None:
    """`due_since` stays None while a run waits after a known error, such as an unknown host."""
    world = reporter.world
    world.backend.answers[1] = reason
    world.begin(1)
    world.run(10)
    state = reporter.state()

    assert (None, None, 0) == (state.due_since, state.last_delivery, state.deliveries_last_hour)


def test_a_run_that_is_known_to_fail_alone_is_not_due(reporter: Reporter) -> None:
    """A run that times out while others are delivered is tried rarely; its file has the reason."""
    world = reporter.world
    world.backend.answers[1] = Reason.TIMED_OUT
    world.begin(1)
    world.run(5)
    for job_id in range(2, 8):
        world.begin(job_id)
        world.run(20)
    causes = {reporter.state().due_since}
    for _ in range(60):
        world.run(60)
        causes.add(reporter.state().due_since)

    assert {None} == causes


def test_due_since_is_later_than_the_end_of_an_outage(reporter: Reporter) -> None:
    """A run still fails after the outage, in which no run could be delivered."""
    world = reporter.world
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.run(300)
    world.backend.everything, world.backend.answers[1] = None, Reason.TIMED_OUT
    repaired = reporter.wall
    world.run(120)
    found = reporter.state().due_since

    assert found is not None
    assert repaired < found
