"""Errors that some caller treats differently; everything else is a bug and ends in a traceback."""

from __future__ import annotations

from dataclasses import dataclass

from spool.escaping import escape


class CcSyncError(Exception):
    """Root of the errors that a command turns into one line and an exit code."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing wrong with the configuration: the key's path, what is wrong, what to do."""

    path: str
    problem: str
    hint: str

    def __str__(self) -> str:
        return escape(f"{self.path}: {self.problem}; {self.hint}", 1000)


class ConfigError(CcSyncError):
    """A configuration that cannot be used: all `problems` of it, none of them holds a secret."""

    def __init__(self, path: str, problems: tuple[ConfigProblem, ...]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            "\n".join([f"{escape(path)}: {count}", *(f"  {each}" for each in problems)])
        )
        self.path = path
        self.problems = problems


class EventNameError(CcSyncError):
    """A name in `new/` that is no event: `reason` says why, for the dead letter."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class DeadLetterError(CcSyncError):
    """A dead letter or kept file that is not taken: `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class NewerFormatError(CcSyncError):
    """A file written by a later version of this program; it is left alone."""

    def __init__(self, name: str, version: int) -> None:
        super().__init__(f"{name}: format {version} is newer than this program; left alone")
        self.name = name
        self.version = version


class OutputError(CcSyncError):
    """The answer of a command could not be written to stdout."""


class RunFileError(CcSyncError):
    """A run file that cannot be understood: `reason` says why, for the dead letter."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class SpoolError(CcSyncError):
    """The spool or state directory cannot be used: `path`, what is wrong, what to do."""

    def __init__(self, path: str, problem: str, hint: str) -> None:
        super().__init__(f"{path}: {problem}; {hint}")
        self.path = path
        self.problem = problem
        self.hint = hint


class SpoolLockedError(CcSyncError):
    """Another process holds the lock; `holder` describes it."""

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(f"{path} is held by {holder}")
        self.path = path
        self.holder = holder
