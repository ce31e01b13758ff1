"""Which runs a sweep reports or captures, as values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sweep_values import NOON, OLD, found, keys, over, row, run

from spool.files.run_id import RunId
from spool.files.sweep_state import SweepMemory
from sweeper.values import Differences, Report, SpoolEntry, SpoolStatus, Start

GRACE = 600


def test_a_run_that_is_missing_there_is_started() -> None:
    """The evidence of both sides stands in the plan."""
    job = run(7)

    drift = found(Differences(missing=(job,)))

    assert drift.starts == [Start(job=job, why="RUNNING in Slurm, missing at cc-backend")]
    assert (drift.stops, drift.closes, drift.reports) == ([], [], [])


@pytest.mark.parametrize(("age", "starts"), [(GRACE - 1, 0), (GRACE, 1)])
def test_a_run_younger_than_the_grace_is_left_alone(age: int, starts: int) -> None:
    """It may be accepted and not listed yet."""
    drift = found(Differences(missing=(run(7, NOON - age),)))

    assert starts == len(drift.starts)
    assert (1 - starts) == drift.skipped["young"]


def test_the_first_sighting_of_a_young_run_captures_its_facts() -> None:
    """Slurm forgets them before the grace is over; the run is reported then."""
    young = run(7, NOON - 60)

    drift = found(Differences(missing=(young,)))

    why = "RUNNING in Slurm, missing at cc-backend, younger than sweep.grace_seconds"
    assert drift.first_sightings == [Start(job=young, why=why, not_before=NOON - 60 + GRACE)]


def test_a_short_run_that_has_just_ended_is_captured_too() -> None:
    """From its end on it has the grace, as a running one from its start on."""
    short = over(7, NOON - 90, NOON - 30)

    drift = found(Differences(ended=(short,)))

    assert [(each.job, each.not_before) for each in drift.first_sightings] == [
        (short, NOON - 30 + GRACE)
    ]
    assert (drift.starts, drift.skipped["young"]) == ([], 1)


@pytest.mark.parametrize("status", [status for status in SpoolStatus if status != "nothing"])
def test_a_young_run_that_the_spool_has_is_not_captured(status: SpoolStatus) -> None:
    """The drain has its facts already."""
    jobs = run(7, NOON - 60), over(8, NOON - 90, NOON - 30)
    entry = SpoolEntry(status=status)
    entries = dict.fromkeys([job.key for job in jobs], entry)
    differences = Differences(missing=jobs[:1], ended=jobs[1:], spool_entries=entries)

    captured = len(found(differences).first_sightings)

    assert captured == (2 if status is SpoolStatus.CAPTURED else 0)


def test_an_excluded_young_run_is_not_captured() -> None:
    """Whether it goes on or has ended."""
    jobs = run(7, NOON - 60, partition="quiet"), over(8, NOON - 90, NOON - 30, partition="quiet")

    drift = found(Differences(missing=jobs[:1], ended=jobs[1:]))

    assert (drift.first_sightings, drift.skipped) == ([], {SpoolStatus.UNREPORTED: 2})


@pytest.mark.parametrize("status", [SpoolStatus.QUEUED, SpoolStatus.UNREPORTED, SpoolStatus.DEAD])
def test_what_the_spool_has_in_hand_is_counted_and_never_planned(status: SpoolStatus) -> None:
    """Neither its start, nor its end, nor both together."""
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
def test_an_accepted_start_gets_time_to_appear(since: int, starts: int) -> None:
    """An accepted start is sent again when it is absent after the server's cache interval."""
    entry = SpoolEntry(status=SpoolStatus.STARTED, started_at=NOON - since)

    drift = found(Differences(missing=(run(7),), spool_entries={RunId(7, OLD): entry}))

    assert ["although it accepted the start" in change.why for change in drift.starts] == [
        True
    ] * starts


def test_a_run_closed_there_while_it_goes_on_is_reported() -> None:
    """The server's walltime reaper did that; deleting rows is not the sweep's business."""
    drift = found(Differences(missing=(run(7),), backend_rows={7: (row(7, state="failed"),)}))

    assert drift.starts == []
    why = "running in Slurm, but failed at cc-backend (row 70)"
    assert drift.reports == [Report(key=RunId(7, OLD), user="ada", why=why)]


def test_a_run_that_appeared_meanwhile_is_left_alone() -> None:
    """Between the two listings it was delivered."""
    drift = found(Differences(missing=(run(7),), backend_rows={7: (row(7, OLD + 2),)}))

    assert (drift.starts, drift.skipped["young"]) == ([], 1)


def test_a_filtered_run_is_counted() -> None:
    """Whether it goes on or is over."""
    differences = Differences(
        missing=(run(7, partition="quiet"),), ended=(over(8, partition="quiet"),)
    )

    drift = found(differences)

    assert (drift.starts, drift.skipped) == ([], {SpoolStatus.UNREPORTED: 2})


def test_a_run_that_ended_unseen_is_told_whole() -> None:
    """Start and end together."""
    job = over(7)

    (change,) = found(Differences(ended=(job,))).starts

    assert change.job == job
    assert change.why == "COMPLETED according to accounting, missing at cc-backend"


def test_a_run_that_ended_and_is_there_is_done() -> None:
    """Whatever state it has there."""
    assert (
        found(Differences(ended=(over(7),), backend_rows={7: (row(7, state="failed"),)})).starts
        == []
    )


@pytest.mark.parametrize(("apart", "starts"), [(-86400, 1), (-86399, 0), (86399, 0), (8640000, 0)])
def test_a_run_that_gave_way_to_its_requeue_is_known(apart: int, starts: int) -> None:
    """The server refuses a start within a day of an earlier row, and any before a later one."""
    drift = found(Differences(ended=(over(7),), backend_rows={7: (row(7, OLD + apart),)}))

    assert (len(drift.starts), drift.skipped["requeued"]) == (starts, 1 - starts)


def test_what_the_drain_told_nothing_of_is_not_asked_for_again() -> None:
    """An opt-out is known to the drain alone; the start of what it delivered is sent again."""
    memory = SweepMemory(starts_queued={RunId(7, OLD): NOON - 600})

    assert found(Differences(ended=(over(7),)), memory).starts == []
    again = Differences(ended=(over(7),), delivered=frozenset({RunId(7, OLD)}))
    assert keys(found(again, memory).starts) == [RunId(7, OLD)]


def test_a_strangers_row_under_an_id_used_again_is_no_moved_start() -> None:
    """The run that goes on is started, the row reported."""
    newer = run(7, OLD + 1000)
    differences = Differences(
        missing=(newer,),
        orphans=(row(7),),
        accounting_runs={7: (newer,)},
        running_starts={7: OLD + 1000},
    )

    drift = found(differences)

    assert (keys(drift.starts), keys(drift.reports)) == ([newer.key], [RunId(7, OLD)])


def test_the_clock_is_taken_as_it_is_given() -> None:
    """An hour more or less changes nothing about what is long over."""
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
