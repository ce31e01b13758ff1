"""The order of requests. A lane has all runs of one job id; lanes do not wait for each other.

In a lane, starts are sent in order of start time and each stop after its own start. A waiting stop
does not delay a later run's start. There is never more than one request of a lane in flight. Across
lanes, starts of jobs that still run go first, then the oldest. Used only in the loop's thread; all
times are seconds of the monotonic clock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import count

from spool.deliver.pending_run import PendingRun, RequestKind
from spool.deliver.stop_hold import ready_at

_log = logging.getLogger(__name__)


class Schedule:
    """The loaded runs by lane, and queues of those that may be sent.

    A stop is held back for a while after its start was accepted unless the run is listed: an
    earlier stop may close another job at cc-backend >= 1.5 (its job cache, `internal/api/job.go`
    v1.5.0).
    """

    def __init__(self, hold_seconds: float = 0.0) -> None:
        self._hold_seconds = hold_seconds
        self._lanes: dict[int, dict[int, PendingRun]] = {}
        # Both queues are only hints: nothing is removed when a run changes, so a run may be in them
        # several times; `_is_eligible` checks it when it is taken.
        # Starts (False) and stops (True) have a queue each, because each has connections of its
        # own.
        self._ready: dict[bool, list[tuple[int, bool, int, int, PendingRun]]] = {
            True: [],
            False: [],
        }
        self._waiting: list[tuple[float, int, int]] = []
        # since when the next request of a run has been due; the oldest comes first
        # A dict keeps the order of insertion, so its first value is the oldest. `check` is CRITICAL
        # if that one is a minute old while cc-backend answers.
        self._due: dict[tuple[int, int], float] = {}
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

    def is_alone(self, entry: PendingRun) -> bool:
        """Return whether this run is the only loaded one of its job id."""
        return len(self._lanes.get(entry.job_id, {})) == 1

    def get(self, job_id: int, start_time: int) -> PendingRun | None:
        """Return one run's entry."""
        return self._lanes.get(job_id, {}).get(start_time)

    def is_in_flight(self, entry: PendingRun) -> bool:
        """Return whether an entry is still that of its run, with a request in flight."""
        return bool(entry.in_flight) and self.get(*entry.key) is entry

    def add(self, entry: PendingRun, now: float) -> None:
        """Add a run, or reschedule it after a change."""
        # A changed run replaces its entry: at most one entry of a run may be sent, or a start could
        # be sent twice.
        lane = self._lanes.setdefault(entry.job_id, {})
        self._size += entry.start_time not in lane
        lane[entry.start_time] = entry
        self.reschedule(entry.job_id, now)

    def drop(self, entry: PendingRun, now: float) -> None:
        """Remove a run that is delivered, dead, discarded or unloaded."""
        lane = self._lanes.get(entry.job_id, {})
        if lane.pop(entry.start_time, None) is not None:
            self._size -= 1
            self._due.pop(entry.key, None)
        if lane:
            self.reschedule(entry.job_id, now)  # the next run of the lane may be allowed now
        else:
            self._lanes.pop(entry.job_id, None)

    def set_hold(self, seconds: float, now: float) -> None:
        """Set how long stops are held back; reschedule all waiting lanes if that changes."""
        if seconds == self._hold_seconds:
            return
        self._hold_seconds = seconds
        # The times in the queue were computed with the old hold. A shorter hold would not wake
        # them, so every waiting lane is put in again.
        for _, _, job_id in list(self._waiting):
            self.reschedule(job_id, now)

    def held_stops(self, now: float) -> Iterator[PendingRun]:
        """Yield the runs whose stop waits only for the hold; checks only waiting lanes.

        Also the runs whose start was published by NATS: a job list can confirm it early.
        """
        # Only waiting lanes can have a held stop. This is called twice a second: to look at all
        # runs would be expensive with a large spool.
        for job_id in {job_id for _, _, job_id in self._waiting}:
            for entry in self.lane(job_id):
                kind = entry.next_request
                is_start = kind is RequestKind.START and entry.is_published and not entry.is_listed
                is_stop = kind is RequestKind.STOP and entry.retry_at <= now
                if (is_start or is_stop) and now < self._ready_at(entry):
                    yield entry

    def release(self, entry: PendingRun, now: float) -> None:
        """Cancel the wait of a run, except the stop hold."""
        # The hold is not in `retry_at` but computed from `accepted_at`: no command and no repaired
        # cause can shorten it, because a stop that closes another job cannot be corrected.
        entry.retry_at, entry.waits_for = 0.0, ""
        self.reschedule(entry.job_id, now)

    def reschedule(self, job_id: int, now: float) -> None:
        """Put the sendable runs of a lane into the queues again."""
        if self._is_busy(job_id):
            return
        # A busy lane is rescheduled when its answer comes: the answer decides what may follow.
        candidates = list(self._candidates(job_id))
        for entry in self.lane(job_id):
            if entry not in candidates:
                self._due.pop(entry.key, None)  # another run of its lane comes first
        for entry in candidates:
            at = self._ready_at(entry)
            if at > now:
                # A known cause (an unknown host, for example) is shown as such by `check`. A
                # failure of unknown cause leaves the run due: otherwise no check would show that
                # nothing is delivered.
                if not entry.stays_due:
                    self._due.pop(entry.key, None)
                texts = {entry.texts_until, entry.stop_texts_until, entry.final_text_until}
                needs_texts = at in texts
                cause = entry.waits_for or (
                    "its texts are read" if needs_texts else "it is not due yet"
                )
                text = "job=%d start=%d call=%s waits %.1f s: %s"
                _log.debug(text, *entry.key, entry.next_request, at - now, cause)
                heappush(self._waiting, (at, next(self._sequence), job_id))
            else:
                if not entry.is_blamed:  # it waits openly, and fails each time it is tried
                    self._due.setdefault(entry.key, now)
                self._push(entry)

    def note_answered(self, entry: PendingRun) -> None:
        """Record that cc-backend answered a run's request: its next one is not due yet."""
        self._due.pop(entry.key, None)

    def due_since(self) -> float | None:
        """Return the time since which the longest-due run has been due; None if no run is due.

        A run in flight counts as due, and so does one that waits after a failure of unknown cause:
        only an answer or a known cause ends this.
        """
        return next(iter(self._due.values()), None)

    def move_ready(self, now: float) -> None:
        """Move the due runs to the ready queues; then `next_time` is in the future."""
        while self._waiting and self._waiting[0][0] <= now:
            self.reschedule(heappop(self._waiting)[-1], now)

    def take_next(
        self, now: float, *, stops: bool, with_failed: bool = True, with_ended: bool = True
    ) -> PendingRun | None:
        """Return the next run with a stop (`stops`) or another request; mark it as in flight.

        `with_failed` False: skip runs whose last request failed. `with_ended` False: skip starts of
        ended runs. They wait while many stops are sent, at most until the next group write: a run
        whose stop follows its start at once is removed before it has to be written.
        """
        self.move_ready(now)
        ready = self._ready[stops]
        # A popped run is either returned or pushed again if it is still eligible, so that the hints
        # that are out of date leave the queue here.
        while ready:
            failures, over, *_, entry = heappop(ready)
            is_stop = entry.next_request is RequestKind.STOP
            if self._is_eligible(entry, now) and is_stop is stops:
                # A run may have failed after it was queued: its old key has no failures. It is put
                # into its place, and the next one is looked at.
                # A failed run may be silent for a minute and occupy a connection so long.
                is_wanted = stops or with_ended or entry.end_time is None
                if is_wanted and (with_failed or not entry.has_failed):
                    entry.in_flight = entry.next_request
                    return entry
                self._push(entry)
                # ended runs come last in the queue, and after them failures: no other is left
                if failures or (over and not is_wanted):
                    return None
            if self._ready_at(entry) > now:  # the hold has become longer since it was queued
                self.reschedule(entry.job_id, now)
        return None

    def is_ready(self, now: float) -> bool:
        """Return whether some request may be sent now."""
        self.move_ready(now)
        return any(
            self._is_eligible(item[-1], now) for heap in self._ready.values() for item in heap
        )

    def due_stops(self, entries: Iterable[PendingRun], now: float) -> int:
        """Return how many of these runs have a stop that may be sent now or is in flight."""
        due = (each for each in entries if each.next_request is RequestKind.STOP)
        return sum(self._ready_at(each) <= now for each in due)

    def ready_count(self) -> int:
        """Return about how many runs may be sent now (an upper bound)."""
        return sum(len(heap) for heap in self._ready.values())

    def unsent_count(self) -> int:
        """Return about how many runs have a request that is not in flight (an upper bound)."""
        return len(self._waiting) + self.ready_count()

    def next_time(self) -> float | None:
        """Return when the next waiting lane must be rescheduled; None if none waits."""
        return self._waiting[0][0] if self._waiting else None

    def _push(self, entry: PendingRun) -> None:
        # failed runs come last, so that one bad run does not delay the others; ended jobs come
        # after running ones, which users watch
        over = entry.end_time is not None
        failures = max(entry.failures, entry.is_blamed) if entry.has_failed else 0
        # The sequence number stands before the entry: entries cannot be compared, and with equal
        # keys the one that became ready first is sent first.
        key = (failures, over, entry.start_time, next(self._sequence), entry)
        heappush(self._ready[entry.next_request is RequestKind.STOP], key)

    def _is_eligible(self, entry: PendingRun, now: float) -> bool:
        # the entry may have been dropped, replaced, or given a new wait since it was queued
        if self.get(entry.job_id, entry.start_time) is not entry or self._ready_at(entry) > now:
            return False
        # the answer to a request in flight decides what may follow in its lane
        return not self._is_busy(entry.job_id) and any(
            other is entry for other in self._candidates(entry.job_id)
        )

    def _ready_at(self, entry: PendingRun) -> float:
        """Return when the next request of a run may be sent, with the present hold."""
        return ready_at(entry, self._hold_seconds)

    def _is_busy(self, job_id: int) -> bool:
        """Return whether a request of a lane is in flight."""
        return any(entry.in_flight for entry in self._lanes.get(job_id, {}).values())

    def _candidates(self, job_id: int) -> Iterator[PendingRun]:
        """Yield the runs of an idle lane that may be sent next in its order, due or not."""
        lane = self.lane(job_id)
        starting = True
        for position, entry in enumerate(lane):
            # A stop names its start time, so a stop that waits for the hold need not delay the
            # start of the next run: users see the running job at once.
            if entry.next_request in {RequestKind.STOP, RequestKind.EDIT_META}:
                yield entry
            elif entry.next_request is not None and starting:
                # cc-backend refuses a start that is older than any stored run of the job id,
                # however old that one is (422, its duplicate rule, all versions). Sent too early, a
                # later run would lock out this one for good.
                # only the first: cc-backend stores the runs of a job id in order
                starting = False
                is_start = entry.next_request is RequestKind.START
                # a delete removes rows of earlier runs: their stops must be delivered first
                if is_start or not any(_is_open(e) for e in lane[:position]):
                    yield entry


def _is_open(entry: PendingRun) -> bool:
    """Return whether a run has a row at cc-backend that must be closed before a replacement."""
    return entry.reported and entry.started is not None
