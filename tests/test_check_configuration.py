"""Checks of the configuration and of the token's date of expiry."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from command_site import NOON

from ccbackend.token import parse_token
from spool.checks.configuration import check_config_problems, check_config_warnings, check_token
from spool.checks.result import CheckStatus
from spool.errors import ConfigProblem

DAY = 86400


def jwt(exp: Any) -> str:
    """Return a token with a date of expiry."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).decode().rstrip("=")
    return f"eyJh.{claims}.c2ln"


@pytest.mark.parametrize(
    ("exp", "verdict", "text"),
    [
        (NOON + 14 * DAY, CheckStatus.OK, "expires in 14d 00h"),
        (NOON + 14 * DAY - 1, CheckStatus.WARNING, "expires in 13d 23h"),
        (NOON + 1, CheckStatus.WARNING, "expires in 1s"),
        (NOON, CheckStatus.CRITICAL, "expired 0s ago"),
        (float("inf"), CheckStatus.OK, "has no expiry date"),
        ("soon", CheckStatus.OK, "has no expiry date"),
    ],
)
def test_token_is_told_in_time(exp: Any, verdict: CheckStatus, text: str) -> None:
    """Two weeks before its end somebody should know."""
    found = check_token(parse_token(jwt(exp)), NOON)
    assert (verdict, text) == (found.status, found.text)


def test_problems_are_critical_but_for_what_we_may_not_see() -> None:
    """A monitoring account that may not read the token says so, and is no alarm."""
    problems = [
        ConfigProblem(path="clustername", problem="missing", hint="write it"),
        ConfigProblem(
            path="cc-backend.token_file",
            problem="/t: cannot be opened",
            hint="chmod",
            is_denied=True,
        ),
    ]
    other = [*check_config_problems(problems, as_service=False)]
    assert [CheckStatus.CRITICAL, CheckStatus.UNKNOWN] == [result.status for result in other]
    service = [*check_config_problems(problems, as_service=True)]
    assert [CheckStatus.CRITICAL, CheckStatus.CRITICAL] == [result.status for result in service]
    assert "write it" == service[0].hint


@pytest.mark.parametrize(
    ("warnings", "strict", "told"),
    [
        ([], False, [(CheckStatus.OK, "c.json has no problems")]),
        ([], True, [(CheckStatus.OK, "c.json has no problems")]),
        (
            ["a: b"],
            False,
            [(CheckStatus.OK, "c.json has no problems, 1 warning: see `cc-spool check --full`")],
        ),
        (["a: b"], True, [(CheckStatus.WARNING, "a: b")]),
    ],
)
def test_warnings_count_before_jobs_flow(
    warnings: list[str],
    *,
    strict: bool,
    told: list[tuple[CheckStatus, str]],
) -> None:
    """Nobody is woken for them."""
    found = check_config_warnings("c.json", warnings, strict=strict)
    assert told == [(result.status, result.text) for result in found]
