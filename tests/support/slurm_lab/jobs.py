"""What users and operators do with jobs, and what Slurm says about them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Protocol

from slurm_lab.wait import wait_until

ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "TIMEOUT",
    }
)


class Run(Protocol):
    """A function that runs a command inside the cluster, see `Lab.run`."""

    def __call__(
        self, *argv: str, user: str = "root", stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and return what it printed."""


class Jobs:
    """Submits, changes and lists jobs; job ids are numbers or in Slurm's form (`7_3`)."""

    def __init__(self, run: Run) -> None:
        """Use `run` for every command."""
        self._run = run

    def sbatch(self, *options: str, script: str = "true", user: str = "alice") -> int:
        """Submit a batch job and return its id: the array's, the leader's of a het job.

        The option `:` separates the components of a het job.
        """
        text = f"#!/bin/sh\n{script}\n"
        done = self._run("sbatch", "--parsable", *options, user=user, stdin=text)
        return int(done.stdout.split(";")[0])

    def cancel(self, job: int | str, *options: str) -> None:
        """Cancel a job."""
        self._run("scancel", *options, str(job))

    def control(self, verb: str, job: int | str) -> None:
        """Run a verb of scontrol on a job: hold, release, requeue, suspend and so on."""
        self._run("scontrol", verb, str(job))

    def start_now(self, job: int | str) -> None:
        """Start a requeued job without its wait of two minutes; return when it has started.

        The controller may set the wait again while the epilogs of the ended run finish. A run
        fails if it begins in the second in which slurmd learned of the end of the run before: its
        credential counts as revoked too (`src/common/slurm_cred.c`).
        """
        self.wait_state(job, "PENDING")
        ended = int(time.time())
        wait_until(lambda: int(time.time()) > ended, "the next second")

        def started() -> bool:
            self._run("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)
            found = self.states(job)
            return bool(found) and set(found) <= {"RUNNING", *ENDED}

        wait_until(started, f"requeued job {job} to start", interval=0.2)

    def states(self, job: int | str) -> list[str]:
        """Return the state of each record that the controller has under an id."""
        asked = ("squeue", "-h", "-a", "-r", "-t", "all", "-o", "%T", "-j", str(job))
        return self._run(*asked, check=False).stdout.split()

    def wait_state(self, job: int | str, *states: str, timeout: float = 60) -> None:
        """Return when every record under an id is in one of some states (and there is one)."""
        self._wait(job, lambda found: set(found) <= set(states), " or ".join(states), timeout)

    def wait_ended(self, job: int | str, timeout: float = 60) -> None:
        """Return when every record under an id has ended, epilogs included."""
        self._wait(job, lambda found: set(found) <= ENDED, "ended", timeout)

    def accounted(self, job: int | str, *fields: str) -> list[tuple[str, ...]]:
        """Return the fields of all runs of a job from accounting, times as epoch seconds."""
        asked = ("sacct", "-n", "-P", "-X", "-D", "-a", "-j", str(job), "-o", ",".join(fields))
        lines = self._run("env", "SLURM_TIME_FORMAT=%s", *asked).stdout.splitlines()
        return [tuple(line.split("|")) for line in lines]

    def wait_accounted(self, job: int | str, runs: int = 1, timeout: float = 60) -> None:
        """Return when accounting has the end of so many runs of a job (it comes late)."""

        def known() -> bool:
            ends = [end for (end,) in self.accounted(job, "End")]
            return len(ends) == runs and all(end.isdigit() for end in ends)

        wait_until(known, f"accounting to have {runs} runs of {job}", timeout=timeout)

    def _wait(
        self, job: int | str, good: Callable[[list[str]], bool], what: str, timeout: float
    ) -> None:
        def reached() -> bool:
            found = self.states(job)
            return bool(found) and good(found)

        wait_until(reached, f"job {job} to be {what}", timeout=timeout, interval=0.05)
