"""Errors of the spool: their texts and their attributes."""

from __future__ import annotations

import pytest

from spool.errors import (
    BadFileError,
    CcSyncError,
    ConfigError,
    ConfigProblem,
    NewerFormatError,
    SpoolError,
    SpoolLockedError,
)

PROBLEM = ConfigProblem(
    path="drain.requeue", problem="'maybe' is not known", hint="say replace or keep"
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BadFileError("1-x", "no event"), "1-x: no event"),
        (BadFileError("5-9.json", "not JSON"), "5-9.json: not JSON"),
        (
            NewerFormatError("2-x", 2),
            "2-x: written by a later version of this program (format 2); install that version",
        ),
        (SpoolError("/s", "is missing", "create it"), "/s: is missing; create it"),
        (SpoolLockedError("/l", "pid 7"), "the lock /l is held by pid 7"),
    ],
)
def test_an_error_is_one_line(error: CcSyncError, text: str) -> None:
    """The line names the file, directory or lock, and says what is wrong."""
    assert text == str(error)


def test_a_configuration_problem_names_key_problem_and_fix() -> None:
    """The order is key, problem and fix."""
    assert "drain.requeue: 'maybe' is not known; say replace or keep" == str(PROBLEM)


def test_control_characters_in_a_problem_are_escaped() -> None:
    """A value of the configuration may contain any character."""
    assert "\x1b" not in str(ConfigProblem(path="a", problem="\x1b[2J", hint="b"))


@pytest.mark.parametrize(
    ("problems", "head"), [((PROBLEM,), "c: 1 problem"), ((PROBLEM, PROBLEM), "c: 2 problems")]
)
def test_a_configuration_error_counts_its_problems(
    problems: tuple[ConfigProblem, ...], head: str
) -> None:
    """The first line of the error has the number, such as `2 problems`."""
    assert head == str(ConfigError("c", problems)).splitlines()[0]


def test_a_configuration_error_lists_every_problem() -> None:
    """Each problem is one line below the first line."""
    assert [f"  {PROBLEM}"] * 2 == str(ConfigError("c", (PROBLEM, PROBLEM))).splitlines()[1:]


def test_errors_have_the_attributes_that_a_handler_needs() -> None:
    """Path and reason are available without parsing the error's text."""
    bad, newer, spool = BadFileError("n", "r"), NewerFormatError("o", 3), SpoolError("p", "q", "h")
    locked, config = SpoolLockedError("t", "u"), ConfigError("c", (PROBLEM,))

    later = "written by a later version of this program (format 3); install that version"
    assert ("n", "r") == (bad.path, bad.reason)
    assert ("o", later) == (newer.path, newer.reason)
    assert "p" == spool.path
    assert ("t", "c", (PROBLEM,)) == (locked.path, config.path, config.problems)
