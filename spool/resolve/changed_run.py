"""Update a run of the spool from a resolution: its end, its comments, a start to resend. Pure."""

from __future__ import annotations

import logging
from dataclasses import replace

from slurm.job import Job
from spool.files.run import End, EndSource, Run
from spool.formatting import format_time
from spool.resolve.inferred_ends import exit_code_of
from spool.resolve.job_query import JobQuery
from spool.resolve.new_run import report_time
from spool.resolve.resolve_job import Resolution

_log = logging.getLogger(__name__)


def changed_run(run: Run, query: JobQuery, result: Resolution, *, record: Job | None) -> Run | None:
    """Return the updated run: with an end or other comments, or to be sent again or earlier.

    None if nothing has changed. A `not_before` of a sweep is removed when a hook reports the run.
    """
    job = _with_comments(run, record)
    end = result.ends.get(run.start_time)
    is_delayed = bool(run.not_before) and run.last_error is None
    is_due = is_delayed and is_due_now(query, run.start_time, run.started)
    not_before = 0 if is_due else run.not_before
    if end is not None:
        _warn_unproven_end(run, end)
        code = exit_code_of(end, run.start_time, query.events) or job.exit_code
        return replace(run, end=end, job=replace(job, exit_code=code), not_before=not_before)
    if run.start_time in result.starts_to_resend:
        # Its row may have vanished at cc-backend; if not, the repeated start changes nothing.
        return replace(run, started=None)
    if is_due or job is not run.job:
        return replace(run, job=job, not_before=not_before)
    return None


def is_due_now(query: JobQuery, start_time: int, started: int | None) -> bool:
    """Return whether an event ends the wait of a start that a sweep has delayed."""
    if started is not None or not query.events:
        return False
    return report_time(query.events, start_time) == 0


def _with_comments(run: Run, record: Job | None) -> Job:
    """Return a run's job, with the comments of its record unless its start is delivered.

    The user's comment is not in every record (not in one of a state alone, nor in one whose text
    cannot be trusted). A comment that was read once stays, because it may exclude the job.
    """
    if record is None or run.started is not None or record.restart_count != run.job.restart_count:
        return run.job
    comments = (record.admin_comment, record.comment or run.job.comment)
    if comments == (run.job.admin_comment, run.job.comment):
        return run.job
    return replace(run.job, admin_comment=comments[0], comment=comments[1])


def _warn_unproven_end(run: Run, end: End) -> None:
    """Log that Slurm does not prove an end, only an event or the next run does."""
    if end.source in {EndSource.EVENT, EndSource.NEXT_RUN}:
        _log.warning(
            "job=%d start=%d is no longer known to Slurm: it is assumed to have ended as %s at"
            " %s (known from its %s); nothing to do",
            run.job_id,
            run.start_time,
            end.state,
            format_time(end.time),
            "epilog" if end.source is EndSource.EVENT else end.source,
        )
