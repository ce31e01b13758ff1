"""What the drain says of itself, on a fake clock."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from ccbackend.version import Version
from spool import __version__
from spool.deliver.pending_run import PendingRun
from spool.drain.state_report import (
    MAX_CAUSES,
    MAX_UNREADABLE,
    WAITING_SECONDS,
    StateReport,
)
from spool.files.drain_state import (
    DrainState,
    HealthReport,
    HealthState,
    UnreadableFile,
    WaitingCause,
)

HOUR = 3600
BEHIND = -100.0


class Reporter:
    """A world whose wall clock differs from the monotonic one, and what its drain says."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.world.skew = BEHIND
        self.report = StateReport(self.world.drain, self.world.parts, once=False)

    def state(self) -> DrainState:
        """Return the state of this moment."""
        return self.report.state(self.world.parts.clocks.now())

    @property
    def wall(self) -> float:
        """Return what the wall clock shows."""
        return self.world.now + BEHIND


@pytest.fixture
def reporter(tmp_path: Path) -> Reporter:
    """Return a drain that has done nothing yet."""
    return Reporter(tmp_path)


def test_a_state_says_who_and_since_when(reporter: Reporter) -> None:
    """Process, program and start by the wall clock; nothing is known of cc-backend yet."""
    began = reporter.wall
    reporter.world.now += 60
    state = reporter.state()

    assert (os.getpid(), began, __version__) == (state.pid, state.started, state.version)
    assert (False, None, None) == (state.once, state.server_version, state.server_dialect)
    assert HealthReport(state=HealthState.UP) == state.health


@pytest.mark.parametrize("once", [True, False])
def test_a_drain_that_ends_by_itself_says_so(reporter: Reporter, *, once: bool) -> None:
    """That it is gone is no alarm then."""
    world = reporter.world
    report = StateReport(world.drain, world.parts, once=once)

    assert once is report.state(world.moment).once


def test_a_server_that_has_answered_is_named(reporter: Reporter) -> None:
    """By version and dialect."""
    reporter.world.backend.version = Version(1, 5, 4)
    reporter.world.run()
    state = reporter.state()

    assert ("1.5.4", True) == (state.server_version, bool(state.server_dialect))


@pytest.mark.parametrize(
    ("reason", "health"),
    [(Reason.UNREACHABLE, HealthState.DOWN), (Reason.TOKEN_REFUSED, HealthState.HALTED)],
)
def test_an_outage_has_instants_of_the_wall_clock(
    reporter: Reporter, reason: Reason, health: HealthState
) -> None:
    """Since when, why, and when the next try is due."""
    reporter.world.backend.everything = reason
    reporter.world.run()
    found = reporter.state().health

    assert health is found.state
    assert found.since is not None
    assert NOON + BEHIND <= found.since <= NOON + BEHIND + 1
    assert found.next_try is not None
    assert reporter.wall < found.next_try <= reporter.wall + HOUR
    assert "made up" in found.reason


def test_the_connections_have_a_health_of_their_own(reporter: Reporter) -> None:
    """Starts are refused, stops are not."""
    for job_id in (1, 2):
        reporter.world.backend.answers[job_id] = Reason.UNKNOWN_CLUSTER
        reporter.world.begin(job_id)
        reporter.world.run()
    state = reporter.state()

    assert (HealthState.HALTED, HealthState.UP) == (state.starts.state, state.stops.state)
    assert HealthState.UP is state.health.state


def test_slurms_silence_is_shown_by_source(reporter: Reporter) -> None:
    """Since when by the wall clock, and what the controller said."""
    reporter.world.slurm.silent = True
    reporter.world.begin(1)
    reporter.world.run()
    state = reporter.state()

    assert ("squeue does not answer", None) == (state.slurm_reason, state.accounting_silent_since)
    assert state.slurm_silent_since is not None
    assert NOON + BEHIND <= state.slurm_silent_since <= reporter.wall
    assert 1 == state.inquiries


def test_silence_of_accounting_is_shown(reporter: Reporter) -> None:
    """The controller answers."""
    reporter.world.slurm.accounting_silent = True
    reporter.world.hook("start", 1)
    reporter.world.run()
    state = reporter.state()

    assert (None, "") == (state.slurm_silent_since, state.slurm_reason)
    assert state.accounting_silent_since is not None


def test_waiting_runs_are_counted_by_cause(reporter: Reporter) -> None:
    """What most of them wait for comes first; a cause is known since it was first seen."""
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


def test_waiting_runs_are_counted_now_and_then(reporter: Reporter) -> None:
    """All of them are looked at: not at each of 25 passes a second."""
    reporter.state()
    reporter.world.backend.answers = {1: Reason.UNKNOWN_HOST}
    reporter.world.begin(1)
    reporter.world.run()
    early = reporter.state().waiting
    reporter.world.now += WAITING_SECONDS
    late = reporter.state().waiting

    assert ([], [1]) == ([each.count for each in early], [each.count for each in late])


def test_a_run_whose_time_has_come_waits_for_nothing(reporter: Reporter) -> None:
    """It is tried in the next pass."""
    reporter.world.backend.answers = {1: Reason.UNKNOWN_HOST}
    reporter.world.begin(1)
    reporter.world.run()
    reporter.world.now += 2 * HOUR

    assert () == reporter.state().waiting


def test_at_most_twenty_causes_are_named(reporter: Reporter) -> None:
    """A site may rename all its hosts."""
    world = reporter.world
    numbers = range(1, MAX_CAUSES + 6)
    world.backend.answers = dict.fromkeys(numbers, Reason.UNKNOWN_HOST)
    for number in numbers:
        world.begin(number, nodes=(f"n{number}",))
    world.run()

    assert MAX_CAUSES == len(reporter.state().waiting)


def test_stops_that_are_held_are_counted(reporter: Reporter) -> None:
    """cc-backend's job cache is waited for; a start that waits is none of them."""
    world = reporter.world
    world.backend.version = Version(1, 5, 4)
    world.backend.is_cached = True
    for job_id in (1, 2):
        world.begin(job_id)
    world.run()
    world.end(1)
    world.run(10)

    assert 1 == reporter.state().held_stops


def test_unreadable_files_are_named(reporter: Reporter) -> None:
    """Those of the loader and those of the deliveries; twenty of them, and how many there are."""
    parts = reporter.world.parts
    many = {f"{number}-100.json": "Input/output error" for number in range(10, 40)}
    parts.loader.unreadable.update(many)
    parts.delivery.builder.unreadable["1-100.json"] = "Permission denied"
    state = reporter.state()

    assert (31, MAX_UNREADABLE) == (state.unreadable_count, len(state.unreadable))
    assert UnreadableFile(name="1-100.json", reason="Permission denied") == state.unreadable[0]


def test_a_disk_that_takes_nothing_is_shown(reporter: Reporter) -> None:
    """With the reason."""
    reporter.world.drain.disk_reason = "No space left on device"
    state = reporter.state()

    assert (True, "No space left on device") == (state.disk_full, state.disk_reason)


def test_deliveries_are_counted_over_an_hour(reporter: Reporter) -> None:
    """What is older does not count any more."""
    world, counts = reporter.world, []
    for job_id in (1, 2, 3):
        world.begin(job_id)
        world.run()
        counts.append(reporter.state().deliveries_last_hour)
        world.now += HOUR / 2
        reporter.state()
    world.now += HOUR
    reporter.state()
    world.now += 61

    assert ([1, 2, 2], 0) == (counts, reporter.state().deliveries_last_hour)


def test_the_last_delivery_is_shown(reporter: Reporter) -> None:
    """By the wall clock."""
    reporter.world.begin(1)
    reporter.world.run()
    seen = reporter.state().last_delivery

    assert seen is not None
    assert NOON + BEHIND <= seen <= reporter.wall


def test_a_lonely_run_that_fails_stays_due(reporter: Reporter) -> None:
    """In flight, between two tries and over a reset of the clock: it is due since its first try."""
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


def test_a_run_in_flight_is_due(reporter: Reporter) -> None:
    """The server has accepted the connection and is silent."""
    world = reporter.world
    world.run()
    schedule = world.store.schedule
    schedule.add(PendingRun(job_id=1, start_time=NOON), world.now)
    schedule.take_next(world.now, stops=False)
    began = reporter.wall
    world.now += 59

    assert began == reporter.state().due_since


def test_a_delivery_ends_what_was_due(reporter: Reporter) -> None:
    """What is still due then is due since that delivery."""
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
def test_a_run_that_waits_for_a_known_cause_is_not_due(reporter: Reporter, reason: Reason) -> None:
    """The cause is shown instead; an answer that delivers nothing is no delivery."""
    world = reporter.world
    world.backend.answers[1] = reason
    world.begin(1)
    world.run(10)
    state = reporter.state()

    assert (None, None, 0) == (state.due_since, state.last_delivery, state.deliveries_last_hour)


def test_a_run_that_is_known_to_fail_alone_is_not_due(reporter: Reporter) -> None:
    """It is tried rarely, and its file says why."""
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


def test_what_an_outage_held_up_is_due_since_its_end(reporter: Reporter) -> None:
    """While cc-backend was away nothing could be delivered."""
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


def test_the_next_attempt_is_an_instant_of_the_wall_clock(reporter: Reporter) -> None:
    """A host that is unknown is tried again later."""
    reporter.world.backend.answers = {1: Reason.UNKNOWN_HOST}
    reporter.world.begin(1)
    reporter.world.run()
    found = reporter.state().next_attempt

    assert found is not None
    assert reporter.wall < found <= reporter.wall + HOUR


def test_without_waiting_requests_there_is_no_next_attempt(reporter: Reporter) -> None:
    """An idle drain names none."""
    assert reporter.state().next_attempt is None


def test_runs_that_are_not_reported_are_counted(reporter: Reporter) -> None:
    """A user asked for it; the file is in `open/` until the job ends."""
    reporter.world.begin(1, comment="disable_cc_submission")
    reporter.world.begin(2)
    reporter.world.run(5)
    reporter.state()
    reporter.world.now += WAITING_SECONDS

    assert 1 == reporter.state().unreported


def test_a_halt_has_its_reason_in_one_word(reporter: Reporter) -> None:
    """For monitoring, which must not get free text."""
    reporter.world.backend.everything = Reason.TOKEN_REFUSED
    reporter.world.run()

    assert "token_refused" == reporter.state().health.code
