"""The changes of the spool that are not durable yet; they are written in groups.

The order of durability: changed runs are written first, then replaced or delivered runs are
removed, and events are removed last, when no run that they led to is only in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from spool.deliver.pending_run import PendingRun
from spool.files.dead_letters import has_dead_run, move_run_to_dead
from spool.files.durable_files import WriteBatch
from spool.files.layout import Directory, Layout
from spool.files.run import LastError, Run
from spool.moment import Moment

# A crash within these times loses no run: what it undoes is requested once more, and cc-backend
# answers that it has it. So they weigh fsyncs against repeated requests.
MAX_STAGED_SECONDS = 0.5
GROUP_SIZE = 200  # each changed run of a group is an open file until all are written
GROUP_SECONDS = 0.2
_DeadLetter = tuple[Run, LastError, PendingRun]
_log = logging.getLogger(__name__)


class PendingChanges:
    """Runs (by file name) and events that wait to be written or removed."""

    def __init__(self) -> None:
        self.to_persist: dict[str, PendingRun] = {}
        self.staged: dict[str, PendingRun] = {}
        self.to_remove: dict[str, PendingRun] = {}
        self.to_dead: dict[str, _DeadLetter] = {}
        self.obsolete_dead_letters: set[str] = set()
        """Names of delivered runs whose earlier dead letter, if any, is to be removed."""
        self.handled_events: set[str] = set()
        self._removed_events: set[str] = set()
        self._waiting_since: float | None = None

    def has(self, name: str) -> bool:
        """Return whether a run is to be written or removed: memory is newer than any file of it.

        A file that a command puts into `todo/` meanwhile is replaced or removed with the change.
        """
        changed = (self.to_persist, self.staged, self.to_remove, self.to_dead)
        return any(name in names for names in changed)

    def is_due(self, now: Moment) -> bool:
        """Return whether the waiting group is large or old enough to be written."""
        if self._waiting_since is None:
            return False
        # A group shares one fsync of each directory. Alone, every change would cost several
        # milliseconds on a disk without a write cache.
        # Dead letters do not count: they may have to wait for a command.
        size = len(self.to_persist) + len(self.to_remove) + len(self.handled_events)
        return size >= GROUP_SIZE or now.steady - self._waiting_since >= GROUP_SECONDS

    def next_time(self) -> float | None:
        """Return when a group or a staged run becomes due, by the monotonic clock."""
        # A staged run has its own limit: a start that cc-backend accepts within half a second is
        # never written to disk before it is delivered.
        times = [entry.staged_at + MAX_STAGED_SECONDS for entry in self.staged.values()]
        if self._waiting_since is not None:
            times.append(self._waiting_since + GROUP_SECONDS)
        return min(times, default=None)

    def start_waiting(self, now: Moment) -> None:
        """Start the group's time limit, unless it has already started."""
        if self._waiting_since is None:
            self._waiting_since = now.steady

    def withdraw(self, name: str) -> None:
        """Cancel the planned write of a run."""
        self.staged.pop(name, None)
        self.to_persist.pop(name, None)

    def cancel_removal(self, entry: PendingRun) -> None:
        """Cancel the planned removal of a run, or its move to `dead/`, because it changed again."""
        # the events of the cancelled change are still needed: they keep the run's facts until it is
        # durable, so they move to the new entry
        removed = self.to_remove.pop(entry.name, None)
        if removed is not None:
            entry.events |= removed.events
        _, _, dead = self.to_dead.pop(entry.name, (None, None, entry))
        entry.events |= dead.events

    def is_removing(self, job_id: int) -> bool:
        """Return whether a run of a job is done and its file not durably removed yet."""
        return any(entry.job_id == job_id for entry in self.to_remove.values())

    def take_removed_events(self) -> set[str]:
        """Return the names of events that were removed since the last call."""
        removed, self._removed_events = self._removed_events, set()
        return removed

    def write(self, new_batch: Callable[[], WriteBatch], *, without_texts: bool) -> None:
        """Make all changes durable, except staged runs; written ones stay listed until `clear`.

        While a command changes dead letters, new and obsolete dead letters wait for a later group.

        Raises:
            OSError: nothing is lost, and what only removes files is done if that is possible.
        """
        # WriteBatch makes all writes durable before it removes anything: a crash in between leaves
        # a run in two directories or an event too many, and both are harmless. The other order
        # would lose runs: the facts must be on disk before the events that led to them are removed.
        batch = new_batch()
        obsolete = {name for name in self.obsolete_dead_letters if has_dead_run(batch.layout, name)}
        with self._dead_letters_lock(batch.layout, obsolete) as has_lock:
            dead_letters = self.to_dead if has_lock else {}
            waiting = set() if has_lock else obsolete
            unwritten = [] if dead_letters else self._dead_runs()
            try:
                self._put_runs(batch, dead_letters, without_texts=without_texts)
                events = self._put_removals(batch, unwritten=unwritten, waiting=waiting)
                for name in obsolete if has_lock else ():
                    batch.remove(Directory.DEAD, name)
                batch.commit()
            except OSError:
                # What is delivered must not wait for what is to be written: on a full disk its
                # files are the space that the others need.
                self._remove_delivered(new_batch(), waiting=obsolete)
                raise
        self._removed_events |= events
        self.to_dead = {} if has_lock else self.to_dead
        self.obsolete_dead_letters = set() if has_lock else obsolete

    def _dead_letters_lock(
        self, layout: Layout, obsolete: set[str]
    ) -> AbstractContextManager[bool]:
        """Return a context that locks `dead/` if needed, without waiting; it yields its success."""
        if not self.to_dead and not obsolete:
            return nullcontext(enter_result=False)
        return layout.lock(Directory.DEAD, wait=False)

    def _dead_runs(self) -> list[PendingRun]:
        return [entry for _, _, entry in self.to_dead.values()]

    def _put_runs(
        self, batch: WriteBatch, dead_letters: Mapping[str, _DeadLetter], *, without_texts: bool
    ) -> None:
        """Put changed runs and dead letters into a batch; if that fails, it is rolled back."""
        try:
            for entry in self.to_persist.values():
                if entry.run is not None:
                    batch.put_run(_without_texts(entry.run) if without_texts else entry.run)
                    _log.debug("job=%d start=%d is stored in %s/", *entry.key, entry.run.directory)
            for run, error, _ in dead_letters.values():
                move_run_to_dead(batch, run, error)
        except OSError:
            batch.rollback()
            raise

    def _put_removals(
        self, batch: WriteBatch, *, unwritten: Iterable[PendingRun], waiting: set[str]
    ) -> set[str]:
        """Put the removals into a batch, except `waiting` runs; return names of removed events."""
        # A command may be about to retry the dead letter of such a run: what it puts into `todo/`
        # goes with the run's own file.
        kept = [entry for name, entry in self.to_remove.items() if name in waiting]
        # the file is in one of the directories, or in both after a crash
        for name, entry in self.to_remove.items():
            if name in waiting:
                continue
            _log.debug("job=%d start=%d is done; its file is removed", *entry.key)
            batch.remove(Directory.TODO, name)
            batch.remove(Directory.OPEN, name)
        events = self._removable_events([*unwritten, *kept])
        for name in events:
            batch.remove(Directory.NEW, name)
        return events

    def _remove_delivered(self, batch: WriteBatch, *, waiting: set[str]) -> None:
        """Remove delivered runs, and events that no unwritten run needs, after a failed write."""
        unwritten = (*self.to_persist.values(), *self._dead_runs())
        events = self._put_removals(batch, unwritten=unwritten, waiting=waiting)
        batch.commit()
        self._forget_removed(waiting)
        self.handled_events -= events
        self._removed_events |= events

    def _removable_events(self, unwritten: Iterable[PendingRun]) -> set[str]:
        """Return the names of events that neither a staged nor an unwritten run needs any more."""
        removable = set(self.handled_events)
        # A delivered run frees its events although its file may come back after a power cut: then
        # the file leads to the same requests again.
        changed = (*self.to_persist.values(), *self.to_remove.values(), *self._dead_runs())
        for entry in changed:
            removable |= entry.events
        # One event may have led to several runs (a requeue). While one of them is only in memory,
        # the event must stay in `new/`: after a crash it is the only way back to that run.
        for entry in (*self.staged.values(), *unwritten):
            removable -= entry.events
        return removable

    def _forget_removed(self, waiting: set[str]) -> None:
        self.to_remove = {name: e for name, e in self.to_remove.items() if name in waiting}

    def clear(self, now: Moment) -> None:
        """Forget the written changes; keep staged runs and what waits for the lock of `dead/`."""
        self.to_persist.clear()
        self._forget_removed(self.obsolete_dead_letters)
        self.handled_events.clear()
        self._waiting_since = now.steady if self.to_dead or self.obsolete_dead_letters else None


def _without_texts(run: Run) -> Run:
    """Return a run without its large texts, because the disk is nearly full."""
    return replace(run, script=None, description=None)
