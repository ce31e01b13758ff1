"""What a sweep leaves for the next one. Pure; `spool.files.sweep_state` keeps it on disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from spool.files.run import RunId
from spool.files.sweep_state import SweepMemory, SweepState
from sweeper.differences import Drift
from sweeper.sweep import SweepResult
from sweeper.values import GuardKind, Plan, Start

REMEMBER_STARTS_SECONDS = 30 * 86400
_REMEMBER_STOPS_SWEEPS = 10


def next_state(result: SweepResult, applied: Iterable[RunId]) -> SweepState:
    """Return what the next sweep begins with.

    A sweep whose answers were not believed leaves all as it was; one that looked at single jobs
    adds only what it queued. The mark moves when all of accounting's window was looked at and
    nothing of it is left; the first mark is the time of installation.
    """
    state, decision, observation = result.state, result.decision, result.observation
    plan = decision.plan
    if any(guard.kind is GuardKind.ANSWER for guard in plan.guards):
        return state
    done = tuple(applied)
    memory = next_memory(state.memory, result.drift, plan, done, observation.now)
    if result.options.only_single_jobs:
        queued = replace(
            state.memory, stops_queued=memory.stops_queued, starts_queued=memory.starts_queued
        )
        return replace(state, memory=queued)
    is_first = state.mark is None
    is_whole = (
        observation.window_complete and not plan.over_limit and result.options.direction != "stop"
    )
    is_done = len(done) == len(plan.changes) or not decision.may_apply
    mark = observation.now if is_done and (is_first or is_whole) else state.mark
    return SweepState(
        mark=mark,
        installed=mark if is_first else state.installed,
        cluster=observation.answers.cluster,
        running_baseline=decision.running_baseline,
        held_stops=decision.held_stops,
        memory=memory,
    )


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
    return SweepMemory(
        sweep=number,
        young_stops=frozenset(drift.young_stops),
        unproven_since=dict(drift.unproven_since),
        stops_queued={**kept, **dict.fromkeys(ended, number)},
        starts_queued={**old, **dict.fromkeys(over, now)},
    )
