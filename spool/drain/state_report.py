"""Collect the state of the drain from its parts into one `DrainState`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from itertools import islice

from spool import __version__
from spool.deliver.health_rules import Channel, Condition
from spool.deliver.pending_run import RequestKind
from spool.drain.loop import Drain, DrainParts
from spool.errors import UnusableFileError
from spool.files.codec import load_run
from spool.files.drain_state import (
    DrainState,
    HealthReport,
    UnreadableFile,
    WaitingCause,
)
from spool.files.layout import Directory, Layout
from spool.moment import Moment
from spool.resolve.event_scanner import MTIME_RESOLUTION_SECONDS

WAITING_SECONDS = 5.0
MAX_CAUSES = 20
MAX_UNREADABLE = 20
HOUR_SECONDS = 3600.0
MINUTE_SECONDS = 60.0
MAX_READ = 200  # files in one call: some 10 ms


class StateReport:
    """The collector of the drain's state; used only in the loop's thread."""

    def __init__(self, drain: Drain, parts: DrainParts, *, once: bool) -> None:
        self._drain = drain
        self._parts = parts
        self._once = once
        self._started = parts.clocks.now()
        self._waiting: tuple[WaitingCause, ...] = ()
        self._causes_since: dict[str, float] = {}
        self._waiting_at = float("-inf")
        self._minutes: deque[tuple[float, int]] = deque([(self._started.steady, 0)])
        self._delivered = 0
        self._delivered_at = float("-inf")
        self._held = 0
        self._unreported = UnreportedRuns(parts.layout)

    @property
    def is_counting(self) -> bool:
        """Return whether files in `open/` must still be read to count the unreported runs."""
        return not self._unreported.is_complete

    def state(
        self,
        now: Moment,
        *,
        warnings: tuple[str, ...] = (),
        slurm_release: str | None = None,
        polling_reason: str = "",
    ) -> DrainState:
        """Return the current state; the arguments are values that no part of the drain has."""
        parts, health = self._parts, self._parts.health
        self._update(now)
        unreadable = {**parts.loader.unreadable, **parts.delivery.builder.unreadable}
        server, since = health.server, parts.resolver.silent_since
        channels = health.state.channels
        return DrainState(
            pid=os.getpid(),
            started=self._started.wall,
            once=self._once,
            version=__version__,
            health=_report(health.state.server, now),
            starts=_report(channels[Channel.STARTS].condition, now),
            stops=_report(channels[Channel.STOPS].condition, now),
            server_version=str(server.version) if server and server.version else None,
            server_dialect=str(server.dialect) if server else None,
            slurm_release=slurm_release,
            slurm_silent_since=since,
            slurm_reason=parts.resolver.silent_reason,
            accounting_silent_since=parts.resolver.accounting_silent_since,
            disk_full=bool(self._drain.disk_reason),
            disk_reason=self._drain.disk_reason,
            inquiries=len(parts.resolver),
            held_stops=self._held,
            waiting=self._waiting,
            unreadable=_unreadable_files(unreadable),
            unreadable_count=len(unreadable),
            last_event=self._drain.last_event,
            last_delivery=parts.counters.last_delivery,
            deliveries_last_hour=self._delivered - self._minutes[0][1],
            due_since=self._due_since(now),
            next_attempt=self._next_attempt(now),
            unreported=self._unreported.count,
            warnings=warnings,
            polling_reason=polling_reason,
            counters=parts.counters.value(),
        )

    def _update(self, now: Moment) -> None:
        """Count the deliveries, and every 5 s the waiting and the unreported runs."""
        self._count_deliveries(now)
        if now.steady >= self._waiting_at:
            self._waiting_at = now.steady + WAITING_SECONDS
            self._collect_waiting(now)
            self._unreported.update(now)

    def _next_attempt(self, now: Moment) -> float | None:
        """Return when the next waiting request is due, by the wall clock; None if none waits."""
        at = self._parts.store.schedule.next_time()
        return None if at is None else _wall_time(at, now)

    def _due_since(self, now: Moment) -> float | None:
        """Return since when requests are due and none is delivered although cc-backend answers."""
        due, server = self._parts.store.schedule.due_since(), self._parts.health.state.server
        if due is None:
            return None
        # Since the server answers, too: while it is down its outage is reported, not the runs.
        answers_since = server.since if server.is_up else 0.0
        return _wall_time(max(due, self._delivered_at, answers_since), now)

    def _count_deliveries(self, now: Moment) -> None:
        """Record the number of deliveries, at each minute of the last hour."""
        delivered = self._parts.counters.delivered
        if delivered > self._delivered:
            self._delivered, self._delivered_at = delivered, now.steady
        if now.steady - self._minutes[-1][0] >= MINUTE_SECONDS:
            self._minutes.append((now.steady, self._delivered))
        while len(self._minutes) > 1 and now.steady - self._minutes[0][0] > HOUR_SECONDS:
            self._minutes.popleft()

    def _collect_waiting(self, now: Moment) -> None:
        """Count the waiting runs by cause, and record when each cause was first seen."""
        counts: dict[str, int] = {}
        schedule = self._parts.store.schedule
        for entry in schedule:
            if entry.waits_for and entry.retry_at > now.steady:
                counts[entry.waits_for] = counts.get(entry.waits_for, 0) + 1
        # A cause without runs is forgotten: if it returns, it is a new one.
        self._causes_since = {cause: self._causes_since.get(cause, now.wall) for cause in counts}
        most = sorted(counts, key=lambda cause: -counts[cause])[:MAX_CAUSES]
        self._waiting = tuple(
            WaitingCause(cause=cause, count=counts[cause], since=self._causes_since[cause])
            for cause in most
        )
        self._held = sum(
            entry.next_request is RequestKind.STOP for entry in schedule.held_stops(now.steady)
        )


class UnreportedRuns:
    """The number of runs in `open/` that are deliberately not reported.

    The runs are not kept in memory. Each `update` reads only some of the new files, so that a large
    spool delays nothing: after a start the count is complete within minutes.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._is_unreported: dict[str, bool] = {}
        self._modified_ns = -1

    @property
    def is_complete(self) -> bool:
        """Return whether the count is final until `open/` changes again."""
        return self._modified_ns != -1

    @property
    def count(self) -> int:
        """Return how many of the files read so far are runs that are not reported."""
        return sum(self._is_unreported.values())

    def update(self, now: Moment) -> None:
        """Forget the files that were removed, and read some of the new ones."""
        modified_ns = self._layout.directory_mtime_ns(Directory.OPEN)
        if modified_ns == self._modified_ns:
            return
        names = set(self._layout.names(Directory.OPEN))
        known = {name: known for name, known in self._is_unreported.items() if name in names}
        fresh = islice(sorted(names - known.keys()), MAX_READ)
        self._is_unreported = known | {name: self._read(name) for name in fresh}
        is_complete = len(self._is_unreported) == len(names)
        is_old = abs(now.wall - modified_ns / 1e9) > MTIME_RESOLUTION_SECONDS
        self._modified_ns = modified_ns if is_complete and is_old else -1

    def _read(self, name: str) -> bool:
        """Return whether a file is a run that is not reported; False if it cannot be read."""
        try:
            return not load_run(self._layout, Directory.OPEN, name).reported
        except (UnusableFileError, OSError):
            return False


def _unreadable_files(reasons: Mapping[str, str]) -> tuple[UnreadableFile, ...]:
    """Return the files that cannot be read, sorted by name, at most 20."""
    shown = sorted(reasons.items())[:MAX_UNREADABLE]
    return tuple(UnreadableFile(name=name, reason=reason) for name, reason in shown)


def _report(condition: Condition, now: Moment) -> HealthReport:
    """Convert the condition of cc-backend or of a channel to a report with Unix seconds."""
    return HealthReport(
        state=condition.health,
        since=_wall_time(condition.since, now) if condition.since else None,
        reason=condition.reason,
        code=condition.code,
        next_try=None if condition.is_up else _wall_time(condition.retry_at, now),
    )


def _wall_time(steady: float, now: Moment) -> float:
    """Convert a monotonic time to Unix seconds, rounded to 0.1 s.

    The clocks' difference varies by less: without rounding each pass would write a new state.
    """
    return round(steady + now.wall - now.steady, 1)
