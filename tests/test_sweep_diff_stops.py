"""The stops that a sweep reports, and what proves them."""

from __future__ import annotations

import pytest
from sweep_values import NOON, OLD, found, keys, over, row, run

from slurm.decode.fields.job_states import END_STATES
from spool.files.run_id import RunId
from spool.files.sweep_state import SweepMemory
from sweeper.values import (
    Close,
    Differences,
    EndProof,
    Report,
    SlurmRun,
    SpoolEntry,
    SpoolStatus,
    Stop,
)

GRACE = 600


@pytest.mark.parametrize("state", sorted(END_STATES))
def test_a_stop_is_planned_for_an_end_in_accounting(state: str) -> None:
    """Accounting has the same job id and start time, an end state and an end time."""
    drift = found(Differences(orphans=(row(7),), accounting_runs={7: (over(7, state=state),)}))

    why = f"{state} according to accounting, still running at cc-backend"
    assert drift.stops == [Stop(job=over(7, state=state), proof=EndProof.ACCOUNTING, why=why)]


def test_a_stop_is_planned_for_an_end_in_slurmctld() -> None:
    """The record in slurmctld has an end; accounting still shows the run as running."""
    differences = Differences(
        orphans=(row(7),), controller_runs={7: over(7)}, accounting_runs={7: (run(7),)}
    )

    (change,) = found(differences).stops

    assert (change.job, change.proof) == (over(7), EndProof.CONTROLLER)


@pytest.mark.parametrize(
    "job",
    [
        over(7, OLD + 6),  # another run of the id
        over(7, state="RUNNING"),  # a planned end
        over(7, end=0),
        over(7, state="COMPLETING"),
        over(7, state="NEVER_HEARD_OF"),
    ],
)
def test_an_end_without_proof_is_reported(job: SlurmRun) -> None:
    """The record has another start, no end time, or a state such as COMPLETING."""
    for differences in (
        Differences(orphans=(row(7),), accounting_runs={7: (job,)}),
        Differences(orphans=(row(7),), accounting_runs={}, controller_runs={7: job}),
    ):
        drift = found(differences)
        assert (drift.stops, len(drift.reports)) == ([], 1)


def test_a_row_without_an_end_in_accounting_is_reported() -> None:
    """Accounting may lack the run, fail to answer, or show it as running."""
    assert [
        report.why for report in found(Differences(orphans=(row(7),), accounting_runs={})).reports
    ] == ["not in Slurm's queue, and accounting does not have it"]
    assert [report.why for report in found(Differences(orphans=(row(7),))).reports] == [
        "not in Slurm's queue, and accounting does not answer: check slurmdbd"
    ]
    running = Differences(orphans=(row(7),), accounting_runs={7: (run(7),)})
    assert found(running).reports == [
        Report(
            key=RunId(7, OLD),
            user="ada",
            why="not in Slurm's queue, and accounting still shows it as RUNNING",
        )
    ]


def test_a_stop_has_the_start_time_of_the_row() -> None:
    """Slurm's own start time may differ by some seconds from that of cc-backend's row."""
    drift = found(Differences(orphans=(row(7, OLD + 4),), accounting_runs={7: (over(7),)}))

    assert drift.stops[0].job == over(7, OLD + 4)


@pytest.mark.parametrize(("age", "stops"), [(GRACE - 1, 0), (GRACE, 1)])
def test_a_fresh_end_waits_for_the_next_sweep(age: int, stops: int) -> None:
    """A run that ended less than 600 s ago is stopped only if the previous sweep saw its end."""
    differences = Differences(orphans=(row(7),), accounting_runs={7: (over(7, end=NOON - age),)})

    drift = found(differences)

    assert stops == len(drift.stops)
    assert (set() if stops else {RunId(7, OLD)}) == drift.young_stops
    assert len(found(differences, SweepMemory(young_stops=frozenset({RunId(7, OLD)}))).stops) == 1


@pytest.mark.parametrize(("ahead", "stops"), [(300, 0), (301, 0)])
def test_an_end_in_the_future_is_never_delivered(ahead: int, stops: int) -> None:
    """Up to 300 s ahead the end counts as too young; beyond that it is reported."""
    drift = found(Differences(orphans=(row(7),), accounting_runs={7: (over(7, end=NOON + ahead),)}))

    assert (len(drift.stops), len(drift.reports)) == (stops, int(ahead > 300))


@pytest.mark.parametrize(("sweeps", "stops"), [(1, 0), (2, 1)])
def test_a_stop_without_effect_is_repeated_two_sweeps_later(sweeps: int, stops: int) -> None:
    """The first sweep after the stop only counts the run as `confirming`."""
    differences = Differences(orphans=(row(7),), accounting_runs={7: (over(7),)})
    memory = SweepMemory(sweep=4 + sweeps, stops_queued={RunId(7, OLD): 5})

    drift = found(differences, memory)

    assert stops == len(drift.stops)
    assert (1 - stops) == drift.skipped["confirming"]
    assert all(
        "although a sweep has already reported its end" in change.why for change in drift.stops
    )


def test_the_older_run_of_an_id_is_stopped_and_the_newer_started() -> None:
    """The job was requeued: each run is compared on its own."""
    newer = run(7, OLD + 1000)
    differences = Differences(
        missing=(newer,),
        orphans=(row(7),),
        accounting_runs={7: (over(7), newer)},
        running_starts={7: OLD + 1000},
    )

    drift = found(differences)

    assert (keys(drift.starts), keys(drift.stops)) == ([newer.key], [RunId(7, OLD)])


def test_a_run_with_a_moved_start_needs_no_change() -> None:
    """Nodes powered up late: Slurm has only the new start, the spool still has the old one."""
    newer = run(7, OLD + 1000)
    differences = Differences(
        missing=(newer,),
        orphans=(row(7),),
        accounting_runs={7: (newer,)},
        running_starts={7: OLD + 1000},
        spool_entries={RunId(7, OLD): SpoolEntry(status=SpoolStatus.STARTED, started_at=OLD)},
    )

    drift = found(differences)

    assert (drift.starts, drift.stops, drift.reports) == ([], [], [])
    assert drift.skipped["moved"] == 1


def test_unknown_runs_are_closed_only_if_configured() -> None:
    """sweep.close_unknown_after counts from the first sweep that found no proof of the end."""
    differences = Differences(orphans=(row(7),), accounting_runs={})
    memory = SweepMemory(unproven_since={RunId(7, OLD): NOON - 100})

    assert found(differences, memory).closes == []
    assert found(differences, memory).unproven_since == {RunId(7, OLD): NOON - 100}
    assert found(differences, memory, close_after=101).closes == []
    why = (
        "not in Slurm's queue, and accounting does not have it"
        " for longer than sweep.close_unknown_after"
    )
    assert found(differences, memory, close_after=100).closes == [
        Close(key=RunId(7, OLD), end_time=OLD + 1, why=why)
    ]


def test_a_close_has_the_time_when_the_run_was_last_seen() -> None:
    """The end time of the close is `last_seen` of the run in the spool."""
    entry = SpoolEntry(status=SpoolStatus.STARTED, started_at=OLD, last_seen=OLD + 500)
    differences = Differences(
        orphans=(row(7),), accounting_runs={}, spool_entries={RunId(7, OLD): entry}
    )
    memory = SweepMemory(unproven_since={RunId(7, OLD): 1})

    assert found(differences, memory, close_after=60).closes[0].end_time == OLD + 500
