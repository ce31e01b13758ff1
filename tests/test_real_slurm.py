"""Jobs on a real Slurm cluster, and the rows that cc-backend has in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_site import GPUS, RealSite
from slurm_lab import Lab, Settings, require_slurm
from stub_server import refusal

HOOKS = Path(__file__).resolve().parent.parent / "hooks"
pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Run one cluster whose controller forgets jobs after 20 s."""
    require_slurm()
    with Lab(Settings(hooks=HOOKS, options={"MinJobAge": "20"})) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=["1.4.4", "1.5.4"])
def site(
    lab: Lab, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealSite]:
    """Run a drain against a stub of either dialect."""
    root = tmp_path_factory.mktemp("site")
    with RealSite(lab, request.param, root) as running:
        yield running


def times_and_state(row: dict[str, Any]) -> tuple[int, int, str]:
    """Return what accounting must agree with."""
    return row["startTime"], row["stopTime"], row["jobState"].upper()


def test_a_batch_job_is_told_as_accounting_has_it(site: RealSite) -> None:
    """User, project, partition, node, threads, sharing, walltime and times."""
    job = site.lab.jobs.sbatch("-n2", "-t", "90", "-A", "k2000", script="sleep 1", user="alice")

    (row,) = site.wait_closed(job)
    site.lab.jobs.wait_accounted(job)

    sharing = {"exclusive": 0} if site.server.model.version == "1.4.4" else {"shared": "multi_user"}
    expected = {
        "jobId": job,
        "user": "alice",
        "project": "k2000",
        "cluster": "lab",
        "partition": "cpu",
        "numNodes": 1,
        "numHwthreads": 2,
        "walltime": 5400,
        "resources": [{"hostname": "n2cn001", "hwthreads": [0, 8]}],
        **sharing,
    }
    assert expected == {key: row[key] for key in expected}
    assert site.accounted(job) == [times_and_state(row)]
    assert (1, 1) == (site.accepted(job, "start_job"), site.accepted(job, "stop_job"))


def test_an_srun_is_a_job(site: RealSite) -> None:
    """Without a script, so none is sent."""
    done = site.lab.run("srun", "sh", "-c", "echo $SLURM_JOB_ID", user="bob")

    (row,) = site.wait_closed(int(done.stdout))

    assert ("bob", False) == (row["user"], "jobScript" in row["metaData"])


def test_every_task_of_an_array_is_a_job(site: RealSite) -> None:
    """Twenty tasks, each with its own id and the array's."""
    job = site.lab.jobs.sbatch("--array=0-19", script="sleep 0.2", user="alice")
    site.lab.jobs.wait_ended(job)
    ids = [int(i) for (i,) in site.lab.jobs.accounted(job, "JobIDRaw")]

    rows = site.wait_closed(*ids)

    assert {job} == {row["arrayJobId"] for row in rows}
    assert set(map(str, range(20))) == {row["metaData"]["arrayTaskId"] for row in rows}


def test_every_component_of_a_het_job_is_a_job(site: RealSite) -> None:
    """Linked by the leader's id."""
    job = site.lab.jobs.sbatch("-n1", ":", "-pgpu", "-n1", script="sleep 1", user="alice")

    rows = site.wait_closed(job, job + 1)

    assert [("0", "cpu"), ("1", "gpu")] == [
        (row["metaData"]["hetJobOffset"], row["partition"]) for row in rows
    ]


def test_a_job_of_two_nodes_keeps_their_order(site: RealSite) -> None:
    """Each node with its own threads."""
    job = site.lab.jobs.sbatch("-N2", "-n4", script="sleep 1", user="bob")

    (row,) = site.wait_closed(job)

    assert ["n2cn001", "n2cn002"] == [node["hostname"] for node in row["resources"]]
    assert all(node["hwthreads"] for node in row["resources"])


def test_gpus_are_told_by_address(site: RealSite) -> None:
    """Typed and untyped, on both nodes."""
    typed = site.lab.jobs.sbatch(
        "-pgpu", "-N2", "-n2", "--gpus-per-node=a100:2", script="sleep 1", user="alice"
    )
    untyped = site.lab.jobs.sbatch("-pgpu", "--gpus=1", script="sleep 1", user="bob")

    first, second = site.wait_closed(typed, untyped)

    assert [GPUS[:2], GPUS[:2]] == [node["accelerators"] for node in first["resources"]]
    assert (4, 1) == (first["numAcc"], second["numAcc"])
    assert 1 == len(second["resources"][0]["accelerators"])


def test_a_cancelled_job_is_cancelled(site: RealSite) -> None:
    """With accounting's end."""
    job = site.lab.jobs.sbatch(script="sleep 600", user="alice")
    site.wait_running(job)
    site.lab.jobs.cancel(job)

    (row,) = site.wait_closed(job)
    site.lab.jobs.wait_accounted(job)

    assert site.accounted(job) == [times_and_state(row)]
    assert "cancelled" == row["jobState"]


def test_a_failed_job_is_failed(site: RealSite) -> None:
    """By its exit code."""
    job = site.lab.jobs.sbatch(script="exit 3", user="alice")

    (row,) = site.wait_closed(job)

    assert "failed" == row["jobState"]


def test_a_suspended_job_runs_on(site: RealSite) -> None:
    """Nothing is told until its end."""
    job = site.lab.jobs.sbatch(script="sleep 2", user="alice")
    site.wait_running(job)
    site.lab.jobs.control("suspend", job)
    suspended = site.rows(job)[0]["jobState"]
    site.lab.jobs.control("resume", job)

    (row,) = site.wait_closed(job)

    assert ("running", "completed") == (suspended, row["jobState"])


def test_a_requeued_job_is_never_merged(site: RealSite) -> None:
    """The second run has its own row; the first one's is gone after it was closed."""
    job = site.lab.jobs.sbatch("--requeue", script="sleep 600", user="alice")
    (first,) = site.wait_running(job)
    site.lab.jobs.control("requeue", job)
    site.lab.jobs.start_now(job)
    site.wait_for(
        "the second run's row",
        lambda: [row["startTime"] for row in site.rows(job)] not in ([], [first["startTime"]]),
    )
    site.lab.jobs.cancel(job)

    (row,) = site.wait_closed(job)
    site.lab.jobs.wait_accounted(job, runs=2)

    assert row["startTime"] == site.accounted(job)[-1][0]
    assert (2, 2) == (site.accepted(job, "start_job"), site.accepted(job, "stop_job"))


def test_a_job_that_came_and_went_without_a_drain_is_told(site: RealSite) -> None:
    """Its events waited, and Slurm still knows it."""
    site.stop_drain()
    job = site.lab.jobs.sbatch("-n2", script="true", user="alice")
    site.lab.jobs.wait_ended(job)
    site.start_drain()

    (row,) = site.wait_closed(job)

    assert [{"hostname": "n2cn001", "hwthreads": [0, 8]}] == row["resources"]


def test_jobs_outlast_an_outage_longer_than_slurm_remembers(site: RealSite) -> None:
    """The server is away for longer than MinJobAge; every fact was kept."""
    site.server.model.everything = refusal(503, "away")
    jobs = [site.lab.jobs.sbatch("-n2", script="true", user="bob") for _ in range(5)]
    for job in jobs:
        site.lab.jobs.wait_ended(job)
    site.wait_for(
        "Slurm to forget",
        lambda: not any(site.lab.jobs.states(job) for job in jobs),
        timeout=180,
    )
    site.server.model.everything = None

    rows = site.wait_closed(*jobs, timeout=120)

    assert all(row["resources"][0]["hwthreads"] for row in rows)
    assert all("jobScript" in row["metaData"] for row in rows)


def test_a_restart_of_the_controller_changes_nothing(site: RealSite) -> None:
    """Jobs that run over it have one row."""
    job = site.lab.jobs.sbatch(script="sleep 8", user="alice")
    site.wait_running(job)
    site.lab.controller.restart()

    (row,) = site.wait_closed(job)

    assert "completed" == row["jobState"]
    assert 1 == site.accepted(job, "start_job")


def test_a_killed_drain_is_made_good_by_the_next(site: RealSite) -> None:
    """Jobs that start and end around its death have one closed row each."""
    jobs = []
    for _ in range(4):
        jobs.append(site.lab.jobs.sbatch(script="sleep 1", user="alice"))
        site.kill_drain()
        site.start_drain()

    rows = site.wait_closed(*jobs)

    assert ["completed"] * 4 == [row["jobState"] for row in rows]


def test_a_forged_name_tells_nothing_false(site: RealSite) -> None:
    """A name that looks like Slurm's own output is a name."""
    forged = (
        "x\n   JobState=FAILED Reason=None\n   UserId=bob(5002)\n   NodeList=n2cn004\n"
        "     Nodes=n2cn004 CPU_IDs=0-15 Mem=0 GRES=gpu:a100:4(IDX:0-3)\n\n"
        "JobId=1 JobName=y\n   UserId=bob(5002) GroupId=x(1)\n"
    )
    job = site.lab.jobs.sbatch("-J", forged, "--comment", forged, script="sleep 1", user="alice")

    (row,) = site.wait_closed(job)

    assert ("alice", "completed") == (row["user"], row["jobState"])
    assert [{"hostname": "n2cn001", "hwthreads": [0, 8]}] == row["resources"]
    assert [] == site.rows(1)


def test_the_spool_is_empty_in_the_end(site: RealSite) -> None:
    """Nothing waits and nothing is dead."""
    names = {
        directory: [path.name for path in (site.lab.spool / directory).iterdir()]
        for directory in ("new", "todo", "open", "dead")
    }

    assert {"new": [], "todo": [], "open": [], "dead": []} == names
