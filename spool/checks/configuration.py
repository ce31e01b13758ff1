"""Check the configuration (its problems and warnings) and the token's expiry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ccbackend.token import Token
from spool.checks.result import CheckResult, CheckStatus, PerfData, finding, passed
from spool.errors import ACCESS_HINT, ConfigProblem
from spool.formatting import format_duration, pluralize

_WARNING_HINT = "docs/configuration.md describes the key"


def check_config_problems(
    problems: Iterable[ConfigProblem], *, as_service: bool
) -> Iterator[CheckResult]:
    """Yield a result for each problem.

    A file that we may not read is only *unknown*, unless we run as the service (`as_service`),
    which must be able to read it.
    """
    for problem in problems:
        if problem.is_denied and not as_service:
            status, hint = CheckStatus.UNKNOWN, ACCESS_HINT
        else:
            status, hint = CheckStatus.CRITICAL, problem.hint
        yield finding(status, "configuration", f"{problem.path}: {problem.problem}", hint)


def check_config_warnings(
    path: str, warnings: Iterable[str], *, strict: bool
) -> Iterator[CheckResult]:
    """Yield the result of a configuration without problems.

    `strict` makes each warning a result of its own: warnings should be read before jobs are
    reported, but must not raise an alarm later.
    """
    found = tuple(warnings)
    if strict:
        for warning in found:
            yield finding(CheckStatus.WARNING, "configuration", warning, _WARNING_HINT)
    if not (strict and found):
        note = f", {pluralize(len(found), 'warning')}: see `cc-spool check --full`" if found else ""
        yield passed("configuration", f"{path} has no problems{note}")


WARNING_SECONDS = 14 * 86400.0
_RENEW_HINT = (
    "create a new token on cc-backend and write it to the token file; no restart is needed"
)


def check_token(token: Token, now: float) -> CheckResult:
    """Return the result for the token's remaining lifetime. `now` is Unix seconds."""
    at = token.expires_at
    if at is None or not abs(at) < float("inf"):  # infinite, or not a number
        return passed("token", "has no expiry date")
    left = at - now
    figure = PerfData(
        label="token_left",
        value=left,
        unit="s",
        warning=WARNING_SECONDS,
        critical=0,
        lower_is_worse=True,
    )
    if token.expired(now):
        return finding(
            CheckStatus.CRITICAL,
            "token",
            f"expired {format_duration(-left)} ago",
            _RENEW_HINT,
            figure,
        )
    if left < WARNING_SECONDS:
        return finding(
            CheckStatus.WARNING, "token", f"expires in {format_duration(left)}", _RENEW_HINT, figure
        )
    return passed("token", f"expires in {format_duration(left)}", figure)
