"""Release held stops early when a job list of cc-backend shows their runs.

cc-backend >= 1.5 stores a new job in a cache first and moves it to its job table every two minutes
or so. A stop that arrives before that can close another job (v1.5.4,
internal/repository/jobCreate.go). So a stop is held until its run is listed, or until the hold time
is over. One query asks about many runs, so the cost depends on the number of held stops, not of
running jobs.
"""

from __future__ import annotations

from collections.abc import Iterable

from spool.deliver.schedule import Schedule

QUERY_INTERVAL_SECONDS = 20.0
MAX_JOBS = 500


class StopHold:
    """The queries about held stops; times are of the monotonic clock."""

    def __init__(self) -> None:
        self._queried_at = float("-inf")
        self._queried_ids: frozenset[int] = frozenset()  # of the last query

    def next_query(self, schedule: Schedule, now: float) -> tuple[str, tuple[int, ...]]:
        """Return a cluster and the job ids to query now, held longest first; () for none."""
        if now - self._queried_at < QUERY_INTERVAL_SECONDS:
            return "", ()
        # longest first: of more than MAX_JOBS held stops the oldest are most likely listed by now
        held = sorted(schedule.held_stops(now), key=lambda entry: entry.accepted_at)
        if not held:
            return "", ()
        # only a query that is made counts: the first stop that is held is asked about at once
        self._queried_at = now
        cluster = held[0].cluster
        # a job list is of one cluster; the others get their turn when these are released
        same = [entry.job_id for entry in held if entry.cluster == cluster]
        job_ids = tuple(dict.fromkeys(same))[:MAX_JOBS]
        self._queried_ids = frozenset(job_ids)
        return cluster, job_ids

    def query_early(self, schedule: Schedule, now: float) -> bool:
        """Allow the next query at once if the last one left out a held stop; tell whether it did.

        Such a stop came after the query, and a drain that is about to end cannot wait for the next.
        """
        left_out = any(e.job_id not in self._queried_ids for e in schedule.held_stops(now))
        if left_out:
            self._queried_at = float("-inf")
        return left_out

    def release_listed(
        self, listed: Iterable[tuple[int, int]], schedule: Schedule, now: float
    ) -> None:
        """Release the stops of listed runs, given as (job id, start time)."""
        for job_id, start_time in listed:
            entry = schedule.get(job_id, start_time)
            # the start time must match: the row may be an earlier run of the same job id
            if entry is not None and not entry.is_listed:
                entry.note_listed()
                schedule.reschedule(job_id, now)
