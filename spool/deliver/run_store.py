"""The runs of the spool, in memory and on disk: the one place that changes `todo/` and `open/`.

A change is *staged* first (facts in memory, the events still in `new/`), because a healthy
cc-backend makes most of them obsolete within milliseconds; `persist_aged` makes what got old
durable. What was delivered is persisted in groups: repeating a delivery is harmless. An event goes
when no run that it led to is only staged.

Runs that are stored and have nothing to send are known by name alone and read when they are needed:
what a drain holds in memory follows what it works on, not what lies in the spool.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

from spool.deliver.run_index import RunIndex
from spool.deliver.run_loader import NOT_A_RUN, RunLoader
from spool.deliver.schedule import PendingRun, Schedule, pending_run
from spool.files.archive import DeliveredArchive
from spool.files.dead_letters import move_run_to_dead
from spool.files.durable_files import WriteBatch, load_run
from spool.files.layout import Directory, Layout
from spool.files.run import LastError, Run
from spool.moment import Moment
from spool.resolve.run_match import TrackedRun

MAX_STAGED_SECONDS = 0.5
GROUP_SIZE = 50
GROUP_SECONDS = 0.2
MAX_REMEMBERED_JOBS = 10_000
MAX_LOADED_RUNS = 40_000  # some 600 bytes each
LOW_WATER = 500  # runs that may be sent now; below it more are loaded
ROTATE_SECONDS = 5.0
ROTATED_RUNS = 5_000


class RunStore:
    """Belongs to one thread, the holder of the drain's lock."""

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
        self._archive = archive
        self._loader = loader
        self._rotate_at = 0.0
        self._new_batch = new_batch
        self._index = RunIndex()
        self._to_persist: dict[str, PendingRun] = {}
        self._staged: dict[str, PendingRun] = {}
        self._to_remove: dict[str, PendingRun] = {}
        self._to_dead: dict[str, tuple[Run, LastError, PendingRun]] = {}
        self._handled_events: set[str] = set()
        self._removed_events: set[str] = set()
        self._waiting_since: float | None = None
        self._delivered: OrderedDict[int, dict[int, int]] = OrderedDict()
        for job_id, start, end in archive.recent_runs():
            self._remember_delivered(job_id, start, end)

    def __len__(self) -> int:
        return len(self.schedule) + len(self._index)

    # ---- which runs there are

    def add_file(self, directory: Directory, name: str) -> bool:
        """Note a run file that is to be read when it is needed; False: no name of a run file."""
        return self._index.add(name, directory)

    def knows(self, name: str) -> bool:
        """Return whether a name in `todo/` is noted, loaded from there, or about to be removed."""
        if name in self._index or name in self._to_remove or name in self._to_dead:
            return True
        return any(
            entry.name == name and entry.stored is Directory.TODO
            for entry in self.schedule.lane(_job_id(name))
        )

    def load_more(self, now: Moment) -> None:
        """Load runs from `todo/` while few of those that are loaded may be sent.

        Files that could not be read are tried again in time.
        """
        for directory, name in self._loader.take_due(now):
            if self._index.add(name, directory):
                self._load_lane(_job_id(name), now)
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
        """Return the runs of a job id, oldest first, loading those that are only stored."""
        self._load_lane(job_id, now)
        return self.schedule.lane(job_id)

    def get(self, job_id: int, start_time: int, now: Moment) -> PendingRun | None:
        """Return one run, loading it if it is only stored."""
        self._load_lane(job_id, now)
        return self.schedule.get(job_id, start_time)

    def waiting_job_ids(self) -> list[int]:
        """Return the job ids that have something in `todo/`, loaded or not."""
        stored = self._index.job_ids(Directory.TODO, len(self._index))
        loaded = [entry.job_id for entry in self.schedule if entry.next_request is not None]
        return [*stored, *loaded]

    def unfinished(self) -> Iterator[tuple[int, int]]:
        """Yield job id and start time of the runs that, as far as is known here, still run."""
        yield from self._index.keys(Directory.OPEN)
        for entry in self.schedule:
            if entry.end_time is None:
                yield entry.key

    def tracked(self, job_id: int, now: Moment) -> tuple[TrackedRun, ...]:
        """Return the runs of a job id that are here or were delivered lately."""
        here = [entry.tracked() for entry in self.lane(job_id, now)]
        here += [
            TrackedRun(start_time=start, started=True) for start in self.unreadable_starts(job_id)
        ]
        starts = {run.start_time for run in here}
        past = [
            TrackedRun(start_time=start, end=end, started=True)
            for start, end in self._delivered.get(job_id, {}).items()
            if start not in starts
        ]
        return (*past, *here)

    def is_removing(self, job_id: int) -> bool:
        """Return whether a run of a job is done and its file not durably removed yet."""
        return any(entry.job_id == job_id for entry in self._to_remove.values())

    def unreadable_starts(self, job_id: int) -> list[int]:
        """Return the start times of a job's runs whose files cannot be loaded now."""
        return self._loader.unreadable_starts(job_id)

    def load_run(self, entry: PendingRun) -> Run:
        """Return an entry's run, from memory or disk.

        Raises:
            BadFileError, NewerFormatError, OSError: as `durable_files.load_run`.
        """
        if entry.run is not None:
            return entry.run
        return load_run(self.layout, entry.stored or Directory.TODO, entry.name)

    # ---- what becomes of them

    def stage(self, run: Run, events: Iterable[str], now: Moment) -> PendingRun:
        """Take in a new or changed run whose events keep it safe until it is sent or gets old.

        One that is to be written with the next group anyway is written with what is new of it.
        """
        entry = self.get(run.job_id, run.start_time, now) or pending_run(run, None, now)
        entry.update(run, now)
        entry.events |= set(events)
        self._cancel_removal(entry)
        if entry.name not in self._to_persist:
            if entry.name not in self._staged:
                entry.staged_at = now.steady
            self._staged[entry.name] = entry
        self.schedule.add(entry, now.steady)
        return entry

    def persist(self, entry: PendingRun, run: Run, now: Moment) -> None:
        """Take over what is new of a run; durable with the next group."""
        entry.update(run, now)
        self._staged.pop(entry.name, None)
        self._to_persist[entry.name] = entry
        self._cancel_removal(entry)
        self._start_waiting(now)
        self.schedule.add(entry, now.steady)

    def complete(self, entry: PendingRun, run: Run, now: Moment) -> None:
        """Take a run out that is delivered in full or of which nothing is to be sent."""
        self._staged.pop(entry.name, None)
        self._to_persist.pop(entry.name, None)
        self._to_remove[entry.name] = entry
        if run.reported and run.end is not None:
            self._archive.add(run, now.wall)
            self._remember_delivered(run.job_id, run.start_time, run.end.time)
        self._start_waiting(now)
        self.schedule.drop(entry, now.steady)

    def move_to_dead(self, entry: PendingRun, run: Run, error: LastError, now: Moment) -> None:
        """Take a run out that cc-backend refuses for good."""
        self._staged.pop(entry.name, None)
        self._to_persist.pop(entry.name, None)
        self._to_dead[entry.name] = (run, error, entry)
        self._start_waiting(now)
        self.schedule.drop(entry, now.steady)

    def forget(self, entry: PendingRun, now: Moment) -> None:
        """Drop a run whose file is gone or was set aside."""
        self._staged.pop(entry.name, None)
        self._to_persist.pop(entry.name, None)
        self.schedule.drop(entry, now.steady)

    def drop_events(self, names: Iterable[str], now: Moment) -> None:
        """Remove events that ask for nothing (more)."""
        self._handled_events.update(names)
        self._start_waiting(now)

    def persist_aged(self, now: Moment, *, everything: bool) -> None:
        """Make staged runs durable that got old, or all of them while cc-backend is away."""
        for entry in list(self._staged.values()):
            is_aged = everything or now.steady - entry.staged_at >= MAX_STAGED_SECONDS
            if is_aged and entry.run is not None:
                self.persist(entry, entry.run, now)

    # ---- making it durable

    def is_due(self, now: Moment) -> bool:
        """Return whether a group waits that is large or old enough."""
        if self._waiting_since is None:
            return False
        size = len(self._to_persist) + len(self._to_remove) + len(self._to_dead)
        size += len(self._handled_events)
        return size >= GROUP_SIZE or now.steady - self._waiting_since >= GROUP_SECONDS

    def next_time(self) -> float | None:
        """Return when a group or a staged run becomes due, by the monotonic clock."""
        times = [entry.staged_at + MAX_STAGED_SECONDS for entry in self._staged.values()]
        if self._waiting_since is not None:
            times.append(self._waiting_since + GROUP_SECONDS)
        return min(times, default=None)

    def flush(self, now: Moment, *, without_texts: bool = False) -> None:
        """Make the waiting changes durable; `without_texts` saves space on a full disk.

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
        self._mark_persisted(events, now)

    def take_removed_events(self) -> set[str]:
        """Return the names of events that are gone since the last call."""
        removed, self._removed_events = self._removed_events, set()
        return removed

    def unload(self, entry: PendingRun, now: Moment) -> None:
        """Keep of a stored run only its name."""
        if entry.stored is not None:
            self.schedule.drop(entry, now.steady)
            self._index.add(entry.name, entry.stored)

    def _load_lane(self, job_id: int, now: Moment) -> None:
        """Load the files of a job id: the order of its runs must be known before any is sent."""
        for directory, name in self._index.take_lane(job_id):
            run = self._loader.load(directory, name, now)
            if run is None:
                continue
            entry = pending_run(run, directory, now)
            if run.directory is directory:
                self.schedule.add(entry, now.steady)
            elif run.end is not None and not run.reported:
                self.complete(entry, run, now)
            else:  # `discard` and `replay` leave to us what belongs elsewhere
                self.persist(entry, run, now)

    def _rotate(self, now: Moment) -> None:
        """Make room for stored runs by unloading some that wait for long or have nothing to send.

        Not those whose facts are not durable yet: their file is older than what is known.
        """
        if now.steady < self._rotate_at or not self._index.count(Directory.TODO):
            return
        self._rotate_at = now.steady + ROTATE_SECONDS
        stored = (e for e in self.schedule if e.stored and e.run is None and e.in_flight is None)
        idle = (e for e in stored if e.waits_for or e.next_request is None)
        for entry in list(islice(idle, ROTATED_RUNS)):
            self.unload(entry, now)

    def _mark_persisted(self, events: set[str], now: Moment) -> None:
        """Note what is durable now; runs that wait for nothing but an event leave the memory."""
        written = list(self._to_persist.values())
        for entry in written:
            entry.stored = None if entry.run is None else entry.run.directory
            entry.run = None
            entry.events = frozenset()
        self._to_persist.clear()
        self._to_remove.clear()
        self._to_dead.clear()
        self._handled_events.clear()
        self._waiting_since = None
        self._removed_events |= events
        is_crowded = len(self.schedule) > MAX_LOADED_RUNS
        for entry in written:
            is_idle = entry.in_flight is None and not entry.texts_until
            if is_idle and (entry.next_request is None or is_crowded):
                self.unload(entry, now)

    def _remember_delivered(self, job_id: int, start: int, end: int) -> None:
        """Know a run as delivered in full: accounting may show it again beside a later one."""
        self._delivered.setdefault(job_id, {})[start] = end
        while len(self._delivered) > MAX_REMEMBERED_JOBS:
            self._delivered.popitem(last=False)

    def _cancel_removal(self, entry: PendingRun) -> None:
        """Keep a run that was about to be removed or to go to `dead/`, and is reported again."""
        removed = self._to_remove.pop(entry.name, None)
        if removed is not None:
            entry.events |= removed.events
        _, _, dead = self._to_dead.pop(entry.name, (None, None, entry))
        entry.events |= dead.events

    def _removable_events(self) -> set[str]:
        """Return the events that nothing staged needs any more."""
        removable = set(self._handled_events)
        for entry in (*self._to_persist.values(), *self._to_remove.values()):
            removable |= entry.events
        for _, _, entry in self._to_dead.values():
            removable |= entry.events
        for entry in self._staged.values():
            removable -= entry.events
        return removable

    def _start_waiting(self, now: Moment) -> None:
        if self._waiting_since is None:
            self._waiting_since = now.steady


def _job_id(name: str) -> int:
    return int(name.partition("-")[0]) if name.partition("-")[0].isdecimal() else 0


def _without_texts(run: Run) -> Run:
    """Return a run without what can be large: the disk is nearly full."""
    return replace(run, script=None, description=None)
