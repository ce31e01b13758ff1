"""Exit codes and error messages of commands; only a bug has a traceback."""

from __future__ import annotations

import os

import pytest
from console_steps import ended, raising

from ccbackend.errors import TokenError
from slurm.errors import FailureReason, SlurmError
from spool import exit_codes
from spool.errors import BadFileError, ConfigError, ConfigProblem, SpoolError, SpoolLockedError


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            ConfigError("/c", (ConfigProblem(path="a.b", problem="bad", hint="mend"),)),
            78,
            "/c: 1 problem\n|  a.b: bad; m",
        ),
        (
            ConfigError(
                "/c", (ConfigProblem(path="a.b", problem="closed", hint="chmod", is_denied=True),)
            ),
            77,
            "/c: 1 problem\n|  a.b: closed; chmod",
        ),
        (
            ConfigError(
                "/c",
                (
                    ConfigProblem(path="a.b", problem="closed", hint="chmod", is_denied=True),
                    ConfigProblem(path="c", problem="bad", hint="mend"),
                ),
            ),
            78,
            "/c: 2 problems",
        ),
        (SpoolError("/s", "missing", "create it"), 78, "/s: missing; create it"),
        (SpoolLockedError("/l", "process 5"), 75, "the lock /l is held by process 5"),
        (SlurmError("squeue failed", reason=FailureReason.FAILED), 69, "squeue failed"),
        (TokenError("/t", "a link", "a file"), 77, "/t: a link; a file"),
        (PermissionError(13, "Permission denied", "/p"), 77, "/p: Permission denied"),
        (OSError(28, "No space left on device", "/f"), 75, "/f: No space left on device"),
        (OSError("odd"), 75, "odd"),
        (
            BadFileError("5-1.json", "odd"),
            1,
            (
                "internal error of cc-slurm-sync (BadFileError: 5-1.json: odd); please report it"
                " with the log"
            ),
        ),
        (
            KeyError("x"),
            1,
            "internal error of cc-slurm-sync (KeyError: 'x'); please report it with the log",
        ),
        (KeyboardInterrupt(), 75, "interrupted; no file is half-written"),
    ],
)
def test_every_error_has_a_message_and_an_exit_code(
    error: BaseException, code: int, words: str
) -> None:
    """For example, a wrong configuration exits with 78, a locked spool with 75, a bug with 1."""
    said = ended(raising(error))
    lines = [line.partition(": ")[2].partition(": ")[2] for line in said.err.splitlines()]

    assert code == said.code
    assert "\n|".join(lines).startswith(words)
    assert said.err.startswith("cc-test: ")


def test_a_permission_error_as_the_cause_sets_the_exit_code() -> None:
    """Without permission to open the spool a command exits with 77, not 78 (configuration)."""
    error = SpoolError("/s", "Permission denied", "become the service user")
    error.__cause__ = PermissionError(13, "Permission denied")

    assert 77 == exit_codes.exit_code_of(error)


def test_only_bugs_have_a_traceback() -> None:
    """A ValueError is a bug and has a traceback; an OSError is one line."""
    bug, error = ended(raising(ValueError("odd"))), ended(raising(OSError("odd")))

    assert "cc-test" not in bug.err.splitlines()[1]
    assert "Traceback (most recent call last):" in bug.err
    assert 1 == len(error.err.splitlines())


def test_the_commands_own_exit_code_is_kept() -> None:
    """A command that returns 11 exits with 11."""
    assert 11 == ended(lambda: 11).code


def test_commands_write_files_that_others_cannot_read() -> None:
    """A command runs with the umask 027, whatever umask the caller has."""
    seen: list[int] = []

    def work() -> int:
        seen.append(os.umask(0o027))
        return 0

    ended(work)

    assert [0o027] == seen
