"""One sweep in two steps: observe, plan. Neither changes anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from spool.files.sweep_state import SweepState
from sweeper.diff import find_drift
from sweeper.differences import Drift, Policy
from sweeper.guard import SizeCheckInput, check_answers
from sweeper.observe.all_jobs import observe_all_jobs
from sweeper.observe.collector import Observation
from sweeper.observe.single_jobs import observe_single_jobs
from sweeper.observe.sources import SweepSources
from sweeper.plan import Decision, PlanInput, SweepOptions, decide
from sweeper.values import SlurmRun


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepContext:
    """What a sweep needs of a site: whom to ask, its policy, why it excludes a run."""

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


def observe(context: SweepContext, state: SweepState, ids: Sequence[int] = ()) -> Observation:
    """Look at everything, or at some job ids alone. Asks Slurm and cc-backend, reads the spool.

    Raises:
        UnknownJobsError: nobody knows one of the ids.
    """
    if ids:
        return observe_single_jobs(context.sources, state, ids)
    return observe_all_jobs(context.sources, state, context.policy)


def plan_repairs(
    context: SweepContext, state: SweepState, observation: Observation, options: SweepOptions
) -> SweepResult:
    """Return what is to be done about what was observed. Pure.

    Raises:
        ForceError: more stops are planned than the operator meant.
    """
    # Whoever names a job wants it now: the grace protects only those that nobody looked at.
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
    counts = (observation.running_in_slurm, observation.running_at_backend)
    return SweepResult(
        state=state,
        observation=observation,
        drift=drift,
        decision=replace(decision, plan=replace(decision.plan, running_counts=counts)),
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
