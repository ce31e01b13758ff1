"""Runs Slurm's commands with an environment of our own, and believes only good answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slurm.command import Answer, Runner
from slurm.errors import Problem, SlurmError, UnknownJob

TIMEOUT_SECONDS = 60.0
LIMIT_BYTES = 1 << 20
LISTING_BYTES = 1 << 31
_UNKNOWN_ID = b"Invalid job id specified"
_UNREACHABLE = (b"Unable to contact slurm controller", b"Connection refused", b"not responding")
_NO_JSON = re.compile(rb"json|serializer|data_parser|openapi", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Absolute paths of Slurm's commands, and of slurm.conf where it is not the built-in one."""

    squeue: Path
    sacct: Path
    scontrol: Path
    conf: Path | None = None


class Ask:
    """One way to every command; nothing of our own environment reaches it.

    Times are epoch seconds, but for `scontrol show job`: of that text people are shown the whole
    and no time is read, so it has times as this host's users write them.
    """

    def __init__(self, commands: Commands, runner: Runner) -> None:
        self.squeue = str(commands.squeue)
        self.sacct = str(commands.sacct)
        self.scontrol = str(commands.scontrol)
        self._runner = runner
        self._for_people = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "SLURM_JSON": "compact"}
        if commands.conf is not None:
            self._for_people["SLURM_CONF"] = str(commands.conf)
        self._environment = self._for_people | {"TZ": "UTC", "SLURM_TIME_FORMAT": "%s"}

    def __call__(
        self,
        argv: Sequence[str],
        *,
        limit_bytes: int = LIMIT_BYTES,
        timeout_seconds: float = TIMEOUT_SECONDS,
        statuses: tuple[int, ...] = (0,),
        sink: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """Return an answer that is good.

        Raises:
            UnknownJob: the controller says that it does not know the id.
            SlurmError: the answer is unknown.
        """
        answer = self.run(argv, timeout_seconds=timeout_seconds, limit_bytes=limit_bytes, sink=sink)
        if _UNKNOWN_ID in answer.stderr:
            raise UnknownJob(0)
        if answer.status not in statuses or b"error" in answer.stderr:
            raise failed(answer)
        return answer

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        limit_bytes: int = LIMIT_BYTES,
        sink: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """Return an answer, good or not.

        Raises:
            SlurmError: there is none.
        """
        is_for_people = list(argv[1:3]) == ["show", "job"]
        return self._runner(
            argv,
            environment=self._for_people if is_for_people else self._environment,
            timeout_seconds=timeout_seconds,
            limit_bytes=limit_bytes,
            sink=sink,
        )


def is_unreachable(answer: Answer) -> bool:
    """Tell whether a command has said that the daemon does not answer."""
    return any(words in answer.stderr for words in _UNREACHABLE)


def failed(answer: Answer) -> SlurmError:
    """Return why an answer is not believed."""
    kind = Problem.UNREACHABLE if is_unreachable(answer) else Problem.FAILED
    wants_json = any(word.startswith("--json") for word in answer.argv)
    if wants_json and kind is Problem.FAILED and _NO_JSON.search(answer.stderr):
        kind = Problem.NO_JSON
    return SlurmError(
        f"{answer.argv[0]} ended with {answer.status}",
        kind=kind,
        command=answer.argv,
        status=answer.status,
        stderr=answer.stderr,
    )
