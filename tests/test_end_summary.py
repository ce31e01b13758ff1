"""The summary of a run's end: sent just before the stop, to servers that take it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drain_world import World

from ccbackend.metadata import MetadataPolicy
from ccbackend.version import Version


def world_of(
    root: Path, *, wanted: bool = True, version: tuple[int, int, int] = (1, 5, 4)
) -> World:
    """Return a site whose policy wants summaries, or not."""
    world = World(root)
    world.backend.version = Version(*version)
    world.composer.metadata = MetadataPolicy(end_summary=wanted)
    return world


def finish(world: World, state: str = "FAILED", *, extras: str = "", **facts: Any) -> list[str]:
    """Let a job run and end; return the calls about it."""
    world.begin(7, **facts)
    world.run(2)
    world.now += 600
    end(world, state, extras)
    world.run(300)
    return [call for call, job_id in world.backend.asked if job_id == 7]


def end(world: World, state: str, extras: str) -> None:
    """Let the job end in Slurm, and its epilog run."""
    over = replace(world.slurm.records[7], state=state, end_time=int(world.now))
    world.slurm.records[7] = over
    world.slurm.rows.append(over)
    world.hook("stop", 7, extras=extras)


def summary(world: World) -> Any:
    """Return the one value that was changed."""
    (body,) = [each for each in world.backend.documents if "payload" in each]
    assert "endSummary" == body["payload"]["key"]
    return body["payload"]["value"]


def test_the_summary_precedes_the_stop(tmp_path: Path) -> None:
    """With the exit code of the epilog, and how often the job was requeued."""
    world = world_of(tmp_path)
    calls = finish(world, extras="exit_code=1:0\n", restart_count=2)

    assert ["start", "edit_meta", "stop"] == calls
    assert "FAILED, exit code 1:0, requeued 2 times" == summary(world)


@pytest.mark.parametrize("how", [{"wanted": False}, {"version": (1, 4, 4)}])
def test_no_summary_is_sent_where_it_is_off_or_not_taken(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    """Servers before 1.5 do not take it."""
    assert ["start", "stop"] == finish(world_of(tmp_path, **how))


def test_the_exit_code_of_an_interrupted_run_is_not_sent(tmp_path: Path) -> None:
    """Slurm says 0 for it."""
    world = world_of(tmp_path)
    finish(world, "NODE_FAIL", extras="exit_code=0:0\n")

    assert "NODE_FAIL" == summary(world)


def test_a_run_that_is_over_before_its_start_is_known_has_its_exit_code(tmp_path: Path) -> None:
    """Start and stop are delivered one after the other."""
    world = world_of(tmp_path)
    world.begin(7)
    world.now += 5
    end(world, "TIMEOUT", "exit_code=0:15\n")
    world.run(300)

    assert "TIMEOUT, exit code 0:15" == summary(world)
