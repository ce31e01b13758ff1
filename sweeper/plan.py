"""From what differs to what will be done: guards, limits, a fixed order. Pure.

A guard on the answer leaves no stop in a plan. Guards on the size move the stops to `held`; of
these the next sweep releases what it plans again and accounting proves. Planning decides all;
applying decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sweeper.diff import Drift
from sweeper.guard import Held, Sizes, size_guards
from sweeper.values import Change, Close, Guard, Key, Plan, Report, Source, Start, Stop

LIMIT = 500
FIRST = "first"
_RUNNING_GUARDS = frozenset({"none", "fewer"})


class ForceError(Exception):
    """`--force --stops N` does not fit the plan: the text says which number would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the operator asked for.

    `direction` is start, stop or both. `force_stops` is how many stops are meant by --force, None
    without it. `only_some` tells that single jobs are looked at: their number cannot surprise.
    """

    limit: int = LIMIT
    direction: str = "both"
    force_stops: int | None = None
    require_force: bool = False
    only_some: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A plan, whether it may be applied at all, and what the next sweep must remember.

    `held` is None when nothing is kept back. `running` is the number that the next sweep compares
    with.
    """

    plan: Plan
    applies: bool = True
    held: Held | None = None
    running: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a decision looks at.

    `answer` are guards on the answer that have spoken, `held` what the last sweep kept back. `now`
    is in Unix seconds. `accounts` is False where the site has no accounting: then the controller's
    word must do.
    """

    drift: Drift
    answer: Sequence[Guard] = ()
    sizes: Sizes
    held: Held | None = None
    options: Options = field(default_factory=Options)
    now: int
    accounts: bool = True


def decide(case: Case) -> Decision:
    """Return what will be done.

    Raises:
        ForceError: more stops are planned than the operator meant.
    """
    drift, options, sizes = case.drift, case.options, case.sizes
    starts: list[Start] = drift.starts if options.direction != "stop" else []
    ends: list[Stop | Close] = []
    if options.direction != "start":
        ends = sorted([*drift.stops, *drift.closes], key=_order)
    if case.answer:
        plan = _plan(case, starts, guards=tuple(case.answer))
        return Decision(plan=plan, held=case.held, running=sizes.running_before)
    guards = () if options.only_some else tuple(_told(size_guards(sizes), case, len(ends)))
    if options.force_stops is not None:
        _check_force(options.force_stops, len(ends))
        guards = ()
    if not guards:
        return Decision(plan=_plan(case, [*starts, *ends]), running=sizes.running)
    if any(guard.name == FIRST for guard in guards):
        plan = _plan(case, starts, held=ends, guards=guards)
        return Decision(plan=plan, applies=False, running=sizes.running)
    return _held_back(case, starts, ends, guards)


def _told(guards: Iterable[Guard], case: Case, ends: int) -> Iterator[Guard]:
    """Yield guards with the next step that this site demands."""
    for guard in guards:
        if case.options.require_force and guard.name != FIRST:
            step = f"sweep.require_force: they wait for cc-sweep apply --force --stops {ends}"
            yield replace(guard, text=f"{guard.text.partition(';')[0]}; {step}")
        else:
            yield guard


def _held_back(
    case: Case, starts: list[Start], ends: list[Stop | Close], guards: tuple[Guard, ...]
) -> Decision:
    """Keep the ends back, but for those that a second look has proven."""
    names = tuple(guard.name for guard in guards)
    before = None if case.options.require_force else case.held
    released = [end for end in ends if before and _is_proven(end, before, accounts=case.accounts)]
    rest = [end for end in ends if end not in released]
    was_seen = before is not None and {*names} <= {*before.guards}
    plan = _plan(
        case, [*starts, *released], held=rest, guards=() if was_seen and not rest else guards
    )
    done = {change.key for change in plan.changes}
    held = Held(
        time=case.now if before is None else before.time,
        guards=names,
        stops=frozenset(end.key for end in ends if end.key not in done),
    )
    is_sudden = not was_seen and bool(_RUNNING_GUARDS & {*names})
    running = case.sizes.running_before if is_sudden else case.sizes.running
    return Decision(plan=plan, held=held, running=running)


def _is_proven(end: Stop | Close, held: Held, *, accounts: bool) -> bool:
    """Tell whether the last sweep planned this end too, and accounting proves it."""
    if end.key not in held.stops or isinstance(end, Close):
        return False
    return end.proof is Source.ACCOUNTING or not accounts


def _check_force(meant: int, planned: int) -> None:
    if meant < planned:
        raise ForceError(
            f"--stops {meant}: {planned} stops are planned; look at `cc-sweep plan`,"
            f" then say --force --stops {planned}"
        )


def _plan(
    case: Case,
    changes: Sequence[Change],
    *,
    held: Sequence[Stop | Close] = (),
    guards: tuple[Guard, ...] = (),
) -> Plan:
    wanted = sorted(changes, key=_order)
    limit = case.options.limit
    known = {word: count for word, count in sorted(case.drift.known.items()) if count}
    return Plan(
        changes=tuple(wanted[:limit]),
        reports=tuple(sorted(case.drift.reports, key=_report_order)),
        held=tuple(held),
        guards=guards,
        known=known,
        left=max(0, len(wanted) - limit),
        running=(case.sizes.running, case.sizes.running_there),
    )


def _order(change: Change) -> tuple[int, int, bool]:
    """Oldest run first; of one second ends before starts."""
    key: Key = change.key
    return key.start_time, key.job_id, isinstance(change, Start)


def _report_order(report: Report) -> tuple[int, int]:
    return report.key.start_time, report.key.job_id
