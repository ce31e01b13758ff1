"""Errors that some caller handles; any other exception is a bug and prints a traceback."""

from __future__ import annotations

from slurm.light_dataclass import light_dataclass
from slurm.type_names import TYPE_CHECKING
from spool.escaping import escape

if TYPE_CHECKING:
    from logging import Logger

ACCESS_HINT = "run the command as root or as the service user"


class CcSyncError(Exception):
    """The root of the errors that a command turns into one line and an exit code."""


@light_dataclass
class ConfigProblem:
    """One problem of the configuration: the key's path, the problem, and what to do.

    `is_denied`: the value is right, but a permission is missing or is given to too many users.
    """

    path: str
    problem: str
    hint: str
    is_denied: bool = False

    def __str__(self) -> str:
        return escape(f"{self.path}: {self.problem}; {self.hint}", 1000)


class ConfigError(CcSyncError):
    """A configuration that cannot be used: all its `problems`, without secrets."""

    def __init__(self, path: str, problems: tuple[ConfigProblem, ...]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            "\n".join([f"{escape(path)}: {count}", *(f"  {each}" for each in problems)])
        )
        self.path = path
        self.problems = problems
        self.is_denied = all(each.is_denied for each in problems)


class UnusableFileError(CcSyncError):
    """A file that cannot be used as it is: `path` and `reason`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class BadFileError(UnusableFileError):
    """A file, or a file name, that is not valid."""


class NewerFormatError(UnusableFileError):
    """A file written by a later version of this program; it is not touched."""

    def __init__(self, path: str, version: int) -> None:
        reason = f"written by a later version of this program (format {version}); install that"
        super().__init__(path, f"{reason} version")


class UsageError(CcSyncError):
    """What the operator asked for cannot be done; the text says why, and what to type."""


class OutputError(CcSyncError):
    """The result of a command could not be written to stdout."""


class SpoolError(CcSyncError):
    """The spool or state directory cannot be used: `path`, the problem, and what to do."""

    def __init__(self, path: str, problem: str, hint: str) -> None:
        super().__init__(f"{path}: {problem}; {hint}")
        self.path = path


class SpoolLockedError(CcSyncError):
    """Another process, the `holder`, holds the lock."""

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(f"the lock {path} is held by {holder}")
        self.path = path


def internal_error(error: Exception) -> str:
    """Return the text for an exception that no caller expects."""
    return (
        f"internal error of cc-slurm-sync ({type(error).__name__}); please report it with the log"
    )


def log_internal_error(log: Logger, error: Exception, what: str, *args: object) -> None:
    """Log an unexpected exception as an internal error.

    `what` is a %-format that says what failed, `args` are its values.
    """
    text = f"{what}, internal error of cc-slurm-sync (%r); please report it with the log"
    log.error(text, *args, error)
