"""`cc-spool retry` delivers pending runs at once."""

from __future__ import annotations

from collections.abc import Iterator
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


def test_a_retry_by_an_administrator_delivers_at_once(world: World) -> None:
    """A run that waits for an unknown host is delivered within 2 s of `cc-spool retry`."""
    world.backend.answers[1] = Reason.UNKNOWN_HOST
    world.begin(1)
    world.run(5)
    world.backend.answers.clear()
    world.hook("retry", 1)

    world.run(2)

    assert {1} == running(world)
    assert {"open"} == set(world.files())


def test_a_retry_of_all_delivers_all_pending_runs(world: World) -> None:
    """One retry event with job id 0 stands for every pending run."""
    for job_id in (1, 2):
        world.backend.answers[job_id] = Reason.UNKNOWN_HOST
        world.begin(job_id)
    world.run(5)
    world.backend.answers.clear()
    world.hook("retry", 0)

    world.run(2)

    assert {1, 2} == running(world)
