"""Events of a sweep are delivered again, although the drain remembers their delivery."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from drain_world import World

from ccbackend.version import Version

DAY = 24 * 3600


def asked(world: World, kind: str, job_id: int, start: int, end: int) -> None:
    """Write an event as the sweep does."""
    path = world.root / "new" / f"1-{kind}-{job_id}-{start}-{end}-1"
    path.write_text("again=1\nend\n")
    os.utime(path, (world.now, world.now))


def delivered_run(world: World) -> tuple[int, int]:
    """Deliver a run completely; return its start and end."""
    start = int(world.begin(7).start_time or 0)
    world.run(2)
    world.end(7)
    world.run(200)
    assert world.files() == {}
    return start, world.backend.ends[7, start]


def test_a_run_missing_at_cc_backend_is_delivered_again(tmp_path: Path) -> None:
    """A sweep requests the delivery, for example after cc-backend's database was restored."""
    world = World(tmp_path)
    start, end = delivered_run(world)
    world.backend.rows.clear()

    asked(world, "start", 7, start, end)
    world.run(300)

    assert world.backend.rows == {(7, start): "completed"}
    assert world.files() == {}


def test_a_stop_without_effect_is_delivered_again(tmp_path: Path) -> None:
    """cc-backend answered the stop with 200, but its row still runs: a sweep requests it again."""
    world = World(tmp_path)
    start, end = delivered_run(world)
    world.backend.rows[7, start] = "running"

    asked(world, "stop", 7, start, end)
    world.run(300)

    assert world.backend.rows == {(7, start): "completed"}
    assert world.files() == {}


def orphan(world: World) -> tuple[int, int]:
    """Add a running row whose run the spool never had; return its start and its run's end."""
    world.backend.version = Version(1, 5, 4)
    job = world.job(9, start_time=int(world.now) - 9000, end_time=int(world.now) - 4000)
    world.slurm.rows.append(replace(job, state="COMPLETED"))
    start = job.start_time or 0
    world.backend.rows[9, start] = "running"
    return start, job.end_time or 0


def test_a_row_left_running_is_stopped_at_once_without_a_start(tmp_path: Path) -> None:
    """The drain sends only the stop: a start is rejected if its host has left cluster.json."""
    world = World(tmp_path)
    world.run()
    start, end = orphan(world)

    asked(world, "stop", 9, start, end)
    world.run(10)

    assert [call for call, job_id in world.backend.asked if job_id == 9] == ["stop"]
    assert world.backend.rows == {(9, start): "completed"}
    assert world.files() == {}


def test_a_row_deleted_before_its_stop_is_started_again(tmp_path: Path) -> None:
    """An administrator deleted the row between sweep and drain: start and stop are delivered."""
    world = World(tmp_path)
    world.run()
    start, end = orphan(world)
    world.backend.rows.clear()

    asked(world, "stop", 9, start, end)
    world.run(300)

    assert world.backend.rows == {(9, start): "completed"}
    assert world.files() == {}


def test_the_event_of_a_hook_that_ran_twice_is_not_delivered_again(tmp_path: Path) -> None:
    """Only a sweep's event has `again=1`; the drain remembers that it delivered the run."""
    world = World(tmp_path)
    start, end = delivered_run(world)
    reported = len(world.backend.asked)

    world.hook("stop", 7, start=start, end=end)
    world.run(60)

    assert len(world.backend.asked) == reported
    assert world.files() == {}
