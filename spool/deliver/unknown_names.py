"""Hosts and clusters that cc-backend does not know: their runs wait, one try per name and minute.

An administrator corrects cluster.json or `host_map` and everything follows; until then nobody else
is delayed and the alarm is one line per name.
"""

from __future__ import annotations

import logging

from spool.deliver.pending_run import PendingRun
from spool.deliver.schedule import Schedule
from spool.escaping import escape

TRY_SECONDS = 50.0
_log = logging.getLogger(__name__)


class UnknownNames:
    """The names of one kind that cc-backend refused; times are of the monotonic clock."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._try_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._try_at)

    def cause(self, name: str) -> str:
        """Return what the runs of a name wait for."""
        return f"{self._kind} {name} is unknown to cc-backend"

    def defers(self, entry: PendingRun, name: str, schedule: Schedule, now: float) -> bool:
        """Return whether a run in flight must wait for a name; it is put back then, in memory.

        One run a minute is let through to find out; `take_try` says that it goes.
        """
        at = self._try_at.get(name)
        if at is None or at <= now:
            return False
        entry.in_flight = None
        entry.retry_at, entry.waits_for = at, self.cause(name)
        schedule.reschedule(entry.job_id, now)
        return True

    def take_try(self, name: str, now: float) -> None:
        """Note that a run of a name is sent: the others wait for its answer."""
        if name in self._try_at:
            self._try_at[name] = now + TRY_SECONDS

    def try_now(self, name: str, now: float) -> None:
        """Let the next run of a name through, as an administrator has asked."""
        if name in self._try_at:
            self._try_at[name] = now

    def mark_unknown(self, entry: PendingRun, name: str, message: str, now: float) -> None:
        """Note a refusal; the run waits until the next try."""
        if name not in self._try_at:
            what = f"{self._kind} {escape(name)}"
            _log.error("cc-backend does not know %s: %s", what, escape(message))
        self._try_at[name] = now + TRY_SECONDS
        entry.retry_at, entry.waits_for = self._try_at[name], self.cause(name)

    def mark_known(self, name: str, schedule: Schedule, now: float) -> None:
        """Let all runs go that wait for a name that is known now."""
        if self._try_at.pop(name, None) is not None:
            _release(schedule, {self.cause(name)}, now)

    def release_all(self, schedule: Schedule, now: float) -> None:
        """Let all runs go: the server's list of names or our configuration has changed."""
        causes = {self.cause(name) for name in self._try_at}
        self._try_at.clear()
        if causes:
            _release(schedule, causes, now)


def _release(schedule: Schedule, causes: set[str], now: float) -> None:
    for entry in schedule:
        if entry.waits_for in causes:
            schedule.release(entry, now)
