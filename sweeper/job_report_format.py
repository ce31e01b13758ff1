"""The report of `cc-sweep explain` as lines and as JSON data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slurm.job import Job
from spool.escaping import escape
from spool.files.inventory import EventFile
from spool.files.run import Run
from spool.formatting import format_time, pluralize
from sweeper.job_report import JobReport, SpoolRun
from sweeper.plan_format import plan_document

_WIDTH = 12


def job_report_lines(job_report: JobReport) -> Iterator[str]:
    """Yield the lines of the report, the verdict first."""
    yield f"job {job_report.job_id}: {job_report.verdict}"
    if job_report.command is not None:
        yield _line("repair", job_report.command)
    record = job_report.controller_record
    yield _line("slurmctld", "does not know it" if record is None else _record_text(record))
    if job_report.array_tasks:
        yield _line("", f"other tasks of the array: {', '.join(map(str, job_report.array_tasks))}")
    yield from _labelled(
        "accounting", [_record_text(run) for run in job_report.accounting_runs], "has no run of it"
    )
    held = [_spool_run_text(each) for each in job_report.spool_runs] + [
        _event_text(event) for event in job_report.spool_events
    ]
    yield from _labelled("spool", held, "has nothing of it")
    if job_report.delivered:
        yield from _labelled(
            "delivered", [_delivered_text(run) for run in job_report.delivered], ""
        )
    rows = [
        f"row {row.db_id} on {escape(row.cluster)}: {escape(row.state)}, started"
        f" {format_time(row.start_time)}"
        for row in job_report.backend_rows
    ]
    yield from _labelled("cc-backend", rows, "has no row of it")
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
    words += [] if run.reported else [f"excluded: {escape(run.reason or 'by choice')}"]
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
