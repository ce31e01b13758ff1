"""What a whole drain concludes from Slurm's answers, missing answers, and times in the future."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from drain_world import NOON, World

from slurm.job import NodeAllocation
from spool.formatting import format_time


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_no_event_is_processed_while_slurm_is_silent(world: World) -> None:
    """Events stay in `new/` while Slurm does not answer."""
    world.begin(5)
    world.slurm.silent = True

    world.run(20)

    assert {"new": ["1-start-5-0-0-1"]} == world.files()


@pytest.mark.parametrize(("ahead", "rows"), [(300, {(1, NOON + 300): "running"}), (302, {})])
def test_a_start_more_than_five_minutes_ahead_waits(
    world: World, ahead: int, rows: dict[tuple[int, int], str]
) -> None:
    """A start time 302 s in the future is not sent to cc-backend; one 300 s ahead is."""
    world.begin(1, start_time=NOON + ahead)

    world.run()

    assert rows == world.backend.rows


def test_an_end_more_than_five_minutes_ahead_waits(world: World) -> None:
    """A stop with an end time 305 s in the future is sent some seconds later, not at once."""
    world.begin(1)
    world.run()
    over = replace(world.slurm.records[1], state="COMPLETED", end_time=NOON + 305)
    world.slurm.records[1] = over
    world.hook("stop", 1)
    world.run()
    before = dict(world.backend.rows)
    world.run(5)

    assert ({(1, NOON): "running"}, {(1, NOON): "completed"}) == (before, world.backend.rows)
    assert {(1, NOON): NOON + 305} == world.backend.ends


def test_an_event_of_an_unknown_job_becomes_a_dead_letter_after_a_day(world: World) -> None:
    """Controller and accounting answered all the time, and did not know the job."""
    world.hook("start", 1)
    world.run()
    world.now += 24 * 3600

    world.run(400)

    assert {"dead": ["1-start-1-0-0-1", "1-start-1-0-0-1.why"]} == world.files()


def test_cores_seen_while_configuring_are_kept(world: World) -> None:
    """A later record of the job may have no cores."""
    cores = (NodeAllocation(name="n1", cores=(4, 5)),)
    world.begin(1, flags=("CONFIGURING",), allocations=cores)
    world.run()
    world.slurm.records[1] = world.job(1, start_time=NOON)

    world.run(20)

    assert cores == world.stored("open", 1).job.allocations


@pytest.mark.parametrize(
    ("next_run", "said"),
    [
        (False, f"CANCELLED at {format_time(NOON + 1)} (known from its epilog); nothing to do"),
        (True, f"CANCELLED at {format_time(NOON + 3601)} (known from its next run); nothing to do"),
    ],
)
def test_an_end_that_slurm_does_not_prove_is_reported_with_a_warning(
    world: World,
    caplog: pytest.LogCaptureFixture,
    *,
    next_run: bool,
    said: str,
) -> None:
    """Slurm purged the run a day ago; the log names the epilog or the next run as the source."""
    world.begin(1)
    world.run()
    world.slurm.records.clear()
    if next_run:
        world.now += 3600
        world.begin(1)
    else:
        world.hook("stop", 1)
    world.run(2)
    world.now += 24 * 3600 + 400
    world.resolver.recheck_job(1, world.moment)
    world.run(2)

    assert [said] == [
        found.getMessage().partition("to have ended as ")[2]
        for found in caplog.records
        if "is no longer known to Slurm" in found.getMessage()
    ]


def test_cores_of_a_configuring_job_that_never_ran_are_dropped(world: World) -> None:
    """The job was pending again before it ran, so its next run may get other cores."""
    cores = (NodeAllocation(name="n1", cores=(4, 5)),)
    world.begin(1, flags=("CONFIGURING",), allocations=cores)
    world.run()
    world.slurm.records[1] = world.job(1, state="PENDING", start_time=None, nodes=())
    world.run(20)
    world.slurm.records[1] = world.job(1)
    world.hook("start", 1)

    world.run()

    assert () == world.stored("open", 1).job.allocations


def test_an_open_run_missing_in_the_job_list_is_looked_up(world: World) -> None:
    """No epilog wrote an event; an hour later the end is read from accounting and reported."""
    job = world.begin(1)
    world.run()
    over = replace(job, state="COMPLETED", end_time=NOON + 5)
    world.slurm.records.clear()
    world.slurm.rows.append(over)

    world.now += 3600
    world.run()

    assert {(1, NOON): "completed"} == world.backend.rows


def test_an_open_run_in_the_job_list_is_not_looked_up(world: World) -> None:
    """The start time in Slurm's job list identifies the run."""
    world.begin(1)
    world.run()
    looks = world.slurm.looks

    world.now += 3600
    world.run()

    assert looks == world.slurm.looks


def test_an_event_from_the_future_is_processed_at_once(world: World) -> None:
    """The event file's mtime is 9999 s ahead, for example because a clock was set back."""
    world.begin(1)
    event = world.root / "new" / "1-start-1-0-0-1"
    os.utime(event, (world.now + 9999, world.now + 9999))

    world.run()

    assert {"open": [f"1-{NOON}.json"]} == world.files()
