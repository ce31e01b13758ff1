"""The page of `explain` as lines and as JSON data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slurm.job import Job as Record
from spool.escaping import escape
from spool.files.inventory import EventFile
from spool.files.run import Run
from sweeper.explain import Lies, Page
from sweeper.show import document as plan_document
from sweeper.show import instant

_WIDTH = 12


def lines(page: Page) -> Iterator[str]:
    """Yield the page, the verdict first."""
    yield f"job {page.job_id}: {page.verdict}"
    if page.command is not None:
        yield _line("repair", page.command)
    record = page.record
    yield _line("controller", "does not know it" if record is None else _record(record))
    if page.members:
        yield _line("", f"other tasks of the array: {', '.join(map(str, page.members))}")
    yield from _several("accounting", [_record(run) for run in page.runs], "has no run of it")
    held = [_held(each) for each in page.held] + [_event(event) for event in page.events]
    yield from _several("spool", held, "holds nothing of it")
    if page.delivered:
        yield from _several("delivered", [_delivered(run) for run in page.delivered], "")
    rows = [
        f"row {row.db_id} on {escape(row.cluster)}: {escape(row.state)}, started"
        f" {instant(row.start_time)}"
        for row in page.rows
    ]
    yield from _several("cc-backend", rows, "has no row of it")
    for words in page.silent:
        yield _line("no answer", words)


def document(page: Page) -> dict[str, Any]:
    """Return the page as JSON data with stable keys; instants in Unix seconds."""
    return {
        "job_id": page.job_id,
        "verdict": page.verdict,
        "command": page.command,
        "slurm": {
            "controller": None if page.record is None else _plain(page.record),
            "members": list(page.members),
            "accounting": [_plain(run) for run in page.runs],
        },
        "spool": {
            "runs": [{"directory": each.directory, **_plain_run(each.run)} for each in page.held],
            "events": [_plain_event(event) for event in page.events],
            "delivered": [_plain_run(run) for run in page.delivered],
        },
        "cc_backend": [
            {"id": row.db_id, "cluster": row.cluster, "start": row.start_time, "state": row.state}
            for row in page.rows
        ],
        "plan": plan_document(page.plan),
        "silent": list(page.silent),
    }


def _line(label: str, text: str) -> str:
    return f"  {label:<{_WIDTH}}{text}"


def _several(label: str, texts: list[str], nothing: str) -> Iterator[str]:
    for number, text in enumerate(texts or [nothing]):
        yield _line("" if number else label, text)


def _record(job: Record) -> str:
    words = [" ".join((job.state or "state not known", *job.flags))]
    words += [f"started {instant(job.start_time)}"] if job.start_time else []
    words += [f"ended {instant(job.end_time)}"] if job.end_time else []
    words += [f"user {escape(job.user)}"] if job.user else []
    words += [f"{len(job.nodes)} nodes"] if job.nodes else []
    words += [f"task {job.array_task_id} of array {job.array_job_id}"] if job.array_job_id else []
    words += [f"component {job.het_job_offset} of {job.het_job_id}"] if job.het_job_id else []
    words += [f"restarted {job.restart_count} times"] if job.restart_count else []
    return ", ".join(words)


def _held(each: Lies) -> str:
    run = each.run
    words = [f"{each.directory}/{run.name}"]
    words += [] if run.reported else [f"left out: {escape(run.reason or 'by choice')}"]
    words += [f"start told {instant(run.started)}"] if run.started else []
    words += [f"end {run.end.state} by {run.end.source}"] if run.end else []
    words += [f"{run.attempts} attempts"] if run.attempts else []
    if run.last_error is not None:
        error = run.last_error
        words.append(f"{error.call} refused: {escape(error.message or error.reason)}")
        words += [error.hint] if error.hint else []
    return ", ".join(words)


def _event(found: EventFile) -> str:
    why = f", {escape(found.why.reason)}" if found.why is not None else ""
    return f"{found.directory}/{found.name}, since {instant(int(found.time))}{why}"


def _delivered(run: Run) -> str:
    end = f", ended {instant(run.end.time)} {run.end.state}" if run.end else ""
    return f"run of {instant(run.start_time)}{end}"


def _plain(job: Record) -> dict[str, Any]:
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


def _plain_run(run: Run) -> dict[str, Any]:
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


def _plain_event(found: EventFile) -> dict[str, Any]:
    return {
        "directory": found.directory,
        "name": found.name,
        "kind": found.event.kind,
        "start": found.event.start,
        "end": found.event.end,
        "time": found.time,
    }
