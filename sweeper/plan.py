"""Turn what differs into a plan: safety checks, limits, a fixed order. Pure.

A failed check of the answers leaves no stop in a plan, one of the cluster nothing at all. Failed
checks of the numbers move the stops to `held_back`; of these the next sweep releases those that it
plans again and that are certain enough.
Planning decides all; applying decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field, replace

from slurm.light_dataclass import light_dataclass
from spool.errors import UsageError
from spool.files.sweep_state import FIRST_SWEEP, HeldBackStops
from sweeper.guard import MANY_STOPS, RUNNING_GUARDS, SizeCheckInput, check_first_sweep, check_sizes
from sweeper.values import (
    Change,
    Close,
    Drift,
    EndProof,
    GuardFinding,
    GuardKind,
    Plan,
    Start,
    Stop,
)

# A wrong plan does bounded harm, and the rest comes ten minutes later (the timer of the sweep).
MAX_CHANGES = 500


@light_dataclass
class SweepOptions:
    """What the operator asked for.

    `limit` applies to starts and to stops separately. `direction` is start, stop or both.
    `force_stops` is the most stops that --force allows, None without it. `only_single_jobs` says
    that only named jobs are compared: then the number of stops is not checked.
    """

    limit: int = MAX_CHANGES
    direction: str = "both"
    force_stops: int | None = None
    require_force: bool = False
    only_single_jobs: bool = False


@light_dataclass
class Decision:
    """A plan, whether it may be applied at all, and what the next sweep must remember.

    `held_stops` is None when nothing is kept back. `running_baseline` is the number that the next
    sweep compares with.
    """

    plan: Plan
    may_apply: bool = True
    held_stops: HeldBackStops | None = None
    running_baseline: int | None = None


@light_dataclass
class PlanInput:
    """The inputs of `decide`.

    `answer_findings` are findings about the answers, `held_stops` what the last sweep kept back.
    `now` is in Unix seconds. `has_accounting` is False where the site has no accounting: then the
    controller's record is proof enough.
    """

    drift: Drift
    answer_findings: Sequence[GuardFinding] = ()
    sizes: SizeCheckInput
    held_stops: HeldBackStops | None = None
    options: SweepOptions = field(default_factory=SweepOptions)
    now: int
    has_accounting: bool = True


def decide(plan_input: PlanInput) -> Decision:
    """Return the plan, and whether it may be applied.

    Raises:
        UsageError: more stops are planned than the operator meant with --force.
    """
    drift, options, sizes = plan_input.drift, plan_input.options, plan_input.sizes
    starts: list[Start] = drift.starts if options.direction != "stop" else []
    ends: list[Stop | Close] = []
    if options.direction != "start":
        ends = sorted([*drift.stops, *drift.closes], key=_order)
    if plan_input.answer_findings:
        return _decide_in_doubt(plan_input, starts)
    guards = (
        ()
        if options.only_single_jobs
        else tuple(_with_site_step(check_sizes(sizes), plan_input, len(ends)))
    )
    # `--force` overrides only the numbers. Doubts about the answers were handled above, and no
    # option overrides them.
    if options.force_stops is not None:
        if options.force_stops < len(ends):
            raise UsageError(
                f"--stops {options.force_stops} is too low: the plan has {len(ends)} stops; look at"
                f" `cc-sweep plan`, then type `cc-sweep apply --force --stops {len(ends)}`"
            )
        guards = ()
    if not guards:
        plan = _plan(plan_input, starts, ends)
        return Decision(plan=plan, running_baseline=sizes.running_in_slurm)
    # It comes alone: `check_sizes` looks at nothing else then. The plan is only shown, and the mark
    # of the first sweep keeps the site's whole history out of the second one.
    if guards[0].kind is GuardKind.FIRST:
        plan = _plan(plan_input, starts, held_back=ends, guards=guards)
        return Decision(plan=plan, may_apply=False, running_baseline=sizes.running_in_slurm)
    return _hold_back(plan_input, starts, ends, guards)


def _decide_in_doubt(plan_input: PlanInput, starts: list[Start]) -> Decision:
    """Return the decision after a failed check of the answers: no stops.

    No starts and no reports either if the answers are about another cluster.
    """
    guards, options = tuple(plan_input.answer_findings), plan_input.options
    is_void = any(guard.voids_starts for guard in guards)
    # The first sweep of a site repairs nothing, whether the answers are in doubt or not.
    is_exempt = is_void or options.only_single_jobs or options.force_stops is not None
    first = () if is_exempt else tuple(check_first_sweep(plan_input.sizes))
    # Starts of this cluster's jobs are still reported, because a start that is too early does no
    # harm. A stop cannot be undone.
    plan = Plan(guards=guards) if is_void else _plan(plan_input, starts, guards=(*guards, *first))
    # What was held back before is neither released nor forgotten.
    return Decision(
        plan=plan,
        may_apply=not first,
        held_stops=plan_input.held_stops,
        running_baseline=plan_input.sizes.running_before,
    )


def _with_site_step(
    guards: Iterable[GuardFinding], plan_input: PlanInput, ends: int
) -> Iterator[GuardFinding]:
    """Yield findings; with `sweep.require_force` their next step is `apply --force --stops N`."""
    for guard in guards:
        if plan_input.options.require_force and guard.name != FIRST_SWEEP:
            step = f"stops wait for `cc-sweep apply --force --stops {ends}` (sweep.require_force)"
            yield replace(guard, text=f"{guard.text.partition(';')[0]}; {step}")
        else:
            yield guard


def _hold_back(
    plan_input: PlanInput,
    starts: list[Start],
    ends: list[Stop | Close],
    guards: tuple[GuardFinding, ...],
) -> Decision:
    """Return a decision that holds the ends back, except those that a second sweep confirms."""
    names = tuple(guard.name for guard in guards)
    # Without a list from the last sweep nothing is released: each sweep holds all again.
    before = None if plan_input.options.require_force else plan_input.held_stops
    released: list[Stop | Close] = []
    rest: list[Stop | Close] = []
    for end in ends:
        is_released = before is not None and _may_release(end, before, names, plan_input)
        (released if is_released else rest).append(end)
    # The same doubt twice, with fresh answers, and nothing left to hold: it is the truth now.
    was_seen = before is not None and {*names} <= {*before.guards}
    plan = _plan(
        plan_input,
        starts,
        released,
        held_back=rest,
        guards=() if was_seen and not rest else guards,
    )
    done = {change.key for change in plan.changes}
    held = HeldBackStops(
        # Since when stops are held is shown to people: a second hold does not begin anew.
        time=plan_input.now if before is None else before.time,
        guards=names,
        stops=frozenset(end.key for end in ends if end.key not in done),
    )
    # A queue that has just lost its half must not become the number that the next sweep compares
    # with: it would find nothing odd any more.
    is_sudden = not was_seen and bool(RUNNING_GUARDS & {*names})
    running_baseline = (
        plan_input.sizes.running_before if is_sudden else plan_input.sizes.running_in_slurm
    )
    return Decision(plan=plan, held_stops=held, running_baseline=running_baseline)


def _may_release(
    end: Stop | Close, held: HeldBackStops, names: Sequence[str], plan_input: PlanInput
) -> bool:
    """Return whether an end may be sent: the last sweep held it too, and it is certain enough.

    Accounting's row is always enough. Where the number of stops is not surprising and only the
    queue looked empty, the second whole answer removes that doubt: then the controller's own record
    counts, and so does the site's decision to close runs without proof. Without this, a close would
    be held forever where Slurm runs nothing.
    """
    if end.key not in held.stops:
        return False
    if isinstance(end, Stop) and (
        end.proof is EndProof.ACCOUNTING or not plan_input.has_accounting
    ):
        return True
    return MANY_STOPS not in names


def _plan(
    plan_input: PlanInput,
    starts: Sequence[Start],
    ends: Sequence[Stop | Close] = (),
    *,
    held_back: Sequence[Stop | Close] = (),
    guards: tuple[GuardFinding, ...] = (),
) -> Plan:
    drift, limit = plan_input.drift, plan_input.options.limit
    young = drift.first_sightings if plan_input.options.direction != "stop" else []
    # Oldest first within each direction, so that what the limit leaves out is next in the next one.
    kept: list[Change] = [*sorted(starts, key=_order)[:limit], *sorted(ends, key=_order)[:limit]]
    return Plan(
        changes=tuple(sorted(kept, key=_order)),
        first_sightings=tuple(sorted(young, key=_order)[:limit]),
        reports=tuple(sorted(drift.reports, key=lambda r: (r.key.start_time, r.key.job_id))),
        held_back=tuple(held_back),
        guards=guards,
        skipped={word: count for word, count in sorted(drift.skipped.items()) if count},
        over_limit=len(starts) + len(ends) - len(kept),
    )


def _order(change: Change) -> tuple[int, int, bool]:
    """Return the sort key: start time, then job id; of the same run, the end before the start."""
    return change.key.start_time, change.key.job_id, isinstance(change, Start)
