"""A plan for people and for scripts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from spool.escaping import escape
from spool.files.run import RunId
from sweeper.values import Change, Close, GuardFinding, Plan, Report, Start

MAX_ROWS = 50
_COLUMN_TITLES = ("what", "job", "user", "start", "why")


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the lines of a short table and one line of summary."""
    rows = [*map(_table_row, plan.changes), *(_table_row(h, "held ") for h in plan.held_back)]
    rows += map(_table_row, plan.reports)
    if rows:
        yield from _aligned([_COLUMN_TITLES, *rows[:MAX_ROWS]])
    if len(rows) > MAX_ROWS:
        yield f"... and {len(rows) - MAX_ROWS} more; --json shows all"
    yield plan_summary(plan)


def plan_summary(plan: Plan) -> str:
    """Return a plan in one line."""
    drift = ", ".join(_count_text(number, word) for word, number in plan.drift.items())
    parts = [drift]
    if plan.held_back:
        parts.append(f"{len(plan.held_back)} of them held")
    if plan.over_limit:
        parts.append(f"{plan.over_limit} left for the next sweep")
    if plan.skipped:
        parts.append("known: " + ", ".join(f"{n} {word}" for word, n in plan.skipped.items()))
    if None not in plan.running_counts:
        ours, theirs = plan.running_counts
        parts.append(f"running: {ours} in Slurm, {theirs} at cc-backend")
    return "; ".join(parts)


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON data with stable keys."""
    return {
        "changes": [_change_document(change) for change in plan.changes],
        "held": [_change_document(change) for change in plan.held_back],
        "reports": [_change_document(report) for report in plan.reports],
        "refused": plan.is_refused,
        "guards": [_finding_document(guard) for guard in plan.guards],
        "known": dict(plan.skipped),
        "left": plan.over_limit,
        "drift": dict(plan.drift),
        "running": {"slurm": plan.running_counts[0], "cc_backend": plan.running_counts[1]},
    }


def format_instant(seconds: int) -> str:
    """Return a time as this machine's users write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


def _table_row(change: Change | Report, prefix: str = "") -> tuple[str, ...]:
    word = prefix + type(change).__name__.lower()
    return (
        word,
        str(change.key.job_id),
        escape(_user(change)),
        format_instant(change.key.start_time),
        change.why,
    )


def _user(change: Change | Report) -> str:
    if isinstance(change, Report):
        return change.user
    return "" if isinstance(change, Close) else change.job.user


def _aligned(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMN_TITLES) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def _change_document(change: Change | Report) -> dict[str, Any]:
    key: RunId = change.key
    found: dict[str, Any] = {
        "what": type(change).__name__.lower(),
        "job_id": key.job_id,
        "start": key.start_time,
        "user": _user(change),
        "why": change.why,
    }
    if isinstance(change, Close):
        found["end"] = change.end_time
    elif not isinstance(change, Report):
        found |= {"end": change.job.end_time, "state": change.job.state}
        found["proof"] = None if isinstance(change, Start) else change.proof
    return found


def _finding_document(guard: GuardFinding) -> dict[str, str]:
    return {"name": guard.name, "kind": guard.kind, "text": guard.text}


def _count_text(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
