"""A plan for people and for scripts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from spool.escaping import escape
from sweeper.values import Change, Close, Guard, Key, Plan, Report, Start

ROWS = 50
_HEAD = ("what", "job", "user", "start", "why")


def table(plan: Plan) -> Iterator[str]:
    """Yield the lines of a short table and one line of summary."""
    rows = [*map(_row, plan.changes), *(_row(h, "held ") for h in plan.held)]
    rows += map(_row, plan.reports)
    if rows:
        yield from _columns([_HEAD, *rows[:ROWS]])
    if len(rows) > ROWS:
        yield f"... and {len(rows) - ROWS} more; --json shows all"
    yield summary(plan)


def summary(plan: Plan) -> str:
    """Return a plan in one line."""
    drift = ", ".join(_count(number, word) for word, number in plan.drift.items())
    parts = [drift]
    if plan.held:
        parts.append(f"{len(plan.held)} of them held")
    if plan.left:
        parts.append(f"{plan.left} left for the next sweep")
    if plan.known:
        parts.append("known: " + ", ".join(f"{n} {word}" for word, n in plan.known.items()))
    if None not in plan.running:
        ours, theirs = plan.running
        parts.append(f"running: {ours} in Slurm, {theirs} at cc-backend")
    return "; ".join(parts)


def document(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON data with stable keys."""
    return {
        "changes": [_plain(change) for change in plan.changes],
        "held": [_plain(change) for change in plan.held],
        "reports": [_plain(report) for report in plan.reports],
        "refused": plan.is_refused,
        "guards": [_guard(guard) for guard in plan.guards],
        "known": dict(plan.known),
        "left": plan.left,
        "drift": dict(plan.drift),
        "running": {"slurm": plan.running[0], "cc_backend": plan.running[1]},
    }


def instant(seconds: int) -> str:
    """Return a time as this machine's users write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


def _row(what: Change | Report, prefix: str = "") -> tuple[str, ...]:
    word = prefix + type(what).__name__.lower()
    return word, str(what.key.job_id), escape(_user(what)), instant(what.key.start_time), what.why


def _user(what: Change | Report) -> str:
    if isinstance(what, Report):
        return what.user
    return "" if isinstance(what, Close) else what.job.user


def _columns(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def _plain(what: Change | Report) -> dict[str, Any]:
    key: Key = what.key
    found: dict[str, Any] = {
        "what": type(what).__name__.lower(),
        "job_id": key.job_id,
        "start": key.start_time,
        "user": _user(what),
        "why": what.why,
    }
    if isinstance(what, Close):
        found["end"] = what.end_time
    elif not isinstance(what, Report):
        found |= {"end": what.job.end_time, "state": what.job.state}
        found["proof"] = None if isinstance(what, Start) else what.proof
    return found


def _guard(guard: Guard) -> dict[str, str]:
    return {"name": guard.name, "kind": guard.kind, "text": guard.text}


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
