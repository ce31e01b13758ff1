"""One sweep: look, compare, decide; and what it leaves for the next one. Changes nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from spool.files.run import RunId
from spool.files.sweep_state import SweepState
from sweeper.diff import Drift, Policy, find_drift
from sweeper.guard import SizeCheckInput, check_answers
from sweeper.observe.all_jobs import observe_all_jobs
from sweeper.observe.collector import Observation
from sweeper.observe.single_jobs import observe_single_jobs
from sweeper.observe.sources import SweepSources
from sweeper.plan import Decision, PlanInput, SweepOptions, decide
from sweeper.state import next_memory
from sweeper.values import GuardKind, SlurmRun


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepContext:
    """What a sweep needs of a site: whom to ask, its policy, why it leaves a run out."""

    sources: SweepSources
    policy: Policy
    exclusion_reason: Callable[[SlurmRun], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """What a sweep has seen and decided; `state` is what it began with."""

    state: SweepState
    observation: Observation
    drift: Drift
    decision: Decision
    options: SweepOptions


def run_sweep(
    context: SweepContext, state: SweepState, options: SweepOptions, ids: Sequence[int] = ()
) -> SweepResult:
    """Look at everything, or at some job ids alone, and decide.

    Raises:
        UnknownJobsError: nobody knows one of the ids.
        ForceError: more stops are planned than the operator meant.
    """
    observation = (
        observe_single_jobs(context.sources, state, ids)
        if ids
        else observe_all_jobs(context.sources, state, context.policy)
    )
    drift = find_drift(
        observation.differences,
        state.memory,
        context.policy,
        now=observation.now,
        exclusion_reason=context.exclusion_reason,
    )
    stops = options.direction != "start"
    sizes = SizeCheckInput(
        stops=len(drift.stops) + len(drift.closes) if stops else 0,
        candidates=drift.candidates if stops else 0,
        running_at_backend=observation.running_at_backend or 0,
        running_in_slurm=observation.running_in_slurm or 0,
        running_before=state.running_baseline,
        has_mark=state.mark is not None,
    )
    plan_input = PlanInput(
        drift=drift,
        answer_findings=tuple(check_answers(observation.answers)),
        sizes=sizes,
        held_stops=state.held_stops,
        options=replace(options, only_single_jobs=bool(ids)),
        now=observation.now,
        has_accounting=observation.has_accounting,
    )
    decision = decide(plan_input)
    plan = replace(
        decision.plan, running_counts=(observation.running_in_slurm, observation.running_at_backend)
    )
    return SweepResult(
        state=state,
        observation=observation,
        drift=drift,
        decision=replace(decision, plan=plan),
        options=plan_input.options,
    )


def next_state(result: SweepResult, applied: Iterable[RunId]) -> SweepState:
    """Return what the next sweep begins with.

    A sweep whose answers were not believed leaves all as it was; one that looked at single jobs
    adds only what it told. The mark moves when all of accounting's window was looked at and nothing
    of it is left.
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
    return SweepState(
        mark=observation.now if is_done and (is_first or is_whole) else state.mark,
        cluster=observation.answers.cluster,
        running_baseline=decision.running_baseline,
        held_stops=decision.held_stops,
        memory=memory,
    )
