"""A user's opt-out counts although the start waited for cc-backend."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from delivery_steps import running
from drain_world import World

from ccbackend.outcomes import Reason


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a site with nothing in it."""
    made = World(tmp_path)
    yield made
    made.parts.layout.close()


def test_a_flag_set_while_the_start_waits_excludes_the_job(world: World) -> None:
    """The opt-out is a promise: cc-backend was away when the user set it."""
    world.backend.everything = Reason.UNREACHABLE
    job = world.begin(1)
    world.run(5)
    world.slurm.records[1] = replace(job, comment="disable_cc_submission")
    world.now += 600
    world.run(2)
    world.backend.everything = None

    world.run(70)

    assert {} == world.backend.rows
    assert False is world.stored("open", 1).reported


def test_a_user_s_flag_stays_known_when_the_job_ends_while_its_start_waits(world: World) -> None:
    """For an end Slurm is asked about the state alone, and that answer has no comment of a user."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1, comment="disable_cc_submission")
    world.run(2)
    world.end(1)
    world.run(2)
    world.backend.everything = None

    world.run(70)

    assert ({}, {}) == (world.backend.rows, world.files())


def test_a_start_that_waited_goes_although_slurm_is_silent(world: World) -> None:
    """Nobody can say whether it is excluded now."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.run(5)
    world.slurm.silent = True
    world.now += 600
    world.run(2)
    world.backend.everything = None

    world.run(75)

    assert {1} == running(world)
