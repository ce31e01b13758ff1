"""The errors of queries to Slurm, and the answer *unknown job*, which is not an error.

`SlurmError` says *the answer is unknown*; it never means "no jobs". `UnknownJob` says the
opposite: the controller has answered, and it does not have the job.
"""

from __future__ import annotations

from enum import StrEnum

EXCERPT_LENGTH = 200


class FailureReason(StrEnum):
    """The reason why an answer of Slurm is unknown; callers choose their reaction by it."""

    NOT_STARTED = "not_started"  # the command could not be executed
    CANCELLED = "cancelled"  # we stopped it ourselves
    TIMEOUT = "timeout"  # it took too long and was killed
    TOO_LARGE = "too_large"  # more output than agreed
    FAILED = "failed"  # exit status or a message on stderr
    UNREACHABLE = "unreachable"  # controller or accounting daemon does not answer
    DENIED = "denied"  # our account lacks the right
    INCOMPLETE = "cut"  # the answer is truncated
    MALFORMED = "malformed"  # the answer is not what this command prints
    ERRORS_IN_ANSWER = "reported"  # the answer is well-formed and carries errors
    WRONG_CLUSTER = "wrong_cluster"  # the answer of another cluster
    NO_JSON = "no_json"  # this Slurm cannot write JSON, or not in the form we asked for


class SlurmError(Exception):
    """The answer of Slurm is unknown: the query failed or its output cannot be used.

    Attributes:
        reason: why.
        stderr: the beginning of its error output, printable ASCII only.
        hint: what an administrator can do, or "".
    """

    def __init__(
        self,
        message: str,
        *,
        reason: FailureReason,
        stderr: bytes = b"",
        hint: str = "",
    ) -> None:
        self.reason = reason
        self.stderr = excerpt(stderr.decode("utf-8", "replace"))
        self.hint = hint
        said = f": {self.stderr}" if self.stderr else ""
        super().__init__(f"{message}{said}")


def wrong_cluster(command: str, other: str, cluster: str) -> SlurmError:
    """Return the error of a command that answered for another cluster."""
    return SlurmError(
        f"{command} answered for cluster {excerpt(other)!r}, not {cluster!r}",
        reason=FailureReason.WRONG_CLUSTER,
        hint="check which slurm.conf Slurm's commands read (key slurm.conf)",
    )


class UnknownJob(Exception):  # noqa: N818 - an answer, not an error
    """The answer of the controller that it does not know a job id that was asked for."""

    def __init__(self) -> None:
        super().__init__("slurmctld does not know the job")


def excerpt(text: str) -> str:
    r"""Return text fit for a log line: printable ASCII, the rest as \xNN, 200 characters."""
    safe = text.strip().encode("unicode_escape").decode("ascii")
    return safe if len(safe) <= EXCERPT_LENGTH else f"{safe[: EXCERPT_LENGTH - 3]}..."


def shown(line: bytes) -> str:
    """Return a line of output fit for a message, in quotes."""
    return repr(excerpt(line.decode("utf-8", "replace")))
