"""One sweep: observe, plan, compute the state for the next sweep. None of them repairs anything.

`spool.files.sweep_state` keeps on disk what is left for the next sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from slurm.light_dataclass import light_dataclass
from spool.files.run_id import RunId
from spool.files.sweep_state import SweepMemory, SweepState
from sweeper.diff import find_drift
from sweeper.guard import SizeCheckInput, check_answers
from sweeper.observe.all_jobs import observe_all_jobs
from sweeper.observe.collector import Observation
from sweeper.observe.single_jobs import observe_single_jobs
from sweeper.observe.sources import SweepSources
from sweeper.plan import Decision, PlanInput, SweepOptions, decide
from sweeper.values import Drift, GuardKind, Plan, Policy, SlurmRun, Start


@light_dataclass
class SweepContext:
    """What a sweep needs of a site: its sources, its waiting times, why it excludes a run."""

    sources: SweepSources
    policy: Policy
    exclusion_reason: Callable[[SlurmRun], str | None]


@light_dataclass
class SweepResult:
    """What a sweep has seen and decided; `state` is what it began with."""

    state: SweepState
    observation: Observation
    drift: Drift
    decision: Decision
    options: SweepOptions


def observe(context: SweepContext, state: SweepState, ids: Sequence[int]) -> Observation:
    """Observe all jobs, or only some job ids: query Slurm and cc-backend, read the spool.

    Raises:
        UsageError: one of the ids is unknown to all sides.
    """
    if ids:
        return observe_single_jobs(context.sources, state, ids)
    return observe_all_jobs(context.sources, state, context.policy)


def plan_repairs(
    context: SweepContext, state: SweepState, observation: Observation, options: SweepOptions
) -> SweepResult:
    """Return what is to be done about what was observed. Pure.

    Raises:
        UsageError: more stops are planned than the operator meant with --force.
    """
    # A job that the operator names is repaired at once: the grace period is for all others.
    is_named = observation.only_single_jobs
    drift = find_drift(
        observation.differences,
        state.memory,
        replace(context.policy, grace_seconds=0) if is_named else context.policy,
        now=observation.now,
        exclusion_reason=context.exclusion_reason,
    )
    options = replace(options, only_single_jobs=is_named)
    has_stops = options.direction != "start" and bool(drift.stops or drift.closes)
    decision = decide(
        PlanInput(
            drift=drift,
            answer_findings=tuple(check_answers(observation.answers, has_stops=has_stops)),
            sizes=_sizes(drift, observation, state, options),
            held_stops=state.held_stops,
            options=options,
            now=observation.now,
            has_accounting=observation.has_accounting,
        )
    )
    plan = replace(
        decision.plan,
        ends_read_until=observation.ends_read_until if observation.has_unread_ends else None,
        running_counts=(observation.running_in_slurm, observation.running_at_backend),
    )
    return SweepResult(
        state=state,
        observation=observation,
        drift=drift,
        decision=replace(decision, plan=plan),
        options=options,
    )


def _sizes(
    drift: Drift, observation: Observation, state: SweepState, options: SweepOptions
) -> SizeCheckInput:
    stops = options.direction != "start"
    return SizeCheckInput(
        stops=len(drift.stops) + len(drift.closes) if stops else 0,
        candidates=drift.candidates if stops else 0,
        running_at_backend=observation.running_at_backend or 0,
        running_in_slurm=observation.running_in_slurm or 0,
        running_before=state.running_baseline,
        has_mark=state.mark is not None,
    )


# A run is found again as long as the mark stands still, because the window begins before it. After
# thirty days it is queued once more, which is harmless.
REMEMBER_STARTS_SECONDS = 30 * 86400
_REMEMBER_STOPS_SWEEPS = 10


def next_state(result: SweepResult, applied: Iterable[RunId]) -> SweepState:
    """Return the state with which the next sweep begins.

    A sweep with a failed check of its answers leaves all as it was, except for the first mark; one
    that looked at single jobs adds only what it queued. The mark moves to the time until
    which accounting was read, if nothing before it is left to be repaired; the first mark is the
    time of installation.
    """
    state, decision, observation = result.state, result.decision, result.observation
    plan = decision.plan
    if any(guard.kind is GuardKind.ANSWER for guard in plan.guards):
        return _with_first_mark(result)
    done = tuple(applied)
    memory = next_memory(state.memory, result.drift, plan, done, observation.now)
    # A look at single jobs knows nothing about all others: mark, counts and held stops stay.
    if result.options.only_single_jobs:
        queued = replace(
            state.memory, stops_queued=memory.stops_queued, starts_queued=memory.starts_queued
        )
        return replace(state, memory=queued)
    is_first = state.mark is None
    # The controller's clock, which gave the ends in accounting. The time at which the sweep began
    # to look: what ends meanwhile is in the next window.
    read_until = observation.now if is_first else observation.ends_read_until
    is_whole = is_first or (not plan.over_limit and result.options.direction != "stop")
    # What did not fit into the spool is found again only if the window still begins before it.
    is_done = len(done) == len(plan.changes) or not decision.may_apply
    mark = state.mark if read_until is None or not (is_whole and is_done) else read_until
    return SweepState(
        mark=mark,
        installed=mark if is_first else state.installed,
        cluster=observation.answers.cluster,
        running_baseline=decision.running_baseline,
        held_stops=decision.held_stops,
        memory=memory,
    )


def _with_first_mark(result: SweepResult) -> SweepState:
    """Return the state after a failed check of the answers: the first sweep still sets the mark.

    The mark says only which ended runs are to be reported, and is the controller's clock, which
    gave their ends. Hidden jobs, a restart and a failed question do not change it; a clock that
    differs from ours may be wrong, but by five minutes at most (munge(7): a credential lives for
    300 s, so that Slurm would not answer).
    """
    state, answers, options = result.state, result.observation.answers, result.options
    is_known = answers.controller_clock is not None
    is_ours = not any(guard.voids_starts for guard in result.decision.plan.guards)
    if state.mark is not None or options.only_single_jobs or not (is_known and is_ours):
        return state
    mark = result.observation.now
    return replace(state, mark=mark, installed=mark, cluster=answers.cluster)


def next_memory(
    memory: SweepMemory, drift: Drift, plan: Plan, applied: Iterable[RunId], now: int
) -> SweepMemory:
    """Return the memory for the next sweep.

    `drift` is what this sweep found, `plan` what it did about it; the changes of the `applied` runs
    were put into the spool. `now` is Unix seconds.
    """
    number = memory.sweep + 1
    done = frozenset(applied)
    starts = [change for change in plan.changes if isinstance(change, Start)]
    # Of the starts only ended runs are remembered: accounting does not show all by which the drain
    # excludes a run, and would have the same one queued at each sweep.
    over = {start.key for start in starts if start.job.end_time is not None} & done
    ended = done - {start.key for start in starts}
    # Bounded, because the memory is one file that every sweep reads and writes.
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
