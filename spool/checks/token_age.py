"""The token's expiry, read from its claims without verification; never the token itself."""

from __future__ import annotations

import math

from ccbackend.token import Token
from spool.checks.result import Figure, Result, Verdict, ago, bad, good

WARNING_SECONDS = 14 * 86400.0
_NEW = "make a new one on the server and put it into the token file; no restart is needed"


def check_token(token: Token, now: float) -> Result:
    """Return the verdict on how long the token is still good. `now` is Unix seconds."""
    at = token.expires_at
    if at is None or not math.isfinite(at):
        return good("token", "has no date of expiry")
    left = at - now
    figure = Figure(
        label="token_left",
        value=left,
        unit="s",
        warning=WARNING_SECONDS,
        critical=0,
        falling=True,
    )
    if token.expired(now):
        return bad(Verdict.CRITICAL, "token", f"expired {ago(-left)} ago", _NEW, figure)
    if left < WARNING_SECONDS:
        return bad(Verdict.WARNING, "token", f"expires in {ago(left)}", _NEW, figure)
    return good("token", f"expires in {ago(left)}", figure)
