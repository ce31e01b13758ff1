"""Check the token's expiry from its claims, without verification; never show the token."""

from __future__ import annotations

import math

from ccbackend.token import Token
from spool.checks.result import CheckResult, CheckStatus, PerfData, finding, passed
from spool.formatting import format_duration

WARNING_SECONDS = 14 * 86400.0
_RENEW_HINT = "create a new one on cc-backend and write it to the token file; no restart is needed"


def check_token(token: Token, now: float) -> CheckResult:
    """Return the result for the token's remaining lifetime. `now` is Unix seconds."""
    at = token.expires_at
    if at is None or not math.isfinite(at):
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
