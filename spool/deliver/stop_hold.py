"""Which held stops to ask a job list about: cc-backend >= 1.5 shows what its cache has written.

A stop may go as soon as its run is listed, or when the hold is over (its cache race closes a
stranger's job, cc-backend v1.5.4 internal/repository/jobCreate.go). One query for many runs, so the
cost follows what is held, not what runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from spool.deliver.schedule import Schedule

QUERY_INTERVAL_SECONDS = 20.0
MAX_JOBS = 500


class StopHold:
    """Decides when to ask and takes the answers; times are of the monotonic clock."""

    def __init__(self) -> None:
        self._queried_at = float("-inf")

    def next_query(self, schedule: Schedule, now: float) -> tuple[str, tuple[int, ...]]:
        """Return a cluster and the job ids to ask about now, held longest first; () for none."""
        if now - self._queried_at < QUERY_INTERVAL_SECONDS:
            return "", ()
        held = sorted(schedule.held_stops(now), key=lambda entry: entry.accepted_at)
        if not held:
            return "", ()
        self._queried_at = now
        cluster = held[0].cluster
        same = [entry.job_id for entry in held if entry.cluster == cluster]
        return cluster, tuple(dict.fromkeys(same))[:MAX_JOBS]

    def release_listed(
        self, listed: Iterable[tuple[int, int]], schedule: Schedule, now: float
    ) -> None:
        """Let the stops of listed runs (job id, start time) go."""
        for job_id, start_time in listed:
            entry = schedule.get(job_id, start_time)
            if entry is not None and not entry.is_listed:
                entry.is_listed = True
                schedule.reschedule(job_id, now)
