"""Scripts that cannot be read when a start is sent are added later."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from delivery_steps import running
from drain_world import World

from ccbackend.outcomes import Reason
from ccbackend.version import Version
from spool.deliver.pending_run import PendingRun
from spool.files.run import Run


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a site with nothing in it."""
    made = World(tmp_path)
    yield made
    made.parts.layout.close()


def sent_scripts(world: World) -> list[tuple[int, str]]:
    """Return job id and script of what cc-backend received, with a start or later."""
    sent = []
    for document in world.backend.documents:
        added = document.get("payload") or {}
        script = added.get("value") or document.get("metaData", {}).get("jobScript")
        sent += [(document["jobId"], script)] if script else []
    return sent


def test_an_unreadable_script_is_added_minutes_later(world: World) -> None:
    """The start does not wait for the script; the drain tries again until it can read it."""
    world.backend.version = Version(1, 5, 4)
    world.texts[1], world.unreached = ("#!/bin/sh\n", None), {1}
    world.begin(1)
    world.run(300)
    before = running(world), sent_scripts(world)
    world.unreached = set()

    world.run(70)

    assert (({1}, []), [(1, "#!/bin/sh\n")]) == (before, sent_scripts(world))


@pytest.mark.parametrize(("version", "seconds"), [(Version(1, 5, 4), 130), (Version(1, 4, 4), 20)])
def test_the_stop_of_a_short_job_waits_a_little_for_its_script(
    world: World, version: Version, seconds: float
) -> None:
    """The stop waits only for a server that can add the script (1.5.0), and at most 130 s."""
    world.backend.version = version
    world.hold_seconds, world.unreached = 0.0, {1}
    world.boot()
    world.begin(1)
    world.run(6)
    world.end(1)
    world.run(6)
    before = running(world)

    world.run(seconds)

    assert ({1} if version == Version(1, 5, 4) else set(), set()) == (before, running(world))


def test_a_drain_reads_the_scripts_that_the_previous_one_did_not_get(world: World) -> None:
    """The previous drain ended between storing a run and adding its script."""
    world.backend.everything = Reason.UNREACHABLE
    world.texts[1], world.unreached = ("#!/bin/sh\n", None), {1}
    world.begin(1)
    world.run(2)
    world.parts.layout.close()
    world.unreached = set()
    world.now += 60
    world.boot()
    world.backend.everything = None

    world.run(5)

    assert [(1, "#!/bin/sh\n")] == sent_scripts(world)


def test_a_script_that_cannot_be_stored_now_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the script arrives: the drain reads it again."""
    world.texts[1] = ("#!/bin/sh\n", None)

    def full(_entry: PendingRun) -> Run:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "load_run", full)
        world.begin(1)
        world.run(30)

    world.run(70)

    assert [(1, "#!/bin/sh\n")] == sent_scripts(world)


def test_a_start_is_sent_without_its_script_only_just_after_a_rejection(world: World) -> None:
    """A minute later the complete start is tried first: the cause may be repaired."""
    world.texts[1], world.backend.answers[1] = ("#!/bin/sh\n", None), Reason.UNEXPECTED
    job = world.begin(1)
    for job_id in range(2, 100):
        world.begin(job_id)
        world.run(0.5)
        entry = world.store.get(1, job.start_time or 0, world.moment)
        if entry is not None and entry.is_slim:
            break
    world.backend.answers.clear()
    world.now += 60

    world.run(5)

    assert [(1, "#!/bin/sh\n")] == sent_scripts(world)
