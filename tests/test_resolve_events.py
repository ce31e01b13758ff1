"""Which run explains an event, and when the resolver drops an unexplained event."""

from __future__ import annotations

from dataclasses import replace

import pytest
from resolve_values import DAY, HOUR, OVER, PENDING, RUNNING, START, STOP, T, concluded, event

from spool.files.event import EventKind
from spool.resolve.run_match import TrackedRun


def test_an_event_that_names_its_start_is_explained_only_by_that_run() -> None:
    """Another run of the job id does not explain it."""
    stop = event(EventKind.STOP, T + 60, start=T - 500)
    result = concluded(stop, record=OVER, rows=())

    assert (stop,) == result.pending_events


def test_a_stop_without_times_is_not_explained_while_an_earlier_run_is_live() -> None:
    """Slurm may not have recorded the end yet."""
    result = concluded(STOP, record=RUNNING)

    assert (STOP,) == result.pending_events


def test_a_start_whose_run_began_later_is_explained() -> None:
    """Slurm rolled back the run that the start event announced."""
    later = replace(RUNNING, start_time=T + 100)
    named = event(EventKind.START, T, start=T - 50)

    assert (START,) == concluded(START, record=later, now=T + 101).settled_events
    assert (named,) == concluded(named, record=later, now=T + 101).settled_events


def test_a_start_long_after_a_runs_end_is_not_explained() -> None:
    """The start event belongs to the next run."""
    late = event(EventKind.START, T + 500)

    assert (late,) == concluded(late, record=OVER).pending_events


@pytest.mark.parametrize(("age", "is_lost"), [(DAY - 1, False), (DAY + 1, True)])
def test_an_event_that_matches_no_run_is_unknown_after_a_day(age: int, *, is_lost: bool) -> None:
    """Controller and accounting have answered, and neither has the run."""
    result = concluded(START, rows=(), now=T + age)

    assert ((START,) if is_lost else ()) == result.unknown_events
    assert () == result.settled_events


@pytest.mark.parametrize(("age", "is_let_go"), [(HOUR - 1, False), (HOUR + 1, True)])
def test_an_event_of_a_run_that_never_began_is_settled_after_an_hour(
    age: int, *, is_let_go: bool
) -> None:
    """Slurm shows the job as pending, and accounting has no row."""
    result = concluded(START, record=PENDING, rows=(), now=T + age)

    assert ((START,) if is_let_go else ()) == result.settled_events
    assert () == result.unknown_events


def test_an_event_of_a_configuring_run_stays_pending() -> None:
    """It stays pending as long as Slurm shows CONFIGURING; accounting is not asked."""
    record = replace(RUNNING, flags=("CONFIGURING",))
    result = concluded(START, record=record, rows=(), now=T + 2 * DAY)

    assert ((START,), False) == (result.pending_events, result.needs_accounting)


def test_a_hidden_run_is_not_explained_by_the_one_before_it() -> None:
    """Accounting has only the requeued run, Slurm has no record: a second run may have begun."""
    second = event(EventKind.START, T + 72)
    row = replace(OVER, state="REQUEUED")
    soon = concluded(START, STOP, second, rows=(row,), now=T + 73)
    late = concluded(START, STOP, second, rows=(row,), now=T + 72 + HOUR)

    assert ((second,), (START, STOP)) == (soon.pending_events, soon.settled_events)
    assert ((), (START, STOP, second)) == (late.pending_events, late.settled_events)


def test_an_unsettled_run_is_not_explained_by_the_one_before_it() -> None:
    """Its record does not show yet that it runs, and accounting has only the first run."""
    second = event(EventKind.START, T + 72)
    record = replace(RUNNING, start_time=T + 72, flags=("RESIZING",))
    result = concluded(START, STOP, second, record=record, rows=(OVER,), now=T + 140)

    assert ((second,), (START, STOP)) == (result.pending_events, result.settled_events)


def test_an_event_that_names_its_start_is_not_explained_by_a_run_that_ended_before() -> None:
    """This holds for close times too: the job was requeued within seconds."""
    before = TrackedRun(start_time=T, end=T + 1, started=True)
    begun, over = (
        event(EventKind.START, T + 2, start=T + 2),
        event(EventKind.STOP, T + 3, start=T + 2),
    )
    result = concluded(begun, over, runs=(before,), record=PENDING, now=T + 4)

    assert (begun, over) == result.pending_events
