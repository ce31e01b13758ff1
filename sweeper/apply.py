"""Put a plan into the spool and wait until the drain has dealt with it. Decides nothing.

The drain is the one writer to cc-backend. An event of the sweep carries `again=1`: what it names is
told although the drain may remember that it was told before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from spool.errors import SpoolLockedError
from spool.files.enqueue import enqueue
from spool.files.event import EventKind
from spool.files.layout import Directory, Layout
from spool.files.lock import LockState, lock_state
from spool.files.run import run_name
from spool.files.state_files import DRAIN_LOCK_FILE
from sweeper.values import Change, Close, Key, Start

AGAIN = {"again": "1"}
POLL_SECONDS = 0.5  # progress is rewritten no oftener
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A change in the spool: the run and the event that speaks of it."""

    key: Key
    event: str


def put(layout: Layout, changes: Iterable[Change]) -> list[Written]:
    """Write an event of each change; what a full disk does not take is left for the next sweep."""
    written: list[Written] = []
    for change in changes:
        kind, key, end = _event(change)
        try:
            name = enqueue(layout, kind, key.job_id, start=key.start_time, end=end, extras=AGAIN)
        except OSError as error:
            _log.error("new/ takes no more events, the rest is left: %s", error)
            break
        written.append(Written(key=key, event=name))
    return written


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How to wait: `drain_once` drains here, where no drain is running."""

    state: Path
    seconds: float
    drain_once: Callable[[], object]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    told: Callable[[int], None] = lambda _left: None


def settle(layout: Layout, written: list[Written], waiting: Waiting) -> int:
    """Return how many of the changes still wait, when none does or the time is over.

    Where no drain is running all that lies in the spool is drained.
    """
    if not written and not _holds_anything(layout):
        return 0
    until = waiting.clock() + waiting.seconds
    if not is_draining(waiting.state):
        try:
            waiting.drain_once()
        except SpoolLockedError:
            _log.debug("a drain has started meanwhile")
    while left := unsettled(layout, written):
        waiting.told(left)
        if waiting.clock() >= until or not is_draining(waiting.state):
            return left
        waiting.sleep(POLL_SECONDS)
    waiting.told(0)
    return 0


def _holds_anything(layout: Layout) -> bool:
    places = (Directory.NEW, Directory.TODO)
    return any(True for place in places for _ in layout.names(place))


def is_draining(state: Path) -> bool:
    """Tell whether a drain holds its lock."""
    return lock_state(state / DRAIN_LOCK_FILE) is not LockState.FREE


def unsettled(layout: Layout, written: Iterable[Written]) -> int:
    """Return how many changes the drain has not dealt with."""
    new, todo = set(layout.names(Directory.NEW)), set(layout.names(Directory.TODO))
    return sum(each.event in new or run_name(*each.key) in todo for each in written)


def _event(change: Change) -> tuple[EventKind, Key, int | None]:
    if isinstance(change, Close):
        return EventKind.CLOSE, change.key, change.end_time
    kind = EventKind.START if isinstance(change, Start) else EventKind.STOP
    return kind, change.key, change.job.end_time
