"""Hosts and clusters that cc-backend does not know: their runs wait, one probe per name and time.

An admin corrects cluster.json and everything follows; until then nobody else is delayed and the
alarm is one line per name.
"""

from __future__ import annotations

import logging

from spool.deliver.schedule import Schedule, ScheduleEntry
from spool.escaping import escape

RETRY_SECONDS = 3600.0
_log = logging.getLogger(__name__)


class UnknownNames:
    """The names of one kind that cc-backend refused; times are Unix seconds."""

    def __init__(self, kind: str, *, seconds: float = RETRY_SECONDS) -> None:
        self._kind = kind
        self._seconds = seconds
        self._until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def defers(self, entry: ScheduleEntry, name: str, schedule: Schedule, now: float) -> bool:
        """Tell whether a run in flight must wait for a name; it is put back then, in memory."""
        until = self._until.get(name, 0.0)
        if until <= now:
            return False
        entry.in_flight = None
        entry.not_before = until
        entry.waits_for = f"{self._kind} {name}"
        schedule.reschedule(entry.job_id, now)
        return True

    def mark_unknown(self, entry: ScheduleEntry, name: str, message: str, now: float) -> None:
        """Note a refusal."""
        if name not in self._until:
            what = f"{self._kind} {escape(name)}"
            _log.error("cc-backend does not know %s: %s", what, escape(message))
        self._until[name] = now + self._seconds
        entry.waits_for = f"{self._kind} {name}"

    def mark_known(self, name: str, schedule: Schedule, now: float) -> None:
        """Let all runs go that wait for a name that is known now."""
        if self._until.pop(name, None) is None:
            return
        for entry in schedule:
            if entry.waits_for == f"{self._kind} {name}":
                entry.waits_for, entry.not_before = "", 0.0
                schedule.reschedule(entry.job_id, now)
