"""Runs of a requeued job, and the state in which each of them ended."""

from __future__ import annotations

from dataclasses import replace

import pytest
from resolve_values import OPEN, OVER, PENDING, RUNNING, START, STOP, T, concluded, event

from slurm.decode.squeue_json import parse_job
from slurm.job import SCRONTAB_FLAG, Job
from spool.files.event import EventKind


@pytest.mark.parametrize("gap", [1, 2, 5])
def test_a_requeued_job_that_runs_again_within_seconds_has_two_runs(gap: int) -> None:
    """Slurm's restart count distinguishes the two runs, even before accounting has a row."""
    record = replace(RUNNING, start_time=T + gap, restart_count=1)
    result = concluded(
        event(EventKind.START, T + gap), runs=(replace(OPEN, restarts=0),), record=record, rows=()
    )

    assert (((record, None),), (T,)) == (result.new_runs, result.missing_starts)


def test_events_of_a_run_that_slurm_no_longer_shows_stay() -> None:
    """Events before 23.02 have no start time; accounting will show the short second run later."""
    begun = replace(event(EventKind.START, T + 80), start=None)
    over = replace(event(EventKind.STOP, T + 85), start=None)
    before = replace(OPEN, end=T + 60, restarts=0)
    record = replace(PENDING, restart_count=2)

    early = concluded(begun, over, runs=(before,), record=record, now=T + 86)

    assert (begun, over) == early.pending_events


def test_a_start_time_changed_by_seconds_is_no_requeue() -> None:
    """Slurm's restart count is the same, so two start times 3 s apart are one run."""
    record = replace(RUNNING, start_time=T + 3, restart_count=1)
    result = concluded(START, runs=(replace(OPEN, restarts=1),), record=record)

    assert ((), ()) == (result.new_runs, result.missing_starts)


def test_a_later_start_with_a_higher_restart_count_is_a_new_run() -> None:
    """Accounting has only the new run yet; the row with the end of the old run is late."""
    record = replace(RUNNING, start_time=T + 300, restart_count=1)
    result = concluded(
        STOP, runs=(replace(OPEN, restarts=0),), record=record, rows=(record,), now=T + 301
    )

    assert (((record, None),), {}) == (result.new_runs, result.ends)


@pytest.mark.parametrize("word", ["SPECIAL_EXIT", "REQUEUE_HOLD"])
def test_accounting_is_asked_about_a_requeued_and_held_job(word: str) -> None:
    """Up to 23.02 Slurm shows SPECIAL_EXIT or REQUEUE_HOLD instead of PENDING for such a job."""
    record = parse_job({"job_id": 5, "job_state": word}, node_of=lambda _: None)

    assert concluded(STOP, runs=(OPEN,), record=record).needs_accounting


def requeued(code: str | None, first: str, epilog: str, *, record: Job = PENDING) -> str:
    """Return the end state of a requeued job's run, given the restart counts of its hooks."""
    begun = event(EventKind.START, T, start=T)
    over = event(EventKind.STOP, T + 60, start=T)
    counts = zip((begun, over), (first, epilog), strict=True)
    events = [replace(each, extras={"restart_count": text}) for each, text in counts]
    row = replace(OVER, state="REQUEUED", exit_code=code)
    ((_, end),) = concluded(*events, record=record, rows=(row,)).new_runs
    assert end is not None
    return end.state


@pytest.mark.parametrize(
    ("code", "first", "epilog", "state"),
    [
        ("0:0", "0", "0", "COMPLETED"),
        ("3:0", "1", "1", "FAILED"),
        ("0:0", "0", "1", "REQUEUED"),
        ("0:0", "", "0", "REQUEUED"),
        (None, "0", "0", "REQUEUED"),
        ("3:0", "0", "", "FAILED"),
        ("0:9", "", "", "FAILED"),
        ("3:0", "0", "1", "REQUEUED"),
    ],
)
def test_a_run_requeued_after_its_end_keeps_its_own_state(
    code: str | None, first: str, epilog: str, state: str
) -> None:
    """Slurm raises the restart count before the epilog only if the run was interrupted."""
    assert state == requeued(code, first, epilog)


def test_a_run_of_scrontab_keeps_its_own_end_state() -> None:
    """Slurm requeues a scrontab job after each run; restart counts may be missing in its events."""
    record = replace(PENDING, flags=(SCRONTAB_FLAG,))

    assert "COMPLETED" == requeued("0:0", "", "", record=record)
