"""What the sweep asks for is delivered again, although the drain remembers its delivery."""

from __future__ import annotations

import os
from pathlib import Path

from drain_world import World

DAY = 24 * 3600


def asked(world: World, kind: str, job_id: int, start: int, end: int) -> None:
    """Do what the sweep does."""
    path = world.root / "new" / f"1-{kind}-{job_id}-{start}-{end}-1"
    path.write_text("again=1\nend\n")
    os.utime(path, (world.now, world.now))


def delivered_run(world: World) -> tuple[int, int]:
    """A run that was delivered in full; its start and end."""
    start = int(world.begin(7).start_time or 0)
    world.run(2)
    world.end(7)
    world.run(200)
    assert world.files() == {}
    return start, world.backend.ends[7, start]


def test_a_delivered_run_that_vanished_there_is_told_again(tmp_path: Path) -> None:
    """Its server's database was restored from yesterday."""
    world = World(tmp_path)
    start, end = delivered_run(world)
    world.backend.rows.clear()

    asked(world, "start", 7, start, end)
    world.run(300)

    assert world.backend.rows == {(7, start): "completed"}
    assert world.files() == {}


def test_a_stop_without_effect_is_told_again(tmp_path: Path) -> None:
    """The server answered 200 and the row still runs."""
    world = World(tmp_path)
    start, end = delivered_run(world)
    world.backend.rows[7, start] = "running"

    asked(world, "stop", 7, start, end)
    world.run(300)

    assert world.backend.rows == {(7, start): "completed"}
    assert world.files() == {}


def test_a_hook_that_ran_twice_is_not_told_again(tmp_path: Path) -> None:
    """Only the sweep knows that something is missing."""
    world = World(tmp_path)
    start, end = delivered_run(world)
    told = len(world.backend.asked)

    world.hook("stop", 7, start=start, end=end)
    world.run(60)

    assert len(world.backend.asked) == told
    assert world.files() == {}
