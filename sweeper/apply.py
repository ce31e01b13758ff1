"""Put a plan into the spool and wait until the drain has dealt with it. Decides nothing.

The drain is the only writer to cc-backend. An event of a repair carries `again=1`: what it names is
delivered although the drain may remember that it was delivered before. The event of a first
sighting (a run too young to be reported) carries `not_before` instead: the drain stores the facts
and reports them later, unless it knows the run already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from spool.errors import SpoolLockedError
from spool.files.durable_files import NewFile, create_files
from spool.files.event import EventKind
from spool.files.layout import Directory, Layout
from spool.files.lock import LockState, lock_state
from spool.files.new_events import new_event
from spool.files.run import run_name
from spool.files.run_id import RunId
from spool.files.state_files import DRAIN_LOCK_FILE
from sweeper.values import Change, Close, Start, Stop

AGAIN = {"again": "1"}
_KINDS = {Start: EventKind.START, Stop: EventKind.STOP, Close: EventKind.CLOSE}
BATCH_SIZE = 200  # files that are open until all of them are durable
POLL_SECONDS = 0.5  # progress is rewritten no oftener
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenEvent:
    """A change that was written to the spool: its run and the name of its event file."""

    key: RunId
    event: str


def write_events(layout: Layout, changes: Iterable[Change]) -> list[WrittenEvent]:
    """Write an event for each change; return those written, not all if the disk is full."""
    files = [(change.key, _event(change)) for change in changes]
    written = [WrittenEvent(key=key, event=file.name) for key, file in files]
    done = 0
    try:
        # Durable, because the sweep's state, which is written next, remembers them: without its
        # event an ended run would look like one that the drain has excluded.
        for first in range(0, len(files), BATCH_SIZE):
            batch = [file for _, file in files[first : first + BATCH_SIZE]]
            create_files(layout, Directory.NEW, batch)
            done += len(batch)
    except OSError as error:
        _log.error("new/ cannot be written, the next sweep applies the rest: %s", error)
        there = set(layout.names(Directory.NEW))
        # the drain may have read, and removed, what was written before
        return written[:done] + [each for each in written[done:] if each.event in there]
    return written


@light_dataclass
class DrainWait:
    """Settings of `wait_for_drain`; `drain_once` drains in this process if no drain is running."""

    state_directory: Path
    timeout_seconds: float
    drain_once: Callable[[], object]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    on_progress: Callable[[int], None] = lambda _left: None


def wait_for_drain(layout: Layout, written: list[WrittenEvent], drain_wait: DrainWait) -> int:
    """Wait until no change is pending or the time is over; return how many are still pending.

    If no drain is running, this process drains everything in the spool.
    """
    if not written and not _has_pending_work(layout):
        return 0
    until = drain_wait.clock() + drain_wait.timeout_seconds
    # Sites that start everything from cron have no service: then this command drains.
    if not is_drain_running(drain_wait.state_directory):
        try:
            drain_wait.drain_once()
        except SpoolLockedError:
            _log.debug("another drain has started meanwhile; it delivers the events")
    while left := count_pending(layout, written):
        drain_wait.on_progress(left)
        # A drain that has been stopped will not reduce the count; what is left stays in the spool.
        if drain_wait.clock() >= until or not is_drain_running(drain_wait.state_directory):
            return left
        drain_wait.sleep(POLL_SECONDS)
    drain_wait.on_progress(0)
    return 0


def _has_pending_work(layout: Layout) -> bool:
    places = (Directory.NEW, Directory.TODO)
    return any(True for place in places for _ in layout.names(place))


def is_drain_running(state: Path) -> bool:
    """Return whether a drain holds its lock."""
    return lock_state(state / DRAIN_LOCK_FILE) is not LockState.FREE


def count_pending(layout: Layout, written: Iterable[WrittenEvent]) -> int:
    """Return how many changes the drain has not dealt with."""
    # new/ first: the drain writes a run into todo/ before it removes the event.
    new, todo = set(layout.names(Directory.NEW)), set(layout.names(Directory.TODO))
    return sum(each.event in new or run_name(*each.key) in todo for each in written)


def _event(change: Change) -> NewFile:
    end = change.end_time if isinstance(change, Close) else change.job.end_time
    key, kind = change.key, _KINDS[type(change)]
    return new_event(kind, key.job_id, start=key.start_time, end=end, extras=_extras(change))


def _extras(change: Change) -> dict[str, str]:
    if isinstance(change, Start) and change.not_before:
        return {"not_before": str(change.not_before)}
    # Without it the drain would take the event for a late one of a run that it has delivered.
    return AGAIN
