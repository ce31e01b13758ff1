"""Random drift in memory: one sweep repairs it, the second plans nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from open_files import temporary_directory
from sweep_values import keys
from sweep_world import SweptWorld

from slurm.job import Job
from spool.files.run_id import RunId
from sweeper.sweep import SweepResult

# The state of a run in Slurm, then its state at cc-backend ("there").
LIVE = ("there", "missing")
OVER = ("there", "running there", "missing")
SITUATION = st.one_of(
    st.tuples(st.just("live"), st.sampled_from(LIVE)),
    st.tuples(st.just("suspended"), st.sampled_from(LIVE)),
    st.tuples(st.just("over"), st.sampled_from(OVER)),
    st.tuples(st.just("purged"), st.sampled_from(OVER)),
    st.tuples(st.just("requeued"), st.sampled_from(OVER)),
    st.tuples(st.just("late"), st.sampled_from(("there", "running there"))),
)
Drifts = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _utc_again() -> Iterator[None]:
    """Restore the time zone after the test."""
    before = os.environ.get("TZ")
    yield
    os.environ.pop("TZ", None)
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def make_drift(world: SweptWorld, drift: Drifts) -> dict[RunId, str]:
    """Make a drift; return the rows that cc-backend must have at the end."""
    expected: dict[RunId, str] = {}
    for number, (in_slurm, there) in enumerate(drift, 1):
        expected |= make_run(world, number, in_slurm, there)
    return expected


def make_run(world: SweptWorld, number: int, in_slurm: str, there: str) -> dict[RunId, str]:
    """Make one run; return its rows at the end."""
    now, slurm, rows = int(world.world.now), world.slurm, world.world.backend.rows
    key = RunId(number, now - 7000)
    job = world.world.job(number, start_time=key.start_time)
    over = replace(job, state="COMPLETED", end_time=now - 1500)
    if in_slurm in {"live", "suspended"}:
        slurm.records[number] = replace(job, state="RUNNING" if in_slurm == "live" else "SUSPENDED")
        slurm.rows.append(job)
        if there == "there":
            rows[key] = "running"
        return {key: "running"}
    slurm.rows.append(replace(job) if in_slurm == "late" else over)
    if in_slurm in {"over", "late"}:
        slurm.records[number] = over
    if there != "missing":
        rows[key] = "running" if there == "running there" else "completed"
    if in_slurm == "requeued":
        return {key: "completed", **requeue(world, job)}
    return {key: "completed"}


def requeue(world: SweptWorld, job: Job) -> dict[RunId, str]:
    """Let the job run again, a day and more after its first start."""
    old = (job.start_time or 0) - 90_000
    first = RunId(job.job_id, old)
    index = next(i for i, row in enumerate(world.slurm.rows) if row.job_id == job.job_id)
    world.slurm.rows[index] = replace(job, state="REQUEUED", start_time=old, end_time=old + 60)
    rows = world.world.backend.rows
    state = rows.pop(RunId(job.job_id, job.start_time or 0), None)
    rows[first] = "running" if state == "running" else "completed"
    again = replace(job, restart_count=1)
    world.slurm.records[job.job_id] = again
    world.slurm.rows.append(again)
    return {first: "cancelled" if state == "running" else "completed", again_key(again): "running"}


def again_key(job: Job) -> RunId:
    """Return the key of a record."""
    return RunId(job.job_id, job.start_time or 0)


def settled(world: SweptWorld, expected: dict[RunId, str]) -> bool:
    """Return whether cc-backend has the expected rows, whatever their end states."""
    found = {key: state == "running" for key, state in world.rows().items()}
    wanted = {
        key: state == "running"
        for key, state in expected.items()
        if not (state == "completed" and key.job_id in requeued_ids(world))
    }
    return all(found.get(key) == is_running for key, is_running in wanted.items())


def requeued_ids(world: SweptWorld) -> set[int]:
    """Return the job ids with a second run: their first may have been replaced."""
    return {job.job_id for job in world.slurm.records.values() if job.restart_count}


def is_clean(result: SweepResult) -> bool:
    """Return whether a sweep had nothing to repair or to report."""
    plan = result.decision.plan
    return not (plan.changes or plan.reports or plan.held_back or plan.guards or plan.over_limit)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(SITUATION, min_size=1, max_size=12))
def test_one_sweep_repairs_and_the_next_plans_nothing(drift: Drifts) -> None:
    """Random differences: starts, ends and whole runs are missing at cc-backend."""
    with temporary_directory() as directory:
        world = SweptWorld(directory / "spool")
        expected = make_drift(world, drift)
        if not any(job.state != "COMPLETED" for job in world.slurm.records.values()):
            expected |= make_run(world, 99, "live", "there")  # an empty queue fails a safety check

        world.sweep()
        second = world.sweep()

        assert is_clean(second), second.decision.plan
        assert settled(world, expected), (world.rows(), expected)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(21, 120), st.integers(1, 30))
def test_many_missing_ends_take_three_sweeps_at_most(ended: int, live: int) -> None:
    """A first sweep refuses too many stops, the second one sends them, the third plans nothing."""
    with temporary_directory() as directory:
        world = SweptWorld(directory / "spool")
        drift = [("over", "running there")] * ended + [("live", "there")] * live

        expected = make_drift(world, drift)
        first, second, third = world.sweep(), world.sweep(), world.sweep()

        is_mass = ended > max(20, (ended + live) // 5)
        assert is_mass == first.decision.plan.is_refused
        assert (0 if is_mass else ended) == len(first.decision.plan.changes)
        assert not second.decision.plan.is_refused
        assert is_clean(third), third.decision.plan
        assert settled(world, expected)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"])
@pytest.mark.parametrize(
    "noon",
    [
        1_774_742_400,  # 2026-03-29 00:00 UTC, clocks go forward in Europe
        1_792_886_400,  # 2026-10-25 00:00 UTC, clocks go back in Europe
    ],
)
def test_the_plan_is_the_same_in_each_time_zone_when_clocks_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, noon: int
) -> None:
    """The plan also stays the same after all clocks of the site were set forward by an hour."""
    drift: Drifts = [("live", "missing"), ("over", "running there"), ("purged", "missing")]
    plans = []
    for number, step in enumerate((0, 3600, 0)):
        monkeypatch.setenv("TZ", zone if number else "UTC")
        time.tzset()
        world = SweptWorld(tmp_path / str(number))
        world.world.now = float(noon + 3000)
        world.state = replace(world.state, mark=noon - 3600)
        make_drift(world, drift)
        world.world.now += step
        plans.append(world.plan().decision.plan)

    assert [keys(plan.changes) for plan in plans] == [
        [(number, noon + 3000 - 7000) for number in (1, 2, 3)]
    ] * 3
    assert plans[0] == plans[1] == plans[2]


def test_a_clock_set_back_by_an_hour_changes_no_plan(tmp_path: Path) -> None:
    """The compared runs stay old enough; the stored time of the last sweep is in the future."""
    world = SweptWorld(tmp_path / "spool")
    make_drift(world, [("live", "missing"), ("live", "there")])
    before = world.plan().decision.plan

    world.world.now -= 3600
    world.state = replace(world.state, mark=int(world.world.now) + 3000)

    assert world.plan().decision.plan == before
