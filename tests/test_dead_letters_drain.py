"""Retried and discarded runs while a drain runs, or before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_site import NOON, CommandSite
from dead_letter_changes import discard, retry
from drain_world import World

from ccbackend.outcomes import Reason
from spool.files.layout import Layout


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def layout(site: CommandSite) -> Iterator[Layout]:
    """Return its spool."""
    with Layout(site.spool) as made:
        yield made


class Refused:
    """A job that runs in Slurm and is rejected by cc-backend: its run file is in `dead/`."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.world.backend.answers[5] = Reason.BAD_REQUEST
        self.world.begin(5)
        self.world.run()
        self.name = f"5-{NOON}.json"

    def discard(self) -> None:
        """Discard the dead letter, as the command does."""
        with Layout(self.world.root) as layout:
            discard(layout, self.name)

    def asked(self) -> int:
        """Return how many requests were sent."""
        return len(self.world.backend.documents)


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Return a job that cc-backend has rejected."""
    made = Refused(tmp_path)
    assert {"dead": [made.name]} == made.world.files()
    return made


def test_a_running_drain_moves_a_discarded_run_to_open(refused: Refused) -> None:
    """A discarded running run goes from `todo/` to `open/` within 3 s; no request is sent."""
    asked = refused.asked()
    refused.discard()
    refused.world.run(3)

    assert {"open": [refused.name]} == refused.world.files()
    assert not refused.world.stored("open", 5).reported
    assert asked == refused.asked()


def test_a_drain_that_starts_later_moves_a_discarded_run_to_open(refused: Refused) -> None:
    """The dead letter of a running job was discarded while no drain ran."""
    refused.discard()
    refused.world.boot()
    refused.world.run()

    assert {"open": [refused.name]} == refused.world.files()


@pytest.mark.parametrize("restarts", [False, True])
def test_the_end_of_a_discarded_job_removes_its_run_file(
    refused: Refused, *, restarts: bool
) -> None:
    """No stop is sent to cc-backend, and no file is left in the spool."""
    asked = refused.asked()
    refused.discard()
    if restarts:
        refused.world.boot()
    refused.world.run(3)
    refused.world.now += 100
    refused.world.end(5)
    refused.world.run(3)

    assert {} == refused.world.files()
    assert asked == refused.asked()


def test_a_start_event_does_not_restore_a_discarded_job(refused: Refused) -> None:
    """A start event, for example after a controller restart, causes no start at cc-backend."""
    asked = refused.asked()
    refused.discard()
    refused.world.run(3)
    refused.world.hook("start", 5)
    refused.world.run(3)

    assert {"open": [refused.name]} == refused.world.files()
    assert asked == refused.asked()


def test_a_running_drain_delivers_a_retried_run(refused: Refused) -> None:
    """The cause of the rejection has been repaired."""
    refused.world.backend.answers.clear()
    with Layout(refused.world.root) as layout:
        retry(layout, refused.name)
    refused.world.run(3)

    assert {"open": [refused.name]} == refused.world.files()
    assert {(5, NOON): "running"} == refused.world.backend.rows
