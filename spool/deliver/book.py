"""The runs of the spool, in memory and on disk: the one place that changes `todo/` and `open/`.

A change is *soft* first (facts in memory, the events still in `new/`), because a healthy cc-backend
makes most of them obsolete within milliseconds; `settle` makes what got old durable. What was
delivered is *hard* at once and written in groups: repeating it is harmless. An event goes when no
run that it told of is soft any more.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace

from spool.deliver.schedule import Entry, Schedule, entry_of
from spool.files.archive import DeliveredArchive
from spool.files.dead_letters import move_run_to_dead
from spool.files.durable_files import WriteBatch, load_run
from spool.files.layout import Directory, Layout
from spool.files.run import LastError, Run
from spool.resolve.resolution import TrackedRun

SOFT_SECONDS = 0.5
GROUP_SIZE = 50
GROUP_SECONDS = 0.2
REMEMBERED = 10_000
_log = logging.getLogger(__name__)


class Book:
    """Belongs to one thread, the holder of the drain's lock. Times are Unix seconds."""

    def __init__(
        self,
        layout: Layout,
        schedule: Schedule,
        archive: DeliveredArchive,
        *,
        new_batch: Callable[[Layout], WriteBatch] = WriteBatch,
    ) -> None:
        self.layout = layout
        self.schedule = schedule
        self._archive = archive
        self._new_batch = new_batch
        self._hard: dict[str, Entry] = {}
        self._soft: dict[str, Entry] = {}
        self._gone: dict[str, Entry] = {}
        self._dead: dict[str, tuple[Run, LastError, Entry]] = {}
        self._done_events: set[str] = set()
        self._waiting_since: float | None = None
        self._delivered: OrderedDict[int, dict[int, int]] = OrderedDict()
        for job_id, start, end in archive.recent_runs():
            self._remember(job_id, start, end)
        self._removed_events: set[str] = set()

    def tracked(self, job_id: int) -> tuple[TrackedRun, ...]:
        """Return the runs of a job id that are here or were delivered lately."""
        here = [entry.tracked() for entry in self.schedule.lane(job_id)]
        starts = {run.start_time for run in here}
        past = [
            TrackedRun(start_time=start, end=end, started=True)
            for start, end in self._delivered.get(job_id, {}).items()
            if start not in starts
        ]
        return (*past, *here)

    def run_of(self, entry: Entry) -> Run:
        """Return an entry's run, from memory or disk.

        Raises:
            RunFileError, NewerFormatError, OSError: as `durable_files.load_run`.
        """
        if entry.run is not None:
            return entry.run
        return load_run(self.layout, entry.stored or Directory.TODO, entry.name)

    def soften(self, run: Run, events: Iterable[str], now: float) -> Entry:
        """Take in a new or changed run whose events keep it safe until it is told or gets old.

        One that is to be written with the next batch anyway is written with what is new of it.
        """
        entry = self.schedule.get(run.job_id, run.start_time) or entry_of(run, None)
        entry.take(run)
        entry.events.update(events)
        self._revive(entry)
        if entry.name not in self._hard:
            if entry.name not in self._soft:
                entry.since = now
            self._soft[entry.name] = entry
        self.schedule.add(entry, now)
        return entry

    def harden(self, entry: Entry, run: Run, now: float) -> None:
        """Take over what an answer said; durable with the next batch."""
        entry.take(run)
        self._soft.pop(entry.name, None)
        self._hard[entry.name] = entry
        self._revive(entry)
        self._wait(now)
        self.schedule.add(entry, now)

    def finish(self, entry: Entry, run: Run, now: float) -> None:
        """Take a run out that is told in full or of which nothing is to be told."""
        self._soft.pop(entry.name, None)
        self._hard.pop(entry.name, None)
        self._gone[entry.name] = entry
        if run.reported and run.end is not None:
            self._archive.add(run, now)
            self._remember(run.job_id, run.start_time, run.end.time)
        self._wait(now)
        self.schedule.drop(entry, now)

    def bury(self, entry: Entry, run: Run, error: LastError, now: float) -> None:
        """Take a run out that cc-backend refuses for good."""
        self._soft.pop(entry.name, None)
        self._hard.pop(entry.name, None)
        self._dead[entry.name] = (run, error, entry)
        self._wait(now)
        self.schedule.drop(entry, now)

    def drop_events(self, names: Iterable[str], now: float) -> None:
        """Remove events of which nothing (more) is to be told."""
        self._done_events.update(names)
        self._wait(now)

    def harden_old(self, now: float, *, all_of_them: bool) -> None:
        """Make soft runs durable that got old, or all of them when cc-backend is not well."""
        for entry in list(self._soft.values()):
            if (all_of_them or now - entry.since >= SOFT_SECONDS) and entry.run is not None:
                self.harden(entry, entry.run, now)

    def is_leaving(self, name: str) -> bool:
        """Tell whether a run file is only there until the next batch is written."""
        return name in self._gone or name in self._dead

    def is_due(self, now: float) -> bool:
        """Tell whether a batch waits that is large or old enough."""
        if self._waiting_since is None:
            return False
        size = len(self._hard) + len(self._gone) + len(self._dead) + len(self._done_events)
        return size >= GROUP_SIZE or now - self._waiting_since >= GROUP_SECONDS

    def flush(self, *, slim: bool = False) -> None:
        """Make the waiting changes durable; `slim` leaves scripts and descriptions out.

        Raises:
            OSError: nothing is lost and all of it is tried again by the next call.
        """
        batch = self._new_batch(self.layout)
        try:
            for entry in self._hard.values():
                if entry.run is not None:
                    batch.put_run(_slim(entry.run) if slim else entry.run)
            for run, error, _ in self._dead.values():
                move_run_to_dead(batch, run, error)
        except OSError:
            batch.rollback()
            raise
        for name in self._gone:
            batch.remove(Directory.TODO, name)
            batch.remove(Directory.OPEN, name)
        events = self._safe_events()
        for name in events:
            batch.remove(Directory.NEW, name)
        batch.commit()
        self._flushed(events)

    def take_removed_events(self) -> set[str]:
        """Return the names of events that are gone since the last call."""
        removed, self._removed_events = self._removed_events, set()
        return removed

    def _flushed(self, events: set[str]) -> None:
        """Note what is durable now."""
        for entry in self._hard.values():
            entry.stored = None if entry.run is None else entry.run.directory
            entry.run = None
            entry.events.clear()
        self._hard.clear()
        self._gone.clear()
        self._dead.clear()
        self._done_events.clear()
        self._waiting_since = None
        self._removed_events |= events

    def _remember(self, job_id: int, start: int, end: int) -> None:
        """Know a run as told in full: accounting may show it again beside a later one."""
        self._delivered.setdefault(job_id, {})[start] = end
        while len(self._delivered) > REMEMBERED:
            self._delivered.popitem(last=False)

    def _revive(self, entry: Entry) -> None:
        """Keep a run that was about to be removed and is told of again."""
        gone = self._gone.pop(entry.name, None)
        if gone is not None:
            entry.events |= gone.events

    def _safe_events(self) -> set[str]:
        """Return the events that nothing soft needs any more."""
        safe = set(self._done_events)
        for entry in (*self._hard.values(), *self._gone.values()):
            safe |= entry.events
        for _, _, entry in self._dead.values():
            safe |= entry.events
        for entry in self._soft.values():
            safe -= entry.events
        return safe

    def _wait(self, now: float) -> None:
        if self._waiting_since is None:
            self._waiting_since = now


def _slim(run: Run) -> Run:
    """Return a run without what can be large: the disk is nearly full."""
    return replace(run, script=None, description=None)
