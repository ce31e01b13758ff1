"""What may be told next. A lane is all runs of one job id; lanes do not wait for each other.

In a lane starts go in order of start time and each stop after its own start; a stop that waits does
not hold back a later run's start; never two requests at once. Across lanes: starts of jobs still
running first, then the oldest. Belongs to one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from itertools import count

from spool.files.layout import Directory
from spool.files.run import Run
from spool.resolve.resolution import TrackedRun


class RequestKind(StrEnum):
    """A request of cc-backend: three on behalf of one run, two about the server."""

    START = "start"
    STOP = "stop"
    DELETE = "delete"
    LIST = "list"
    PROBE = "probe"


@dataclass(slots=True, kw_only=True)
class ScheduleEntry:
    """What is kept in memory of a run in `todo/` or `open/`, or on its way there.

    `stored` is the directory that holds it (None: its facts are in memory alone, in `run`, and its
    `events` must stay). `run` may be dropped when it is stored. `listed`: a listing of cc-backend
    shows it. `failures` counts requests lost to an outage, `accepted_at_failure` is how
    many requests of all runs had been accepted at the last of them. `waits_for` names a host or
    cluster that cc-backend does not know. `may_have_arrived`: the last request may have reached it.
    """

    job_id: int
    start_time: int
    end_time: int | None = None
    started: int | None = None
    reported: bool = True
    restarts: int | None = None
    not_before: float = 0.0
    replaces: tuple[int, ...] = ()
    host: str = ""
    cluster: str = ""
    stored: Directory | None = None
    run: Run | None = None
    events: set[str] = field(default_factory=set)
    in_flight: RequestKind | None = None
    listed: bool = False
    failures: int = 0
    accepted_at_failure: int | None = None
    waits_for: str = ""
    may_have_arrived: bool = False
    staged_at: float = 0.0

    def update(self, run: Run) -> None:
        """Take over what a new value of the run says."""
        self.run = run
        self.end_time = None if run.end is None else run.end.time
        self.started = run.started
        self.reported = run.reported
        self.restarts = run.job.restart_count
        self.not_before = run.not_before
        self.replaces = run.replaces
        self.host = run.job.nodes[0] if run.job.nodes else ""
        self.cluster = run.cluster or ""

    @property
    def name(self) -> str:
        """Return the run's file name."""
        return f"{self.job_id}-{self.start_time}.json"

    @property
    def next_request(self) -> RequestKind | None:
        """Return what is to be told, whenever that may be."""
        if not self.reported:
            return None
        if self.started is None:
            return RequestKind.DELETE if self.replaces else RequestKind.START
        return None if self.end_time is None else RequestKind.STOP

    def tracked(self) -> TrackedRun:
        """Return what the accounting for runs needs to know."""
        return TrackedRun(
            start_time=self.start_time,
            end=self.end_time,
            started=self.started is not None,
            reported=self.reported,
            restarts=self.restarts,
        )


def schedule_entry(run: Run, stored: Directory | None) -> ScheduleEntry:
    """Return the entry of a run; one that is stored does not keep the run in memory."""
    entry = ScheduleEntry(job_id=run.job_id, start_time=run.start_time, stored=stored)
    entry.update(run)
    if stored is not None:
        entry.run = None
    return entry


class Schedule:
    """All runs by lane, and queues of those that may be told.

    A stop is held back for a while after its start was accepted unless the run is listed:
    cc-backend >= 1.5 may close a stranger's job earlier (its cache, `internal/api/job.go` v1.5.0).
    """

    def __init__(self, hold_seconds: float = 0.0) -> None:
        self._hold_seconds = hold_seconds
        self._lanes: dict[int, dict[int, ScheduleEntry]] = {}
        self._ready: dict[bool, list[tuple[int, bool, int, int, ScheduleEntry]]] = {
            True: [],
            False: [],
        }
        self._waiting: list[tuple[float, int, int]] = []
        self._sequence = count()

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def __iter__(self) -> Iterator[ScheduleEntry]:
        for lane in list(self._lanes.values()):
            yield from list(lane.values())

    def lane(self, job_id: int) -> tuple[ScheduleEntry, ...]:
        """Return the runs of a job id, oldest first."""
        lane = self._lanes.get(job_id, {})
        return tuple(lane[start] for start in sorted(lane))

    def get(self, job_id: int, start_time: int) -> ScheduleEntry | None:
        """Return one run's entry."""
        return self._lanes.get(job_id, {}).get(start_time)

    def add(self, entry: ScheduleEntry, now: float) -> None:
        """Take in a run, or what changed about it."""
        self._lanes.setdefault(entry.job_id, {})[entry.start_time] = entry
        self.reschedule(entry.job_id, now)

    def drop(self, entry: ScheduleEntry, now: float) -> None:
        """Forget a run that is done, dead or discarded."""
        lane = self._lanes.get(entry.job_id, {})
        lane.pop(entry.start_time, None)
        if lane:
            self.reschedule(entry.job_id, now)
        else:
            self._lanes.pop(entry.job_id, None)

    def set_hold(self, seconds: float, now: float) -> None:
        """Set how long stops are held back; looks at all that waits when that changes."""
        if seconds == self._hold_seconds:
            return
        self._hold_seconds = seconds
        for _, _, job_id in list(self._waiting):
            self.reschedule(job_id, now)

    def held_stops(self, now: float) -> Iterator[ScheduleEntry]:
        """Yield the runs whose stop waits for the hold alone; looks at waiting lanes only."""
        for job_id in {job_id for _, _, job_id in self._waiting}:
            for entry in self.lane(job_id):
                if (
                    entry.next_request is RequestKind.STOP
                    and entry.not_before <= now < self._ready_at(entry)
                ):
                    yield entry

    def reschedule(self, job_id: int, now: float) -> None:
        """Look again at what a lane has to tell."""
        for entry in self._candidates(job_id):
            at = self._ready_at(entry)
            if at > now:
                heappush(self._waiting, (at, next(self._sequence), job_id))
            else:
                self._push(entry)

    def take_next(self, now: float, *, stops: bool) -> ScheduleEntry | None:
        """Return the next run to tell a stop of (or a start, a delete), marked as in flight."""
        self._move_ready(now)
        ready = self._ready[stops]
        while ready:
            entry = heappop(ready)[-1]
            if self._is_eligible(entry, now) and (entry.next_request is RequestKind.STOP) is stops:
                entry.in_flight = entry.next_request
                return entry
            if self._ready_at(entry) > now:  # the hold has become longer since it was put here
                self.reschedule(entry.job_id, now)
        return None

    def is_ready(self, now: float) -> bool:
        """Tell whether something may be told now."""
        self._move_ready(now)
        return any(
            self._is_eligible(item[-1], now) for heap in self._ready.values() for item in heap
        )

    def next_time(self) -> float | None:
        """Return when the next waiting lane is to be looked at, Unix seconds."""
        return self._waiting[0][0] if self._waiting else None

    def _move_ready(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            self.reschedule(heappop(self._waiting)[-1], now)

    def _push(self, entry: ScheduleEntry) -> None:
        over = entry.end_time is not None
        key = (entry.failures, over, entry.start_time, next(self._sequence), entry)
        heappush(self._ready[entry.next_request is RequestKind.STOP], key)

    def _is_eligible(self, entry: ScheduleEntry, now: float) -> bool:
        if self.get(entry.job_id, entry.start_time) is not entry or self._ready_at(entry) > now:
            return False
        return any(other is entry for other in self._candidates(entry.job_id))

    def _ready_at(self, entry: ScheduleEntry) -> float:
        if entry.next_request is not RequestKind.STOP or entry.listed:
            return entry.not_before
        return max(entry.not_before, (entry.started or 0) + self._hold_seconds)

    def _candidates(self, job_id: int) -> Iterator[ScheduleEntry]:
        """Yield the runs of a lane that order allows to be told, whenever their time comes."""
        lane = self.lane(job_id)
        if any(entry.in_flight for entry in lane):
            return
        starting = True
        for position, entry in enumerate(lane):
            if entry.next_request is RequestKind.STOP:
                yield entry
            elif entry.next_request is not None and starting:
                starting = False
                if entry.next_request is RequestKind.START or not any(
                    _is_open(e) for e in lane[:position]
                ):
                    yield entry


def _is_open(entry: ScheduleEntry) -> bool:
    """Tell whether a run's row is still to be closed before it may be replaced."""
    return entry.reported and entry.started is not None
