"""The lab: a real cluster that does what the tests request."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_lab import Lab, Settings, require_slurm

HOOKS = Path(__file__).resolve().parent.parent / "hooks"
FOR_EVER = "sleep 600"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Run one cluster with accounting and our hooks for all tests of this module."""
    require_slurm()
    with Lab(Settings(hooks=HOOKS)) as cluster:
        yield cluster


def events(lab: Lab, job: int) -> list[str]:
    """Return the kinds of the events of a job id in the order of their times."""
    found = sorted((lab.spool / "new").glob(f"1-*-{job}-*"), key=lambda path: path.stat().st_mtime)
    return [path.name.split("-")[1] for path in found]


def extras(lab: Lab, kind: str, job: int) -> dict[str, str]:
    """Return the contents of the only event of a kind and job id."""
    (path,) = (lab.spool / "new").glob(f"1-{kind}-{job}-*")
    *lines, end = path.read_text().splitlines()
    assert end == "end"
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.slurm
def test_a_batch_job_leaves_a_start_and_a_stop_event(lab: Lab) -> None:
    """A job that runs and ends leaves one event of each kind, and accounting has the run."""
    job = lab.jobs.sbatch("-N2", script="exit 3", user="bob")
    lab.jobs.wait_ended(job)
    lab.jobs.wait_accounted(job)

    assert events(lab, job) == ["start", "stop"]
    assert extras(lab, "start", job)["user"] == "bob"
    assert extras(lab, "stop", job)["exit_code"] == "3:0"
    assert lab.jobs.accounted(job, "State", "Account", "NNodes") == [("FAILED", "k2000", "2")]


@pytest.mark.slurm
def test_an_srun_job_leaves_a_start_and_a_stop_event(lab: Lab) -> None:
    """The hooks also run for a job of srun; the job runs as its user."""
    done = lab.run("srun", "sh", "-c", "id -un; echo $SLURM_JOB_ID", user="alice")
    user, job = done.stdout.split()
    lab.jobs.wait_ended(job)

    assert user == "alice"
    assert events(lab, int(job)) == ["start", "stop"]


@pytest.mark.slurm
def test_array_leaves_events_for_each_task(lab: Lab) -> None:
    """Each task has its own job id; the last task to start has the job id of the array."""
    job = lab.jobs.sbatch("--array=0-2")
    lab.jobs.wait_ended(job)

    ids = [job, job + 1, job + 2]
    assert [events(lab, task) for task in ids] == [["start", "stop"]] * 3
    assert [extras(lab, "start", task)["array_task_id"] for task in ids] == ["2", "0", "1"]
    assert {extras(lab, "stop", task)["array_job_id"] for task in ids} == {str(job)}


@pytest.mark.slurm
def test_het_job_leaves_events_for_each_component(lab: Lab) -> None:
    """Components have consecutive job ids; their events have the leader's id and an offset."""
    job = lab.jobs.sbatch("-n1", ":", "-n2", "-pgpu", "--gres=gpu:1")
    lab.jobs.wait_ended(job)

    assert [events(lab, part) for part in (job, job + 1)] == [["start", "stop"]] * 2
    assert extras(lab, "start", job + 1)["het_job_id"] == str(job)
    assert extras(lab, "start", job + 1)["het_job_offset"] == "1"


@pytest.mark.slurm
def test_requeue_leaves_events_for_each_run(lab: Lab) -> None:
    """Both runs of a requeued job leave a start and a stop event under one job id."""
    job = lab.jobs.sbatch(script=FOR_EVER)
    lab.jobs.wait_state(job, "RUNNING")
    lab.jobs.control("requeue", job)
    lab.jobs.wait_state(job, "PENDING")
    lab.jobs.start_now(job)
    lab.jobs.cancel(job)
    lab.jobs.wait_ended(job)
    lab.jobs.wait_accounted(job, runs=2)

    assert events(lab, job) == ["start", "stop", "start", "stop"]
    states = [state.split()[0] for (state,) in lab.jobs.accounted(job, "State")]
    assert states == ["REQUEUED", "CANCELLED"]


@pytest.mark.slurm
def test_job_cancelled_before_its_start_leaves_no_event(lab: Lab) -> None:
    """No hook runs for a pending job that is cancelled."""
    job = lab.jobs.sbatch("--hold")
    lab.jobs.wait_state(job, "PENDING")
    lab.jobs.cancel(job)
    lab.jobs.wait_ended(job)

    assert events(lab, job) == []


@pytest.mark.slurm
def test_suspended_job_leaves_no_further_event(lab: Lab) -> None:
    """Suspending and resuming a job leaves neither a start nor a stop event."""
    job = lab.jobs.sbatch(script=FOR_EVER)
    lab.jobs.wait_state(job, "RUNNING")
    lab.jobs.control("suspend", job)
    lab.jobs.wait_state(job, "SUSPENDED")
    lab.jobs.control("resume", job)
    lab.jobs.wait_state(job, "RUNNING")

    assert events(lab, job) == ["start"]
    lab.jobs.cancel(job)


@pytest.mark.slurm
def test_simulated_gpus_have_indices(lab: Lab) -> None:
    """`scontrol show job -d` shows the indices of simulated GPUs as it does for real GPUs."""
    job = lab.jobs.sbatch("-pgpu", "--gres=gpu:a100:2", "-c2", script=FOR_EVER)
    lab.jobs.wait_state(job, "RUNNING")
    shown = lab.run("scontrol", "show", "job", "-d", str(job)).stdout

    assert "GRES=gpu:a100:2(IDX:0-1)" in shown
    lab.jobs.cancel(job)


@pytest.mark.slurm
def test_a_node_can_fail_and_be_resumed(lab: Lab) -> None:
    """A job of the failed node ends as NODE_FAIL with a stop event; the node is resumed."""
    job = lab.jobs.sbatch("--no-requeue", "-w", "n2cn004", script=FOR_EVER)
    lab.jobs.wait_state(job, "RUNNING")
    lab.fail_node("n2cn004")
    lab.jobs.wait_state(job, "NODE_FAIL")
    lab.resume_node("n2cn004")
    lab.drain_node("n2cn003")
    lab.resume_node("n2cn003")
    lab.wait_idle()

    assert events(lab, job) == ["start", "stop"]


@pytest.mark.slurm
def test_job_survives_a_controller_restart(lab: Lab) -> None:
    """A crash and a restart of slurmctld do not end a running job; no event is repeated."""
    job = lab.jobs.sbatch(script=FOR_EVER)
    lab.jobs.wait_state(job, "RUNNING")
    lab.controller.restart()
    lab.controller.kill()
    lab.controller.start()

    lab.jobs.wait_state(job, "RUNNING")
    assert events(lab, job) == ["start"]
    lab.jobs.cancel(job)
    lab.jobs.wait_ended(job)


@pytest.mark.slurm
def test_accounting_catches_up_after_an_outage(lab: Lab) -> None:
    """When slurmdbd is back, sacct has the run that ended while slurmdbd was stopped."""
    lab.dbd.stop()
    done = lab.run("srun", "printenv", "SLURM_JOB_ID", user="alice")
    job = int(done.stdout)
    lab.jobs.wait_ended(job)
    assert lab.run("sacct", check=False).returncode != 0
    lab.dbd.start()
    lab.controller.restart()  # without a restart it would retry after 20 s
    lab.jobs.wait_accounted(job)

    assert lab.jobs.accounted(job, "State") == [("COMPLETED",)]


@pytest.mark.slurm
def test_slurm_commands_work_outside_the_namespaces(lab: Lab) -> None:
    """The lab's squeue works outside its namespaces, and batch scripts can be read there."""
    job = lab.jobs.sbatch("--hold", script="echo 4711")
    shown = subprocess.run(
        [lab.command("squeue"), "-h", "-j", str(job), "-o", "%u"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stdout.split() == ["alice"]
    (script,) = lab.state_save_location.glob(f"hash.*/job.{job}/script")
    assert "echo 4711" in script.read_text()
    lab.jobs.cancel(job)


@pytest.mark.slurm
def test_slurm_conf_can_be_changed(lab: Lab) -> None:
    """A line can be added to slurm.conf while the cluster runs."""
    lab.configure({"KillWait": "7"})

    assert "KillWait                = 7 sec" in lab.run("scontrol", "show", "config").stdout


@pytest.mark.slurm
def test_job_ids_begin_again_at_first_job_id() -> None:
    """The ids below MaxJobId=1006 are followed by FirstJobId=1000."""
    require_slurm()
    with Lab(Settings(accounting=False, options={"FirstJobId": "1004"})) as lab:
        ids = [lab.jobs.sbatch("--hold")]
        lab.configure({"FirstJobId": "1000", "MaxJobId": "1006"})
        lab.controller.restart()
        ids += [lab.jobs.sbatch("--hold") for _ in range(3)]

    assert ids == [1004, 1005, 1000, 1001]


@pytest.mark.slurm
def test_hooks_run_as_the_configured_slurm_user() -> None:
    """With SlurmUser=root the start event in new/ belongs to root."""
    require_slurm()
    with Lab(Settings(accounting=False, hooks=HOOKS, slurm_user="root")) as lab:
        lab.run("srun", "true", user="alice")
        (event,) = (lab.spool / "new").glob("1-start-*")

        assert event.owner() == "root"
