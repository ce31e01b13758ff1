"""The hooks under a real slurmctld: a fault of the spool affects no job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_lab import Lab, Settings, require_slurm

HOOKS = Path(__file__).resolve().parent.parent / "hooks"
# Each fault -> the shell lines that break and repair something in the lab, where $root is the
# lab's directory, and the kinds of the events that must still be written.
FAULTS = {
    "nothing": ("true", "true", ["start", "stop"]),
    "spool missing": ("mv $root/spool $root/away", "mv $root/away $root/spool", []),
    "new missing": ("mv $root/spool/new $root/away", "mv $root/away $root/spool/new", []),
    "new not writable": ("chmod 0500 $root/spool/new", "chmod 2770 $root/spool/new", []),
    "new is a file": (
        "mv $root/spool/new $root/away; : >$root/spool/new",
        "rm $root/spool/new; mv $root/away $root/spool/new",
        [],
    ),
    "no space left": (
        (
            "mount -t tmpfs -o size=4k,mode=2777 tmpfs $root/spool/new;"
            " head -c 4096 /dev/zero >$root/spool/new/filler"
        ),
        (
            "cp --preserve=timestamps $root/spool/new/1-* $root/home; umount $root/spool/new;"
            " mv $root/home/1-* $root/spool/new"
        ),
        ["start", "stop"],  # the name alone is the event and needs no block
    ),
    "no inode left": (
        "mount -t tmpfs -o nr_inodes=1,mode=2777 tmpfs $root/spool/new",
        "umount $root/spool/new",
        [],
    ),
    "read-only": ("mount -t tmpfs -o ro tmpfs $root/spool/new", "umount $root/spool/new", []),
    "sourced file missing": (
        "mv $root/hooks/spool_event $root/away",
        "mv $root/away $root/hooks/spool_event",
        [],
    ),
    "sourced file cut": (
        "cp $root/hooks/spool_event $root/away; truncate -s 1500 $root/hooks/spool_event",
        "mv $root/away $root/hooks/spool_event",
        [],
    ),
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Run one cluster with our hooks and without accounting."""
    require_slurm()
    with Lab(Settings(accounting=False, hooks=HOOKS)) as cluster:
        yield cluster


def shell(lab: Lab, script: str) -> None:
    """Run shell lines in the lab as root, with the lab's directory in $root."""
    lab.run("sh", "-euc", f"root={lab.root}; {script}")


def events(lab: Lab, job: int) -> list[str]:
    """Return the kinds of the events of a job id."""
    return sorted(path.name.split("-")[1] for path in (lab.spool / "new").glob(f"1-*-{job}-*"))


@pytest.mark.slurm
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_jobs_complete_despite_a_fault_in_hooks_or_spool(lab: Lab, fault: str) -> None:
    """A batch job and an interactive one complete in their first run, without a requeue."""
    broken, repaired, expected = FAULTS[fault]
    shell(lab, broken)

    batch = lab.jobs.sbatch()
    interactive = int(lab.run("srun", "printenv", "SLURM_JOB_ID", user="bob").stdout)
    lab.jobs.wait_ended(batch)
    lab.jobs.wait_ended(interactive)

    shell(lab, repaired)
    for job in (batch, interactive):
        shown = lab.run("scontrol", "show", "job", str(job)).stdout
        assert "JobState=COMPLETED" in shown
        assert "Restarts=0" in shown
        assert events(lab, job) == expected


@pytest.mark.slurm
def test_a_failing_prolog_fails_the_job(lab: Lab) -> None:
    """The prolog exits with 1, so `srun` fails: tests with this Slurm can notice a failing hook."""
    prolog = lab.root / "hooks" / "prolog_slurmctld"
    ours = prolog.read_text()
    prolog.write_text("#!/bin/sh\nexit 1\n")

    job = lab.jobs.sbatch()
    lab.jobs.wait_state(job, "COMPLETING", "PENDING")
    done = lab.run("srun", "true", user="bob", check=False)

    prolog.write_text(ours)
    lab.jobs.cancel(job)
    assert done.returncode != 0
