"""Hosts and clusters that cc-backend does not have: their runs wait, one is tried per minute.

After an administrator has corrected cluster.json or `host_map`, all of them are sent. Until then
other runs are not delayed, and one line per name is logged.
"""

from __future__ import annotations

import logging

from spool.deliver.pending_run import PendingRun
from spool.deliver.schedule import Schedule
from spool.escaping import escape

# cc-backend looks up only the first host of a start and reads cluster.json at its start: an
# administrator has to edit it and to restart the server, so one try a minute is often enough.
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
        """Return the cause for which the runs of a name wait."""
        return f"{self._kind} {name} is unknown to cc-backend"

    def defers(self, entry: PendingRun, name: str, schedule: Schedule, now: float) -> bool:
        """Return whether a run in flight must wait for a name; if so, put it back in memory.

        One run a minute is let through as a trial; `take_try` records that it is sent.
        """
        # Without this, thousands of runs of one host that cc-backend does not know would each be
        # sent and rejected every minute.
        at = self._try_at.get(name)
        if at is None or at <= now:
            return False
        entry.in_flight = None
        self._park(entry, name)
        schedule.reschedule(entry.job_id, now)
        return True

    def take_try(self, name: str, now: float) -> None:
        """Record that a run of a name is sent: the others wait for its answer."""
        if name in self._try_at:
            self._try_at[name] = now + TRY_SECONDS

    def try_now(self, name: str, now: float) -> None:
        """Let the next run of a name through, because an administrator ran `retry`."""
        if name in self._try_at:
            self._try_at[name] = now

    def mark_unknown(self, entry: PendingRun, name: str, message: str, now: float) -> None:
        """Record a refusal; the run waits until the next try."""
        # One line for the name, not one for each of its runs.
        if name not in self._try_at:
            what = f"{self._kind} {escape(name)}"
            text = "cc-backend does not have %s; add it to its cluster.json, or use host_map: %s"
            _log.error(text, what, escape(message))
        self._try_at[name] = now + TRY_SECONDS
        self._park(entry, name)

    def _park(self, entry: PendingRun, name: str) -> None:
        """Let a run wait until the next try, which needs a newer topology: hosts may be new."""
        entry.retry_at, entry.waits_for, entry.stays_due = (
            self._try_at[name],
            self.cause(name),
            False,
        )
        entry.topology_wanted_at = 0.0

    def mark_known(self, name: str, schedule: Schedule, now: float) -> None:
        """Release all runs that wait for a name that is known now."""
        if self._try_at.pop(name, None) is not None:
            _release(schedule, {self.cause(name)}, now)

    def release_all(self, schedule: Schedule, now: float) -> None:
        """Release all runs, because the server's names or our configuration changed."""
        causes = {self.cause(name) for name in self._try_at}
        self._try_at.clear()
        if causes:
            _release(schedule, causes, now)


def _release(schedule: Schedule, causes: set[str], now: float) -> None:
    for entry in schedule:
        if entry.waits_for in causes:
            schedule.release(entry, now)
