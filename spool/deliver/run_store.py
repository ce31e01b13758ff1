"""The runs of the spool in memory and on disk; only this module changes `todo/` and `open/`.

A change is *staged* first (facts in memory, the events still in `new/`), because a healthy
cc-backend makes most changes obsolete within milliseconds; `persist_aged` makes older ones durable.
Delivered runs are persisted in groups, because repeating a delivery is harmless. An event is
removed when no run that it led to is only staged.

Stored runs with nothing to send are only indexed by name and read when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice

from spool.deliver.delivered_runs import DeliveredRuns
from spool.deliver.pending_changes import MAX_STAGED_SECONDS, PendingChanges
from spool.deliver.pending_run import PendingRun, pending_run
from spool.deliver.run_index import RunIndex, job_id_of
from spool.deliver.run_loader import NOT_A_RUN, RunLoader
from spool.deliver.schedule import Schedule
from spool.files.archive import DeliveredArchive
from spool.files.codec import load_run
from spool.files.durable_files import WriteBatch
from spool.files.layout import Directory, Layout
from spool.files.run import LastError, Run
from spool.moment import Moment
from spool.resolve.run_match import TrackedRun

MAX_LOADED_RUNS = 40_000  # some 600 bytes each
MANY_STOPS = 8  # in the queue of a worker, and as many behind them
LOW_WATER = 500  # with fewer sendable runs in memory, more are loaded
ROTATE_SECONDS = 5.0
ROTATED_RUNS = 5_000


class RunStore:
    """The store of all runs; used in one thread of the process that holds the drain's lock."""

    def __init__(
        self,
        layout: Layout,
        schedule: Schedule,
        archive: DeliveredArchive,
        *,
        loader: RunLoader,
        new_batch: Callable[[Layout], WriteBatch] = WriteBatch,
    ) -> None:
        self.layout = layout
        self.schedule = schedule
        self.on_loaded: Callable[[PendingRun, Run, Moment], None] = lambda *_: None
        """Called with every run that is read from the disk, before it can be sent."""
        self._archive = archive
        self._loader = loader
        self._rotate_at = 0.0
        self._new_batch = new_batch
        self._index = RunIndex()
        self._changes = PendingChanges()
        self._delivered = DeliveredRuns(archive.recent_runs())

    def __len__(self) -> int:
        return len(self.schedule) + len(self._index)

    # ---- which runs there are

    def add_file(self, directory: Directory, name: str) -> bool:
        """Index a run file to be read when needed; return False if its name is not valid."""
        return self._index.add(name, directory)

    def knows(self, name: str) -> bool:
        """Return whether a file of `todo/` is indexed or loaded, or its run is about to change."""
        if name in self._index or self._changes.has(name):
            return True
        loaded = self.schedule.lane(job_id_of(name))
        return any(each.name == name and each.stored is Directory.TODO for each in loaded)

    def load_more(self, now: Moment) -> None:
        """Load runs from `todo/` while only few loaded runs can be sent.

        Files that could not be read are retried when their time has come.
        """
        for directory, name in self._loader.take_due(now):
            if self._index.add(name, directory):
                self._load_lane(job_id_of(name), now)
            else:
                self._loader.move_to_dead(directory, name, NOT_A_RUN, now)
        wanted = LOW_WATER - self.schedule.ready_count()
        if wanted <= 0:
            return
        if len(self.schedule) >= MAX_LOADED_RUNS:
            self._rotate(now)
            return
        for job_id in self._index.job_ids(Directory.TODO, wanted):
            self._load_lane(job_id, now)

    def lane(self, job_id: int, now: Moment) -> tuple[PendingRun, ...]:
        """Return the runs of a job id, oldest first; load those that are only stored."""
        self._load_lane(job_id, now)
        return self.schedule.lane(job_id)

    def get(self, job_id: int, start_time: int, now: Moment) -> PendingRun | None:
        """Return one run; load it if it is only stored."""
        self._load_lane(job_id, now)
        return self.schedule.get(job_id, start_time)

    def unsent_count(self) -> int:
        """Return about how many runs, loaded or not, have something to be sent (an upper bound)."""
        return self.schedule.unsent_count() + self._index.count(Directory.TODO)

    def waiting_job_ids(self) -> list[int]:
        """Return the job ids with runs in `todo/`, loaded or not."""
        loaded = [entry.job_id for entry in self.schedule if entry.next_request is not None]
        return [*self._index.job_ids(Directory.TODO, len(self._index)), *loaded]

    def unfinished(self) -> Iterator[tuple[int, int]]:
        """Yield job id and start time of the runs without a known end."""
        yield from self._index.keys(Directory.OPEN)
        for entry in self.schedule:
            if entry.end_time is None:
                yield entry.key

    def tracked(self, job_id: int, now: Moment) -> tuple[TrackedRun, ...]:
        """Return the runs of a job id that are in the spool or were delivered recently."""
        here = [entry.tracked() for entry in self.lane(job_id, now)]
        # One that cannot be read counts as delivered: as an unknown run it would be reported twice.
        here += [TrackedRun(start_time=s, started=True) for s in self.unreadable_starts(job_id)]
        starts = {run.start_time for run in here}
        return (*self._delivered.tracked(job_id, known_starts=starts), *here)

    def delete_obstacle(self, job_id: int) -> str:
        """Return why no row of a job may be deleted now; "" if one may.

        After a crash, a run whose file is not durably removed would be delivered once more. A run
        whose file cannot be read may still need its stop before its row is deleted.
        """
        if self._changes.is_removing(job_id):
            return "the file of an earlier run is still being removed"
        return "a spool file of this job cannot be read" if self.unreadable_starts(job_id) else ""

    def unreadable_starts(self, job_id: int) -> list[int]:
        """Return the start times of a job's runs whose files cannot be loaded now."""
        return self._loader.unreadable_starts(job_id)

    def load_run(self, entry: PendingRun) -> Run:
        """Return an entry's run, from memory or disk.

        Raises:
            BadFileError, NewerFormatError, OSError: as `codec.load_run`.
        """
        run = entry.in_memory or load_run(self.layout, entry.stored or Directory.TODO, entry.name)
        entry.read = run if entry.in_flight else None  # its answer needs it again
        return run

    # ---- changes

    def stage(self, run: Run, events: Iterable[str], now: Moment) -> PendingRun:
        """Add a new or changed run in memory; its events stay in `new/` until it is sent or stored.

        If the run already waits for the next group write, that writes the change too.
        """
        entry = self.get(run.job_id, run.start_time, now) or pending_run(run, None, now)
        entry.update(run, now)
        entry.events |= set(events)
        self._changes.cancel_removal(entry)
        # not staged as well: the group writes the newest value, and only then removes its events
        if entry.name not in self._changes.to_persist:
            if entry.name not in self._changes.staged:
                entry.staged_at = now.steady
            self._changes.staged[entry.name] = entry
        self.schedule.add(entry, now.steady)
        return entry

    def persist(self, entry: PendingRun, run: Run, now: Moment) -> None:
        """Queue a changed run to be written; the next group write makes it durable."""
        entry.update(run, now)
        self._changes.staged.pop(entry.name, None)
        self._changes.to_persist[entry.name] = entry
        self._changes.cancel_removal(entry)
        self._changes.start_waiting(now)
        self.schedule.add(entry, now.steady)

    def complete(self, entry: PendingRun, run: Run, now: Moment) -> None:
        """Remove a run that is completely delivered, or of which nothing is to be sent."""
        self._changes.withdraw(entry.name)
        self._changes.to_remove[entry.name] = entry
        # into the archive before the file is removed: a crash in between leaves a copy too many
        if run.reported and run.end is not None:
            self._archive.add(run, now.wall)
            self._changes.obsolete_dead_letters.add(entry.name)
            self._delivered.add(run.job_id, run.start_time, run.end.time)
        self._changes.start_waiting(now)
        self.schedule.drop(entry, now.steady)  # at once: nothing may be sent for it any more

    def move_to_dead(self, entry: PendingRun, run: Run, error: LastError, now: Moment) -> None:
        """Move a run that cc-backend rejected to `dead/` with the next group."""
        self._changes.withdraw(entry.name)
        self._changes.obsolete_dead_letters.discard(entry.name)
        self._changes.to_dead[entry.name] = (run, error, entry)
        self._changes.start_waiting(now)
        self.schedule.drop(entry, now.steady)

    def forget(self, entry: PendingRun, now: Moment) -> None:
        """Drop a run whose file was removed or cannot be used now."""
        self._changes.withdraw(entry.name)
        self.schedule.drop(entry, now.steady)

    def drop_events(self, names: Collection[str], now: Moment, *, job_id: int = 0) -> None:
        """Remove events that need no action; not before the job's staged runs are durable."""
        # a run that only accounting has shown may be only in memory when its events come
        for entry in self.schedule.lane(job_id):
            if self._changes.has(entry.name):
                entry.events |= set(names)
        self._changes.handled_events.update(names)
        self._changes.start_waiting(now)

    def persist_aged(self, now: Moment, *, everything: bool) -> None:
        """Queue the old staged runs to be written; with `everything`, all staged runs."""
        for entry in list(self._changes.staged.values()):
            is_aged = everything or now.steady - entry.staged_at >= MAX_STAGED_SECONDS
            if is_aged and entry.run is not None:
                self.persist(entry, entry.run, now)

    # ---- making it durable

    def is_due(self, now: Moment) -> bool:
        """Return whether the waiting group is large or old enough to be written."""
        return self._changes.is_due(now)

    def has_many_stops(self, now: Moment) -> bool:
        """Return whether MANY_STOPS or more of the runs to be written have a due stop."""
        return self.schedule.due_stops(self._changes.to_persist.values(), now.steady) >= MANY_STOPS

    def next_time(self) -> float | None:
        """Return when a group or a staged run becomes due, by the monotonic clock."""
        return self._changes.next_time()

    def flush(self, now: Moment, *, without_texts: bool = False) -> None:
        """Make the waiting changes durable; `without_texts` saves space on a full disk.

        Raises:
            OSError: nothing is lost; the next call tries again what was not done.
        """
        self._changes.write(lambda: self._new_batch(self.layout), without_texts=without_texts)
        # only now: if that fails, the written runs stay pending and their events stay in `new/`
        self._mark_persisted(now)

    def take_removed_events(self) -> set[str]:
        """Return the names of events that were removed since the last call."""
        return self._changes.take_removed_events()

    def unload(self, entry: PendingRun, now: Moment) -> None:
        """Remove a stored run from memory and index its name."""
        if entry.stored is not None:
            self.schedule.drop(entry, now.steady)
            self._index.add(entry.name, entry.stored)

    def _load_lane(self, job_id: int, now: Moment) -> None:
        """Load all files of a job id: the order of its runs must be known before sending."""
        for directory, name in self._index.take_lane(job_id):
            run = self._loader.load(directory, name, now)
            if run is None:
                continue
            entry = pending_run(run, directory, now)
            self.on_loaded(entry, run, now)
            if run.directory is directory:
                self.schedule.add(entry, now.steady)
            elif run.end is not None and not run.reported:
                self.complete(entry, run, now)
            else:  # `discard` and `replay` write only to `todo/`: move it to its directory
                self.persist(entry, run, now)

    def _rotate(self, now: Moment) -> None:
        """Unload some stored runs that wait or have nothing to send, to make room for others.

        Runs with changes that are not durable stay loaded, because their files are older.
        """
        if now.steady < self._rotate_at or not self._index.count(Directory.TODO):
            return
        self._rotate_at = now.steady + ROTATE_SECONDS
        stored = (e for e in self.schedule if e.stored and e.run is None and e.in_flight is None)
        idle = (e for e in stored if e.waits_for or e.next_request is None)
        for entry in list(islice(filter(self.schedule.is_alone, idle), ROTATED_RUNS)):
            self.unload(entry, now)

    def _mark_persisted(self, now: Moment) -> None:
        """Mark the written changes as durable; unload runs that only wait for an event."""
        written = list(self._changes.to_persist.values())
        for entry in written:
            entry.stored = None if entry.run is None else entry.run.directory
            # the file has the facts now; the answer to a request in flight needs them again
            entry.read, entry.run = entry.run if entry.in_flight else None, None
            entry.events = frozenset()
        self._changes.clear(now)
        is_crowded = len(self.schedule) > MAX_LOADED_RUNS
        for entry in written:
            # only memory knows that a run waits for its texts: loaded again, it would not wait
            has_question = entry.texts_until or entry.stop_texts_until
            is_idle = entry.in_flight is None and not has_question and self.schedule.is_alone(entry)
            if is_idle and (entry.next_request is None or is_crowded):
                self.unload(entry, now)
