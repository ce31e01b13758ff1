"""The drain's loop: what comes in is resolved, what is due is told, what changed is made durable.

One pass is `step`. It never waits for cc-backend (the senders do) and touches the spool alone.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from queue import Empty, Queue

from spool.deliver.backend_health import BackendHealth
from spool.deliver.delivery import Delivery
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import ScheduleEntry
from spool.deliver.senders import SendResult
from spool.drain.apply_resolutions import ResolutionApplier
from spool.drain.recover import entry_in_todo, read_run
from spool.files.layout import Directory, Layout
from spool.files.state_files import CrashMarker
from spool.resolve.event_scanner import EventScanner
from spool.resolve.resolver import Resolver

IDLE_SECONDS = 0.04  # no event is looked at earlier after its hook began
FULL_RETRY_SECONDS = 10.0
SPACE_CHECK_SECONDS = 1.0
TODO_CHECK_SECONDS = 1.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainParts:
    """What a drain is made of; each belongs to the drain's thread."""

    layout: Layout
    crash_marker: CrashMarker
    event_scanner: EventScanner
    resolver: Resolver
    applier: ResolutionApplier
    store: RunStore
    backend_health: BackendHealth
    delivery: Delivery
    results: Queue[SendResult]
    min_free_bytes: int


class Drain:
    """A drain; the caller holds its lock. `clock` gives Unix seconds."""

    def __init__(self, parts: DrainParts, clock: Callable[[], float]) -> None:
        self._parts = parts
        self._clock = clock
        self._full_until = 0.0
        self._is_full = False
        self._without_texts = False
        self._space_at = 0.0
        self._todo_at = 0.0
        self._todo_ns = -1
        self._skipped: set[str] = set()

    @property
    def is_full(self) -> bool:
        """Tell whether the disk takes nothing more."""
        return self._is_full

    def add_recovered(self, entries: Iterable[ScheduleEntry]) -> None:
        """Take in the runs that a recovery found."""
        now = self._clock()
        for entry in entries:
            self._add_entry(entry, now)

    def step(self, longest_wait: float = IDLE_SECONDS) -> None:
        """Do all that is due; wait for a reply at most so many seconds."""
        parts = self._parts
        self.take_results(min(longest_wait, self._idle_seconds()))
        now = self._clock()
        if parts.event_scanner.is_due(now):
            parts.resolver.add_events(parts.event_scanner.scan(now), now)
        self._watch_todo(now)
        self._resolve(now)
        parts.store.persist_aged(now, everything=not parts.backend_health.is_up)
        self._flush(now)
        parts.delivery.send_due(self._clock(), stops_only=now < self._full_until)

    def take_results(self, wait: float) -> None:
        """Take in every reply that is there, waiting for the first.

        By no SimpleQueue: its `get` waits for ever when a signal comes just before the deadline
        (CPython 3.11, `Modules/_queuemodule.c`: the rest of the time becomes negative).
        """
        try:
            result = (
                self._parts.results.get(timeout=wait)
                if wait > 0
                else self._parts.results.get_nowait()
            )
            while True:
                self._parts.delivery.handle(result, self._clock())
                result = self._parts.results.get_nowait()
        except Empty:
            return

    def flush(self) -> None:
        """Make everything durable that waits, as far as the disk allows."""
        now = self._clock()
        self._parts.store.persist_aged(now, everything=True)
        self._flush(now, at_once=True)

    def recheck_missing(self, live: Mapping[int, int]) -> int:
        """Have every run looked up that has no end and is not among the live ones.

        Args:
            live: start times of the runs that Slurm lists as not over, by job id.

        Returns:
            how many.
        """
        now = self._clock()
        doubtful = {
            entry.job_id
            for entry in self._parts.store.schedule
            if entry.end_time is None and live.get(entry.job_id) != entry.start_time
        }
        for job_id in doubtful:
            self._parts.resolver.recheck_job(job_id, now)
        return len(doubtful)

    def _idle_seconds(self) -> float:
        """Return how long nothing can be due, seconds."""
        now = self._clock()
        times = [self._parts.resolver.next_time(), self._parts.store.schedule.next_time()]
        return max(0.0, min([IDLE_SECONDS] + [time - now for time in times if time is not None]))

    def _resolve(self, now: float) -> None:
        resolutions = self._parts.resolver.resolve_due(now, self._parts.store.tracked)
        if resolutions:
            self._parts.applier.apply(resolutions)

    def _watch_todo(self, now: float) -> None:
        """Take in the runs that an operator's retry or replay put into `todo/`."""
        layout = self._parts.layout
        if now < self._todo_at:
            return
        self._todo_at = now + TODO_CHECK_SECONDS
        modified_ns = layout.directory_mtime_ns(Directory.TODO)
        if modified_ns == self._todo_ns and now - modified_ns / 1e9 > TODO_CHECK_SECONDS:
            return
        self._todo_ns = modified_ns
        store = self._parts.store
        present = set(layout.names(Directory.TODO))
        self._skipped &= present
        known = {e.name for e in store.schedule if e.stored is Directory.TODO}
        for name in present - known - self._skipped:
            if not store.is_being_removed(name):
                self._take_from_todo(name, now)

    def _take_from_todo(self, name: str, now: float) -> None:
        layout = self._parts.layout
        run = read_run(layout, self._parts.crash_marker, Directory.TODO, name, now)
        if run is None:  # set aside, or left alone and told of once: it is of a later version
            self._skipped.update({name}.intersection(layout.names(Directory.TODO)))
        elif self._parts.store.schedule.get(run.job_id, run.start_time) is None:
            self._add_entry(entry_in_todo(run), now)
            self._parts.backend_health.cause_changed(now)

    def _add_entry(self, entry: ScheduleEntry, now: float) -> None:
        """Take in a run that lies in the spool; one in the wrong directory is moved, or removed."""
        if entry.run is None:
            self._parts.store.schedule.add(entry, now)
        elif entry.run.end is None:
            self._parts.store.persist(entry, entry.run, now)
        else:  # over, and not to be reported
            self._parts.store.complete(entry, entry.run, now)

    def _flush(self, now: float, *, at_once: bool = False) -> None:
        """Make a batch durable; a full disk costs nothing but time."""
        store = self._parts.store
        if now < self._full_until or not (at_once or store.is_due(now)):
            return
        self._check_space(now)
        try:
            store.flush(without_texts=self._without_texts)
        except OSError as error:
            self._full_until = now + FULL_RETRY_SECONDS
            if not self._is_full:
                _log.error("the spool cannot be written: %s", error)
            self._is_full = True
            if error.errno not in _FULL:
                _log.error("the spool's file system fails: %s", error)
            return
        if self._is_full:
            _log.info("the spool can be written again")
        self._is_full = False
        self._parts.event_scanner.forget(store.take_removed_events())

    def _check_space(self, now: float) -> None:
        if now < self._space_at:
            return
        self._space_at = now + SPACE_CHECK_SECONDS
        without_texts = self._parts.layout.free_bytes() < self._parts.min_free_bytes
        if without_texts and not self._without_texts:
            _log.error("little space in the spool: runs are stored without script and description")
        self._without_texts = without_texts
