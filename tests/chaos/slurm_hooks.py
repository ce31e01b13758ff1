"""Run the real hooks as slurmctld does: cleared environment, another directory, no input."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from chaos import site_facts
from chaos.job import Run

HOOKS = Path(__file__).resolve().parents[2] / "hooks"


def call_hook(name: str, run: Run, spool: Path, *, is_old: bool) -> None:
    """Run `prolog_slurmctld` or `epilog_slurmctld` for a run.

    Raises:
        AssertionError: the hook has failed, which would requeue the job.
    """
    variables = hook_environment(name, run, is_old=is_old) | {"CC_SLURM_SYNC_SPOOL": str(spool)}
    done = subprocess.run(
        [str(HOOKS / name)], env=variables, cwd="/", stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, f"{name} ended with {done.returncode}"


def move_event(event: Path, new: Path, now: float, pause: float) -> None:
    """Move an event into `new/`: complete, or like a hook that pauses after it opens the file."""
    if not pause:
        os.utime(event, (now, now))
        event.rename(new / event.name)
        return
    with (new / event.name).open("xb") as file:
        time.sleep(pause)
        file.write(event.read_bytes())
    event.unlink()


def hook_environment(name: str, run: Run, *, is_old: bool) -> dict[str, str]:
    """Return the variables that slurmctld sets for a hook; 22.05 sets no times."""
    is_end = name.startswith("epilog")
    end = run.end if run.end is not None else run.start + run.limit_minutes * 60
    found = {
        "SLURM_SCRIPT_CONTEXT": name,
        "SLURM_CLUSTER_NAME": site_facts.SLURM_CLUSTER,
        "SLURM_JOB_ID": str(run.job_id),
        "SLURM_JOB_NAME": run.name,
        "SLURM_JOB_PARTITION": run.partition,
        "SLURM_JOB_ACCOUNT": run.account,
        "SLURM_JOB_NODELIST": ",".join(run.nodes),
        "SLURM_JOB_USER": run.user,
        "SLURM_JOB_UID": str(run.uid),
        "SLURM_JOB_CPUS_PER_NODE": ",".join(
            str(len(cores) * site_facts.THREADS_PER_CORE) for cores in run.cores.values()
        ),
        "SLURM_JOB_RESTART_COUNT": "0",
    }
    if run.array:
        found |= {"SLURM_ARRAY_JOB_ID": str(run.array[0])}
        found |= {"SLURM_ARRAY_TASK_ID": str(run.array[1])}
    if is_end:
        found["SLURM_JOB_EXIT_CODE2"] = "1:0" if run.state == "FAILED" else "0:0"
    if not is_old:
        words = {"none": "NO", "user": "USER", "ok": "OK"}
        found |= {"SLURM_JOB_START_TIME": str(run.start), "SLURM_JOB_END_TIME": str(end)}
        found |= {"SLURM_JOB_OVERSUBSCRIBE": words[run.sharing]}
    return found
