"""What the drain counts, and that a restarted drain continues to count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from spool.files.drain_counters import (
    LATENCY_BOUNDS,
    DrainCounters,
    LatencyCounts,
    drain_counters,
)
from spool.files.drain_state import DrainState, DrainStateFile, read_drain_state


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def counted(world: World) -> DrainCounters:
    """Return the current counts."""
    return world.parts.counters.value()


def interval(seconds: float) -> tuple[int, ...]:
    """Return the bucket counts of a single latency."""
    at = sum(bound < seconds for bound in LATENCY_BOUNDS)
    return tuple(int(number == at) for number in range(len(LATENCY_BOUNDS) + 1))


def test_a_drain_without_work_has_counted_nothing(world: World) -> None:
    """Every count of a new drain is zero."""
    assert DrainCounters() == counted(world)


def test_events_are_counted_by_kind_and_source(world: World) -> None:
    """Events of a sweep and of `cc-spool retry` count as `command`, those of hooks as `hook`."""
    world.begin(1)
    world.hook("start", 2, extras="again=1\n")
    world.hook("retry", 1)
    world.run()

    assert {"hook": {"start": 1}, "command": {"start": 1, "retry": 1}} == counted(world).events


def test_answers_are_counted_by_request_and_outcome(world: World) -> None:
    """A rejected start does not count as delivered."""
    world.backend.answers = {2: Reason.BAD_REQUEST}
    for job_id in (1, 2):
        world.begin(job_id)
    world.run()
    world.end(1)
    world.run()

    expected = {"start": {"delivered": 1, "rejected": 1}, "stop": {"delivered": 1}}
    assert expected == counted(world).answers


def test_a_request_after_a_failure_counts_as_a_retry(world: World) -> None:
    """The first start of a run is not a retry."""
    world.backend.answers = {1: Reason.BUSY}
    world.begin(1)
    world.run(0.2)
    first = counted(world).retries
    world.run(30)

    assert {} == first
    assert 1 <= counted(world).retries["start"]


def test_a_latency_begins_with_the_hook(world: World) -> None:
    """The latency of a start includes some 40 s in which the drain waits for Slurm."""
    world.slurm.silent = True
    world.begin(1)
    world.run(40)
    world.slurm.silent = False
    world.run(40)
    world.end(1)
    world.run()
    found = counted(world).latencies

    assert interval(50.0) == found["start"].counts
    assert 40 <= found["start"].seconds <= 60
    assert interval(0.05) == found["stop"].counts


def test_a_latency_is_counted_once(world: World) -> None:
    """A start that is sent again for a sweep's event was accepted before, and does not count."""
    world.begin(1)
    world.run()
    world.hook("start", 1, extras="again=1\n")
    world.run()

    assert interval(0.05) == counted(world).latencies["start"].counts


def test_a_run_of_a_sweep_has_no_latency(world: World) -> None:
    """No hook ran for a start that only a sweep has reported."""
    world.slurm.records[1] = world.job(1)
    world.hook("start", 1, extras="again=1\n")
    world.run()

    assert {} == counted(world).latencies


def test_a_latency_does_not_begin_with_the_event_of_another_run(world: World) -> None:
    """The job's only event has another start time, so its start has no latency."""
    job = world.begin(1)
    world.hook("start", 1, start=(job.start_time or 0) - 5000)
    (own,) = (path for path in (world.root / "new").glob("1-start-1-0-0-*"))
    own.unlink()
    world.run()

    assert "start" not in counted(world).latencies


def test_a_latency_is_measured_across_a_restart(world: World) -> None:
    """The event is removed before the drain restarts; the run file has the time of the hook."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.run(10)
    world.boot()
    world.now += 200
    world.backend.everything = None
    world.run(70)

    assert interval(250.0) == counted(world).latencies["start"].counts


def test_the_next_drain_continues_to_count(world: World) -> None:
    """A new drain begins with the counts in `drain.json`."""
    old = DrainCounters(
        events={"hook": {"start": 3}},
        answers={"start": {"delivered": 2}},
        retries={"start": 1},
        latencies={"start": LatencyCounts(counts=interval(0.2), seconds=0.2)},
    )
    file = DrainStateFile(world.state / "drain.json")
    file.write(DrainState(counters=old), NOON)
    world.boot()
    before = counted(world)
    world.begin(1)
    world.run()
    after = counted(world)

    assert old == before
    assert ({"hook": {"start": 4}}, {"start": {"delivered": 3}}) == (after.events, after.answers)
    assert 2 == sum(after.latencies["start"].counts)


def test_counts_are_read_as_they_were_written(tmp_path: Path) -> None:
    """All kinds of counts are restored from `drain.json`."""
    old = DrainCounters(
        events={"hook": {"start": 3}, "command": {"close": 1}},
        answers={"start": {"delivered": 2, "retry": 5}},
        retries={"start": 1},
        latencies={"stop": LatencyCounts(counts=interval(7.0), seconds=7.0)},
    )
    DrainStateFile(tmp_path / "drain.json").write(DrainState(counters=old), NOON)
    state = read_drain_state(tmp_path / "drain.json")

    assert state is not None
    assert old == state.counters


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"events": 1, "answers": {"start": 2}, "retries": {"start": -1}},
        {"events": {"hook": {"start": True}}, "retries": {"start": 2**60, "a b": 1}},
        {"latencies": {"a b": 1}},
    ],
)
def test_invalid_counts_are_read_as_zero(value: Any) -> None:
    """Another version may have written `drain.json`."""
    found = drain_counters(json.loads(json.dumps(value)))
    numbers = [*found.events.values(), *found.answers.values(), found.retries, found.latencies]

    assert not any(numbers)


@pytest.mark.parametrize(
    "latency",
    [
        1,
        {"counts": [1], "seconds": 1.0},
        {"counts": [*interval(1.0)], "seconds": "1"},
        {"counts": [*interval(1.0)], "seconds": -1.0},
        {"counts": [*interval(1.0)[:-1], "1"], "seconds": 1.0},
        {"counts": 5, "seconds": 1.0},
    ],
)
def test_an_invalid_latency_is_read_as_zero(latency: Any) -> None:
    """The latency in `drain.json` has other buckets, or values that are no valid numbers."""
    assert {"start": LatencyCounts()} == drain_counters({"latencies": {"start": latency}}).latencies
