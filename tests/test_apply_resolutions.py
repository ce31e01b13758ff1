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


def test_a_job_that_a_sweep_found_is_stored_and_not_reported_yet(world: World) -> None:
    """The run is in todo/ because Slurm will purge the job; the hook's event can arrive late."""
    assert ({}, {"todo": [f"1-{NOON}.json"]}) == (world.backend.rows, world.files())
    assert NOON + GRACE_SECONDS == world.stored("todo", 1).not_before


def test_a_job_that_a_sweep_found_is_reported_after_600_s(world: World) -> None:
    """No hook leaves an event; the sweep's event has a `not_before` 600 s after the start."""
    world.now = NOON + GRACE_SECONDS - 10
    world.run(5)
    before = dict(world.backend.rows)
    world.run(10)

    assert ({}, {(1, NOON): "running"}) == (before, world.backend.rows)


@pytest.mark.parametrize("is_ended", [True, False])
def test_a_hook_event_reports_a_job_that_a_sweep_found_at_once(
    world: World, *, is_ended: bool
) -> None:
    """A late start event or the end of the job, before the 600 s are over, ends the wait."""
    if is_ended:
        world.end(1)
    else:
        world.hook("start", 1)
    world.run(5)

    assert {(1, NOON): "completed" if is_ended else "running"} == world.backend.rows


def test_the_next_sweep_does_not_report_the_job_earlier(world: World) -> None:
    """A sweep that finds the job again writes the same event; the run still waits."""
    world.hook("start", 1, extras=SIGHTING)
    world.run(5)

    assert {} == world.backend.rows


def test_the_event_of_the_next_run_stays_after_a_dead_letter(tmp_path: Path) -> None:
    """A run without a user becomes a dead letter; the event of the job's next run stays in new/."""
    world = World(tmp_path)
    world.slurm.records[1] = replace(world.job(1), user=None, uid=None)
    world.hook("start", 1)
    world.hook("start", 1, start=NOON + 500)

    world.run(2)

    assert [f"1-{NOON}.json"] == world.files()["dead"]
    assert 1 == len(world.files()["new"])
