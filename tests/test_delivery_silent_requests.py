"""Requests without an answer do not delay other runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from delivery_steps import entry_of, held
from drain_world import World

from ccbackend.outcomes import Reason
from spool.deliver.channel import SILENT_SECONDS


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_an_unanswered_start_does_not_delay_other_starts(world: World) -> None:
    """The other starts use a second connection, even those queued behind the unanswered one."""
    world.run()
    first, *_ = world.delivery.workers.starts.workers
    with held(first, world):
        for job_id in range(1, 4):
            world.begin(job_id)
        world.run(SILENT_SECONDS + 3)
        world.begin(4)
        world.run(3)

        assert 3 == len({job_id for job_id, _ in world.backend.rows})
    world.run()

    assert {1, 2, 3, 4} == {job_id for job_id, _ in world.backend.rows}


def fail_once(world: World, *job_ids: int) -> None:
    """Make the requests of some runs fail, and have others accepted in between."""
    world.run()
    world.backend.answers = dict.fromkeys(job_ids, Reason.BROKEN)
    for job_id in (*job_ids, 99):
        world.begin(job_id)
    world.run(6)
    world.backend.answers.clear()


def test_an_unanswered_retry_does_not_delay_other_failed_runs(world: World) -> None:
    """The repeated start of one run hangs; another failed run is still delivered in seconds."""
    fail_once(world, 1, 2)
    entry_of(world, 2).retry_at = world.now + 10
    first, *_ = world.delivery.workers.starts.workers
    with held(first, world) as waiting:
        world.run(9)
        assert [1] == [each.job_id for each in waiting]
        world.run(9)

        assert 2 in {job_id for job_id, _ in world.backend.rows}


def test_unanswered_retries_leave_a_connection_for_new_runs(world: World) -> None:
    """Four starts failed before; two retries hang on two connections, a new run uses the third."""
    fail_once(world, 1, 2, 3, 4)
    first, second, _ = world.delivery.workers.starts.workers
    with held(first, world) as one, held(second, world) as two:
        world.run(30)
        world.begin(5)
        world.run(3)

        assert (1, 1) == (len(one), len(two))
        assert {5, 99} == {job_id for job_id, _ in world.backend.rows}


def test_an_unanswered_stop_does_not_delay_other_stops(world: World) -> None:
    """Stops have a second connection, as starts have."""
    for job_id in (1, 2, 3):
        world.begin(job_id)
    world.run(6)
    first, *_ = world.delivery.workers.stops.workers
    with held(first, world):
        for job_id in (1, 2, 3):
            world.end(job_id)
        world.run(SILENT_SECONDS + 3)

        assert ["completed", "completed", "running"] == sorted(world.backend.rows.values())
