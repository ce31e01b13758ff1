"""A plan for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spool.escaping import escape
from spool.formatting import format_table, format_time, pluralize
from sweeper.differences import SpoolStatus
from sweeper.values import Change, Close, Plan, Report, Start

MAX_ROWS = 50
_COLUMN_TITLES = ("what", "job", "user", "start", "end", "why")
_SKIP_REASONS = {
    SpoolStatus.QUEUED: "already in the spool",
    SpoolStatus.UNREPORTED: "excluded",
    SpoolStatus.DEAD: "in dead/ (cc-spool list)",
    "young": "too young (sweep.grace_seconds)",
    "confirming": "stopped by the last sweep",
    "moved": "with a start time that has moved",
    "requeued": "replaced by another run of the same job",
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
    parts = [", ".join(pluralize(number, word) for word, number in plan.drift.items())]
    if plan.held_back:
        parts.append(f"{len(plan.held_back)} of them held until the next sweep")
    if plan.over_limit:
        parts.append(f"{plan.over_limit} left for the next sweep (--limit)")
    if plan.first_sightings:
        parts.append(f"facts of {pluralize(len(plan.first_sightings), 'young job')} to be stored")
    if plan.skipped:
        parts.append("nothing to do for: " + _skipped_text(plan.skipped))
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
    }


def _skipped_text(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {_SKIP_REASONS[word]}" for word, number in skipped.items())


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
