"""The lines with the word *error* that Slurm's commands write to stderr.

Many are harmless: a node definition with inconsistent counts, a library that asks twice. Then the
answer is complete, the exit status is 0, and every command of the site prints the line. Others say
that this query failed; up to 22.05 some commands exit with 0 nevertheless.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath

from slurm.errors import excerpt

LOG_AGAIN_SECONDS = 3600.0
MAX_LINES = 20
"""Lines kept of one command."""
_MAX_KNOWN = 1000
_QUERY_FAILED = re.compile(
    # slurm_perror(), with which a client ends: `slurm_load_jobs error: ...`; log lines begin with
    # the program's name (`src/api`, `src/common/log.c`, 21.08 ... 26.05)
    r"^slurm\w* error:|\bfatal: |Problem talking to the database|slurmdb_\w+ error",
    re.MULTILINE,
)
_UNREACHABLE = re.compile(
    r"Unable to contact slurm controller|Connection refused|not responding|timed out"
)
_PROGRAM = re.compile(r"^\w[\w.-]*: (?=error)")
_log = logging.getLogger(__name__)


def error_lines(stderr: bytes) -> tuple[str, ...]:
    """Return the lines of stderr that contain the word error, at most `MAX_LINES`."""
    lines = stderr.decode("utf-8", "replace").splitlines()
    return tuple(line.strip() for line in lines if "error" in line.lower())[:MAX_LINES]


def says_query_failed(stderr: bytes) -> bool:
    """Return whether a command has said that it got no answer to its own query."""
    return _QUERY_FAILED.search(stderr.decode("utf-8", "replace")) is not None


class ErrorLines:
    """The error lines on stderr of Slurm commands that gave a complete answer.

    `current` may be read by another thread.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._current: dict[str, tuple[str, ...]] = {}
        self._known: set[str] = set()
        self._logged_at: dict[str, float] = {}

    def record(self, command: str, stderr: bytes) -> None:
        """Record the error lines of a command whose answer was complete; log each new line."""
        lines = error_lines(stderr)
        name = PurePath(command).name
        if not lines:
            self._current.pop(name, None)
            return
        self._current[name] = tuple(excerpt(line) for line in lines)
        self.learn(stderr)
        for line in lines:
            self._log(line)

    def learn(self, stderr: bytes) -> None:
        """Remember the error lines in `stderr` as harmless, except those about the connection."""
        if len(self._known) > _MAX_KNOWN:
            self._known.clear()
        harmless = (line for line in error_lines(stderr) if not _UNREACHABLE.search(line))
        self._known.update(_pattern(line) for line in harmless)

    def unknown(self, stderr: bytes) -> tuple[str, ...]:
        """Return the error lines in `stderr` that are not remembered as harmless."""
        return tuple(line for line in error_lines(stderr) if _pattern(line) not in self._known)

    def current(self) -> tuple[str, ...]:
        """Return the error lines of each command's last complete answer; equal lines once."""
        return distinct_lines(line for found in tuple(self._current.values()) for line in found)

    def _log(self, line: str) -> None:
        now = self._clock()
        pattern = _pattern(line)
        if now - self._logged_at.get(pattern, float("-inf")) < LOG_AGAIN_SECONDS:
            return
        if len(self._logged_at) > _MAX_KNOWN:
            self._logged_at.clear()
        self._logged_at[pattern] = now
        _log.warning("Slurm answered, but also printed this error: %s", excerpt(line))


def distinct_lines(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the lines without duplicates; program names and numbers are not compared."""
    return tuple({_pattern(line): line for line in reversed([*lines])}.values())[::-1]


def decisive_lines(stderr: bytes, unknown: Sequence[str]) -> bytes:
    """Return the lines of `stderr` that say why an answer is refused, joined by `; `.

    These are failed queries, else `unknown` (error lines not known to be harmless), else all lines.
    """
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines()]
    failed = [line for line in lines if _QUERY_FAILED.search(line)]
    chosen = failed or list(unknown) or [line for line in lines if line]
    return "; ".join(chosen).encode()


def _pattern(line: str) -> str:
    """Return a line without the program's name and with all numbers replaced by one sign."""
    return re.sub(r"\d+", "#", _PROGRAM.sub("", line))
