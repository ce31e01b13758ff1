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

from spool.deliver.schedule import Schedule, ScheduleEntry, schedule_entry
from spool.files.archive import DeliveredArchive
from spool.files.dead_letters import move_run_to_dead
from spool.files.durable_files import WriteBatch, load_run
from spool.files.layout import Directory, Layout
from spool.files.run import LastError, Run
from spool.resolve.resolution import TrackedRun

MAX_STAGED_SECONDS = 0.5
GROUP_SIZE = 50
GROUP_SECONDS = 0.2
MAX_REMEMBERED_JOBS = 10_000
_log = logging.getLogger(__name__)


class RunStore:
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
        self._to_persist: dict[str, ScheduleEntry] = {}
        self._staged: dict[str, ScheduleEntry] = {}
        self._to_remove: dict[str, ScheduleEntry] = {}
        self._to_dead: dict[str, tuple[Run, LastError, ScheduleEntry]] = {}
        self._handled_events: set[str] = set()
        self._waiting_since: float | None = None
        self._delivered: OrderedDict[int, dict[int, int]] = OrderedDict()
        for job_id, start, end in archive.recent_runs():
            self._remember_delivered(job_id, start, end)
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

    def load_run(self, entry: ScheduleEntry) -> Run:
        """Return an entry's run, from memory or disk.

        Raises:
            RunFileError, NewerFormatError, OSError: as `durable_files.load_run`.
        """
        if entry.run is not None:
            return entry.run
        return load_run(self.layout, entry.stored or Directory.TODO, entry.name)

    def stage(self, run: Run, events: Iterable[str], now: float) -> ScheduleEntry:
        """Take in a new or changed run whose events keep it safe until it is told or gets old.

        One that is to be written with the next batch anyway is written with what is new of it.
        """
        entry = self.schedule.get(run.job_id, run.start_time) or schedule_entry(run, None)
        entry.update(run)
        entry.events.update(events)
        self._cancel_removal(entry)
        if entry.name not in self._to_persist:
            if entry.name not in self._staged:
                entry.staged_at = now
            self._staged[entry.name] = entry
        self.schedule.add(entry, now)
        return entry

    def persist(self, entry: ScheduleEntry, run: Run, now: float) -> None:
        """Take over what an answer said; durable with the next batch."""
        entry.update(run)
        self._staged.pop(entry.name, None)
        self._to_persist[entry.name] = entry
        self._cancel_removal(entry)
        self._start_waiting(now)
        self.schedule.add(entry, now)

    def complete(self, entry: ScheduleEntry, run: Run, now: float) -> None:
        """Take a run out that is told in full or of which nothing is to be told."""
        self._staged.pop(entry.name, None)
        self._to_persist.pop(entry.name, None)
        self._to_remove[entry.name] = entry
        if run.reported and run.end is not None:
            self._archive.add(run, now)
            self._remember_delivered(run.job_id, run.start_time, run.end.time)
        self._start_waiting(now)
        self.schedule.drop(entry, now)

    def move_to_dead(self, entry: ScheduleEntry, run: Run, error: LastError, now: float) -> None:
        """Take a run out that cc-backend refuses for good."""
        self._staged.pop(entry.name, None)
        self._to_persist.pop(entry.name, None)
        self._to_dead[entry.name] = (run, error, entry)
        self._start_waiting(now)
        self.schedule.drop(entry, now)

    def drop_events(self, names: Iterable[str], now: float) -> None:
        """Remove events of which nothing (more) is to be told."""
        self._handled_events.update(names)
        self._start_waiting(now)

    def persist_aged(self, now: float, *, everything: bool) -> None:
        """Make soft runs durable that got old, or all of them when cc-backend is not well."""
        for entry in list(self._staged.values()):
            if (
                everything or now - entry.staged_at >= MAX_STAGED_SECONDS
            ) and entry.run is not None:
                self.persist(entry, entry.run, now)

    def is_being_removed(self, name: str) -> bool:
        """Tell whether a run file is only there until the next batch is written."""
        return name in self._to_remove or name in self._to_dead

    def is_due(self, now: float) -> bool:
        """Tell whether a batch waits that is large or old enough."""
        if self._waiting_since is None:
            return False
        size = (
            len(self._to_persist)
            + len(self._to_remove)
            + len(self._to_dead)
            + len(self._handled_events)
        )
        return size >= GROUP_SIZE or now - self._waiting_since >= GROUP_SECONDS

    def flush(self, *, without_texts: bool = False) -> None:
        """Make the waiting changes durable; `without_texts` leaves scripts and descriptions out.

        Raises:
            OSError: nothing is lost and all of it is tried again by the next call.
        """
        batch = self._new_batch(self.layout)
        try:
            for entry in self._to_persist.values():
                if entry.run is not None:
                    batch.put_run(_without_texts(entry.run) if without_texts else entry.run)
            for run, error, _ in self._to_dead.values():
                move_run_to_dead(batch, run, error)
        except OSError:
            batch.rollback()
            raise
        for name in self._to_remove:
            batch.remove(Directory.TODO, name)
            batch.remove(Directory.OPEN, name)
        events = self._removable_events()
        for name in events:
            batch.remove(Directory.NEW, name)
        batch.commit()
        self._mark_persisted(events)

    def take_removed_events(self) -> set[str]:
        """Return the names of events that are gone since the last call."""
        removed, self._removed_events = self._removed_events, set()
        return removed

    def _mark_persisted(self, events: set[str]) -> None:
        """Note what is durable now."""
        for entry in self._to_persist.values():
            entry.stored = None if entry.run is None else entry.run.directory
            entry.run = None
            entry.events.clear()
        self._to_persist.clear()
        self._to_remove.clear()
        self._to_dead.clear()
        self._handled_events.clear()
        self._waiting_since = None
        self._removed_events |= events

    def _remember_delivered(self, job_id: int, start: int, end: int) -> None:
        """Know a run as told in full: accounting may show it again beside a later one."""
        self._delivered.setdefault(job_id, {})[start] = end
        while len(self._delivered) > MAX_REMEMBERED_JOBS:
            self._delivered.popitem(last=False)

    def _cancel_removal(self, entry: ScheduleEntry) -> None:
        """Keep a run that was about to be removed and is told of again."""
        gone = self._to_remove.pop(entry.name, None)
        if gone is not None:
            entry.events |= gone.events

    def _removable_events(self) -> set[str]:
        """Return the events that nothing soft needs any more."""
        safe = set(self._handled_events)
        for entry in (*self._to_persist.values(), *self._to_remove.values()):
            safe |= entry.events
        for _, _, entry in self._to_dead.values():
            safe |= entry.events
        for entry in self._staged.values():
            safe -= entry.events
        return safe

    def _start_waiting(self, now: float) -> None:
        if self._waiting_since is None:
            self._waiting_since = now


def _without_texts(run: Run) -> Run:
    """Return a run without what can be large: the disk is nearly full."""
    return replace(run, script=None, description=None)
