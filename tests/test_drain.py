"""The drain as a whole, on a fake clock: what lies in the spool, what cc-backend has."""

from __future__ import annotations

from pathlib import Path

import pytest
from drain_world import NOON, World

from ccbackend.outcome import Reason
from ccbackend.version import Version


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_a_started_job_lies_in_open_and_runs_at_cc_backend(world: World) -> None:
    """A prolog's event becomes a row and a run in open/."""
    world.begin(1)

    world.run()

    assert {(1, NOON): "running"} == world.backend.rows
    assert {"open": [f"1-{NOON}.json"]} == world.files()


def test_an_ended_job_leaves_the_spool_empty(world: World) -> None:
    """An epilog's event closes the row with Slurm's state."""
    world.begin(1)
    world.run()
    world.end(1, "TIMEOUT")

    world.run()

    assert {(1, NOON): "timeout"} == world.backend.rows
    assert {} == world.files()


def test_a_refused_run_lies_alone_in_dead(world: World) -> None:
    """Poison is buried in the same pass in which the others are delivered."""
    world.backend.answers[7] = Reason.BAD_REQUEST
    for job_id in range(5, 10):
        world.begin(job_id)

    world.run()

    assert [f"7-{NOON}.json"] == world.files()["dead"]
    assert {5, 6, 8, 9} == {job_id for job_id, _ in world.backend.rows}


def test_an_outage_stores_the_facts_and_is_made_good(world: World) -> None:
    """Jobs that start and end while cc-backend is down are all told afterwards."""
    world.backend.everything = Reason.UNREACHABLE
    for job_id in range(10, 20):
        world.begin(job_id)
        world.run(0.1)
        world.end(job_id)
    world.run(2)
    world.slurm.records.clear()
    world.backend.everything = None

    world.run(10)

    assert {(job_id, "completed") for job_id in range(10, 20)} == {
        (job_id, state) for (job_id, _), state in world.backend.rows.items()
    }
    assert {} == world.files()


def test_a_requeued_job_replaces_its_first_run(world: World) -> None:
    """The first run is closed, its row deleted, and the second one runs."""
    world.begin(2)
    world.run()
    world.requeue(2)
    world.run(2)
    second = world.begin(2, restart_count=1)

    world.run(2)

    assert {(2, second.start_time): "running"} == world.backend.rows
    assert {"open": [f"2-{second.start_time}.json"]} == world.files()


def test_a_requeued_job_keeps_its_first_run_by_policy(tmp_path: Path) -> None:
    """With drain.requeue keep the second run stays here, unreported."""
    world = World(tmp_path, replace_earlier=False)
    world.begin(2)
    world.run()
    world.requeue(2)
    world.run(2)
    second = world.begin(2, restart_count=1)

    world.run(2)

    assert {(2, NOON): "cancelled"} == world.backend.rows
    assert {"open": [f"2-{second.start_time}.json"]} == world.files()


def test_a_young_stop_waits_for_the_cache_of_cc_backend(world: World) -> None:
    """From 1.5 on a stop is held back for 180 s after its start was accepted."""
    world.backend.version = Version(1, 5, 4)
    world.begin(3)
    world.run()
    world.end(3)

    world.run(100)

    assert {(3, NOON): "running"} == world.backend.rows
    assert {"todo": [f"3-{NOON}.json"]} == world.files()


def test_a_held_stop_is_told_after_the_hold(world: World) -> None:
    """The hold ends by itself."""
    world.backend.version = Version(1, 5, 4)
    world.begin(3)
    world.run()
    world.end(3)

    world.run(200)

    assert {(3, NOON): "completed"} == world.backend.rows


def test_a_halt_charges_nobody_and_ends_when_the_token_changed(world: World) -> None:
    """After a refused token everything waits, and flows on at once when it was replaced."""
    world.backend.everything = Reason.TOKEN_REFUSED
    world.begin(4)
    world.run(3)
    halted = world.link.destination
    world.backend.everything = None
    world.link.cause_changed(world.now)

    world.run()

    assert "halted" == halted.health
    assert {(4, NOON): "running"} == world.backend.rows


def test_silence_of_slurm_finishes_nothing(world: World) -> None:
    """Events wait while Slurm does not answer."""
    world.begin(5)
    world.slurm.silent = True

    world.run(20)

    assert {"new": ["1-start-5-0-0-1"]} == world.files()


def test_an_event_outlives_a_crash_before_its_run_is_stored(world: World) -> None:
    """A drain that died after the answer tells the start again, and there is one row."""
    world.begin(6)
    world.run(0.08)
    world.boot()

    world.run()

    assert {(6, NOON): "running"} == world.backend.rows
    assert {"open": [f"6-{NOON}.json"]} == world.files()
