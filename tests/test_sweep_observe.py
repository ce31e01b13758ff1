"""The queries of a sweep for the job lists of both sides, and the checks of the answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from faulty_slurm import COMMANDS, FaultySlurm, ListedRun
from orderly_world import GONE, over, world_in_order
from sweep_world import SweptWorld

from ccbackend.replies import BackendRow, JobList
from slurm.client import Slurm
from sweeper.values import Start


@pytest.fixture
def world(tmp_path: Path) -> SweptWorld:
    """Return a site in agreement: one job runs on both sides."""
    return world_in_order(tmp_path / "spool")


def test_without_differences_no_single_job_is_queried(world: SweptWorld) -> None:
    """The job lists of squeue and cc-backend and the ended runs of sacct are enough."""
    world.plan()

    assert world.slurm.asked == ["config", "queue_snapshot", "ended"]
    assert world.backend.lookups == 0


@pytest.mark.parametrize("what", ["config", "queue_snapshot", "ended", "accounting"])
def test_a_failed_slurm_query_changes_no_stored_state(world: SweptWorld, what: str) -> None:
    """The plan is refused; the stored time, the counts and the remembered runs stay."""
    over(world, 5)
    orphan = over(world, 6)
    world.world.backend.rows[orphan] = "running"
    world.slurm.failures = {what: GONE}
    before = world.state

    result = world.sweep()

    assert result.decision.plan.is_refused
    assert not [change for change in result.decision.plan.changes if not isinstance(change, Start)]
    assert world.state == before


def test_without_backend_look_ups_no_run_is_started(world: SweptWorld) -> None:
    """Two runs are not in cc-backend's job list; without an answer about them none is started."""
    over(world, 5)
    world.slurm.records[6] = world.world.job(6, start_time=int(world.world.now) - 7000)
    world.backend.silent = True

    plan = world.plan().decision.plan

    assert (plan.changes, [guard.name for guard in plan.guards]) == ((), ["listing"])


def test_a_configuring_job_is_neither_started_nor_ended(world: SweptWorld) -> None:
    """One CONFIGURING job is missing at cc-backend, another one is running there."""
    start = int(world.world.now) - 7000
    for job_id in (5, 6):
        world.slurm.records[job_id] = world.world.job(job_id, state="CONFIGURING", start_time=start)
    world.world.backend.rows[6, start] = "running"

    plan = world.plan().decision.plan

    assert (plan.changes, plan.reports) == ((), ())


def test_starts_that_differ_by_seconds_are_one_run(world: SweptWorld) -> None:
    """cc-backend's start is 4 s after Slurm's: no change is planned and no row is reported."""
    row = next(iter(world.world.backend.rows))
    world.world.backend.rows.pop(row)
    world.world.backend.rows[row[0], row[1] + 4] = "running"

    plan = world.plan().decision.plan

    assert (plan.changes, plan.reports) == ((), ())


def test_a_job_list_with_another_cluster_is_refused(world: SweptWorld) -> None:
    """One row of another cluster in cc-backend's answer is enough."""
    listing = world.backend.running_jobs("alex")
    row = BackendRow(5, "fritz", 1, "running", 50)
    world.backend.listing = JobList(listing.reply, (*(listing.rows or ()), row))

    plan = world.plan().decision.plan

    assert [guard.name for guard in plan.guards] == ["listing"]


@pytest.mark.parametrize("ids", [(), (70, 71)])
def test_jobs_of_another_slurm_are_not_reported(world: SweptWorld, ids: tuple[int, ...]) -> None:
    """Another cluster's slurm.conf was copied; the young job is not stored either."""
    world.sweep()
    for job_id, ago in ((70, 5000), (71, 60)):
        start = int(world.world.now) - ago
        world.slurm.records[job_id] = world.world.job(job_id, start_time=start)
    world.slurm.cluster = "fritz"
    before = world.state

    plan = world.sweep(*ids).decision.plan

    assert [guard.name for guard in plan.guards] == ["cluster"]
    assert (plan.changes, plan.first_sightings) == ((), ())
    assert (world.state, {key.job_id for key in world.rows()}) == (before, {1})


def test_a_restricted_user_plans_no_stops(world: SweptWorld) -> None:
    """A user who cannot see all jobs in Slurm gets shorter job lists, without an error."""
    world.sees_all_jobs = False
    orphan = over(world, 6)
    world.world.backend.rows[orphan] = "running"

    plan = world.plan().decision.plan

    assert (plan.changes, [guard.name for guard in plan.guards]) == ((), ["rights"])


def test_ten_thousand_job_ids_are_split_over_sacct_calls(tmp_path: Path) -> None:
    """The arguments of each call are below 100 kB, with the longest job ids."""
    slurm = FaultySlurm(now=1_767_225_600)
    ids = range(100_000_000_000, 100_000_010_000)
    slurm.runs = [
        ListedRun(i, 1_767_000_000, "FAILED", 1_767_000_100) for i in (*ids[:3], *ids[-3:])
    ]

    found = Slurm(COMMANDS, slurm).accounting(ids, since=1, until=2)

    assert len(found) == 6
    assert len(slurm.argv_bytes) >= 10
    assert max(slurm.argv_bytes) < 100_000
    assert tmp_path.exists()


@pytest.mark.parametrize(("listed", "nodes"), [("n[1-3]", ("n1", "n2", "n3")), ("n[3-1]", ())])
def test_a_node_list_of_squeue_becomes_single_nodes(
    world: SweptWorld, listed: str, nodes: tuple[str, ...]
) -> None:
    """An unreadable node list gives no nodes: the drain asks Slurm itself."""
    job = world.world.job(5, start_time=int(world.world.now) - 7000)
    world.slurm.records[5] = job
    world.slurm.listed_nodes = listed

    (change,) = world.plan().decision.plan.changes

    assert isinstance(change, Start)
    assert change.job.nodes == nodes
