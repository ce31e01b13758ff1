"""Debug messages about a job: what Slurm said about it, and what was concluded from that.

They have times, states and counts, never a text that a user wrote.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from slurm.errors import SlurmError
from slurm.job import Job
from spool.escaping import escape
from spool.formatting import format_time, pluralize
from spool.resolve.job_query import JobQuery
from spool.resolve.resolve_job import Resolution

_log = logging.getLogger(__name__)


def log_records(job_ids: Iterable[int], records: Mapping[int, Job | SlurmError]) -> None:
    """Log what the controller said about some jobs."""
    if not _log.isEnabledFor(logging.DEBUG):
        return
    for job_id in job_ids:
        record = records.get(job_id)
        if record is None:
            _log.debug("job=%d is unknown to slurmctld", job_id)
        elif isinstance(record, Job):
            _log.debug("job=%d slurmctld: %s", job_id, _description(record))


def log_rows(job_ids: Iterable[int], rows: Iterable[Job]) -> None:
    """Log what accounting said about some jobs."""
    if not _log.isEnabledFor(logging.DEBUG):
        return
    missing = set(job_ids)
    for row in rows:
        missing.discard(row.job_id)
        _log.debug("job=%d accounting: %s", row.job_id, _description(row))
    for job_id in sorted(missing):
        _log.debug("job=%d has no run in accounting", job_id)


def log_resolution(query: JobQuery, result: Resolution) -> None:
    """Log what was concluded about a job, and what is still open."""
    if not _log.isEnabledFor(logging.DEBUG):
        return
    parts = [f"new run start={job.start_time or 0}" for job, _ in result.new_runs]
    parts += [
        f"run start={start} ended {end.state} at {format_time(end.time)} ({end.source})"
        for start, end in result.ends.items()
    ]
    parts += [f"start={start} is sent again" for start in result.starts_to_resend]
    for events, what in (
        (result.settled_events, "settled"),
        (result.pending_events, "whose job Slurm does not show yet"),
        (result.unknown_events, "of a job that Slurm does not know"),
    ):
        if events:
            parts.append(f"{pluralize(len(events), 'event')} {what}")
    parts += [f"run start={start} is not shown by Slurm" for start in result.missing_starts]
    parts += ["accounting is asked"] if result.needs_accounting else []
    _log.debug("job=%d concluded: %s", query.job_id, "; ".join(parts) or "nothing new")


def _description(job: Job) -> str:
    """Return state, times and size of a job."""
    words = [" ".join((job.state or "state unknown", *job.flags))]
    words += [f"started {format_time(job.start_time)}"] if job.start_time else []
    words += [f"ended {format_time(job.end_time)}"] if job.end_time else []
    words += [pluralize(len(job.nodes), "node")] if job.nodes else []
    words += [f"requeued {pluralize(job.restart_count, 'time')}"] if job.restart_count else []
    return escape(", ".join(words))
