"""Runs Slurm's commands with an environment of our own, and believes only good answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slurm.errors import FailureReason, SlurmError, UnknownJob
from slurm.process import CommandResult, Runner

TIMEOUT_SECONDS = 60.0
MAX_OUTPUT_BYTES = 1 << 20
MAX_LISTING_BYTES = 1 << 31
_UNKNOWN_JOB_ID = b"Invalid job id specified"
_UNREACHABLE = (b"Unable to contact slurm controller", b"Connection refused", b"not responding")
_NO_JSON = re.compile(rb"json|serializer|data_parser|openapi", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandPaths:
    """Absolute paths of Slurm's commands, and of slurm.conf where it is not the built-in one."""

    squeue: Path
    sacct: Path
    scontrol: Path
    conf: Path | None = None


class SlurmCommands:
    """One way to every command; nothing of our own environment reaches it.

    Times are epoch seconds, but for `scontrol show job`: of that text people are shown the whole
    and no time is read, so it has times as this host's users write them.
    """

    def __init__(self, paths: CommandPaths, runner: Runner) -> None:
        self.squeue = str(paths.squeue)
        self.sacct = str(paths.sacct)
        self.scontrol = str(paths.scontrol)
        self._runner = runner
        self._display_environment = {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C",
            "SLURM_JSON": "compact",
        }
        if paths.conf is not None:
            self._display_environment["SLURM_CONF"] = str(paths.conf)
        self._environment = self._display_environment | {"TZ": "UTC", "SLURM_TIME_FORMAT": "%s"}

    def run(
        self,
        argv: Sequence[str],
        *,
        limit_bytes: int = MAX_OUTPUT_BYTES,
        timeout_seconds: float = TIMEOUT_SECONDS,
        statuses: tuple[int, ...] = (0,),
        sink: Callable[[bytes], object] | None = None,
    ) -> CommandResult:
        """Return an answer that is good.

        Raises:
            UnknownJob: the controller says that it does not know the id.
            SlurmError: the answer is unknown.
        """
        answer = self.run_unchecked(
            argv, timeout_seconds=timeout_seconds, limit_bytes=limit_bytes, sink=sink
        )
        if _UNKNOWN_JOB_ID in answer.stderr:
            raise UnknownJob(0)
        if answer.status not in statuses or b"error" in answer.stderr:
            raise command_failure(answer)
        return answer

    def run_unchecked(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        limit_bytes: int = MAX_OUTPUT_BYTES,
        sink: Callable[[bytes], object] | None = None,
    ) -> CommandResult:
        """Return an answer, good or not.

        Raises:
            SlurmError: there is none.
        """
        is_for_display = list(argv[1:3]) == ["show", "job"]
        return self._runner(
            argv,
            environment=self._display_environment if is_for_display else self._environment,
            timeout_seconds=timeout_seconds,
            limit_bytes=limit_bytes,
            sink=sink,
        )


def is_unreachable(answer: CommandResult) -> bool:
    """Tell whether a command has said that the daemon does not answer."""
    return any(words in answer.stderr for words in _UNREACHABLE)


def command_failure(answer: CommandResult) -> SlurmError:
    """Return why an answer is not believed."""
    reason = FailureReason.UNREACHABLE if is_unreachable(answer) else FailureReason.FAILED
    wants_json = any(word.startswith("--json") for word in answer.argv)
    if wants_json and reason is FailureReason.FAILED and _NO_JSON.search(answer.stderr):
        reason = FailureReason.NO_JSON
    return SlurmError(
        f"{answer.argv[0]} ended with {answer.status}",
        reason=reason,
        command=answer.argv,
        status=answer.status,
        stderr=answer.stderr,
    )
