"""Recorded commands that fail or hang, and the jobs that a client reads nevertheless."""

from __future__ import annotations

from collections.abc import Sequence

from recorded_commands import (
    RecordedCommands,
    described,
    ids_of,
)

from slurm.client import Slurm
from slurm.errors import FailureReason, SlurmError
from slurm.process import CommandResult

KILLED = CommandResult((), 139, b'{"jobs": [', b"Segmentation fault\n")


def hang(recorded: RecordedCommands, *words: str) -> list[float]:
    """Make the commands hang that have one of some words; return the list of all time limits."""
    limits: list[float] = []

    def alter(argv: Sequence[str], seconds: float, answer: CommandResult) -> CommandResult:
        limits.append(seconds)
        if any(word in argv for word in words):
            raise SlurmError("did not end", reason=FailureReason.TIMEOUT)
        return answer

    recorded.alter = alter
    return limits


def lines(recorded: RecordedCommands, words: str) -> list[str]:
    """Return the command lines so far that contain some words."""
    return [line for line in recorded.asked if words in line]


def facts(recorded: RecordedCommands, slurm: Slurm) -> list[str]:
    """Return all jobs of the moment in one line each."""
    found = slurm.jobs(ids_of(recorded))
    return [described(found[job_id]) for job_id in ids_of(recorded)]
