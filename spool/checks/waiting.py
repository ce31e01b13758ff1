"""Texts about the drain's state, for `status` and `check`."""

from __future__ import annotations

from spool.files.drain_state import DrainState, WaitingCause
from spool.formatting import format_age, format_time, pluralize

STUCK_SECONDS = 60.0
_HOUR_SECONDS = 3600.0


def waiting_line(cause: WaitingCause, now: float) -> str:
    """Return a line with a waiting cause, the number of its runs, and since when they wait."""
    since = f" since {format_time(cause.since)}" if cause.since is not None else ""
    age = f" ({format_age(cause.since, now)})" if cause.since is not None else ""
    return f"{cause.cause}: {pluralize(cause.count, 'run')}{since}{age}"


def server_text(state: DrainState) -> str:
    """Return cc-backend's version, and the name of its API field for node sharing, as text."""
    return f"version {state.server_version or 'unknown'}{dialect_text(state.server_dialect)}"


def dialect_text(dialect: str | None) -> str:
    """Return the name of the API field for node sharing, to append to a version; "" if unknown."""
    return f" (API field for node sharing: '{dialect}')" if dialect else ""


def recent_deliveries(state: DrainState, now: float) -> str:
    """Return the number of deliveries in the last hour or, if shorter, since the drain's start."""
    since = state.started or 0.0
    if now - since >= _HOUR_SECONDS:
        return f"{state.deliveries_last_hour} in the last hour"
    return f"{state.deliveries_last_hour} since the drain was started {format_age(since, now)} ago"
