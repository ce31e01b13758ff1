"""Runs Slurm's commands with a fixed environment, and accepts only complete answers.

An answer is accepted if the command exits with 0, printed output of its own form, and does not say
that its query failed. Other error lines on stderr do not make it wrong: they are remembered, logged
and shown. An empty output next to such lines is accepted only if every command prints these lines.
"""

from __future__ import annotations

import logging
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from slurm.error_lines import ErrorLines, decisive_lines, error_lines, says_query_failed
from slurm.errors import FailureReason, SlurmError, UnknownJob
from slurm.light_dataclass import light_dataclass
from slurm.process import CommandResult, Runner

TIMEOUT_SECONDS = 60.0
MAX_OUTPUT_BYTES = 1 << 20
MAX_LISTING_BYTES = 1 << 31
_UNKNOWN_JOB_ID = b"Invalid job id specified"
_UNREACHABLE = (b"Unable to contact slurm controller", b"Connection refused", b"not responding")
_NO_JSON = re.compile(rb"json|serializer|data_parser|openapi", re.IGNORECASE)
_SIGNAL_STATUS = 128  # a shell's exit status is 128 + N where signal N ended the command

T = TypeVar("T")
_log = logging.getLogger(__name__)


@light_dataclass
class CommandPaths:
    """Absolute paths of Slurm's commands, and of slurm.conf where it is not the built-in one."""

    squeue: Path
    sacct: Path
    scontrol: Path
    conf: Path | None = None


class SlurmCommands:
    """The runner of Slurm's commands; they get a fixed environment, not that of this process.

    Times are epoch seconds. Only the text of `scontrol show job` that is shown to people has local
    times in the format of this host's users.
    """

    def __init__(
        self,
        paths: CommandPaths,
        runner: Runner,
        *,
        clock: Callable[[], float] = time.monotonic,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.squeue = str(paths.squeue)
        self.sacct = str(paths.sacct)
        self.scontrol = str(paths.scontrol)
        self.timeout_seconds = timeout_seconds
        self.error_lines = ErrorLines(clock)
        self._runner = runner
        self._clock = clock
        self._display_environment = {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C",
            "SLURM_JSON": "compact",
        }
        if paths.conf is not None:
            self._display_environment["SLURM_CONF"] = str(paths.conf)
        self._environment = self._display_environment | {"TZ": "UTC", "SLURM_TIME_FORMAT": "%s"}

    def show_nodes_argv(self) -> list[str]:
        """Return the command that prints all nodes."""
        # `-a`: also nodes that are only in hidden partitions
        return [self.scontrol, "-a", "show", "node"]

    def show_job_argv(self, job_id: str, *, with_detail: bool) -> list[str]:
        """Return the command that prints a job or the tasks of an array (`5_1`).

        `with_detail`: also its cores and GRES on each node.
        """
        # `--local`: with `FederationParameters=fed_display` scontrol would ask the siblings, too.
        detail = ["-d"] if with_detail else []
        return [self.scontrol, "show", "job", job_id, *detail, "--local"]

    def read(
        self,
        argv: Sequence[str],
        parse: Callable[[bytes], T],
        *,
        limit_bytes: int = MAX_OUTPUT_BYTES,
        timeout_seconds: float | None = None,
        for_display: bool = False,
    ) -> T:
        """Run a command and return what `parse` makes of it; `for_display`: see `run_unchecked`.

        Raises:
            UnknownJob: the controller says that it does not know the id.
            SlurmError: the answer is unknown; the message contains the text of stderr.
        """
        answer = self.run_unchecked(
            argv,
            timeout_seconds=timeout_seconds,
            limit_bytes=limit_bytes,
            for_display=for_display,
        )
        self._check(answer, (0,), is_empty=not answer.stdout)
        try:
            found = parse(unix_lines(answer.stdout))
        except SlurmError as error:
            lines = "; ".join(error_lines(answer.stderr)).encode()
            raise SlurmError(
                str(error),
                reason=error.reason,
                stderr=lines,
            ) from error
        self.error_lines.record(answer.argv[0], answer.stderr)
        return found

    def run(
        self,
        argv: Sequence[str],
        *,
        limit_bytes: int = MAX_OUTPUT_BYTES,
        timeout_seconds: float | None = None,
        statuses: tuple[int, ...] = (0,),
        sink: Callable[[bytes], object] | None = None,
    ) -> CommandResult:
        """Run a command and return its accepted answer; a sink's caller checks that it is complete.

        Raises:
            UnknownJob: the controller says that it does not know the id.
            SlurmError: the answer is unknown.
        """
        has_printed = False

        def pass_on(piece: bytes, sink: Callable[[bytes], object]) -> None:
            nonlocal has_printed
            has_printed = has_printed or bool(piece)
            sink(piece)

        answer = self.run_unchecked(
            argv,
            timeout_seconds=timeout_seconds,
            limit_bytes=limit_bytes,
            sink=None if sink is None else partial(pass_on, sink=sink),
        )
        self._check(answer, statuses, is_empty=not (has_printed or answer.stdout))
        self.error_lines.record(answer.argv[0], answer.stderr)
        return replace(answer, stdout=unix_lines(answer.stdout))

    def run_unchecked(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float | None = None,
        limit_bytes: int = MAX_OUTPUT_BYTES,
        sink: Callable[[bytes], object] | None = None,
        for_display: bool = False,
    ) -> CommandResult:
        """Run a command and return its answer, good or not; `for_display`: with local times.

        Raises:
            SlurmError: the command could not be started, took too long or printed too much.
        """
        began = self._clock()
        answer = self._runner(
            argv,
            environment=self._display_environment if for_display else self._environment,
            timeout_seconds=self.timeout_seconds if timeout_seconds is None else timeout_seconds,
            limit_bytes=limit_bytes,
            sink=sink,
        )
        text = "%s: exit status %d after %.2f s"
        _log.debug(text, " ".join(argv), answer.status, self._clock() - began)
        return answer

    def _check(self, answer: CommandResult, statuses: tuple[int, ...], *, is_empty: bool) -> None:
        """Raise `SlurmError` or `UnknownJob` for an answer that must not be used."""
        has_failed = answer.status not in statuses
        if _UNKNOWN_JOB_ID in answer.stderr and (has_failed or is_empty):
            raise UnknownJob
        if has_failed or says_query_failed(answer.stderr):
            raise command_failure(answer, self.error_lines.unknown(answer.stderr))
        if not error_lines(answer.stderr):
            return
        if answer.stdout and not answer.stdout.endswith(b"\n"):
            raise SlurmError(
                f"the output of {answer.argv[0]} is truncated",
                reason=FailureReason.INCOMPLETE,
                stderr=answer.stderr,
            )
        if is_empty and not self._is_harmless(answer):
            raise command_failure(answer, self.error_lines.unknown(answer.stderr))

    def _is_harmless(self, answer: CommandResult) -> bool:
        """Return whether all error lines are known as harmless, or `--version` prints them, too."""
        if not self.error_lines.unknown(answer.stderr):
            return True
        plain = self.run_unchecked([answer.argv[0], "--version"])
        if plain.status == 0 and plain.stdout:
            self.error_lines.learn(plain.stderr)
        return not self.error_lines.unknown(answer.stderr)


def unix_lines(stdout: bytes) -> bytes:
    """Return an answer that came through a pseudo-terminal (`ssh -t`) without carriage returns."""
    is_from_terminal = stdout.partition(b"\n")[0].endswith(b"\r")
    return stdout.replace(b"\r\n", b"\n") if is_from_terminal else stdout


def is_unreachable(answer: CommandResult) -> bool:
    """Return whether a command has said that the daemon does not answer."""
    return any(words in answer.stderr for words in _UNREACHABLE)


def command_failure(answer: CommandResult, unknown: Sequence[str] = ()) -> SlurmError:
    """Return the error for a refused answer; `unknown`: error lines not known to be harmless."""
    reason = FailureReason.UNREACHABLE if is_unreachable(answer) else FailureReason.FAILED
    wants_json = any(word.startswith("--json") for word in answer.argv)
    if wants_json and reason is FailureReason.FAILED and _NO_JSON.search(answer.stderr):
        reason = FailureReason.NO_JSON
    said = decisive_lines(answer.stderr, unknown) or answer.stdout.strip().partition(b"\n")[0]
    return SlurmError(
        f"{answer.argv[0]} exited with {answer.status}{_signal_name(answer.status)}",
        reason=reason,
        stderr=said,
    )


def _signal_name(status: int) -> str:
    """Return which signal ended a command, in brackets; "" if none did."""
    number = -status if status < 0 else status - _SIGNAL_STATUS
    known = {each.value for each in signal.Signals}
    return f" ({signal.Signals(number).name})" if number in known else ""
