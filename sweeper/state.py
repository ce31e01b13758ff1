"""What a sweep leaves for the next one. Pure; `spool.files.sweep_state` keeps it on disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from spool.files.run import RunId
from spool.files.sweep_state import SweepMemory
from sweeper.diff import Drift
from sweeper.values import Plan, Start

REMEMBER_STARTS_SECONDS = 30 * 86400
_REMEMBER_STOPS_SWEEPS = 10


def next_memory(
    memory: SweepMemory, drift: Drift, plan: Plan, applied: Iterable[RunId], now: int
) -> SweepMemory:
    """Return the memory for the next sweep.

    Args:
        memory: of this sweep.
        drift: what it found.
        plan: what it did about it.
        applied: runs whose change was put into the spool.
        now: Unix seconds.
    """
    number = memory.sweep + 1
    done = frozenset(applied)
    starts = [change for change in plan.changes if isinstance(change, Start)]
    over = {start.key for start in starts if start.job.end_time is not None} & done
    ended = done - {start.key for start in starts}
    kept = {
        key: sweep
        for key, sweep in memory.stops_queued.items()
        if number - sweep <= _REMEMBER_STOPS_SWEEPS
    }
    old = {
        key: time
        for key, time in memory.starts_queued.items()
        if now - time < REMEMBER_STARTS_SECONDS
    }
    return replace(
        memory,
        sweep=number,
        young_stops=frozenset(drift.young_stops),
        unproven_since=dict(drift.unproven_since),
        stops_queued={**kept, **dict.fromkeys(ended, number)},
        starts_queued={**old, **dict.fromkeys(over, now)},
    )
