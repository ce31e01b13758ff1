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
def test_a_token_that_expires_soon_is_reported(exp: Any, verdict: CheckStatus, text: str) -> None:
    """The warning begins two weeks before the token expires."""
    found = check_token(parse_token(jwt(exp)), NOON)
    assert (verdict, text) == (found.status, found.text)


def test_problems_are_critical_unless_our_user_has_no_access() -> None:
    """A monitoring user that cannot read the token gets UNKNOWN, the service user CRITICAL."""
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
    ("warnings", "strict", "reported"),
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
def test_warnings_change_the_status_only_in_strict_mode(
    warnings: list[str],
    *,
    strict: bool,
    reported: list[tuple[CheckStatus, str]],
) -> None:
    """Without strict mode, warnings are counted in an OK result and raise no alarm."""
    found = check_config_warnings("c.json", warnings, strict=strict)
    assert reported == [(result.status, result.text) for result in found]
