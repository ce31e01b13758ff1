"""Which failures count as attempts of a run, and when it becomes a dead letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from delivery_steps import HOUR, calls, entry_of, held
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from spool.deliver.health_rules import Channel
from spool.files.drain_state import HealthState


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_no_attempt_is_counted_while_all_runs_fail(world: World) -> None:
    """After 400 s of failing starts both runs have 0 attempts, although the probe succeeds."""
    world.begin(1)
    world.begin(2)
    world.backend.answers = {1: Reason.UNEXPECTED, 2: Reason.UNEXPECTED}
    world.run(400)

    assert (0, 0) == tuple(world.stored("todo", i).attempts for i in (1, 2))
    assert HealthState.DOWN is world.health.state.channels[Channel.STARTS].condition.health


def test_attempts_are_counted_for_a_run_that_fails_alone(world: World) -> None:
    """Another run was accepted between two failures; the hint says `only this one is refused`."""
    world.backend.answers[1] = Reason.UNEXPECTED
    world.begin(1)
    world.begin(2)
    world.run(6)
    run = world.stored("todo", 1)

    assert 1 <= run.attempts <= 3
    assert run.last_error is not None
    assert "only this one is refused" in run.last_error.hint
    assert entry_of(world, 1).is_blamed


def test_a_run_that_always_fails_alone_becomes_a_dead_letter(world: World) -> None:
    """The run has 24 counted attempts, which take about a day; all other runs are delivered."""
    world.backend.answers[1] = Reason.TOKEN_REFUSED
    world.begin(1)
    for job_id in range(2, 60):
        world.begin(job_id)
        world.run(2)
        world.now += HOUR

    assert world.health.is_up
    run = world.stored("dead", 1)
    assert 24 == run.attempts
    assert [job_id for job_id, _ in world.backend.rows] == list(range(2, 60))


def test_starts_that_all_fail_are_tried_one_by_one(world: World) -> None:
    """10 failing starts get 6 tries at most in 10 s; a stop and later all runs are delivered."""
    world.begin(1)
    world.run(6)
    world.backend.answers = dict.fromkeys(range(2, 12), Reason.DATABASE)
    for job_id in range(2, 12):
        world.begin(job_id)
    world.end(1)
    world.run(6)
    before = len(calls(world, "start"))
    world.run(10)
    assert len(calls(world, "start")) - before <= 6
    assert "completed" == world.backend.rows[1, NOON]
    world.backend.answers.clear()
    world.run(31)

    assert set(range(1, 12)) == {job_id for job_id, _ in world.backend.rows}


@pytest.mark.parametrize("change", ["gone", "damaged"])
def test_a_missing_or_damaged_failed_run_does_not_delay_the_others(
    world: World, change: str
) -> None:
    """Failed runs are sent one at a time; one whose file is gone or damaged cannot be sent."""
    world.run()
    world.backend.answers = {1: Reason.BROKEN, 2: Reason.BROKEN}
    start = int(world.now)
    for job_id in (1, 2, 3):
        world.begin(job_id)
    world.run(6)
    world.backend.answers.clear()
    path = world.root / "todo" / f"1-{start}.json"
    assert path.exists()
    if change == "gone":
        path.unlink()
    else:
        path.write_text("{")
    entry_of(world, 2).retry_at = 0.0
    world.now += HOUR
    world.run(60)

    assert {2, 3} == {job_id for job_id, _ in world.backend.rows}


def test_a_failed_run_removed_while_it_is_sent_does_not_delay_the_others(
    world: World,
) -> None:
    """The reply then belongs to no run in the store; the next failed run is sent."""
    world.run()
    world.backend.answers = {1: Reason.BROKEN, 2: Reason.BROKEN}
    for job_id in (1, 2, 3):
        world.begin(job_id)
    world.run(6)
    world.backend.answers.clear()
    entry_of(world, 2).retry_at = world.now + 90
    first, *_ = world.delivery.workers.starts.workers
    with held(first, world) as waiting:
        world.now += 60
        world.run(6)
        assert [1] == [each.job_id for each in waiting]
        (world.root / "todo" / entry_of(world, 1).name).unlink()
        world.store.forget(entry_of(world, 1), world.moment)
    world.run(60)

    assert 2 in {job_id for job_id, _ in world.backend.rows}
