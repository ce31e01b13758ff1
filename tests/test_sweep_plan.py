"""From drift and guards to a plan, as values."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from counted_calls import count_calls
from sweep_values import NOON, OLD, keys, sizes, start, stop

from spool.errors import UsageError
from spool.exit_codes import DRIFT, OK, REFUSED
from spool.files.run_id import RunId
from spool.files.sweep_state import HeldBackStops
from sweeper.commands.output import plan_code
from sweeper.guard import SizeCheckInput
from sweeper.plan import Decision, PlanInput, SweepOptions, decide
from sweeper.values import (
    Close,
    Drift,
    EndProof,
    GuardFinding,
    GuardKind,
    Plan,
    Report,
    Stop,
)

CLOSE = Close(key=RunId(3, OLD), end_time=OLD + 1, why="unknown")
CUT = GuardFinding(name="slurm", kind=GuardKind.ANSWER, text="cut")


def decided(drift: Drift, numbers: SizeCheckInput | None = None, **facts: Any) -> Decision:
    """The decision of a sweep at noon."""
    return decide(PlanInput(drift=drift, sizes=numbers or sizes(), now=NOON, **facts))


def many(count: int, proof: EndProof = EndProof.ACCOUNTING) -> Drift:
    """So many stops."""
    return Drift(stops=[stop(i, proof=proof) for i in range(1, count + 1)])


def test_an_ordinary_plan_is_in_the_order_of_starts() -> None:
    """Of one second and job id the stop goes first."""
    drift = Drift(
        starts=[start(2), start(1, OLD - 5)],
        stops=[stop(2, OLD - 9)],
        closes=[CLOSE],
        reports=[Report(key=RunId(9, OLD), why="b"), Report(key=RunId(8, OLD), why="a")],
        skipped=Counter(young=2, queued=0),
    )

    decision = decided(drift)

    assert keys(decision.plan.changes) == [(2, OLD - 9), (1, OLD - 5), (2, OLD), (3, OLD)]
    assert keys(decision.plan.reports) == [(8, OLD), (9, OLD)]
    assert decision.plan.skipped == {"young": 2}
    assert decision.plan.drift == {"start": 2, "stop": 1, "close": 1, "report": 2}
    assert (decision.may_apply, decision.held_stops, decision.running_baseline) == (True, None, 100)
    assert plan_code(decision.plan) == DRIFT


def test_no_drift_is_an_empty_plan() -> None:
    """Exit code 0."""
    plan = decided(Drift()).plan

    assert plan == Plan()
    assert (plan_code(plan), plan.is_refused) == (OK, False)


@pytest.mark.parametrize(
    ("direction", "expected"), [("start", [1]), ("stop", [2, 3]), ("both", [1, 2, 3])]
)
def test_one_direction_leaves_out_the_other(direction: str, expected: list[int]) -> None:
    """Closing is stopping."""
    drift = Drift(starts=[start(1)], stops=[stop(2)], closes=[CLOSE])

    plan = decided(drift, options=SweepOptions(direction=direction)).plan

    assert [key.job_id for key in keys(plan.changes)] == expected


def test_a_limit_counts_for_each_direction() -> None:
    """As it did in the predecessor: a limit of two is two starts and two stops."""
    drift = Drift(starts=[start(i) for i in (1, 2, 3)], stops=[stop(i) for i in (4, 5)])
    drift.closes.append(replace(CLOSE, key=RunId(6, OLD)))
    drift.first_sightings += [start(i) for i in (7, 8, 9)]

    plan = decided(drift, options=SweepOptions(limit=2)).plan

    assert [key.job_id for key in keys(plan.changes)] == [1, 2, 4, 5]
    assert ([key.job_id for key in keys(plan.first_sightings)], plan.over_limit) == ([7, 8], 2)


@pytest.mark.parametrize(("direction", "captured"), [("start", 1), ("stop", 0), ("both", 1)])
def test_first_sightings_are_no_drift(direction: str, captured: int) -> None:
    """They belong to the starts, and nothing of them is to be repaired."""
    drift = Drift(first_sightings=[start(1)])

    plan = decided(drift, options=SweepOptions(direction=direction)).plan

    assert (len(plan.first_sightings), sum(plan.drift.values())) == (captured, 0)
    assert plan_code(plan) == OK


def test_a_limit_leaves_the_rest_for_the_next_sweep() -> None:
    """And says how much."""
    plan = decided(many(5), options=SweepOptions(limit=3)).plan

    assert (len(plan.changes), plan.over_limit) == (3, 2)
    assert decided(many(20), sizes(stops=20)).plan.over_limit == 0


def test_a_guard_on_the_answer_voids_all_stops() -> None:
    """No option overrides it; what was held before stays held."""
    drift = Drift(starts=[start(1)], stops=[stop(2)], closes=[CLOSE])
    held = HeldBackStops(time=1, guards=("stops",), stops=frozenset({RunId(2, OLD)}))

    decision = decided(
        drift, answer_findings=[CUT], held_stops=held, options=SweepOptions(force_stops=99)
    )

    assert (keys(decision.plan.changes), decision.plan.held_back) == ([(1, OLD)], ())
    assert (decision.plan.guards, plan_code(decision.plan)) == ((CUT,), REFUSED)
    assert (decision.held_stops, decision.running_baseline) == (held, 100)


def test_doubt_whose_jobs_are_shown_voids_the_whole_plan() -> None:
    """Another cluster's jobs are neither started nor stored nor listed."""
    drift = Drift(
        starts=[start(1)],
        first_sightings=[start(2)],
        stops=[stop(3)],
        reports=[Report(key=RunId(4, OLD), why="odd")],
        skipped=Counter(young=1),
    )
    held = HeldBackStops(time=1, guards=("stops",), stops=frozenset({RunId(2, OLD)}))
    foreign = replace(CUT, name="cluster", voids_starts=True)

    decision = decided(drift, answer_findings=[CUT, foreign], held_stops=held)

    assert decision.plan == Plan(guards=(CUT, foreign))
    assert (decision.held_stops, decision.running_baseline) == (held, 100)


def test_the_first_sweep_applies_nothing() -> None:
    """Not even starts; forcing skips the wait."""
    drift = Drift(starts=[start(1)], stops=[stop(2)])
    numbers = sizes(has_mark=False, stops=1)

    decision = decided(drift, numbers)
    forced = decided(drift, numbers, options=SweepOptions(force_stops=1))

    assert (decision.may_apply, keys(decision.plan.held_back)) == (False, [(2, OLD)])
    assert (decision.plan.is_refused, plan_code(decision.plan)) == (False, DRIFT)
    assert [guard.name for guard in decision.plan.guards] == ["first"]
    assert (forced.may_apply, len(forced.plan.changes), forced.plan.guards) == (True, 2, ())


def test_the_first_sweep_applies_nothing_in_doubt_either() -> None:
    """Forced, or where single jobs are named, its starts are sent as those of any other."""
    drift = Drift(starts=[start(1)], stops=[stop(2)])
    numbers = sizes(has_mark=False, stops=1)
    exempt = SweepOptions(force_stops=1), SweepOptions(only_single_jobs=True)

    decision = decided(drift, numbers, answer_findings=[CUT])
    others = [decided(drift, numbers, answer_findings=[CUT], options=each) for each in exempt]

    assert [guard.name for guard in decision.plan.guards] == ["slurm", "first"]
    assert (decision.may_apply, plan_code(decision.plan)) == (False, REFUSED)
    assert [(each.may_apply, each.plan.guards) for each in others] == [(True, (CUT,))] * 2


def test_held_stops_go_on_when_the_next_sweep_proves_them() -> None:
    """Starts are not held."""
    drift = many(30)
    drift.starts.append(start(99))

    first = decided(drift, sizes(stops=30))
    second = decided(drift, sizes(stops=30), held_stops=first.held_stops)

    assert (keys(first.plan.changes), len(first.plan.held_back)) == ([(99, OLD)], 30)
    assert plan_code(first.plan) == REFUSED
    assert first.plan.drift == {"start": 1, "stop": 30, "close": 0, "report": 0}
    assert (len(second.plan.changes), second.plan.held_back, second.plan.guards) == (31, (), ())
    assert second.held_stops == HeldBackStops(time=NOON, guards=("stops",), stops=frozenset())


def test_a_second_look_releases_only_what_it_planned_and_proves() -> None:
    """New ones, closes and those that the controller alone proves stay."""
    drift = many(30)
    held = HeldBackStops(time=1, guards=("stops",), stops=frozenset(keys(drift.stops)))
    drift.stops[0] = stop(1, proof=EndProof.CONTROLLER)
    drift.stops.append(stop(31))
    drift.closes.append(replace(CLOSE, key=RunId(32, OLD)))

    decision = decided(drift, sizes(stops=32), held_stops=held)

    assert len(decision.plan.changes) == 29
    assert keys(decision.plan.held_back) == [(1, OLD), (31, OLD), (32, OLD)]
    assert [guard.name for guard in decision.plan.guards] == ["stops"]
    assert decision.held_stops is not None
    assert decision.held_stops.stops == {(1, OLD), (31, OLD), (32, OLD)}


def test_held_stops_are_released_in_linear_time() -> None:
    """Twice as many stops need twice as many calls."""

    def release(count: int) -> None:
        drift = many(count)
        held = HeldBackStops(time=1, guards=("stops",), stops=frozenset(keys(drift.stops)))
        assert decided(drift, sizes(stops=count), held_stops=held).plan.over_limit == count - 500

    assert count_calls(lambda: release(1200)) < 3 * count_calls(lambda: release(600))


@pytest.mark.parametrize("end", [CLOSE, stop(3, proof=EndProof.CONTROLLER)])
@pytest.mark.parametrize(
    ("numbers", "released"),
    [
        ({"running_in_slurm": 0}, 1),
        ({"running_in_slurm": 9}, 1),
        ({"running_in_slurm": 0, "stops": 30}, 0),
    ],
)
def test_where_slurm_runs_nothing_a_second_look_is_enough(
    end: Stop | Close, numbers: dict[str, int], released: int
) -> None:
    """An empty queue seen twice is empty; only a surprising number wants accounting's word."""
    drift = Drift(stops=[end]) if isinstance(end, Stop) else Drift(closes=[end])
    facts = sizes(candidates=1, **numbers)

    first = decided(drift, facts)
    second = decided(drift, facts, held_stops=first.held_stops)

    assert (first.plan.changes, first.plan.held_back) == ((), (end,))
    assert second.plan.changes == (end,) * released
    assert second.plan.is_refused is not bool(released)


def test_without_accounting_the_controllers_word_must_do() -> None:
    """There is no other."""
    drift = many(30, EndProof.CONTROLLER)
    held = HeldBackStops(time=1, guards=("stops",), stops=frozenset(keys(drift.stops)))

    assert (
        len(decided(drift, sizes(stops=30), held_stops=held, has_accounting=False).plan.changes)
        == 30
    )


def test_at_most_so_many_held_stops_go_at_once() -> None:
    """The rest goes with the sweep after: three in all."""
    drift = many(900)
    first = decided(drift, sizes(stops=900))
    second = decided(drift, sizes(stops=900), held_stops=first.held_stops)
    rest = Drift(stops=drift.stops[500:])
    third = decided(rest, sizes(stops=400), held_stops=second.held_stops)

    assert [len(d.plan.changes) for d in (first, second, third)] == [0, 500, 400]
    assert [d.plan.over_limit for d in (first, second, third)] == [0, 400, 0]


def test_require_force_waits_for_a_person() -> None:
    """A number that is too small is no consent; the message names the right one."""
    drift = many(30)
    options = SweepOptions(require_force=True)
    first = decided(drift, sizes(stops=30), options=options)
    second = decided(drift, sizes(stops=30), options=options, held_stops=first.held_stops)
    forced = SweepOptions(require_force=True, force_stops=30)

    assert (second.plan.changes, len(second.plan.held_back)) == ((), 30)
    assert second.plan.guards[0].text.endswith(
        "stops wait for `cc-sweep apply --force --stops 30` (sweep.require_force)"
    )
    assert len(decided(drift, sizes(stops=30), options=forced).plan.changes) == 30
    with pytest.raises(UsageError, match="--stops 29 is too low: the plan has 30 stops"):
        decided(drift, sizes(stops=30), options=SweepOptions(force_stops=29))


def test_require_force_does_not_change_the_first_sweeps_words() -> None:
    """They name the force already."""
    decision = decided(Drift(), sizes(has_mark=False), options=SweepOptions(require_force=True))

    assert "--force --stops N" in decision.plan.guards[0].text


def test_an_empty_queue_needs_a_second_look_and_then_counts() -> None:
    """The number that the next sweep compares with moves only then."""
    drift = Drift(reports=[Report(key=RunId(1, OLD), why="undecided")])
    numbers = sizes(running_in_slurm=0, candidates=1)

    first = decided(drift, numbers)
    second = decided(drift, numbers, held_stops=first.held_stops)
    third = decided(
        drift,
        sizes(running_in_slurm=0, candidates=1, running_before=0),
        held_stops=second.held_stops,
    )

    assert [d.plan.is_refused for d in (first, second, third)] == [True, False, False]
    assert [d.running_baseline for d in (first, second, third)] == [100, 0, 0]
    assert first.held_stops is not None
    assert first.held_stops.guards == ("none",)


def test_single_jobs_are_not_counted_against_sizes() -> None:
    """Who names a job means it."""
    decision = decided(
        many(30), sizes(stops=30, has_mark=False), options=SweepOptions(only_single_jobs=True)
    )

    assert (len(decision.plan.changes), decision.plan.guards) == (30, ())
