"""The drain's loop: what comes in is resolved, what is due is told, what changed is made durable.

One pass is `step`. It never waits for cc-backend (the senders do) and touches the spool alone.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from queue import Empty, Queue

from spool.deliver.book import Book
from spool.deliver.delivery import Delivery
from spool.deliver.link import Link
from spool.deliver.schedule import Entry
from spool.deliver.senders import Reply
from spool.drain.conclusions import Conclusions
from spool.drain.recover import entry_in_todo, read_run
from spool.files.layout import Directory, Layout
from spool.files.state_files import CrashMarker
from spool.resolve.event_scanner import EventScanner
from spool.resolve.resolver import Resolver

IDLE_SECONDS = 0.04  # no event is looked at earlier after its hook began
FULL_SECONDS = 10.0
SPACE_SECONDS = 1.0
TODO_SECONDS = 1.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a drain is made of; each belongs to the drain's thread."""

    layout: Layout
    crash_marker: CrashMarker
    event_scanner: EventScanner
    resolver: Resolver
    conclusions: Conclusions
    book: Book
    link: Link
    delivery: Delivery
    replies: Queue[Reply]
    min_free_bytes: int


class Drain:
    """A drain; the caller holds its lock. `clock` gives Unix seconds."""

    def __init__(self, parts: Parts, clock: Callable[[], float]) -> None:
        self._parts = parts
        self._clock = clock
        self._full_until = 0.0
        self._is_full = False
        self._slim = False
        self._space_at = 0.0
        self._todo_at = 0.0
        self._todo_ns = -1
        self._left: set[str] = set()

    @property
    def is_full(self) -> bool:
        """Tell whether the disk takes nothing more."""
        return self._is_full

    def take_up(self, entries: Iterable[Entry]) -> None:
        """Take in the runs that a recovery found."""
        now = self._clock()
        for entry in entries:
            self._take_in(entry, now)

    def step(self, longest_wait: float = IDLE_SECONDS) -> None:
        """Do all that is due; wait for a reply at most so many seconds."""
        parts = self._parts
        self.take_replies(min(longest_wait, self._wait()))
        now = self._clock()
        if parts.event_scanner.is_due(now):
            parts.resolver.add_events(parts.event_scanner.scan(now), now)
        self._watch_todo(now)
        self._resolve(now)
        parts.book.harden_old(now, all_of_them=not parts.link.is_up)
        self._flush(now)
        parts.delivery.fill(self._clock(), stops_only=now < self._full_until)

    def take_replies(self, wait: float) -> None:
        """Take in every reply that is there, waiting for the first.

        By no SimpleQueue: its `get` waits for ever when a signal comes just before the deadline
        (CPython 3.11, `Modules/_queuemodule.c`: the rest of the time becomes negative).
        """
        try:
            reply = (
                self._parts.replies.get(timeout=wait)
                if wait > 0
                else self._parts.replies.get_nowait()
            )
            while True:
                self._parts.delivery.take(reply, self._clock())
                reply = self._parts.replies.get_nowait()
        except Empty:
            return

    def flush(self) -> None:
        """Make everything durable that waits, as far as the disk allows."""
        now = self._clock()
        self._parts.book.harden_old(now, all_of_them=True)
        self._flush(now, at_once=True)

    def doubt(self, live: Mapping[int, int]) -> int:
        """Have every run looked up that has no end and is not among the live ones.

        Args:
            live: start times of the runs that Slurm lists as not over, by job id.

        Returns:
            how many.
        """
        now = self._clock()
        doubtful = {
            entry.job_id
            for entry in self._parts.book.schedule
            if entry.end_time is None and live.get(entry.job_id) != entry.start_time
        }
        for job_id in doubtful:
            self._parts.resolver.recheck_job(job_id, now)
        return len(doubtful)

    def _wait(self) -> float:
        """Return how long nothing can be due, seconds."""
        now = self._clock()
        times = [self._parts.resolver.next_time(), self._parts.book.schedule.next_time()]
        return max(0.0, min([IDLE_SECONDS] + [time - now for time in times if time is not None]))

    def _resolve(self, now: float) -> None:
        conclusions = self._parts.resolver.resolve_due(now, self._parts.book.tracked)
        if conclusions:
            self._parts.conclusions.apply(conclusions)

    def _watch_todo(self, now: float) -> None:
        """Take in the runs that an operator's retry or replay put into `todo/`."""
        layout = self._parts.layout
        if now < self._todo_at:
            return
        self._todo_at = now + TODO_SECONDS
        modified_ns = layout.directory_mtime_ns(Directory.TODO)
        if modified_ns == self._todo_ns and now - modified_ns / 1e9 > TODO_SECONDS:
            return
        self._todo_ns = modified_ns
        book = self._parts.book
        present = set(layout.names(Directory.TODO))
        self._left &= present
        known = {e.name for e in book.schedule if e.stored is Directory.TODO}
        for name in present - known - self._left:
            if not book.is_leaving(name):
                self._take_from_todo(name, now)

    def _take_from_todo(self, name: str, now: float) -> None:
        layout = self._parts.layout
        run = read_run(layout, self._parts.crash_marker, Directory.TODO, name, now)
        if run is None:  # set aside, or left alone and told of once: it is of a later version
            self._left.update({name}.intersection(layout.names(Directory.TODO)))
        elif self._parts.book.schedule.get(run.job_id, run.start_time) is None:
            self._take_in(entry_in_todo(run), now)
            self._parts.link.cause_changed(now)

    def _take_in(self, entry: Entry, now: float) -> None:
        """Take in a run that lies in the spool; one in the wrong directory is moved, or removed."""
        if entry.run is None:
            self._parts.book.schedule.add(entry, now)
        elif entry.run.end is None:
            self._parts.book.harden(entry, entry.run, now)
        else:  # over, and not to be reported
            self._parts.book.finish(entry, entry.run, now)

    def _flush(self, now: float, *, at_once: bool = False) -> None:
        """Make a batch durable; a full disk costs nothing but time."""
        book = self._parts.book
        if now < self._full_until or not (at_once or book.is_due(now)):
            return
        self._look_at_space(now)
        try:
            book.flush(slim=self._slim)
        except OSError as error:
            self._full_until = now + FULL_SECONDS
            if not self._is_full:
                _log.error("the spool cannot be written: %s", error)
            self._is_full = True
            if error.errno not in _FULL:
                _log.error("the spool's file system fails: %s", error)
            return
        if self._is_full:
            _log.info("the spool can be written again")
        self._is_full = False
        self._parts.event_scanner.forget(book.take_removed_events())

    def _look_at_space(self, now: float) -> None:
        if now < self._space_at:
            return
        self._space_at = now + SPACE_SECONDS
        slim = self._parts.layout.free_bytes() < self._parts.min_free_bytes
        if slim and not self._slim:
            _log.error("little space in the spool: runs are stored without script and description")
        self._slim = slim
