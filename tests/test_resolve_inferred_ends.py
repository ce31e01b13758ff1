"""Ends that Slurm does not report: close events of the sweep, epilogs of runs it forgot."""

from __future__ import annotations

from dataclasses import replace

import pytest
from resolve_values import DAY, HOUR, OPEN, PENDING, RUNNING, STOP, T, by, concluded, event

from slurm.job import Job
from spool.files.event import EventKind
from spool.files.run import EndSource
from spool.resolve.run_match import TrackedRun


def test_a_close_event_ends_a_run_that_slurm_does_not_know() -> None:
    """The sweep that wrote the event decided that no proof from Slurm is needed."""
    close = event(EventKind.CLOSE, T + 99, start=T, end=T + 60)
    result = concluded(close, runs=(OPEN,), rows=())

    assert ({T: by(EndSource.CLOSE, T + 60, "FAILED")}, (close,)) == (
        result.ends,
        result.settled_events,
    )


def test_a_close_event_of_an_unknown_run_creates_a_run() -> None:
    """The spool has no file of the run, but its row at cc-backend must be closed."""
    close = event(EventKind.CLOSE, T + 99, start=T, end=T + 60)
    job = Job(job_id=5, start_time=T, end_time=T + 60)

    assert ((job, by(EndSource.CLOSE, T + 60, "FAILED")),) == concluded(close, rows=()).new_runs


def test_a_slurm_record_takes_precedence_over_a_close_event() -> None:
    """Slurm shows that the run is live: no end is set, and the event can be removed."""
    close = event(EventKind.CLOSE, T + 99, start=T, end=T + 60)
    result = concluded(close, runs=(OPEN,), record=RUNNING)

    assert ({}, (close,)) == (result.ends, result.settled_events)


@pytest.mark.parametrize(
    ("code", "state"), [("0:0", "COMPLETED"), ("1:0", "FAILED"), (None, "CANCELLED")]
)
def test_a_run_unknown_to_slurm_ends_with_its_epilog_after_a_day(
    code: str | None, state: str
) -> None:
    """The state follows from the exit code: COMPLETED, FAILED, or CANCELLED without a code."""
    stop = replace(STOP, extras={} if code is None else {"exit_code": code})
    result = concluded(stop, runs=(OPEN,), rows=(), now=T + 61 + DAY)

    assert {T: by(EndSource.EVENT, T + 60, state)} == result.ends


def test_the_end_time_in_an_epilogs_event_is_used() -> None:
    """From Slurm 23.02 the event has the end time."""
    stop = event(EventKind.STOP, T + 62, end=T + 60)
    result = concluded(stop, runs=(OPEN,), rows=(), now=T + 63 + DAY)

    assert T + 60 == result.ends[T].time


def test_a_run_missing_in_accounting_stays_open_within_a_day() -> None:
    """The epilog has run, but accounting can receive the row late: no end is inferred yet."""
    result = concluded(STOP, runs=(OPEN,), rows=(), now=T + 59 + DAY)

    assert ({}, (T,)) == (result.ends, result.missing_starts)


def test_a_run_without_an_epilog_ended_when_the_next_run_began() -> None:
    """Slurm and accounting have no end of the run after a day: it is CANCELLED."""
    following = replace(RUNNING, start_time=T + 500)
    result = concluded(runs=(OPEN,), record=following, rows=(), now=T + 501 + DAY)

    assert {T: by(EndSource.NEXT_RUN, T + 500, "CANCELLED")} == result.ends


def test_an_epilog_after_the_next_runs_start_does_not_end_the_first_run() -> None:
    """The epilog belongs to the later run; the first run ends when the later one began."""
    following = replace(OPEN, start_time=T + 500)
    stop = event(EventKind.STOP, T + 900)
    result = concluded(stop, runs=(OPEN, following), rows=(), now=T + 600 + DAY)

    assert {T: by(EndSource.NEXT_RUN, T + 500, "CANCELLED")} == result.ends


def test_no_end_is_inferred_without_an_answer_from_accounting() -> None:
    """The run stays open even after a day, and its stop event stays pending."""
    result = concluded(STOP, runs=(OPEN,), rows=None, now=T + 61 + DAY)

    assert ({}, (STOP,), True) == (result.ends, result.pending_events, result.needs_accounting)


def test_a_requeued_run_missing_in_accounting_ends_with_its_epilog() -> None:
    """The controller shows the next run, which must wait for 5 minutes only, not for a day."""
    later = replace(RUNNING, start_time=T + 122, restart_count=1)
    runs = (replace(OPEN, restarts=0), TrackedRun(start_time=T + 122, restarts=1))
    stop = replace(STOP, extras={"exit_code": "0:0"})
    ends = [
        concluded(stop, runs=runs, record=later, rows=(), now=T + 122 + seconds).ends
        for seconds in (300, 301)
    ]

    assert [{}, {T: by(EndSource.EVENT, T + 60, "CANCELLED")}] == ends


def test_a_later_runs_epilog_does_not_end_an_earlier_run() -> None:
    """The event names another start, or came after the next run began."""
    runs = (replace(OPEN, restarts=0), TrackedRun(start_time=T + 20, end=T + 40, restarts=1))
    named = event(EventKind.STOP, T + 23, start=T + 20, end=T + 23)
    late = event(EventKind.STOP, T + 40)
    ends = [
        concluded(stop, runs=runs, rows=(), record=PENDING, now=T + HOUR).ends
        for stop in (named, late)
    ]

    assert [{}, {}] == ends
