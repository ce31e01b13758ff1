"""A user's opt-out is respected although the start waited for cc-backend."""

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


def test_an_opt_out_flag_set_while_the_start_waits_excludes_the_job(world: World) -> None:
    """cc-backend was down when the user set the opt-out flag."""
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


def test_an_opt_out_flag_is_kept_when_the_job_ends_before_its_start_is_sent(world: World) -> None:
    """For an end the drain queries only the state; that answer has no comment of the user."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1, comment="disable_cc_submission")
    world.run(2)
    world.end(1)
    world.run(2)
    world.backend.everything = None

    world.run(70)

    assert ({}, {}) == (world.backend.rows, world.files())


def test_a_start_that_waited_is_sent_although_slurm_is_silent(world: World) -> None:
    """The drain cannot ask whether the user has set the opt-out flag, and sends the start."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.run(5)
    world.slurm.silent = True
    world.now += 600
    world.run(2)
    world.backend.everything = None

    world.run(75)

    assert {1} == running(world)
