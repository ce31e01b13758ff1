"""Starts wait for the topology and for unknown hosts, one run at a time and for a limited time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from delivery_steps import running
from drain_world import World

from ccbackend.outcomes import Reason
from slurm.job import NodeAllocation

CORES = (NodeAllocation(name="n1", cores=(0,)),)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a site with nothing in it."""
    made = World(tmp_path)
    yield made
    made.parts.layout.close()


def test_a_start_waits_for_the_topology(world: World) -> None:
    """Hardware threads are computed from the topology, and a row cannot be corrected."""
    world.backend.topology = None
    world.begin(1, allocations=CORES)
    world.run(60)
    before = running(world)
    world.backend.topology = ()

    world.run(20)

    assert (set(), {1}) == (before, running(world))


def test_a_start_does_not_wait_for_a_topology_for_ever(world: World) -> None:
    """After 15 minutes the start is sent without hardware threads."""
    world.backend.topology = None
    world.begin(1, allocations=CORES)
    world.run(20)

    world.now += 1000
    world.run(5)

    assert {1} == running(world)


def test_runs_are_sent_within_a_minute_after_their_host_is_known(world: World) -> None:
    """cc-backend knows the host now; its old and new runs are sent without a restart."""
    for job_id in (1, 2, 3):
        world.backend.answers[job_id] = Reason.UNKNOWN_HOST
        world.begin(job_id)
    world.run(100)
    waiting = running(world)
    world.backend.answers.clear()
    world.begin(4)

    world.run(60)

    assert (set(), {1, 2, 3, 4}) == (waiting, running(world))


def test_a_duplicate_at_cc_backend_shows_that_its_host_is_known(world: World) -> None:
    """cc-backend checks the host before it finds a duplicate, so the host's other run is sent."""
    for job_id in (1, 2):
        world.backend.answers[job_id] = Reason.UNKNOWN_HOST
        world.begin(job_id)
    world.run(20)
    world.backend.answers.clear()
    world.backend.answers[1] = Reason.DUPLICATE
    world.run(40)

    assert 2 in running(world)


def test_one_run_of_an_unknown_host_is_tried_at_a_time(world: World) -> None:
    """50 runs wait for the host; at most 4 starts are sent in two minutes."""
    for job_id in range(1, 51):
        world.backend.answers[job_id] = Reason.UNKNOWN_HOST
    world.begin(1)
    world.run(2)
    for job_id in range(2, 51):
        world.begin(job_id)

    world.run(120)

    starts = [job_id for call, job_id in world.backend.asked if call == "start"]
    assert 4 >= len(starts)
