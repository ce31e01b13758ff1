"""What waits in the drain, in words for `status` and `check`."""

from __future__ import annotations

from spool.files.drain_state import WaitingCause
from spool.formatting import format_age, format_time, pluralize

STUCK_SECONDS = 60.0


def waiting_line(cause: WaitingCause, now: float) -> str:
    """Return a line with a cause, the number of its runs, and since when they wait."""
    since = f" since {format_time(cause.since)}" if cause.since is not None else ""
    age = f" ({format_age(cause.since, now)})" if cause.since is not None else ""
    return f"{cause.cause}: {pluralize(cause.count, 'run')}{since}{age}"
