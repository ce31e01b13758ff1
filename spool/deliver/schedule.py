"""What may be sent next. A lane is all runs of one job id; lanes do not wait for each other.

In a lane starts go in order of start time and each stop after its own start; a stop that waits does
not hold back a later run's start; never two requests at once. Across lanes: starts of jobs still
running first, then the oldest. Belongs to the loop's thread; all waiting is in seconds of the
monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush
from itertools import count

from ccbackend.classify import Outcome
from spool.files.layout import Directory
from spool.files.run import Run
from spool.moment import Moment
from spool.resolve.run_match import TrackedRun

_BLAMING = frozenset({Outcome.RETRY, Outcome.HALT, Outcome.LATER})
MAX_WAIT_SECONDS = 24 * 3600.0  # of a time that was stored: no run is parked for longer


class RequestKind(StrEnum):
    """A request to cc-backend on behalf of one run."""

    START = "start"
    STOP = "stop"
    DELETE = "delete"
    EDIT_META = "edit_meta"


@dataclass(slots=True, kw_only=True)
class PendingRun:
    """What is kept in memory of a run in `todo/` or `open/`, or on its way there.

    `stored` is the directory that holds it (None: its facts are in memory alone, in `run`, and its
    `events` must stay). `run` may be dropped when it is stored. Until `retry_at` nothing is sent
    for it, and `waits_for` says why. `texts_until`: its start waits for script and description;
    `stop_texts_until`: its stop does, after a start without them; `new_texts` are those that came
    after it. `clock_wait_until`: until then it may wait because its
    time lies in the future (0: it does not); `topology_wanted_at`: a topology older than this lacks
    one of its hosts (0: none does). `comments_at` is when its comments, which may exclude it, were
    last read. `accepted_at` is when its start was accepted, which a
    stop hold counts from; `is_listed`: a job list of cc-backend shows it, so its stop needs no
    hold. `failures` counts failed requests since the last answer, `accepted_before` is how many
    requests of others had been accepted at the last of them. `is_blamed`: it is known to fail
    alone. `may_have_arrived`: the last request may have reached cc-backend. `is_slim`: sent without
    script and description, because something in front of cc-backend refuses them.
    """

    job_id: int
    start_time: int
    end_time: int | None = None
    started: int | None = None
    reported: bool = True
    restarts: int | None = None
    replaces: tuple[int, ...] = ()
    host: str = ""
    cluster: str = ""
    is_blamed: bool = False
    stored: Directory | None = None
    run: Run | None = None
    events: frozenset[str] = frozenset()
    in_flight: RequestKind | None = None
    retry_at: float = 0.0
    waits_for: str = ""
    texts_until: float = 0.0
    stop_texts_until: float = 0.0
    clock_wait_until: float = 0.0
    topology_wanted_at: float = 0.0
    comments_at: float = 0.0
    new_texts: tuple[str, ...] = ()
    accepted_at: float = 0.0
    is_listed: bool = False
    failures: int = 0
    accepted_before: int | None = None
    may_have_arrived: bool = False
    is_slim: bool = False
    staged_at: float = 0.0

    def update(self, run: Run, now: Moment) -> None:
        """Take over what a new value of the run says."""
        if run.started != self.started and run.started is not None:
            self.accepted_at = now.steady_since(run.started)
        self.run = run
        self.end_time = None if run.end is None else run.end.time
        self.started = run.started
        self.reported = run.reported
        self.restarts = run.job.restart_count
        if run.not_before:
            at = now.steady_at(run.not_before, longest=MAX_WAIT_SECONDS)
            self.retry_at = max(self.retry_at, at)
        self.replaces = run.replaces
        self.host = run.job.nodes[0] if run.job.nodes else ""
        self.cluster = run.cluster or ""
        error = run.last_error
        self.is_blamed = bool(run.attempts and error and error.outcome in _BLAMING)

    @property
    def has_failed(self) -> bool:
        """Return whether its last request failed: the next one may take as long."""
        return bool(self.failures) or self.is_blamed

    @property
    def key(self) -> tuple[int, int]:
        """Return job id and start time."""
        return self.job_id, self.start_time

    @property
    def name(self) -> str:
        """Return the run's file name."""
        return f"{self.job_id}-{self.start_time}.json"

    @property
    def next_request(self) -> RequestKind | None:
        """Return what is to be sent, whenever that may be."""
        if not self.reported:
            return None
        if self.started is None:
            return RequestKind.DELETE if self.replaces else RequestKind.START
        if self.new_texts:
            return RequestKind.EDIT_META
        return None if self.end_time is None else RequestKind.STOP

    def tracked(self) -> TrackedRun:
        """Return what the resolution of events needs to know."""
        return TrackedRun(
            start_time=self.start_time,
            end=self.end_time,
            started=self.started is not None,
            reported=self.reported,
            restarts=self.restarts,
        )


def pending_run(run: Run, stored: Directory | None, now: Moment) -> PendingRun:
    """Return the entry of a run; one that is stored does not keep the run in memory."""
    entry = PendingRun(job_id=run.job_id, start_time=run.start_time, stored=stored)
    entry.update(run, now)
    if stored is not None:
        entry.run = None
    return entry


class Schedule:
    """The loaded runs by lane, and queues of those that may be sent.

    A stop is held back for a while after its start was accepted unless the run is listed:
    cc-backend >= 1.5 may close a stranger's job earlier (its cache, `internal/api/job.go` v1.5.0).
    """

    def __init__(self, hold_seconds: float = 0.0) -> None:
        self._hold_seconds = hold_seconds
        self._lanes: dict[int, dict[int, PendingRun]] = {}
        self._ready: dict[bool, list[tuple[int, bool, int, int, PendingRun]]] = {
            True: [],
            False: [],
        }
        self._waiting: list[tuple[float, int, int]] = []
        self._sequence = count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[PendingRun]:
        for lane in list(self._lanes.values()):
            yield from list(lane.values())

    def lane(self, job_id: int) -> tuple[PendingRun, ...]:
        """Return the runs of a job id, oldest first."""
        lane = self._lanes.get(job_id)
        return () if lane is None else tuple(lane[start] for start in sorted(lane))

    def get(self, job_id: int, start_time: int) -> PendingRun | None:
        """Return one run's entry."""
        return self._lanes.get(job_id, {}).get(start_time)

    def add(self, entry: PendingRun, now: float) -> None:
        """Take in a run, or what changed about it."""
        lane = self._lanes.setdefault(entry.job_id, {})
        self._size += entry.start_time not in lane
        lane[entry.start_time] = entry
        self.reschedule(entry.job_id, now)

    def drop(self, entry: PendingRun, now: float) -> None:
        """Forget a run that is done, dead, discarded or only stored."""
        lane = self._lanes.get(entry.job_id, {})
        if lane.pop(entry.start_time, None) is not None:
            self._size -= 1
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

    def held_stops(self, now: float) -> Iterator[PendingRun]:
        """Yield the runs whose stop waits for the hold alone; looks at waiting lanes only."""
        for job_id in {job_id for _, _, job_id in self._waiting}:
            for entry in self.lane(job_id):
                is_stop = entry.next_request is RequestKind.STOP
                if is_stop and entry.retry_at <= now < self._ready_at(entry):
                    yield entry

    def release(self, entry: PendingRun, now: float) -> None:
        """Let a run go that waits for something but the stop hold."""
        entry.retry_at, entry.waits_for = 0.0, ""
        self.reschedule(entry.job_id, now)

    def reschedule(self, job_id: int, now: float) -> None:
        """Look again at what a lane has to send."""
        for entry in self._candidates(job_id):
            at = self._ready_at(entry)
            if at > now:
                heappush(self._waiting, (at, next(self._sequence), job_id))
            else:
                self._push(entry)

    def move_ready(self, now: float) -> None:
        """Let all go whose time has come; `next_time` lies in the future then."""
        while self._waiting and self._waiting[0][0] <= now:
            self.reschedule(heappop(self._waiting)[-1], now)

    def take_next(self, now: float, *, stops: bool, with_failed: bool = True) -> PendingRun | None:
        """Return the next run to stop (or to start, delete, edit), marked as in flight.

        `with_failed` False: none whose last request failed.
        """
        self.move_ready(now)
        ready = self._ready[stops]
        while ready:
            failures, *_, entry = heappop(ready)
            is_stop = entry.next_request is RequestKind.STOP
            if self._is_eligible(entry, now) and is_stop is stops:
                if with_failed or not entry.has_failed:
                    entry.in_flight = entry.next_request
                    return entry
                self._push(entry)
                if failures:  # only such are left
                    return None
            if self._ready_at(entry) > now:  # the hold has become longer since it was put here
                self.reschedule(entry.job_id, now)
        return None

    def is_ready(self, now: float) -> bool:
        """Return whether something may be sent now."""
        self.move_ready(now)
        return any(
            self._is_eligible(item[-1], now) for heap in self._ready.values() for item in heap
        )

    def ready_count(self) -> int:
        """Return about how many runs may be sent now."""
        return sum(len(heap) for heap in self._ready.values())

    def next_time(self) -> float | None:
        """Return when the next waiting lane is to be looked at."""
        return self._waiting[0][0] if self._waiting else None

    def _push(self, entry: PendingRun) -> None:
        over = entry.end_time is not None
        failures = max(entry.failures, entry.is_blamed)
        key = (failures, over, entry.start_time, next(self._sequence), entry)
        heappush(self._ready[entry.next_request is RequestKind.STOP], key)

    def _is_eligible(self, entry: PendingRun, now: float) -> bool:
        if self.get(entry.job_id, entry.start_time) is not entry or self._ready_at(entry) > now:
            return False
        return any(other is entry for other in self._candidates(entry.job_id))

    def _ready_at(self, entry: PendingRun) -> float:
        kind = entry.next_request
        if kind is RequestKind.START:
            return max(entry.retry_at, entry.texts_until)
        at = entry.retry_at
        if kind is RequestKind.STOP:
            at = max(at, entry.stop_texts_until)
        if kind is RequestKind.DELETE or entry.is_listed:
            return at
        return max(at, entry.accepted_at + self._hold_seconds)

    def _candidates(self, job_id: int) -> Iterator[PendingRun]:
        """Yield the runs of a lane that order allows to be sent, whenever their time comes."""
        lane = self.lane(job_id)
        if any(entry.in_flight for entry in lane):
            return
        starting = True
        for position, entry in enumerate(lane):
            if entry.next_request in {RequestKind.STOP, RequestKind.EDIT_META}:
                yield entry
            elif entry.next_request is not None and starting:
                starting = False
                is_start = entry.next_request is RequestKind.START
                if is_start or not any(_is_open(e) for e in lane[:position]):
                    yield entry


def _is_open(entry: PendingRun) -> bool:
    """Return whether a run's row is still to be closed before it may be replaced."""
    return entry.reported and entry.started is not None
