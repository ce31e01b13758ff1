"""Hosts that cc-backend does not know: their runs wait, one probe per name and hour.

An admin corrects cluster.json and everything follows; until then nobody else is delayed and the
alarm is one line per name.
"""

from __future__ import annotations

import logging

from spool.deliver.schedule import Entry, Schedule
from spool.text import escape

HOST_SECONDS = 3600.0
_log = logging.getLogger(__name__)


class UnknownHosts:
    """The first hosts that cc-backend refused; times are Unix seconds."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def blocked_until(self, host: str, now: float) -> float | None:
        """Return when a run of this host may be tried; None for at once."""
        until = self._until.get(host, 0.0)
        return until if until > now else None

    def refuse(self, host: str, words: str, now: float) -> None:
        """Note a refusal."""
        if host not in self._until:
            _log.error("cc-backend does not know host %s: %s", escape(host), escape(words))
        self._until[host] = now + HOST_SECONDS

    def accept(self, host: str, schedule: Schedule, now: float) -> None:
        """Let all runs of a host go that is known now."""
        if self._until.pop(host, None) is None:
            return
        for entry in schedule:
            if entry.host == host and entry.not_before > now:
                entry.not_before = 0.0
                schedule.touch(entry.job_id, now)


def postpone(entry: Entry, until: float, schedule: Schedule, now: float) -> None:
    """Put a run back that may not be told yet; in memory alone."""
    entry.in_flight = None
    entry.not_before = until
    schedule.touch(entry.job_id, now)
