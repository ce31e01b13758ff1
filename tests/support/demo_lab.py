"""A real Slurm cluster for `make demo-slurm`; it needs root and Debian's Slurm packages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from slurm_lab import Lab, Settings
from slurm_lab.jobs import ENDED
from slurm_lab.requirements import what_is_missing
from slurm_lab.wait import wait_until

HOOKS = Path(__file__).resolve().parents[2] / "hooks"
SCRIPT = 'until [ -s "end-$SLURM_JOB_ID" ]; do sleep 0.1; done; exit "$(cat "end-$SLURM_JOB_ID")"'


class RealCluster:
    """A cluster for the demo in a Slurm lab: a job runs until a file sets its exit code."""

    def __init__(self, lab: Lab) -> None:
        self.spool = lab.spool
        self._lab = lab
        self._users: dict[int, str] = {}

    def command(self, name: str) -> Path:
        """Return the path of a Slurm command (squeue, sacct, scontrol)."""
        return self._lab.command(name)

    def described(self) -> str:
        """Return which Slurm this is, for the output of the demo."""
        version = self._lab.run("squeue", "--version").stdout.strip()
        return f"a real cluster, {version}"

    def plan(self, name: str, *, gpus: int = 0, node: str = "", user: str = "alice") -> int:
        """Submit a job that does not start yet; return its id."""
        options = ["-H", "-n1", "-J", name, "-w", node or "n2cn001"]
        options += ["-p", "gpu" if "gpu" in node else "cpu"]
        options += [f"--gpus-per-node=a100:{gpus}"] if gpus else []
        job = self._lab.jobs.sbatch(*options, script=SCRIPT, user=user)
        self._users[job] = user
        return job

    def array(self, name: str, tasks: int) -> list[int]:
        """Start an array; return the ids of its tasks."""
        options = ["-n1", "-J", name, "-w", "n2cn002", f"--array=0-{tasks - 1}"]
        job = self._lab.jobs.sbatch(*options, script=SCRIPT)
        self._lab.jobs.wait_state(job, "RUNNING")
        asked = ("squeue", "-h", "-r", "-j", str(job), "-o", "%A")
        jobs = sorted(map(int, self._lab.run(*asked).stdout.split()))
        self._users |= dict.fromkeys(jobs, "alice")
        return jobs

    def start(self, job: int) -> None:
        """Start a planned job."""
        self._lab.jobs.control("release", job)
        self._lab.jobs.wait_state(job, "RUNNING")

    def end(self, job: int, *, exit_code: int = 0) -> None:
        """End a job."""
        home = self._lab.root / "home" / self._users[job]
        (home / f"end-{job}").write_text(f"{exit_code}\n")
        wait_until(lambda: self._state(job) in ENDED, f"job {job} to end")

    def requeue(self, job: int) -> None:
        """End a run and start the next run of the same job."""
        self._lab.jobs.control("requeue", job)
        self._lab.jobs.wait_state(job, "PENDING")
        self._lab.jobs.start_now(job)

    def _state(self, job: int) -> str:
        """Return the state of one job, also where its id is that of an array."""
        asked = ("squeue", "-h", "-a", "-r", "-t", "all", "-o", "%A %T", "-j", str(job))
        lines = self._lab.run(*asked, check=False).stdout.splitlines()
        return dict(line.split() for line in lines).get(str(job), "")


@contextlib.contextmanager
def real_cluster() -> Iterator[RealCluster]:
    """Yield a new cluster in its own namespaces; remove it afterwards.

    Raises:
        SystemExit: this machine cannot run a cluster.
    """
    missing = what_is_missing()
    if missing:
        raise SystemExit(f"no real Slurm here: {missing}")
    with Lab(Settings(hooks=HOOKS)) as lab:
        yield RealCluster(lab)
