"""Release held stops early when a job list of cc-backend shows their runs.

`stop_hold` says why stops are held and until when; this module ends the hold of the runs that are
listed before.

One commit takes all runs that were accepted before it. So a cheap query about the oldest held stops
is repeated until it shows one of them; then all are asked about at once. A server that answers
slowly is asked less often.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from spool.deliver.pending_run import PendingRun
from spool.deliver.schedule import Schedule

# A commit lists all its runs in the same moment, but when it comes is unknown: the query about a
# sample is small, so that it can be repeated twice a second.
QUERY_INTERVAL_SECONDS = 0.5
SLOWNESS = 20  # at most this part of the time is spent on queries about held stops
FULL_INTERVAL_SECONDS = 20.0  # also after a failure
SAMPLE_JOBS = 20
# One query about all of them; `ccbackend.lookups` asks about as many at once.
MAX_JOBS = 500
_log = logging.getLogger(__name__)


class StopRelease:
    """The queries about held stops; times are of the monotonic clock."""

    def __init__(self) -> None:
        self._next_at = self._full_at = float("-inf")
        self._asked_at = 0.0
        self._cluster = ""  # of the last query
        self._queried_ids: frozenset[int] = frozenset()  # of the last query

    def next_query(self, schedule: Schedule, now: float) -> tuple[str, tuple[int, ...]]:
        """Return a cluster and the job ids to query now, held longest first; () for none."""
        if now < self._next_at:
            return "", ()
        held: dict[str, list[PendingRun]] = {}
        for entry in schedule.held_stops(now):
            held.setdefault(entry.cluster, []).append(entry)
        # With an empty queue nothing can be held: the time stays in the past, so that the first
        # held stop is asked about at once.
        if schedule.next_time() is not None:
            self._next_at = now + QUERY_INTERVAL_SECONDS
        if not held:
            return "", ()
        is_full = now >= self._full_at
        self._asked_at = now
        # a job list is of one cluster: they are queried in turn
        self._cluster = min(held, key=lambda name: (name <= self._cluster, name))
        # The large query also finds runs that the sample missed, for example after a restart of the
        # drain, when the last commit is unknown.
        if is_full:
            self._full_at = now + FULL_INTERVAL_SECONDS
        # longest first: the oldest are most likely listed by now
        oldest = sorted(held[self._cluster], key=lambda entry: entry.accepted_at)
        job_ids = tuple(dict.fromkeys(entry.job_id for entry in oldest))
        job_ids = job_ids[: MAX_JOBS if is_full else SAMPLE_JOBS]
        self._queried_ids = frozenset(job_ids)
        return self._cluster, job_ids

    def next_time(self, schedule: Schedule) -> float | None:
        """Return when the next query may be due; None if no run waits."""
        # The schedule has a waiting lane for each held stop: without one there is nothing to ask.
        return None if schedule.next_time() is None else self._next_at

    def query_early(self, schedule: Schedule, now: float) -> bool:
        """Allow the next query at once if the last one left out a held stop; return whether it did.

        Such a stop came after the query, and a drain that is about to end cannot wait for the next.
        """
        left_out = any(e.job_id not in self._queried_ids for e in schedule.held_stops(now))
        if left_out:
            self._next_at = self._full_at = float("-inf")
        return left_out

    def release_listed(
        self,
        listed: Iterable[tuple[int, int]],
        schedule: Schedule,
        now: float,
        *,
        answered_at: float,
    ) -> None:
        """Release the stops of listed runs, given as (job id, start time)."""
        # A slow answer means a busy database: then frequent queries would delay the starts of all
        # jobs. How long the answer has waited for the drain's loop says nothing about that.
        slow_at = now + SLOWNESS * max(0.0, answered_at - self._asked_at)
        self._next_at = max(self._next_at, slow_at)
        for job_id, start_time in listed:
            entry = schedule.get(job_id, start_time)
            # the start time must match: the row may be an earlier run of the same job id
            if entry is not None and not entry.is_listed:
                _log.debug("job=%d start=%d is in cc-backend's job list", job_id, start_time)
                # One listed run proves that a commit has happened, and it took all earlier starts:
                # so the next query is about all of them, without waiting for the interval.
                entry.note_listed()
                schedule.reschedule(job_id, now)
                self._next_at, self._full_at = slow_at, float("-inf")

    def query_failed(self, now: float) -> None:
        """Wait longer after a query without a usable answer."""
        # The hold ends by itself, so that a failed query costs time and nothing else.
        self._next_at = now + FULL_INTERVAL_SECONDS
