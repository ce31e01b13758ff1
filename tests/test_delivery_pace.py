"""Starts of ended runs are sent no faster than their stops, so that few are written in between."""

from __future__ import annotations

from pathlib import Path

import pytest
from delivery_steps import calls, held
from drain_world import World

from spool.deliver.pending_changes import GROUP_SECONDS
from spool.deliver.run_store import MANY_STOPS


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_starts_of_ended_runs_wait_for_due_stops(world: World) -> None:
    """While stops hang, 8 (MANY_STOPS) of 30 starts are sent at once, more after GROUP_SECONDS."""
    for job_id in range(1, 31):
        world.begin(job_id)
        world.end(job_id)
    first, *_ = world.parts.delivery.workers.stops.workers
    with held(first, world):
        while not calls(world, "start"):
            world.run(0.001)
        world.run(0.05)
        at_once = len(calls(world, "start"))
        world.run(GROUP_SECONDS)

        assert MANY_STOPS == at_once < len(calls(world, "start"))
    world.run(6)

    assert ["completed"] * 30 == list(world.backend.rows.values())
