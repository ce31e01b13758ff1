"""A job's runs from the hook's event to the row at cc-backend, in a whole drain on a fake clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from drain_world import NOON, World

from slurm.job import NodeAllocation
from spool.deliver.pending_run import RequestKind


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_a_started_job_is_in_open_and_runs_at_cc_backend(world: World) -> None:
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


@pytest.mark.parametrize("milliseconds", range(100, 300, 5))
def test_an_end_just_after_its_start_is_sent_once(world: World, milliseconds: int) -> None:
    """The end comes 0.1 s to 0.3 s after the start event: one start, one stop, no file is left."""
    world.begin(1)
    world.run(milliseconds / 1000)
    world.end(1)

    world.run(3)

    sent = [call for call, job_id in world.backend.asked if job_id == 1]
    assert ([RequestKind.START, RequestKind.STOP], {}) == (sent, world.files())


def test_a_requeued_run_found_by_the_query_of_an_end_has_its_cores(world: World) -> None:
    """The query of an end omits cores; a new run that it shows is queried again with cores."""
    cores = (NodeAllocation(name="n1", cores=(0, 1), core_count=8),)
    world.begin(2, allocations=cores)
    world.run()
    world.requeue(2)
    world.now += 60
    second = world.job(2, allocations=cores, restart_count=1)
    world.slurm.records[2] = second

    world.run(2)

    (name,) = world.files()["open"]
    assert f"2-{second.start_time}.json" == name
    assert cores == world.stored("open", 2).job.allocations


def test_a_requeued_job_replaces_its_first_run(world: World) -> None:
    """The first run is stopped, its row is deleted, and the second one runs."""
    world.begin(2)
    world.run()
    world.requeue(2)
    world.run(2)
    second = world.begin(2, restart_count=1)

    world.run(2)

    assert {(2, second.start_time): "running"} == world.backend.rows
    assert {"open": [f"2-{second.start_time}.json"]} == world.files()


def test_a_run_delivered_before_a_restart_is_not_sent_again(world: World) -> None:
    """Accounting has two ended runs of the job; after the restart only the second is stopped."""
    world.begin(2)
    world.run()
    world.requeue(2)
    world.run(2)
    world.begin(2, restart_count=1)
    world.run(2)
    world.end(2)
    del world.slurm.records[2]
    world.boot()

    world.run(3)

    assert [
        RequestKind.START,
        RequestKind.STOP,
        RequestKind.START,
        RequestKind.DELETE,
        RequestKind.START,
        RequestKind.STOP,
    ] == [call for call, job_id in world.backend.asked if job_id == 2]


def test_a_requeued_job_keeps_its_first_run_by_policy(tmp_path: Path) -> None:
    """With `drain.requeue` set to keep, the second run stays in the spool, unreported."""
    world = World(tmp_path, replace_earlier=False)
    world.begin(2)
    world.run()
    world.requeue(2)
    world.run(2)
    second = world.begin(2, restart_count=1)

    world.run(2)

    assert {(2, NOON): "cancelled"} == world.backend.rows
    assert {"open": [f"2-{second.start_time}.json"]} == world.files()


def test_an_opted_out_job_stays_in_the_spool_unreported(world: World) -> None:
    """cc-backend has no row of the job; the run file in `open/` has `reported: false`."""
    world.begin(1, admin_comment="x, disable_cc_submission")

    world.run()

    assert {} == world.backend.rows
    assert False is world.stored("open", 1).reported


def test_an_opted_out_job_leaves_no_trace_after_its_end(world: World) -> None:
    """Slurm proves the end, and the run file is removed."""
    world.begin(1, admin_comment="disable_cc_submission")
    world.run()
    world.end(1)

    world.run()

    assert ({}, {}) == (world.files(), world.backend.rows)


def test_an_opted_out_job_that_has_ended_is_not_stored(world: World) -> None:
    """The job started and ended before the drain read its events."""
    world.begin(1, admin_comment="disable_cc_submission")
    world.end(1)

    world.run()

    assert ({}, {}) == (world.files(), world.backend.rows)


def test_a_repeated_start_event_sends_the_start_again(world: World) -> None:
    """The row may be missing at cc-backend."""
    world.begin(1)
    world.run()
    world.backend.rows.clear()
    world.hook("start", 1)

    world.run()

    assert {(1, NOON): "running"} == world.backend.rows


def test_a_close_event_closes_an_open_run(world: World) -> None:
    """The sweeper's event ends a run that Slurm no longer knows; the row becomes failed."""
    world.begin(1)
    world.run()
    del world.slurm.records[1]
    world.hook("close", 1, start=NOON, end=NOON + 60)

    world.run()

    assert {(1, NOON): "failed"} == world.backend.rows


def test_a_close_event_closes_a_row_that_only_cc_backend_has(world: World) -> None:
    """Neither the spool nor Slurm knows the run."""
    world.backend.rows[1, NOON] = "running"
    world.hook("close", 1, start=NOON, end=NOON + 60)

    world.run()

    assert {(1, NOON): "failed"} == world.backend.rows


def test_a_second_run_that_has_ended_is_removed_by_policy(tmp_path: Path) -> None:
    """With `drain.requeue` set to keep, the first run's row stays, and no run file is left."""
    world = World(tmp_path, replace_earlier=False)
    world.begin(1)
    world.run()
    world.requeue(1)
    world.run()
    world.now += 120
    world.slurm.records[1] = world.job(1, restart_count=1)
    world.hook("start", 1)
    world.now += 1
    world.end(1)

    world.run(5)

    assert [(1, NOON)] == list(world.backend.rows)
    assert {} == world.files()
