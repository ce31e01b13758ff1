"""Scripts and descriptions in a complete drain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from ccbackend.version import Version
from spool.drain.text_collector import START_WAIT_SECONDS
from spool.resolve.job_texts import Texts, TextsQuery, TextsReply

SCRIPT, DESCRIPTION = "#!/bin/sh\n", "JobId=1"
NEW, OLD = Version(1, 5, 4), Version(1, 4, 4)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


@pytest.mark.parametrize(("version", "late"), [(NEW, [SCRIPT]), (OLD, [])])
def test_a_start_is_sent_without_texts_that_take_long(
    world: World, version: Version, late: list[str]
) -> None:
    """A script that comes later is stored, and sent if cc-backend can add it (1.5.4, not 1.4.4)."""
    world.backend.version = version
    worker: Any = world.parts.texts._worker  # noqa: SLF001 - the drain's own, made to hang
    questions: list[TextsQuery] = []

    def hang(query: TextsQuery) -> None:
        worker.outstanding += 1
        questions.append(query)

    worker.ask = hang
    world.begin(1)
    world.run(START_WAIT_SECONDS - 1)
    early = dict(world.backend.rows)
    world.run(2)
    started = dict(world.backend.rows)
    worker.put_answer(questions[0], TextsReply(texts={(1, NOON): Texts(script=SCRIPT)}))
    world.run(2)
    world.now += 180  # cc-backend's job cache is waited for
    world.run(2)

    assert ({}, {(1, NOON): "running"}) == (early, started)
    sent = [each["payload"]["value"] for each in world.backend.documents if "payload" in each]
    assert (late, SCRIPT) == (sent, world.stored("open", 1).script)


def test_a_start_has_the_script_and_description_of_its_job(world: World) -> None:
    """Slurm returns both while the start waits; cc-backend gets jobScript and slurmInfo."""
    world.texts[1] = (SCRIPT, DESCRIPTION)
    world.begin(1)
    world.run()
    (document,) = (each for each in world.backend.documents if each["jobId"] == 1)

    assert {"jobScript": SCRIPT, "slurmInfo": DESCRIPTION} == {
        key: value for key, value in document["metaData"].items() if key != "jobName"
    }


def test_an_outage_does_not_lose_the_script(world: World) -> None:
    """cc-backend is unreachable: the script is stored with the run in todo/."""
    world.backend.everything = Reason.UNREACHABLE
    world.texts[1] = (SCRIPT, DESCRIPTION)
    world.begin(1)
    world.run(2)

    assert SCRIPT == world.stored("todo", 1).script
