"""One sweep: look, compare, decide; and what it leaves for the next one. Changes nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from sweeper.diff import Drift, Policy, diff
from sweeper.guard import Sizes, answer_guards
from sweeper.look.eye import Observation
from sweeper.look.observe import observe
from sweeper.look.some import observe_some
from sweeper.look.sources import Sources
from sweeper.plan import Case, Decision, Options, decide
from sweeper.state import State, remember
from sweeper.values import GuardKind, Job, Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a sweep needs of a site: whom to ask, its policy, why it leaves a run out."""

    sources: Sources
    policy: Policy
    left_out: Callable[[Job], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a sweep has seen and decided; `state` is what it began with."""

    state: State
    observation: Observation
    drift: Drift
    decision: Decision
    options: Options


def look(site: Site, state: State, options: Options, ids: Sequence[int] = ()) -> Sight:
    """Look at everything, or at some job ids alone, and decide.

    Raises:
        UnknownJobsError: nobody knows one of the ids.
        ForceError: more stops are planned than the operator meant.
    """
    seen = (
        observe_some(site.sources, state, ids) if ids else observe(site.sources, state, site.policy)
    )
    drift = diff(seen.facts, state.memory, site.policy, now=seen.now, left_out=site.left_out)
    stops = options.direction != "start"
    sizes = Sizes(
        stops=len(drift.stops) + len(drift.closes) if stops else 0,
        candidates=drift.candidates if stops else 0,
        running_there=seen.running_there or 0,
        running=seen.running or 0,
        running_before=state.running,
        has_mark=state.mark is not None,
    )
    case = Case(
        drift=drift,
        answer=tuple(answer_guards(seen.answers)),
        sizes=sizes,
        held=state.held,
        options=replace(options, only_some=bool(ids)),
        now=seen.now,
        accounts=seen.accounts,
    )
    decision = decide(case)
    plan = replace(decision.plan, running=(seen.running, seen.running_there))
    return Sight(
        state=state,
        observation=seen,
        drift=drift,
        decision=replace(decision, plan=plan),
        options=case.options,
    )


def successor(sight: Sight, applied: Iterable[Key]) -> State:
    """Return what the next sweep begins with.

    A sweep whose answers were not believed leaves all as it was; one that looked at single jobs
    adds only what it told. The mark moves when all of accounting's window was looked at and nothing
    of it is left.
    """
    state, decision, seen = sight.state, sight.decision, sight.observation
    plan = decision.plan
    if any(guard.kind is GuardKind.ANSWER for guard in plan.guards):
        return state
    done = tuple(applied)
    memory = remember(state.memory, sight.drift, plan, done, seen.now)
    if sight.options.only_some:
        told = replace(state.memory, told=memory.told, asked=memory.asked)
        return replace(state, memory=told)
    is_first = state.mark is None
    is_whole = seen.saw_window and not plan.left and sight.options.direction != "stop"
    is_done = len(done) == len(plan.changes) or not decision.applies
    return State(
        mark=seen.now if is_done and (is_first or is_whole) else state.mark,
        cluster=seen.answers.cluster,
        running=decision.running,
        held=decision.held,
        memory=memory,
    )
