"""Stops that a safety check holds back, and the next sweep that releases them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from counted_calls import count_calls
from sweep_values import NOON, OLD, decided, keys, many, sizes, start, stop

from spool.errors import UsageError
from spool.exit_codes import REFUSED
from spool.files.run_id import RunId
from spool.files.sweep_state import HeldBackStops
from sweeper.commands.output import plan_code
from sweeper.plan import SweepOptions
from sweeper.values import Close, Drift, EndProof, Report, Stop

CLOSE = Close(key=RunId(3, OLD), end_time=OLD + 1, why="unknown")


def test_held_stops_are_released_when_the_next_sweep_proves_them() -> None:
    """The first sweep holds 30 stops, the second one plans them; a start is not held."""
    drift = many(30)
    drift.starts.append(start(99))

    first = decided(drift, sizes(stops=30))
    second = decided(drift, sizes(stops=30), held_stops=first.held_stops)

    assert (keys(first.plan.changes), len(first.plan.held_back)) == ([(99, OLD)], 30)
    assert plan_code(first.plan) == REFUSED
    assert first.plan.drift == {"start": 1, "stop": 30, "close": 0, "report": 0}
    assert (len(second.plan.changes), second.plan.held_back, second.plan.guards) == (31, (), ())
    assert second.held_stops == HeldBackStops(time=NOON, guards=("stops",), stops=frozenset())


def test_the_next_sweep_releases_only_held_and_proven_stops() -> None:
    """New stops, closes and stops that only the controller proves stay held."""
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
    """Twice as many held stops need less than three times as many calls of Python functions."""

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
def test_an_empty_or_small_queue_holds_a_stop_for_one_sweep(
    end: Stop | Close, numbers: dict[str, int], released: int
) -> None:
    """If there are 30 stops, the second sweep needs proof from accounting."""
    drift = Drift(stops=[end]) if isinstance(end, Stop) else Drift(closes=[end])
    facts = sizes(candidates=1, **numbers)

    first = decided(drift, facts)
    second = decided(drift, facts, held_stops=first.held_stops)

    assert (first.plan.changes, first.plan.held_back) == ((), (end,))
    assert second.plan.changes == (end,) * released
    assert second.plan.is_refused is not bool(released)


def test_without_accounting_slurmctlds_proof_releases_stops() -> None:
    """No other proof exists, so the second sweep plans all 30 held stops."""
    drift = many(30, EndProof.CONTROLLER)
    held = HeldBackStops(time=1, guards=("stops",), stops=frozenset(keys(drift.stops)))

    assert (
        len(decided(drift, sizes(stops=30), held_stops=held, has_accounting=False).plan.changes)
        == 30
    )


def test_at_most_500_held_stops_are_released_at_once() -> None:
    """The next sweep releases the rest: 900 stops need three sweeps."""
    drift = many(900)
    first = decided(drift, sizes(stops=900))
    second = decided(drift, sizes(stops=900), held_stops=first.held_stops)
    rest = Drift(stops=drift.stops[500:])
    third = decided(rest, sizes(stops=400), held_stops=second.held_stops)

    assert [len(d.plan.changes) for d in (first, second, third)] == [0, 500, 400]
    assert [d.plan.over_limit for d in (first, second, third)] == [0, 400, 0]


def test_require_force_waits_for_an_administrator() -> None:
    """With sweep.require_force 30 stops stay held until `apply --force --stops 30`."""
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


def test_require_force_does_not_change_the_first_sweeps_message() -> None:
    """The message of a first sweep names `--force --stops N` already."""
    decision = decided(Drift(), sizes(has_mark=False), options=SweepOptions(require_force=True))

    assert "--force --stops N" in decision.plan.guards[0].text


def test_the_second_sweep_accepts_an_empty_queue() -> None:
    """The first sweep is refused; the second one stores 0 as the number of running jobs."""
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
