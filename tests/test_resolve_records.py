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


def test_a_query_begins_60_s_before_the_oldest_event_or_open_run() -> None:
    """An epilog writes its event after the end of its run, so that the query must begin earlier."""
    named = event(EventKind.START, T + 500, start=T + 400)

    assert T - 60 == JobQuery(job_id=5, events=(STOP,), runs=(OPEN,)).since()
    assert T + 340 == JobQuery(job_id=5, events=(named,)).since()
    assert 0 == JobQuery(job_id=5).since()


def test_a_running_job_in_slurm_becomes_a_run() -> None:
    """The controller's record explains the start event, which can then be removed."""
    result = concluded(START, record=RUNNING, now=T + 1)

    assert (((RUNNING, None),), (START,), ()) == (
        result.new_runs,
        result.settled_events,
        result.pending_events,
    )


def test_an_ended_job_in_slurm_becomes_a_run_with_its_end() -> None:
    """The controller still shows the ended job, which explains its start and stop events."""
    result = concluded(START, STOP, record=OVER)

    assert ((OVER, by(EndSource.CONTROLLER, T + 60)),) == result.new_runs
    assert (START, STOP) == result.settled_events


def test_an_open_run_gets_the_end_that_the_controller_shows() -> None:
    """The controller's record of the ended job gives the end time, and creates no second run."""
    result = concluded(STOP, runs=(OPEN,), record=OVER)

    assert ((), {T: by(EndSource.CONTROLLER, T + 60)}) == (result.new_runs, result.ends)


def test_a_start_event_of_a_started_run_resends_its_start() -> None:
    """The row of the run may have vanished from cc-backend."""
    result = concluded(START, runs=(OPEN,), record=RUNNING)

    assert (T,) == result.starts_to_resend


@pytest.mark.parametrize("run", [replace(OPEN, started=False), replace(OPEN, reported=False)])
def test_no_start_is_resent_for_a_pending_or_excluded_run(run: TrackedRun) -> None:
    """The start of a pending run is sent anyway, and an excluded run is never reported."""
    assert () == concluded(START, runs=(run,), record=RUNNING).starts_to_resend


def test_the_start_event_of_a_revoked_job_can_be_removed() -> None:
    """A job with the flag REVOKED runs on another cluster of the federation."""
    result = concluded(START, record=REVOKED)

    assert ((START,), RunStage.OTHER_CLUSTER) == (result.settled_events, result.stage)


@pytest.mark.parametrize(("events", "runs"), [((START, STOP), ()), ((), (OPEN,))])
def test_a_revoked_job_gets_its_end_from_accounting(
    events: tuple[Event, ...], runs: tuple[TrackedRun, ...]
) -> None:
    """The job now runs on another cluster of the federation; accounting has the end here."""
    asked = concluded(*events, runs=runs, record=REVOKED)
    result = concluded(*events, runs=runs, record=REVOKED, rows=(OVER,))
    ends = [end for _, end in result.new_runs] if events else [*result.ends.values()]

    assert ((), True) == (asked.settled_events, asked.needs_accounting)
    assert [by(EndSource.ACCOUNTING, T + 60)] == ends
    assert (events, ()) == (result.settled_events, result.missing_starts)


def test_a_pending_job_with_an_open_run_needs_accounting() -> None:
    """The job was requeued; the controller's record does not show how its first run ended."""
    result = concluded(STOP, runs=(OPEN,), record=PENDING)

    assert ((STOP,), True, (T,)) == (
        result.pending_events,
        result.needs_accounting,
        result.missing_starts,
    )


def test_accounting_ends_a_requeued_run() -> None:
    """The controller shows the job as pending again; accounting has its first run as REQUEUED."""
    row = replace(OVER, state="REQUEUED")
    result = concluded(STOP, runs=(OPEN,), record=PENDING, rows=(row,))

    assert {T: by(EndSource.ACCOUNTING, T + 60, "REQUEUED")} == result.ends
    assert ((STOP,), ()) == (result.settled_events, result.pending_events)


def test_a_running_row_in_accounting_proves_no_end() -> None:
    """The row of accounting may be outdated, or belong to a runaway job: the run stays open."""
    result = concluded(STOP, runs=(OPEN,), rows=(RUNNING,))

    assert ({}, (T,)) == (result.ends, result.missing_starts)


def test_an_accounting_row_older_than_the_events_creates_no_run() -> None:
    """The run in such a row ended long before the oldest event of the job id."""
    old = replace(OVER, start_time=T - 5000, end_time=T - 4000)

    assert () == concluded(START, rows=(old,)).new_runs


def test_the_controllers_record_takes_precedence_over_accounting() -> None:
    """The record has cores and GRES; the two start times of the run may differ by seconds."""
    row = replace(OVER, start_time=T + 2)
    result = concluded(START, STOP, record=OVER, rows=(row,))

    assert [OVER] == [job for job, _ in result.new_runs]


def test_a_row_that_starts_after_the_end_of_a_run_is_another_run() -> None:
    """A requeued job starts again 2 s after the end of its first run: accounting has two runs."""
    first = replace(OVER, end_time=T + 1)
    second = replace(OVER, start_time=T + 3, end_time=T + 60)
    result = concluded(START, STOP, rows=(first, second))

    assert [T, T + 3] == [job.start_time for job, _ in result.new_runs]


def test_a_changed_start_time_creates_no_second_run() -> None:
    """The nodes powered up late: Slurm shows the reported run only with a start 300 s later."""
    moved = replace(OVER, start_time=T + 300, end_time=T + 400)
    result = concluded(STOP, runs=(OPEN,), record=moved, rows=(moved,), now=T + 401)

    assert ((), {T: by(EndSource.CONTROLLER, T + 400)}) == (result.new_runs, result.ends)


def test_a_later_start_is_a_new_run_if_accounting_has_both() -> None:
    """The job was requeued: accounting has a row for each of the two start times."""
    later = replace(OVER, start_time=T + 300, end_time=T + 400)
    result = concluded(STOP, runs=(OPEN,), record=later, rows=(OVER, later), now=T + 401)

    assert [later] == [job for job, _ in result.new_runs]
    assert {T: by(EndSource.ACCOUNTING, T + 60)} == result.ends


def test_two_near_starts_in_accounting_are_two_runs() -> None:
    """Accounting has two rows of the job id, with starts 3 s apart; each row is its own run."""
    second = replace(RUNNING, start_time=T + 3)
    first = replace(OVER, end_time=T + 1)
    result = concluded(START, runs=(OPEN,), record=second, rows=(first, second), now=T + 4)

    assert [second] == [job for job, _ in result.new_runs]


def test_late_events_of_a_delivered_run_create_no_run() -> None:
    """The events can be removed, and the run is not delivered twice."""
    past = replace(OPEN, end=T + 60)
    result = concluded(START, STOP, runs=(past,), record=None, rows=())

    assert ((START, STOP), ()) == (result.settled_events, result.new_runs)
