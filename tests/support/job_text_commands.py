"""Fakes of the Slurm commands that print texts of jobs, and a reader that calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from spool.resolve.job_texts import MAX_DESCRIBED_JOBS, JobTexts, Texts, TextSettings

JOB = Job(job_id=815, user="ada", uid=1000, nodes=("n1", "n2"), state="RUNNING", start_time=5)
CROWD = [Job(job_id=i, nodes=("n1",), start_time=9) for i in range(1, MAX_DESCRIBED_JOBS + 2)]
ARRAY = [Job(job_id=812 + i, array_job_id=812, array_task_id=i, start_time=9) for i in range(5000)]


@dataclass
class Commands:
    """The Slurm commands that print texts of jobs; each takes `seconds`, up to its time limit."""

    problem: FailureReason | None = None
    seconds: float = 0.01
    location: Path | None = None
    time: float = 100.0
    asked: list[str] = field(default_factory=list)
    text: str | None = "#!/bin/sh\n"

    def script(self, job_id: int, *, timeout_seconds: float | None = None) -> str | None:
        """Return a script."""
        self._run(f"script {job_id}", timeout_seconds)
        return self.text

    def description(self, job_id: int, *, timeout_seconds: float | None = None) -> str | None:
        """Return a description."""
        self._run(f"description {job_id}", timeout_seconds)
        return f"JobId={job_id}"

    def config(self, *, timeout_seconds: float | None = None) -> Mapping[str, tuple[str, ...]]:
        """Return the setting that names the directory of job scripts."""
        self._run("config", timeout_seconds)
        return {} if self.location is None else {"StateSaveLocation": (str(self.location),)}

    def clock(self) -> float:
        """Return the current time, which each command advances by its duration."""
        return self.time

    def count(self, what: str) -> int:
        """Return how often a command was called."""
        return len([line for line in self.asked if line.startswith(what)])

    def _run(self, what: str, timeout_seconds: float | None) -> None:
        assert timeout_seconds is not None
        self.asked.append(what)
        self.time += min(self.seconds, timeout_seconds)
        if self.seconds > timeout_seconds:
            raise SlurmError("no end", reason=FailureReason.TIMEOUT)
        if self.problem is not None:
            raise SlurmError("no", reason=self.problem)


def texts(commands: Commands, **settings: Any) -> JobTexts:
    """Return a reader of job texts with some settings changed."""
    return JobTexts(commands, TextSettings(**settings))


def read(reader: JobTexts, commands: Commands, *jobs: Job, budget: float = 3.0) -> list[Texts]:
    """Return the texts of jobs, in their order."""
    found = reader.read(jobs, budget_seconds=budget, clock=commands.clock)
    return [found[job.job_id, job.start_time] for job in jobs]
