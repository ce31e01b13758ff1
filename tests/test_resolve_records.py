"""Records and accounting rows of Slurm become runs and ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from resolve_values import OPEN, OVER, PENDING, RUNNING, START, STOP, T, by, concluded, event

from spool.files.event import Event, EventKind
from spool.files.run import EndSource
from spool.resolve.job_query import JobQuery
from spool.resolve.run_match import TrackedRun
from spool.resolve.slurm_runs import RunStage

REVOKED = replace(PENDING, flags=("REVOKED",))


def test_a_query_reaches_back_to_the_oldest_event_or_open_run() -> None:
    """The query begins some time earlier, because an epilog follows the end of the run."""
    named = event(EventKind.START, T + 500, start=T + 400)

    assert T - 60 == JobQuery(job_id=5, events=(STOP,), runs=(OPEN,)).since()
    assert T + 340 == JobQuery(job_id=5, events=(named,)).since()
    assert 0 == JobQuery(job_id=5).since()


def test_a_live_record_is_a_new_run() -> None:
    """The run settles its start event."""
    result = concluded(START, record=RUNNING, now=T + 1)

    assert (((RUNNING, None),), (START,), ()) == (
        result.new_runs,
        result.settled_events,
        result.pending_events,
    )


def test_an_ended_record_is_a_new_run_with_an_end() -> None:
    """One resolution settles the start event and the stop event."""
    result = concluded(START, STOP, record=OVER)

    assert ((OVER, by(EndSource.CONTROLLER, T + 60)),) == result.new_runs
    assert (START, STOP) == result.settled_events


def test_an_open_run_ends_with_its_record() -> None:
    """The record does not create a new run."""
    result = concluded(STOP, runs=(OPEN,), record=OVER)

    assert ((), {T: by(EndSource.CONTROLLER, T + 60)}) == (result.new_runs, result.ends)


def test_a_started_run_is_resent_at_a_start_event() -> None:
    """Its row at cc-backend may have vanished."""
    result = concluded(START, runs=(OPEN,), record=RUNNING)

    assert (T,) == result.starts_to_resend


@pytest.mark.parametrize("run", [replace(OPEN, started=False), replace(OPEN, reported=False)])
def test_only_a_started_live_run_is_resent(run: TrackedRun) -> None:
    """A pending run and an excluded run are not resent."""
    assert () == concluded(START, runs=(run,), record=RUNNING).starts_to_resend


def test_a_revoked_record_settles_start_events() -> None:
    """A federation sibling runs the job."""
    result = concluded(START, record=REVOKED)

    assert ((START,), RunStage.OTHER_CLUSTER) == (result.settled_events, result.stage)


@pytest.mark.parametrize(("events", "runs"), [((START, STOP), ()), ((), (OPEN,))])
def test_a_revoked_record_does_not_hide_an_earlier_run_here(
    events: tuple[Event, ...], runs: tuple[TrackedRun, ...]
) -> None:
    """The job was requeued, and a federation sibling runs it now: accounting has the end."""
    asked = concluded(*events, runs=runs, record=REVOKED)
    result = concluded(*events, runs=runs, record=REVOKED, rows=(OVER,))
    ends = [end for _, end in result.new_runs] if events else [*result.ends.values()]

    assert ((), True) == (asked.settled_events, asked.needs_accounting)
    assert [by(EndSource.ACCOUNTING, T + 60)] == ends
    assert (events, ()) == (result.settled_events, result.missing_starts)


def test_a_pending_record_settles_nothing_and_needs_accounting() -> None:
    """It does not explain the stop event of a requeued run."""
    result = concluded(STOP, runs=(OPEN,), record=PENDING)

    assert ((STOP,), True, (T,)) == (
        result.pending_events,
        result.needs_accounting,
        result.missing_starts,
    )


def test_accounting_ends_a_requeued_run() -> None:
    """The controller shows the job as pending for its next run."""
    row = replace(OVER, state="REQUEUED")
    result = concluded(STOP, runs=(OPEN,), record=PENDING, rows=(row,))

    assert {T: by(EndSource.ACCOUNTING, T + 60, "REQUEUED")} == result.ends
    assert ((STOP,), ()) == (result.settled_events, result.pending_events)


def test_a_live_row_of_accounting_proves_no_end() -> None:
    """The row may be late, or belong to a runaway job."""
    result = concluded(STOP, runs=(OPEN,), rows=(RUNNING,))

    assert ({}, (T,)) == (result.ends, result.missing_starts)


def test_rows_before_the_query_create_no_runs() -> None:
    """They ended long before the oldest event."""
    old = replace(OVER, start_time=T - 5000, end_time=T - 4000)

    assert () == concluded(START, rows=(old,)).new_runs


def test_the_controllers_record_takes_precedence_over_the_row() -> None:
    """It has cores and GRES; the start times of one run may differ by seconds."""
    row = replace(OVER, start_time=T + 2)
    result = concluded(START, STOP, record=OVER, rows=(row,))

    assert [OVER] == [job for job, _ in result.new_runs]


def test_a_row_near_a_run_that_ended_before_it_is_another_run() -> None:
    """A requeued job ran again within seconds."""
    first = replace(OVER, end_time=T + 1)
    second = replace(OVER, start_time=T + 3, end_time=T + 60)
    result = concluded(START, STOP, rows=(first, second))

    assert [T, T + 3] == [job.start_time for job, _ in result.new_runs]


def test_a_moved_start_is_still_the_run_that_was_reported() -> None:
    """The nodes powered up late, and accounting has the run only with the new start."""
    moved = replace(OVER, start_time=T + 300, end_time=T + 400)
    result = concluded(STOP, runs=(OPEN,), record=moved, rows=(moved,), now=T + 401)

    assert ((), {T: by(EndSource.CONTROLLER, T + 400)}) == (result.new_runs, result.ends)


def test_a_later_start_is_a_new_run_if_accounting_has_both() -> None:
    """The job was requeued."""
    later = replace(OVER, start_time=T + 300, end_time=T + 400)
    result = concluded(STOP, runs=(OPEN,), record=later, rows=(OVER, later), now=T + 401)

    assert [later] == [job for job, _ in result.new_runs]
    assert {T: by(EndSource.ACCOUNTING, T + 60)} == result.ends


def test_two_near_starts_in_accounting_are_two_runs() -> None:
    """Each row matches its own run."""
    second = replace(RUNNING, start_time=T + 3)
    first = replace(OVER, end_time=T + 1)
    result = concluded(START, runs=(OPEN,), record=second, rows=(first, second), now=T + 4)

    assert [second] == [job for job, _ in result.new_runs]


def test_a_delivered_run_explains_its_late_events() -> None:
    """Nothing is delivered twice."""
    past = replace(OPEN, end=T + 60)
    result = concluded(START, STOP, runs=(past,), record=None, rows=())

    assert ((START, STOP), ()) == (result.settled_events, result.new_runs)
