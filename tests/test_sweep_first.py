"""The first sweep of a site only stores its time, whatever the answers are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from orderly_world import GONE, over, world_in_order
from sweep_values import keys
from sweep_world import UNKNOWN, SweptWorld

from spool.files.run_id import RunId
from sweeper.commands.output import apply_code
from sweeper.sweep import SweepResult

DOUBTS = ("boot", "clock", "rights", "accounting")


@pytest.fixture
def world(tmp_path: Path) -> SweptWorld:
    """Return a site before its first sweep: one job runs and one has ended, both unseen."""
    made = world_in_order(tmp_path / "spool")
    made.state = replace(made.state, mark=None)
    made.world.backend.rows[over(made, 9)] = "running"
    made.slurm.records[7] = made.world.job(7, start_time=int(made.world.now) - 5000)
    return made


def doubt(world: SweptWorld, name: str) -> None:
    """Let a safety check of the answers fail."""
    now = int(world.world.now)
    world.slurm.booted = now - 60 if name == "boot" else None
    world.skew = 90.0 if name == "clock" else 0.0
    world.sees_all_jobs = name != "rights"
    world.slurm.failures = {"accounting": GONE} if name == "accounting" else {}


def guards(result: SweepResult) -> list[str]:
    """Return the names of the safety checks that failed."""
    return [guard.name for guard in result.decision.plan.guards]


@pytest.mark.parametrize("name", DOUBTS)
def test_the_first_sweep_stores_its_time_if_a_check_fails(world: SweptWorld, name: str) -> None:
    """The exit code is 11, and the rows of cc-backend stay."""
    doubt(world, name)
    now, before = int(world.world.now), world.rows()

    result = world.sweep()

    assert (guards(result), world.rows()) == ([name, "first"], before)
    assert apply_code(result.decision.plan, applied=0, pending=0) == 11
    assert (world.state.mark, world.state.installed, world.state.cluster) == (now, now, "lab")
    assert world.state.running_baseline is None


@pytest.mark.parametrize("name", DOUBTS)
def test_the_second_sweep_repairs_what_the_checks_allow(world: SweptWorld, name: str) -> None:
    """While a safety check fails, only the start is sent and the stored time stays."""
    doubt(world, name)
    world.sweep()
    mark = world.state.mark or 0

    doubt(world, name)
    second = world.sweep()
    marks = [world.state.mark or 0]
    doubt(world, "")
    third = world.sweep()
    marks.append(world.state.mark or 0)

    assert guards(second) == [name]
    assert [key.job_id for key in keys(second.decision.plan.changes)] == [7]
    assert [key.job_id for key in keys(third.decision.plan.changes)] == [9]
    assert 0 < mark == marks[0] < marks[1]


def test_without_the_controllers_clock_no_time_is_stored(world: SweptWorld) -> None:
    """cc-backend gave no job list, so slurmctld was not asked for its clock."""
    world.backend.listing = UNKNOWN
    before = world.state

    result = world.sweep()

    assert (guards(result), world.state) == (["listing", "first"], before)


def test_another_clusters_state_is_unchanged(world: SweptWorld) -> None:
    """The stored state is of cluster fritz: the check `cluster` fails and no time is stored."""
    world.state = before = replace(world.state, cluster="fritz")

    result = world.sweep()

    assert (guards(result), world.state) == (["cluster"], before)


def test_named_jobs_are_repaired_before_the_first_sweep(world: SweptWorld) -> None:
    """`-j` while a safety check fails: the start is sent, and no time is stored."""
    doubt(world, "rights")
    start = world.slurm.records[7].start_time or 0

    world.sweep(7)

    assert (world.rows()[RunId(7, start)], world.state.mark) == ("running", None)
