"""The starts that a sweep reports or captures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sweep_values import NOON, OLD, found, keys, over, row, run

from spool.files.run_id import RunId
from spool.files.sweep_state import SweepMemory
from sweeper.values import Differences, Report, SpoolEntry, SpoolStatus, Start

GRACE = 600


def test_a_run_that_is_missing_at_cc_backend_is_started() -> None:
    """The reason in the plan is `RUNNING in Slurm, missing at cc-backend`."""
    job = run(7)

    drift = found(Differences(missing=(job,)))

    assert drift.starts == [Start(job=job, why="RUNNING in Slurm, missing at cc-backend")]
    assert (drift.stops, drift.closes, drift.reports) == ([], [], [])


@pytest.mark.parametrize(("age", "starts"), [(GRACE - 1, 0), (GRACE, 1)])
def test_a_run_younger_than_the_grace_is_not_started(age: int, starts: int) -> None:
    """cc-backend may have accepted a run younger than sweep.grace_seconds but not list it yet."""
    drift = found(Differences(missing=(run(7, NOON - age),)))

    assert starts == len(drift.starts)
    assert (1 - starts) == drift.skipped["young"]


def test_a_young_run_is_captured_and_reported_after_the_grace() -> None:
    """Slurm may purge its record before the grace ends, so its event is written at once."""
    young = run(7, NOON - 60)

    drift = found(Differences(missing=(young,)))

    why = "RUNNING in Slurm, missing at cc-backend, younger than sweep.grace_seconds"
    assert drift.first_sightings == [Start(job=young, why=why, not_before=NOON - 60 + GRACE)]


def test_a_short_run_that_has_just_ended_is_captured_too() -> None:
    """The grace of an ended run begins at its end, that of a running one at its start."""
    short = over(7, NOON - 90, NOON - 30)

    drift = found(Differences(ended=(short,)))

    assert [(each.job, each.not_before) for each in drift.first_sightings] == [
        (short, NOON - 30 + GRACE)
    ]
    assert (drift.starts, drift.skipped["young"]) == ([], 1)


@pytest.mark.parametrize("status", [status for status in SpoolStatus if status != "nothing"])
def test_a_young_run_that_the_spool_has_is_not_captured(status: SpoolStatus) -> None:
    """The exception is a run that an earlier sweep captured: it is planned as captured again."""
    jobs = run(7, NOON - 60), over(8, NOON - 90, NOON - 30)
    entry = SpoolEntry(status=status)
    entries = dict.fromkeys([job.key for job in jobs], entry)
    differences = Differences(missing=jobs[:1], ended=jobs[1:], spool_entries=entries)

    captured = len(found(differences).first_sightings)

    assert captured == (2 if status is SpoolStatus.CAPTURED else 0)


def test_an_excluded_young_run_is_not_captured() -> None:
    """A running and an ended run of an excluded partition are only counted."""
    jobs = run(7, NOON - 60, partition="quiet"), over(8, NOON - 90, NOON - 30, partition="quiet")

    drift = found(Differences(missing=jobs[:1], ended=jobs[1:]))

    assert (drift.first_sightings, drift.skipped) == ([], {SpoolStatus.UNREPORTED: 2})


@pytest.mark.parametrize("status", [SpoolStatus.QUEUED, SpoolStatus.UNREPORTED, SpoolStatus.DEAD])
def test_runs_in_the_spool_are_counted_and_never_planned(status: SpoolStatus) -> None:
    """Without their files in the spool the three runs would need a start or a stop."""
    spool_entries = {
        RunId(7, OLD): SpoolEntry(status=status),
        RunId(8, OLD): SpoolEntry(status=status),
    }
    spool_entries[RunId(9, OLD)] = SpoolEntry(status=status)
    differences = Differences(
        missing=(run(7),),
        ended=(over(8),),
        orphans=(row(9),),
        accounting_runs={9: (over(9),)},
        spool_entries=spool_entries,
    )

    drift = found(differences)

    assert (drift.starts, drift.stops, drift.reports) == ([], [], [])
    assert drift.skipped == {status: 3}


@pytest.mark.parametrize(("since", "starts"), [(GRACE - 1, 0), (GRACE, 1)])
def test_an_accepted_start_is_repeated_after_the_grace(since: int, starts: int) -> None:
    """cc-backend may list an accepted run only after the interval of its job cache."""
    entry = SpoolEntry(status=SpoolStatus.STARTED, started_at=NOON - since)

    drift = found(Differences(missing=(run(7),), spool_entries={RunId(7, OLD): entry}))

    assert ["although it accepted the start" in change.why for change in drift.starts] == [
        True
    ] * starts


def test_a_running_job_that_cc_backend_closed_is_reported() -> None:
    """cc-backend's walltime check may have closed its row; a sweep deletes no rows."""
    drift = found(Differences(missing=(run(7),), backend_rows={7: (row(7, state="failed"),)}))

    assert drift.starts == []
    why = "running in Slurm, but failed at cc-backend (row 70)"
    assert drift.reports == [Report(key=RunId(7, OLD), user="ada", why=why)]


def test_a_run_that_appeared_meanwhile_is_not_started() -> None:
    """The job list lacked the run; the later query by job id finds its row."""
    drift = found(Differences(missing=(run(7),), backend_rows={7: (row(7, OLD + 2),)}))

    assert (drift.starts, drift.skipped["young"]) == ([], 1)


def test_a_run_of_an_excluded_partition_is_counted() -> None:
    """One run is still running, another one has ended; neither is started."""
    differences = Differences(
        missing=(run(7, partition="quiet"),), ended=(over(8, partition="quiet"),)
    )

    drift = found(differences)

    assert (drift.starts, drift.skipped) == ([], {SpoolStatus.UNREPORTED: 2})


def test_a_run_that_ended_unseen_is_delivered_completely() -> None:
    """One change has start and end of a run that only accounting has."""
    job = over(7)

    (change,) = found(Differences(ended=(job,))).starts

    assert change.job == job
    assert change.why == "COMPLETED according to accounting, missing at cc-backend"


def test_an_ended_run_at_cc_backend_needs_no_change() -> None:
    """Accounting says COMPLETED, cc-backend says failed: a sweep does not compare end states."""
    assert (
        found(Differences(ended=(over(7),), backend_rows={7: (row(7, state="failed"),)})).starts
        == []
    )


@pytest.mark.parametrize(("apart", "starts"), [(-86400, 1), (-86399, 0), (86399, 0), (8640000, 0)])
def test_a_run_replaced_by_its_requeue_is_not_started(apart: int, starts: int) -> None:
    """cc-backend rejects a start less than 24 h after an earlier row, or before any later row."""
    drift = found(Differences(ended=(over(7),), backend_rows={7: (row(7, OLD + apart),)}))

    assert (len(drift.starts), drift.skipped["requeued"]) == (starts, 1 - starts)


def test_a_start_that_the_drain_did_not_deliver_is_not_repeated() -> None:
    """The drain may have read an opt-out; a delivered run that is missing is sent again."""
    memory = SweepMemory(starts_queued={RunId(7, OLD): NOON - 600})

    assert found(Differences(ended=(over(7),)), memory).starts == []
    again = Differences(ended=(over(7),), delivered=frozenset({RunId(7, OLD)}))
    assert keys(found(again, memory).starts) == [RunId(7, OLD)]


def test_an_unknown_row_of_a_reused_job_id_is_reported() -> None:
    """Neither Slurm nor the spool has the row's start; the running job of this id is started."""
    newer = run(7, OLD + 1000)
    differences = Differences(
        missing=(newer,),
        orphans=(row(7),),
        accounting_runs={7: (newer,)},
        running_starts={7: OLD + 1000},
    )

    drift = found(differences)

    assert (keys(drift.starts), keys(drift.reports)) == ([newer.key], [RunId(7, OLD)])


def test_an_hour_of_clock_difference_changes_no_plan() -> None:
    """The plan has the same start and stop, because both are more than an hour old."""
    differences = Differences(
        missing=(run(7, NOON - 8000),),
        orphans=(row(8),),
        accounting_runs={8: (over(8, end=NOON - 4300),)},
    )
    plans = [found(differences, now=NOON + step) for step in (-3600, 0, 3600)]

    assert [(keys(p.starts), keys(p.stops)) for p in plans] == [
        ([RunId(7, NOON - 8000)], [RunId(8, OLD)])
    ] * 3
    assert replace(differences) == differences
