"""Runs and ends on a site without accounting."""

from __future__ import annotations

from dataclasses import replace

import pytest
from resolve_values import (
    DAY,
    HOUR,
    OPEN,
    OVER,
    PENDING,
    RUNNING,
    START,
    STOP,
    T,
    by,
    concluded,
    event,
)

from slurm.job import Job
from spool.files.event import Event, EventKind
from spool.files.run import EndSource
from spool.resolve.resolve_job import Resolution
from spool.resolve.run_match import TrackedRun


def without_accounting(
    *events: Event,
    runs: tuple[TrackedRun, ...] = (),
    record: Job | None = None,
    now: float = T + 61,
) -> Resolution:
    """Return the resolution on a site without accounting, where accounting returned no row."""
    return concluded(*events, runs=runs, record=record, rows=(), now=now, has_accounting=False)


@pytest.mark.parametrize("has_accounting", [True, False])
def test_an_epilog_ends_a_run_at_once_only_without_accounting(*, has_accounting: bool) -> None:
    """The controller has no record; with accounting the resolver waits a day for the row."""
    stop = replace(STOP, extras={"exit_code": "1:0"})
    result = concluded(stop, runs=(OPEN,), rows=(), has_accounting=has_accounting)

    ends = {} if has_accounting else {T: by(EndSource.EVENT, T + 60, "FAILED")}
    assert (ends, (stop,)) == (result.ends, (*result.settled_events, *result.pending_events))
    assert bool(ends) is not bool(result.pending_events)


def test_an_epilog_does_not_end_a_run_that_is_completing() -> None:
    """Slurm will show the true state of a COMPLETING job; after a day the epilog is used."""
    record = replace(RUNNING, state=None, flags=("COMPLETING",))
    soon = without_accounting(STOP, runs=(OPEN,), record=record, now=T + HOUR)
    late = without_accounting(STOP, runs=(OPEN,), record=record, now=T + 61 + DAY)

    assert ({}, (STOP,)) == (soon.ends, soon.pending_events)
    assert {T: by(EndSource.EVENT, T + 60, "CANCELLED")} == late.ends


def test_no_event_ends_a_run_before_accounting_was_asked() -> None:
    """Accounting may have the true end of the run, so that it is queried first."""
    result = concluded(STOP, runs=(OPEN,), rows=None, has_accounting=True)

    assert ({}, True) == (result.ends, result.needs_accounting)


def test_the_controllers_record_takes_precedence_over_an_epilog() -> None:
    """The state (TIMEOUT) and the end time are those of the record, and not of the event."""
    over = replace(OVER, state="TIMEOUT", end_time=T + 59)
    result = without_accounting(START, STOP, record=over)

    assert ((over, by(EndSource.CONTROLLER, T + 59, "TIMEOUT")),) == result.new_runs


def test_a_late_epilog_does_not_end_a_running_job() -> None:
    """The controller shows the job running: the event may be of the epilog of an earlier run."""
    result = without_accounting(STOP, runs=(OPEN,), record=RUNNING)

    assert ({}, ()) == (result.ends, result.new_runs)


@pytest.mark.parametrize(
    ("begun", "over"),
    [
        (event(EventKind.START, T), event(EventKind.STOP, T + 60)),
        (event(EventKind.START, T + 1, start=T), event(EventKind.STOP, T + 61, end=T + 60)),
        (None, event(EventKind.STOP, T + 61, start=T, end=T + 60)),
    ],
    ids=["both events", "start named by the prolog", "named by the epilog alone"],
)
def test_without_accounting_events_create_a_run_that_slurm_never_showed(
    begun: Event | None, over: Event
) -> None:
    """The drain was down for longer than MinJobAge, and missed both start and end of the run."""
    over = replace(over, extras={"exit_code": "0:0"})
    events = (over,) if begun is None else (begun, over)
    result = without_accounting(*events, now=T + HOUR)

    job = Job(job_id=5, start_time=T, end_time=T + 60, state="COMPLETED")
    assert ((job, by(EndSource.EVENT, T + 60)),) == result.new_runs
    assert (events, (), ()) == (
        result.settled_events,
        result.pending_events,
        result.unknown_events,
    )


def test_with_accounting_events_create_no_run() -> None:
    """The accounting row, which has the facts of the run, may be late: the events wait for it."""
    result = concluded(START, STOP, rows=(), now=T + HOUR)

    assert ((), (START, STOP)) == (result.new_runs, result.pending_events)


def test_an_epilog_without_a_start_time_creates_no_run() -> None:
    """The event waits for a day, and then counts as an event of a job that Slurm does not know."""
    soon = without_accounting(STOP)
    late = without_accounting(STOP, now=T + 61 + DAY)

    assert ((), (STOP,)) == (soon.new_runs, soon.pending_events)
    assert ((), (STOP,)) == (late.new_runs, late.unknown_events)


def test_events_of_an_existing_run_create_no_second_run() -> None:
    """The run is open, was delivered, or is created from another event of the same run."""
    named = event(EventKind.STOP, T + 60, start=T, end=T + 60)
    late = event(EventKind.STOP, T + 61, start=T + 1, end=T + 60)
    delivered = replace(OPEN, end=T + 60)

    assert () == without_accounting(named, runs=(OPEN,)).new_runs
    assert () == without_accounting(named, runs=(delivered,)).new_runs
    assert 1 == len(without_accounting(named, late).new_runs)


def test_a_prolog_alone_creates_no_run() -> None:
    """Without the event of an epilog the run may still be running: the start event waits."""
    result = without_accounting(START)

    assert ((), (START,)) == (result.new_runs, result.pending_events)


def test_without_accounting_events_create_each_run_of_a_requeued_job() -> None:
    """The job is pending for a third run; both earlier runs end as CANCELLED, even with exit 0."""
    events = (
        event(EventKind.START, T),
        event(EventKind.STOP, T + 60),
        event(EventKind.START, T + 100),
        replace(event(EventKind.STOP, T + 160), extras={"exit_code": "0:0"}),
    )
    waiting = replace(PENDING, user="ada", restart_count=2)
    result = without_accounting(*events, record=waiting, now=T + 161)

    found = [(job.start_time, end and end.time, job.user) for job, end in result.new_runs]
    assert [(T, T + 60, "ada"), (T + 100, T + 160, "ada")] == found
    assert {"CANCELLED"} == {end.state for _, end in result.new_runs if end}
    assert {None} == {job.restart_count for job, _ in result.new_runs}
    assert events == result.settled_events
