"""A plan, and the report of `cc-sweep explain`, as lines for people and as JSON data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slurm.job import Job
from spool.escaping import escape
from spool.files.inventory import EventFile
from spool.files.run import Run
from spool.formatting import format_drift, format_table, format_time, pluralize
from sweeper.job_report import JobReport, SpoolRun
from sweeper.values import Change, Close, Plan, Report, SpoolStatus, Start

MAX_ROWS = 50
_COLUMN_TITLES = ("what", "job", "user", "start", "end", "why")
_SKIP_REASONS = {
    SpoolStatus.QUEUED: "already in the spool",
    SpoolStatus.UNREPORTED: "excluded",
    SpoolStatus.DEAD: "in dead/ (cc-spool list)",
    "young": "younger than sweep.grace_seconds",
    "confirming": "reported as ended by the last sweep",
    "moved": "whose start time was changed in Slurm",
    "requeued": "replaced by a later run of the same job",
}


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the lines of a short table and one line of summary."""
    rows = [*map(_table_row, plan.changes), *(_table_row(h, "held ") for h in plan.held_back)]
    rows += map(_table_row, plan.reports)
    if rows:
        yield from format_table([_COLUMN_TITLES, *rows[:MAX_ROWS]])
    if len(rows) > MAX_ROWS:
        yield f"... and {len(rows) - MAX_ROWS} more; --json shows all"
    yield plan_summary(plan)


def plan_summary(plan: Plan) -> str:
    """Return a plan in one line."""
    parts = [format_drift(plan.drift, is_refused=plan.is_refused)]
    if plan.held_back:
        parts.append(f"{pluralize(len(plan.held_back), 'stop')} held back by a safety check")
    if plan.over_limit:
        over_limit = pluralize(plan.over_limit, "change")
        parts.append(f"{over_limit} over the limit (--limit), left for the next sweep")
    if plan.ends_read_until:
        since = format_time(plan.ends_read_until)
        rest = f"those that ended after {since} are checked by the next one"
        parts.append(f"too many jobs have ended for one sweep: {rest}")
    if plan.first_sightings:
        new_jobs = pluralize(len(plan.first_sightings), "new job")
        parts.append(f"details of {new_jobs} to be stored while Slurm still knows them")
    if plan.skipped:
        skipped = (
            f"{pluralize(number, 'run')} {_SKIP_REASONS[word]}"
            for word, number in plan.skipped.items()
        )
        parts.append(f"nothing to do for: {', '.join(skipped)}")
    if None not in plan.running_counts:
        in_slurm, at_backend = plan.running_counts
        parts.append(f"running: {in_slurm} in Slurm, {at_backend} at cc-backend")
    return "; ".join(parts)


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON data with stable keys; instants in Unix seconds."""
    return {
        "changes": [_change_document(change) for change in plan.changes],
        "first_sightings": [_change_document(start) for start in plan.first_sightings],
        "held": [_change_document(change) for change in plan.held_back],
        "reports": [_change_document(report) for report in plan.reports],
        "refused": plan.is_refused,
        "guards": [
            {"name": guard.name, "kind": guard.kind, "text": guard.text} for guard in plan.guards
        ],
        "known": dict(plan.skipped),
        "left": plan.over_limit,
        "drift": dict(plan.drift),
        "running": {"slurm": plan.running_counts[0], "cc_backend": plan.running_counts[1]},
        "ends_read_until": plan.ends_read_until,
    }


def _table_row(change: Change | Report, prefix: str = "") -> tuple[str, ...]:
    end = _end_of(change)
    return (
        prefix + type(change).__name__.lower(),
        str(change.key.job_id),
        escape(_user(change)),
        format_time(change.key.start_time),
        format_time(end) if end else "",
        change.why,
    )


def _end_of(change: Change | Report) -> int | None:
    if isinstance(change, Report):
        return None
    return change.end_time if isinstance(change, Close) else change.job.end_time


def _user(change: Change | Report) -> str:
    if isinstance(change, Report):
        return change.user
    return "" if isinstance(change, Close) else change.job.user


def _change_document(change: Change | Report) -> dict[str, Any]:
    found: dict[str, Any] = {
        "what": type(change).__name__.lower(),
        "job_id": change.key.job_id,
        "start": change.key.start_time,
        "user": _user(change),
        "why": change.why,
    }
    if isinstance(change, Report):
        return found
    found["end"] = _end_of(change)
    if isinstance(change, Close):
        return found
    found["state"] = change.job.state
    found["proof"] = None if isinstance(change, Start) else change.proof
    if isinstance(change, Start) and change.not_before:
        found["not_before"] = change.not_before
    return found


_WIDTH = 12


def job_report_lines(job_report: JobReport) -> Iterator[str]:
    """Yield the lines of the report, the verdict first."""
    yield f"job {job_report.job_id}: {job_report.verdict}"
    if job_report.command is not None:
        yield _line("repair", job_report.command)
    record = job_report.controller_record
    yield _line("slurmctld", "does not have this job" if record is None else _record_text(record))
    if job_report.array_tasks:
        yield _line("", f"other tasks of the array: {', '.join(map(str, job_report.array_tasks))}")
    yield from _labelled(
        "accounting",
        [_record_text(run) for run in job_report.accounting_runs],
        "has no run of this job",
    )
    held = [_spool_run_text(each) for each in job_report.spool_runs] + [
        _event_text(event) for event in job_report.spool_events
    ]
    yield from _labelled("spool", held, "has nothing about this job")
    if job_report.delivered:
        yield from _labelled(
            "delivered", [_delivered_text(run) for run in job_report.delivered], ""
        )
    rows = [
        f"row {row.db_id} on {escape(row.cluster)}: {escape(row.state)}, started"
        f" {format_time(row.start_time)}"
        for row in job_report.backend_rows
    ]
    yield from _labelled("cc-backend", rows, "does not have this job")
    for words in job_report.unanswered:
        yield _line("no answer", words)


def job_report_document(job_report: JobReport) -> dict[str, Any]:
    """Return the report as JSON data with stable keys; instants in Unix seconds."""
    return {
        "job_id": job_report.job_id,
        "verdict": job_report.verdict,
        "command": job_report.command,
        "slurm": {
            "controller": None
            if job_report.controller_record is None
            else _record_document(job_report.controller_record),
            "members": list(job_report.array_tasks),
            "accounting": [_record_document(run) for run in job_report.accounting_runs],
        },
        "spool": {
            "runs": [
                {"directory": each.directory, **_run_document(each.run)}
                for each in job_report.spool_runs
            ],
            "events": [_event_document(event) for event in job_report.spool_events],
            "delivered": [_run_document(run) for run in job_report.delivered],
        },
        "cc_backend": [
            {"id": row.db_id, "cluster": row.cluster, "start": row.start_time, "state": row.state}
            for row in job_report.backend_rows
        ],
        "plan": plan_document(job_report.plan),
        "silent": list(job_report.unanswered),
    }


def _line(label: str, text: str) -> str:
    return f"  {label:<{_WIDTH}}{text}"


def _labelled(label: str, texts: list[str], nothing: str) -> Iterator[str]:
    for number, text in enumerate(texts or [nothing]):
        yield _line("" if number else label, text)


def _record_text(job: Job) -> str:
    words = [" ".join((job.state or "state unknown", *job.flags))]
    words += [f"started {format_time(job.start_time)}"] if job.start_time else []
    words += [f"ended {format_time(job.end_time)}"] if job.end_time else []
    words += [f"user {escape(job.user)}"] if job.user else []
    words += [pluralize(len(job.nodes), "node")] if job.nodes else []
    words += [f"task {job.array_task_id} of array {job.array_job_id}"] if job.array_job_id else []
    words += [f"component {job.het_job_offset} of {job.het_job_id}"] if job.het_job_id else []
    words += [f"requeued {pluralize(job.restart_count, 'time')}"] if job.restart_count else []
    return ", ".join(words)


def _spool_run_text(each: SpoolRun) -> str:
    run = each.run
    words = [f"{each.directory}/{run.name}"]
    words += [] if run.reported else [f"excluded: {escape(run.reason or 'no reason recorded')}"]
    words += [f"start delivered {format_time(run.started)}"] if run.started else []
    words += [f"ended {run.end.state} by {run.end.source}"] if run.end else []
    words += [pluralize(run.attempts, "attempt")] if run.attempts else []
    if run.last_error is not None:
        error = run.last_error
        words.append(f"{error.call} refused: {escape(error.message or error.reason)}")
        words += [error.hint] if error.hint else []
    return ", ".join(words)


def _event_text(found: EventFile) -> str:
    why = f", {escape(found.why.reason)}" if found.why is not None else ""
    return f"{found.directory}/{found.name}, since {format_time(int(found.time))}{why}"


def _delivered_text(run: Run) -> str:
    end = f", ended {format_time(run.end.time)} {run.end.state}" if run.end else ""
    return f"run of {format_time(run.start_time)}{end}"


def _record_document(job: Job) -> dict[str, Any]:
    return {
        "state": job.state,
        "flags": list(job.flags),
        "start": job.start_time,
        "end": job.end_time,
        "user": job.user,
        "partition": job.partition,
        "account": job.account,
        "nodes": list(job.nodes),
        "array_job_id": job.array_job_id,
        "array_task_id": job.array_task_id,
        "het_job_id": job.het_job_id,
        "het_job_offset": job.het_job_offset,
        "restart_count": job.restart_count,
    }


def _run_document(run: Run) -> dict[str, Any]:
    error = run.last_error
    return {
        "name": run.name,
        "start": run.start_time,
        "end": run.end and run.end.time,
        "state": run.end and run.end.state,
        "reported": run.reported,
        "reason": run.reason,
        "started": run.started,
        "attempts": run.attempts,
        "last_error": error and {"call": error.call, "reason": error.reason, "hint": error.hint},
    }


def _event_document(found: EventFile) -> dict[str, Any]:
    return {
        "directory": found.directory,
        "name": found.name,
        "kind": found.event.kind,
        "start": found.event.start,
        "end": found.event.end,
        "time": found.time,
    }
