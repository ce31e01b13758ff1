"""What a sweep's first sighting of a job does to the spool, and a hook's event after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from drain_world import NOON, World

GRACE_SECONDS = 600
SIGHTING = f"not_before={NOON + GRACE_SECONDS}\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with a job whose prolog left no event, and that a sweep has seen."""
    world = World(tmp_path)
    world.slurm.records[1] = world.job(1)
    world.hook("start", 1, extras=SIGHTING)
    world.run(5)
    return world


def test_a_first_sighting_is_stored_and_not_reported(world: World) -> None:
    """Slurm will purge the job, so it is stored; its hook's event may only be late."""
    assert ({}, {"todo": [f"1-{NOON}.json"]}) == (world.backend.rows, world.files())
    assert NOON + GRACE_SECONDS == world.stored("todo", 1).not_before


def test_a_first_sighting_is_reported_after_the_grace(world: World) -> None:
    """No hook has left an event for the job."""
    world.now = NOON + GRACE_SECONDS - 10
    world.run(5)
    before = dict(world.backend.rows)
    world.run(10)

    assert ({}, {(1, NOON): "running"}) == (before, world.backend.rows)


@pytest.mark.parametrize("is_ended", [True, False])
def test_a_hook_event_reports_a_first_sighting_at_once(world: World, *, is_ended: bool) -> None:
    """The event of its start was late, or the job ends before the grace is over."""
    if is_ended:
        world.end(1)
    else:
        world.hook("start", 1)
    world.run(5)

    assert {(1, NOON): "completed" if is_ended else "running"} == world.backend.rows


def test_another_sighting_does_not_report_a_first_one(world: World) -> None:
    """The next sweep writes the same event again."""
    world.hook("start", 1, extras=SIGHTING)
    world.run(5)

    assert {} == world.backend.rows


def test_a_run_that_is_never_reported_leaves_the_events_of_others(tmp_path: Path) -> None:
    """Without a user it becomes a dead letter; the event that stays is the next run's."""
    world = World(tmp_path)
    world.slurm.records[1] = replace(world.job(1), user=None, uid=None)
    world.hook("start", 1)
    world.hook("start", 1, start=NOON + 500)

    world.run(2)

    assert [f"1-{NOON}.json"] == world.files()["dead"]
    assert 1 == len(world.files()["new"])
