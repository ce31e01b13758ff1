"""The queries and decisions of a sweep of single jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from orderly_world import GONE, over, world_in_order
from sweep_values import keys
from sweep_world import SweptWorld

from slurm.errors import FailureReason, SlurmError
from spool.errors import UsageError
from spool.files.run_id import RunId


@pytest.fixture
def world(tmp_path: Path) -> SweptWorld:
    """Return a site in agreement: one job runs on both sides."""
    return world_in_order(tmp_path / "spool")


def test_a_sweep_of_one_job_loads_no_job_list(world: SweptWorld) -> None:
    """Neither squeue nor cc-backend is asked for all jobs."""
    orphan = over(world, 6)
    world.world.backend.rows[orphan] = "running"
    world.backend.listing = None

    result = world.plan(6)

    assert keys(result.decision.plan.changes) == [orphan]
    assert world.slurm.asked == ["config", "accounting"]


def test_a_single_job_is_judged_as_in_a_complete_sweep(world: SweptWorld) -> None:
    """Running and ended runs that cc-backend lacks are planned; a pending job is not."""
    start = int(world.world.now) - 7000
    world.slurm.records[5] = world.world.job(5, start_time=start)
    unseen = over(world, 6)
    world.slurm.records[7] = world.world.job(
        7, start_time=start, state="FAILED", end_time=start + 60
    )
    world.slurm.records[8] = world.world.job(8, state="PENDING", start_time=None, nodes=())

    plan = world.plan(1, 5, 6, 7, 8).decision.plan

    assert keys(plan.changes) == [RunId(5, start), unseen, RunId(7, start)]


def test_an_unreadable_job_record_plans_nothing(world: SweptWorld) -> None:
    """The check `slurm` fails, as in a sweep of all jobs."""
    world.slurm.odd = {5: SlurmError("not understood", reason=FailureReason.MALFORMED)}
    world.world.backend.rows[5, 1] = "running"

    plan = world.plan(5).decision.plan

    assert (plan.changes, [guard.name for guard in plan.guards]) == ((), ["slurm"])


@pytest.mark.parametrize("what", ["backend", "config", "jobs"])
def test_a_plan_of_a_single_job_is_refused_if_a_query_fails(world: SweptWorld, what: str) -> None:
    """The failed query is that of cc-backend, of Slurm's configuration or of the job's record."""
    world.backend.silent = what == "backend"
    world.slurm.silent = what == "jobs"
    world.slurm.failures = {"config": GONE} if what == "config" else {}

    plan = world.plan(1).decision.plan

    assert plan.is_refused
    assert plan.changes == ()


def test_a_job_that_no_source_knows_is_an_error(world: SweptWorld) -> None:
    """A job id that only the spool has is no error."""
    with pytest.raises(UsageError, match="job 99 is unknown"):
        world.plan(1, 99)
    world.world.hook("stop", 99)

    assert world.plan(1, 99).decision.plan.changes == ()
