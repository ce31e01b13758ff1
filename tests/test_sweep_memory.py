"""Decisions that take several sweeps: confirmations, repeated repairs, closing unknown runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sweep_values import keys
from sweep_world import SweptWorld

from slurm.job import NodeAllocation
from spool.files.run_id import RunId

AGO = 7000


@pytest.fixture
def world(tmp_path: Path) -> SweptWorld:
    """Return a site in agreement: one job runs on both sides."""
    made = SweptWorld(tmp_path / "spool")
    live(made, 1, there=True)
    return made


def live(world: SweptWorld, job_id: int, *, there: bool) -> RunId:
    """Add a job that runs in Slurm; return its key."""
    job = world.world.job(job_id, start_time=int(world.world.now) - AGO)
    world.slurm.records[job_id] = job
    world.slurm.rows.append(job)
    key = RunId(job_id, job.start_time or 0)
    if there:
        world.world.backend.rows[key] = "running"
    return key


def ended(world: SweptWorld, job_id: int, ago: int = 1500) -> RunId:
    """Add a job that ended in Slurm and runs at cc-backend; return its key."""
    key = live(world, job_id, there=True)
    job = world.slurm.records.pop(job_id)
    end = int(world.world.now) - ago
    world.slurm.rows[-1] = replace(job, state="COMPLETED", end_time=end)
    return key


def test_a_stop_without_effect_is_repeated_by_the_second_sweep_after(world: SweptWorld) -> None:
    """cc-backend answered 200, but the row still runs; the sweep in between only counts it."""
    key = ended(world, 7)

    planned = []
    for _ in range(4):
        result = world.sweep()
        planned.append((keys(result.decision.plan.changes), dict(result.decision.plan.skipped)))
        if len(planned) < 3:
            world.world.backend.rows[key] = "running"

    assert planned == [([key], {}), ([], {"confirming": 1}), ([key], {}), ([], {})]
    assert world.rows()[key] == "completed"


def test_a_start_lost_in_the_cache_interval_is_delivered_again(world: SweptWorld) -> None:
    """cc-backend accepted the start and lost it; a sweep within the grace waits."""
    key = live(world, 7, there=False)

    first = world.sweep()
    del world.world.backend.rows[key]
    world.world.now -= 300
    early = world.plan()
    world.world.now += 300
    later = world.sweep()

    assert keys(first.decision.plan.changes) == [key]
    assert (early.decision.plan.changes, early.decision.plan.skipped) == ((), {"young": 1})
    assert keys(later.decision.plan.changes) == [key]
    assert world.rows()[key] == "running"


def test_a_run_that_has_just_ended_is_stopped_by_the_second_sweep(world: SweptWorld) -> None:
    """The first sweep leaves the drain time to deliver the stop of the hook."""
    key = ended(world, 7, ago=0)

    result = world.plan()
    world.sweep()
    world.world.now -= 600

    assert (result.decision.plan.changes, result.decision.plan.skipped) == ((), {"young": 1})
    assert keys(world.plan().decision.plan.changes) == [key]


def test_unknown_runs_are_closed_only_if_configured(tmp_path: Path) -> None:
    """A row that Slurm does not know is closed as failed if sweep.close_unknown_after is set."""
    never, after = (SweptWorld(tmp_path / n, close_after=c) for n, c in (("a", None), ("b", 600)))
    for world in (never, after):
        live(world, 1, there=True)
        world.world.backend.rows[7, int(world.world.now) - AGO] = "running"
        for _ in range(3):
            world.sweep()

    assert [state for key, state in never.rows().items() if key.job_id == 7] == ["running"]
    assert [state for key, state in after.rows().items() if key.job_id == 7] == ["failed"]
    assert never.plan().decision.plan.drift["report"] == 1
    assert after.plan().decision.plan.drift["report"] == 0


def test_a_queued_run_that_was_not_delivered_is_excluded(world: SweptWorld) -> None:
    """The drain read the opt-out of the job, so the next sweep counts the run as unreported."""
    key = ended(world, 7)
    del world.world.backend.rows[key]
    row = world.slurm.rows[-1]
    world.slurm.rows[-1] = replace(row, admin_comment="disable_cc_submission")

    first, second = world.sweep(), world.sweep()

    assert keys(first.decision.plan.changes) == [key]
    assert (second.decision.plan.changes, second.decision.plan.skipped) == ((), {"unreported": 1})
    assert key not in world.rows()


def test_a_delivered_run_that_is_missing_is_delivered_again(world: SweptWorld) -> None:
    """cc-backend lost the row, for example because its database was restored from a backup."""
    key = ended(world, 7)
    del world.world.backend.rows[key]
    world.sweep()
    assert world.rows()[key] == "completed"
    del world.world.backend.rows[key]

    assert keys(world.sweep().decision.plan.changes) == [key]
    assert world.rows()[key] == "completed"
    assert world.sweep().decision.plan.changes == ()


def test_dead_and_excluded_runs_are_only_counted_by_later_sweeps(world: SweptWorld) -> None:
    """A start with an opt-out is queued once, because only the drain reads the opt-out."""
    dead = live(world, 7, there=False)
    live(world, 8, there=False)
    record = world.slurm.records[8]
    world.slurm.records[8] = replace(record, admin_comment="disable_cc_submission")
    (world.world.root / "dead" / f"7-{dead.start_time}.json").touch()

    first, second = world.sweep(), world.sweep()

    assert [key.job_id for key in keys(first.decision.plan.changes)] == [8]
    assert (second.decision.plan.changes, second.decision.plan.skipped) == (
        (),
        {"dead": 1, "unreported": 1},
    )


def test_a_job_requeued_within_a_day_is_replaced_once(world: SweptWorld) -> None:
    """The first run is stopped and then replaced; nothing is planned for it again."""
    first = ended(world, 7)
    row = world.slurm.rows[-1]
    world.slurm.rows[-1] = replace(row, state="REQUEUED")
    again = replace(row, state="RUNNING", end_time=None, restart_count=1)
    again = replace(again, start_time=int(world.world.now) - 1000)
    world.slurm.records[7] = again
    world.slurm.rows.append(again)

    sweeps = [world.sweep() for _ in range(3)]

    assert [len(result.decision.plan.changes) for result in sweeps] == [2, 0, 0]
    assert world.rows()[RunId(7, again.start_time or 0)] == "running"
    assert first not in world.rows()


def test_an_end_without_start_in_accounting_stops_the_row(world: SweptWorld) -> None:
    """The row's start is between the submission and the end that accounting has."""
    key = ended(world, 7)
    row = replace(world.slurm.rows[-1], submit_time=key.start_time - 5)
    world.slurm.rows[-1] = replace(row, start_time=None, nodes=())
    world.world.hook("start", 7)
    (world.world.root / "new").joinpath(next(iter(world.world.files()["new"]))).unlink()

    first, second = world.sweep(), world.sweep()

    assert keys(first.decision.plan.changes) == [key]
    assert (second.decision.plan.changes, second.decision.plan.reports) == ((), ())


def test_an_accounting_row_of_another_run_proves_no_end(world: SweptWorld) -> None:
    """The row of sacct was submitted after the start, ended before it, or has not ended."""
    key = ended(world, 7)
    row = replace(world.slurm.rows[-1], start_time=None, nodes=())
    for facts in (
        {"submit_time": key.start_time + 1},
        {"submit_time": key.start_time - 9, "end_time": key.start_time},
        {"submit_time": key.start_time - 9, "state": "RUNNING"},
        {"submit_time": None},
        {"submit_time": key.start_time - 9, "end_time": None},
    ):
        world.slurm.rows[-1] = replace(row, **facts)
        assert world.plan().decision.plan.changes == ()


def seen_young(world: SweptWorld, **facts: object) -> RunId:
    """Add a job without a hook's event; let a sweep see it a minute after its start."""
    cores = NodeAllocation(name="n1", cores=(0, 1), core_count=16)
    start = int(world.world.now) - 60
    job = world.world.job(7, start_time=start, allocations=(cores,), **facts)
    world.slurm.records[7] = job
    world.slurm.rows.append(job)
    world.apply_and_resolve()
    return RunId(7, start)


def test_a_short_job_is_reported_with_its_cores_after_the_grace(world: SweptWorld) -> None:
    """Slurm purged the job earlier, but a sweep had stored its record."""
    key = seen_young(world)
    job = world.slurm.records.pop(7)
    world.slurm.rows[-1] = replace(job, state="COMPLETED", end_time=key.start_time + 100)
    world.world.now += 200

    early = world.rows()
    stored = world.world.stored("todo", 7)
    world.world.now = key.start_time + 601.0
    world.drain()

    assert key not in early
    assert (stored.job.allocations[0].cores, stored.not_before) == ((0, 1), key.start_time + 600)
    assert world.rows()[key] == "completed"


def test_a_captured_run_is_not_captured_again(world: SweptWorld) -> None:
    """The next sweep counts the run as queued; a sweep with -j reports it at once."""
    key = seen_young(world)

    plain, named = world.plan().decision.plan, world.plan(7).decision.plan

    assert (plain.changes, plain.first_sightings, dict(plain.skipped)) == ((), (), {"queued": 1})
    assert keys(named.changes) == [key]


def test_an_excluded_young_job_is_never_reported(world: SweptWorld) -> None:
    """The job's opt-out holds after the grace too; the next sweep counts it as unreported."""
    key = seen_young(world, comment="disable_cc_submission")
    world.world.now += 700
    world.drain()

    assert key not in world.rows()
    assert dict(world.plan().decision.plan.skipped) == {"unreported": 1}
