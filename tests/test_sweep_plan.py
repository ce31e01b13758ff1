"""A plan is made from the drift and the findings of the safety checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from sweep_values import OLD, decided, keys, many, sizes, start, stop

from spool.exit_codes import DRIFT, OK, REFUSED
from spool.files.run_id import RunId
from spool.files.sweep_state import HeldBackStops
from sweeper.commands.output import plan_code
from sweeper.plan import SweepOptions
from sweeper.values import Close, Drift, GuardFinding, GuardKind, Plan, Report

CLOSE = Close(key=RunId(3, OLD), end_time=OLD + 1, why="unknown")
CUT = GuardFinding(name="slurm", kind=GuardKind.ANSWER, text="cut")


def test_a_plan_is_sorted_by_start_time() -> None:
    """Starts, stops and closes are sorted together; the reports are sorted separately."""
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


def test_no_difference_is_an_empty_plan() -> None:
    """The plan is not refused, and the exit code is 0."""
    plan = decided(Drift()).plan

    assert plan == Plan()
    assert (plan_code(plan), plan.is_refused) == (OK, False)


@pytest.mark.parametrize(
    ("direction", "expected"), [("start", [1]), ("stop", [2, 3]), ("both", [1, 2, 3])]
)
def test_a_plan_of_one_direction_omits_the_other(direction: str, expected: list[int]) -> None:
    """`--direction stop` has stops and closes, `start` has only starts."""
    drift = Drift(starts=[start(1)], stops=[stop(2)], closes=[CLOSE])

    plan = decided(drift, options=SweepOptions(direction=direction)).plan

    assert [key.job_id for key in keys(plan.changes)] == expected


def test_a_limit_counts_for_each_direction() -> None:
    """A limit of two allows two starts, two stops or closes, and two young runs to be captured."""
    drift = Drift(starts=[start(i) for i in (1, 2, 3)], stops=[stop(i) for i in (4, 5)])
    drift.closes.append(replace(CLOSE, key=RunId(6, OLD)))
    drift.first_sightings += [start(i) for i in (7, 8, 9)]

    plan = decided(drift, options=SweepOptions(limit=2)).plan

    assert [key.job_id for key in keys(plan.changes)] == [1, 2, 4, 5]
    assert ([key.job_id for key in keys(plan.first_sightings)], plan.over_limit) == ([7, 8], 2)


@pytest.mark.parametrize(("direction", "captured"), [("start", 1), ("stop", 0), ("both", 1)])
def test_young_runs_to_be_captured_are_no_differences(direction: str, captured: int) -> None:
    """`--direction stop` omits such runs; with and without them the exit code is 0."""
    drift = Drift(first_sightings=[start(1)])

    plan = decided(drift, options=SweepOptions(direction=direction)).plan

    assert (len(plan.first_sightings), sum(plan.drift.values())) == (captured, 0)
    assert plan_code(plan) == OK


def test_a_limit_leaves_the_rest_for_the_next_sweep() -> None:
    """The plan has the number of the remaining changes."""
    plan = decided(many(5), options=SweepOptions(limit=3)).plan

    assert (len(plan.changes), plan.over_limit) == (3, 2)
    assert decided(many(20), sizes(stops=20)).plan.over_limit == 0


def test_a_failed_check_of_an_answer_removes_all_stops() -> None:
    """`--force` does not override the check; stops that an earlier sweep held stay held."""
    drift = Drift(starts=[start(1)], stops=[stop(2)], closes=[CLOSE])
    held = HeldBackStops(time=1, guards=("stops",), stops=frozenset({RunId(2, OLD)}))

    decision = decided(
        drift, answer_findings=[CUT], held_stops=held, options=SweepOptions(force_stops=99)
    )

    assert (keys(decision.plan.changes), decision.plan.held_back) == ([(1, OLD)], ())
    assert (decision.plan.guards, plan_code(decision.plan)) == ((CUT,), REFUSED)
    assert (decision.held_stops, decision.running_baseline) == (held, 100)


def test_answers_about_another_cluster_empty_the_plan() -> None:
    """Another cluster's jobs are neither started nor stored nor reported."""
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
    """Starts are not applied either, and stops are held; `--force --stops 1` applies both."""
    drift = Drift(starts=[start(1)], stops=[stop(2)])
    numbers = sizes(has_mark=False, stops=1)

    decision = decided(drift, numbers)
    forced = decided(drift, numbers, options=SweepOptions(force_stops=1))

    assert (decision.may_apply, keys(decision.plan.held_back)) == (False, [(2, OLD)])
    assert (decision.plan.is_refused, plan_code(decision.plan)) == (False, DRIFT)
    assert [guard.name for guard in decision.plan.guards] == ["first"]
    assert (forced.may_apply, len(forced.plan.changes), forced.plan.guards) == (True, 2, ())


def test_the_first_sweep_applies_nothing_after_a_failed_check() -> None:
    """With --force or for single jobs the starts are applied, as in any other sweep."""
    drift = Drift(starts=[start(1)], stops=[stop(2)])
    numbers = sizes(has_mark=False, stops=1)
    exempt = SweepOptions(force_stops=1), SweepOptions(only_single_jobs=True)

    decision = decided(drift, numbers, answer_findings=[CUT])
    others = [decided(drift, numbers, answer_findings=[CUT], options=each) for each in exempt]

    assert [guard.name for guard in decision.plan.guards] == ["slurm", "first"]
    assert (decision.may_apply, plan_code(decision.plan)) == (False, REFUSED)
    assert [(each.may_apply, each.plan.guards) for each in others] == [(True, (CUT,))] * 2


def test_single_jobs_skip_the_size_checks() -> None:
    """An administrator who names 30 jobs with -j wants all 30 stops."""
    decision = decided(
        many(30), sizes(stops=30, has_mark=False), options=SweepOptions(only_single_jobs=True)
    )

    assert (len(decision.plan.changes), decision.plan.guards) == (30, ())
