"""Which run explains an event, and when the resolver drops an unexplained event."""

from __future__ import annotations

from dataclasses import replace

import pytest
from resolve_values import DAY, HOUR, OVER, PENDING, RUNNING, START, STOP, T, concluded, event

from spool.files.event import EventKind
from spool.resolve.run_match import TrackedRun


def test_an_event_does_not_match_a_run_with_another_start_time() -> None:
    """The stop event stays pending, although a run of the same job id has ended."""
    stop = event(EventKind.STOP, T + 60, start=T - 500)
    result = concluded(stop, record=OVER, rows=())

    assert (stop,) == result.pending_events


def test_a_stop_event_without_times_stays_pending_while_the_run_is_live() -> None:
    """Slurm still shows the run as running: the end may not have been recorded yet."""
    result = concluded(STOP, record=RUNNING)

    assert (STOP,) == result.pending_events


def test_a_start_event_matches_a_run_that_began_later() -> None:
    """Slurm rolled back the run that the start event announced, and started the job again."""
    later = replace(RUNNING, start_time=T + 100)
    named = event(EventKind.START, T, start=T - 50)

    assert (START,) == concluded(START, record=later, now=T + 101).settled_events
    assert (named,) == concluded(named, record=later, now=T + 101).settled_events


def test_a_start_event_long_after_a_runs_end_stays_pending() -> None:
    """The start event belongs to the next run of the job id."""
    late = event(EventKind.START, T + 500)

    assert (late,) == concluded(late, record=OVER).pending_events


@pytest.mark.parametrize(("age", "is_lost"), [(DAY - 1, False), (DAY + 1, True)])
def test_an_event_that_matches_no_run_is_unknown_after_a_day(age: int, *, is_lost: bool) -> None:
    """Controller and accounting have answered, and neither has the run."""
    result = concluded(START, rows=(), now=T + age)

    assert ((START,) if is_lost else ()) == result.unknown_events
    assert () == result.settled_events


@pytest.mark.parametrize(("age", "is_let_go"), [(HOUR - 1, False), (HOUR + 1, True)])
def test_an_event_of_a_run_that_never_began_is_dropped_after_an_hour(
    age: int, *, is_let_go: bool
) -> None:
    """Slurm shows the job as pending, and accounting has no row."""
    result = concluded(START, record=PENDING, rows=(), now=T + age)

    assert ((START,) if is_let_go else ()) == result.settled_events
    assert () == result.unknown_events


def test_an_event_of_a_configuring_run_stays_pending() -> None:
    """While Slurm shows CONFIGURING, the event waits, even for 2 days; accounting is not asked."""
    record = replace(RUNNING, flags=("CONFIGURING",))
    result = concluded(START, record=record, rows=(), now=T + 2 * DAY)

    assert ((START,), False) == (result.pending_events, result.needs_accounting)


def test_a_second_start_event_does_not_match_the_requeued_run() -> None:
    """Slurm has no record, accounting only the first run: the event waits up to an hour."""
    second = event(EventKind.START, T + 72)
    row = replace(OVER, state="REQUEUED")
    soon = concluded(START, STOP, second, rows=(row,), now=T + 73)
    late = concluded(START, STOP, second, rows=(row,), now=T + 72 + HOUR)

    assert ((second,), (START, STOP)) == (soon.pending_events, soon.settled_events)
    assert ((), (START, STOP, second)) == (late.pending_events, late.settled_events)


def test_a_start_event_of_a_resizing_run_does_not_match_the_run_before() -> None:
    """The record does not show yet that the second run runs, and accounting has only the first."""
    second = event(EventKind.START, T + 72)
    record = replace(RUNNING, start_time=T + 72, flags=("RESIZING",))
    result = concluded(START, STOP, second, record=record, rows=(OVER,), now=T + 140)

    assert ((second,), (START, STOP)) == (result.pending_events, result.settled_events)


def test_events_with_a_start_time_do_not_match_a_run_that_ended_before() -> None:
    """The job was requeued within seconds: start and stop of the second run stay pending."""
    before = TrackedRun(start_time=T, end=T + 1, started=True)
    begun, over = (
        event(EventKind.START, T + 2, start=T + 2),
        event(EventKind.STOP, T + 3, start=T + 2),
    )
    result = concluded(begun, over, runs=(before,), record=PENDING, now=T + 4)

    assert (begun, over) == result.pending_events
