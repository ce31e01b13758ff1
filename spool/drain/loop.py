"""The drain's loop: resolve events, deliver due requests, make changes durable.

`step` is one pass. Only the loop accesses the spool, and it never waits for Slurm, cc-backend, a
script or the name service: workers do that, and put their answers into the queue.
"""

from __future__ import annotations

import logging
from queue import Empty

from slurm.light_dataclass import light_dataclass
from spool.deliver.backend_health import BackendHealth
from spool.deliver.counters import ActivityCounters
from spool.deliver.delivery import Delivery
from spool.deliver.run_loader import RunLoader
from spool.deliver.run_store import RunStore
from spool.drain.apply_resolutions import ResolutionApplier
from spool.drain.final_texts import FinalTexts
from spool.drain.node_rounds import NodeRounds
from spool.drain.recovery import note_file
from spool.drain.slurm_questions import SlurmQuestions
from spool.drain.text_collector import TextCollector
from spool.files.archive import DeliveredArchive
from spool.files.event import Event, EventKind
from spool.files.layout import Directory, Layout
from spool.files.state_files import CrashMarker
from spool.moment import Clocks, Moment
from spool.resolve.event_scanner import MTIME_RESOLUTION_SECONDS, EventScanner
from spool.resolve.resolver import Resolver
from spool.worker import AnswerQueue

IDLE_SECONDS = 0.04  # no event is resolved earlier after its hook began
FULL_RETRY_SECONDS = 10.0
SPACE_CHECK_SECONDS = 1.0
TODO_CHECK_SECONDS = 1.0
# A directory with a younger mtime may change without getting a new one: file systems may have times
# of one second, and the next check is a second later.
TODO_SETTLING_SECONDS = MTIME_RESOLUTION_SECONDS + TODO_CHECK_SECONDS
LARGE_TODO = 2_000
LARGE_TODO_CHECK_SECONDS = 30.0
_log = logging.getLogger(__name__)


@light_dataclass
class DrainParts:
    """The parts of a drain; all are used only in the loop's thread."""

    layout: Layout
    loader: RunLoader
    store: RunStore
    archive: DeliveredArchive
    crash_marker: CrashMarker
    scanner: EventScanner
    resolver: Resolver
    applier: ResolutionApplier
    texts: TextCollector
    final_texts: FinalTexts
    slurm: SlurmQuestions
    health: BackendHealth
    delivery: Delivery
    counters: ActivityCounters
    nodes: NodeRounds
    answers: AnswerQueue
    clocks: Clocks
    min_free_bytes: int


class Drain:
    """The loop of a drain; the caller holds the drain's lock."""

    def __init__(self, parts: DrainParts, *, last_event: float | None = None) -> None:
        self._parts = parts
        self._full_until = float("-inf")
        self.disk_reason = ""
        """Why the disk cannot be written; "" if it can."""
        self._without_texts = False
        self._space_at = float("-inf")
        self._todo_at = float("-inf")
        self._todo_ns = -1
        self.last_event = last_event
        """When a hook last wrote an event, Unix seconds; also one that an earlier drain saw."""

    @property
    def is_busy(self) -> bool:
        """Return whether more work is expected soon: unsent runs, unread events or job queries."""
        parts = self._parts
        # While cc-backend is down, its runs wait for a probe, whose time is known.
        is_sending = parts.health.is_up and parts.store.unsent_count() > 0
        return is_sending or parts.scanner.is_waiting or len(parts.resolver) > 0

    def step(self, longest_wait: float = IDLE_SECONDS) -> None:
        """Do all due work; wait at most `longest_wait` seconds for an answer."""
        parts = self._parts
        self.take_answers(min(longest_wait, self._wait()))
        now = parts.clocks.now()
        if parts.scanner.is_due(now):
            self._add_events(parts.scanner.scan(now), now)
        self._watch_todo(now)
        parts.slurm.ask(now)
        parts.texts.fill(now)
        parts.store.load_more(now)
        parts.applier.apply_postponed(now)
        parts.final_texts.fill()
        # While cc-backend is down nothing is delivered soon, so that waiting saves no write.
        parts.store.persist_aged(now, everything=not parts.health.is_up)
        self._flush(now)
        # The disk first: if it is full, no start is sent whose acceptance could not be stored.
        now = parts.clocks.now()  # a slow disk may have taken seconds
        parts.delivery.fill(now, stops_only=now.steady < self._full_until)
        parts.nodes.ask(now, parts.health, parts.store.schedule, parts.delivery)

    def take_answers(self, wait: float) -> None:
        """Apply all available answers of the workers; wait at most `wait` seconds for the first.

        A SimpleQueue cannot be used: its `get` waits for ever if a signal arrives just before the
        deadline (CPython 3.11, `Modules/_queuemodule.c`: the remaining time becomes negative).
        """
        answers = self._parts.answers
        try:
            answer = answers.get(timeout=wait) if wait > 0 else answers.get(block=False)
            while True:
                answer.take()
                answer = answers.get(block=False)
        except Empty:
            return

    def flush(self) -> None:
        """Make all waiting changes durable, as far as the disk allows."""
        now = self._parts.clocks.now()
        self._parts.store.persist_aged(now, everything=True)
        self._flush(now, at_once=True)

    def _wait(self) -> float:
        """Return the seconds until work may be due."""
        parts = self._parts
        now = parts.clocks.now()
        group_at = parts.store.next_time()
        times = [
            parts.slurm.next_time(),
            parts.store.schedule.next_time(),
            None if group_at is None else max(group_at, self._full_until),
            parts.texts.next_time(),
            parts.delivery.next_time(now),
            parts.loader.next_time(),
            parts.applier.next_time(),
            parts.nodes.next_time(now),
        ]
        return max(0.0, min((at - now.steady for at in times if at is not None), default=3600.0))

    # ---- events and files

    def _add_events(self, events: list[Event], now: Moment) -> None:
        parts = self._parts
        for event in events:
            parts.counters.count_event(event)
            if event.kind is EventKind.RETRY:
                parts.delivery.retry_now(event.job_id, now)
                parts.store.drop_events([event.name], now)
            elif event.is_of_hook:  # not later than now, in case the clock was set back
                self.last_event = max(self.last_event or 0.0, min(event.time, now.wall))
        parts.resolver.add_events((e for e in events if e.kind is not EventKind.RETRY), now)

    def _watch_todo(self, now: Moment) -> None:
        """Add the runs that `retry` or `replay` put into `todo/`."""
        layout, store = self._parts.layout, self._parts.store
        if now.steady < self._todo_at:
            return
        # Our own deliveries change the mtime of `todo/`, so that with a backlog each look would
        # list all of its names.
        is_large = store.unsent_count() > LARGE_TODO
        self._todo_at = now.steady + (LARGE_TODO_CHECK_SECONDS if is_large else TODO_CHECK_SECONDS)
        modified_ns = layout.directory_mtime_ns(Directory.TODO)
        if modified_ns == self._todo_ns:
            return
        is_settled = abs(now.wall - modified_ns / 1e9) > TODO_SETTLING_SECONDS
        self._todo_ns = modified_ns if is_settled else -1  # -1: the next check lists it again
        loader = self._parts.loader
        for name in list(layout.names(Directory.TODO)):
            if name not in loader.unreadable and not store.knows(name):
                note_file(store, loader, Directory.TODO, name, now)

    # ---- the disk

    def _flush(self, now: Moment, *, at_once: bool = False) -> None:
        """Make a group of changes durable; on a full disk they wait."""
        parts = self._parts
        # On a full disk each attempt fails after it has written a part, so it is repeated only now
        # and then.
        if now.steady < self._full_until or not (at_once or parts.store.is_due(now)):
            return
        self._check_space(now)
        try:
            parts.store.flush(now, without_texts=self._without_texts)
        except OSError as error:
            self._full_until = now.steady + FULL_RETRY_SECONDS
            reason = error.strerror or str(error)
            if reason != self.disk_reason:
                _log.error("the drain cannot write to the spool: %s", error)
            self.disk_reason = reason
            return
        if self.disk_reason:
            _log.info("the spool is writable again")
        self.disk_reason = ""
        parts.scanner.forget(parts.store.take_removed_events())

    def _check_space(self, now: Moment) -> None:
        if now.steady < self._space_at:
            return
        self._space_at = now.steady + SPACE_CHECK_SECONDS
        is_low = self._parts.layout.free_bytes() < self._parts.min_free_bytes
        if is_low and not self._without_texts:
            _log.error("little free space: runs are stored without script and description")
        self._without_texts = is_low
