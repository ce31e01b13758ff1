"""Script and description: rejected with the start, or added to the row after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from delivery_steps import HOUR, NAME, NEW, calls, started
from drain_world import NOON, World

from ccbackend.metadata import MetadataPolicy
from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply
from spool.deliver.apply_replies import MAX_META_FAILURES, TEXTS
from spool.deliver.pending_run import PendingRun
from spool.deliver.reaction import SLIM_FAILURES
from spool.files import codec


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_a_start_that_a_proxy_rejects_is_sent_without_its_script(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The script is sent separately afterwards, to a server that can add it to the row."""
    world.backend.version = NEW
    world.texts[1] = ("#!/bin/sh\nrm -rf /\n", None)
    reject_scripts(world)
    world.begin(1)
    world.begin(2)
    world.run(20)
    world.now += HOUR
    world.run()

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}
    assert "was accepted only without script and description" in caplog.text
    assert 1 == len(calls(world, "edit_meta"))
    assert () == world.stored("open", 1).late_texts


def test_a_start_that_was_not_sent_keeps_its_script(world: World) -> None:
    """An expired token is found before sending; no proxy has rejected the script."""
    world.backend.version = NEW
    world.texts[1] = ("#!/bin/sh\n", None)
    had_script: list[bool] = []

    def refuse(document: dict[str, Any], *, maybe_sent: bool = False) -> ApiReply:
        had_script.append("jobScript" in document.get("metaData", {}))
        verdict = ReplyVerdict(Reason.TOKEN_EXPIRED)
        return ApiReply(call=ApiCall.START, verdict=verdict, sent=maybe_sent)

    world.backend.start = refuse  # type: ignore[method-assign]
    world.begin(1)
    for _ in range(12):
        world.run(60)

    assert [True] * len(had_script) == had_script
    assert len(had_script) > SLIM_FAILURES


def test_a_start_sent_without_texts_is_stored_with_the_texts_to_add(world: World) -> None:
    """The stored run names script and description until they are sent, so a kill loses none."""
    world.backend.version = NEW
    world.texts[1] = ("#!/bin/sh\n", "JobId=1")
    reject_scripts(world)
    world.begin(1)
    world.begin(2)
    edit = world.backend.edit_meta
    stored: list[tuple[str, ...]] = []

    def note(document: dict[str, Any]) -> ApiReply:
        stored.append(world.store.load_run(world.store.lane(1, world.moment)[0]).late_texts)
        return edit(document)

    world.backend.edit_meta = note  # type: ignore[method-assign]
    world.run(20)
    world.now += HOUR
    world.run()

    assert [TEXTS, TEXTS] == stored


def reject_scripts(world: World) -> None:
    """Make a firewall reject starts that contain a script."""
    start = world.backend.start

    def refuse(document: dict[str, Any], *, maybe_sent: bool = False) -> ApiReply:
        if "jobScript" in document.get("metaData", {}):
            world.backend.asked.append(("start", document["jobId"]))
            return ApiReply(call=ApiCall.START, verdict=ReplyVerdict(Reason.TOKEN_REFUSED))
        return start(document, maybe_sent=maybe_sent)

    world.backend.start = refuse  # type: ignore[method-assign]


def with_text(world: World, *texts: str) -> PendingRun:
    """Return a started run with script and description, of which some are to be added."""
    entry = started(world)
    run = replace(world.stored("open", 1), script="#!/bin/sh\n", description="JobId=1")
    world.store.persist(entry, run, world.moment)
    entry.new_texts = texts
    world.store.schedule.reschedule(1, world.now)
    return entry


def payloads(world: World) -> list[tuple[str, str]]:
    """Return the texts that were added to rows."""
    found = [each["payload"] for each in world.backend.documents if "payload" in each]
    return [(each["key"], each["value"]) for each in found]


def test_late_texts_are_added_to_the_row(world: World) -> None:
    """Script and description found after the start are sent one by one; the run keeps running."""
    world.backend.version = NEW
    with_text(world, *TEXTS)
    world.run(2)

    assert [("jobScript", "#!/bin/sh\n"), ("slurmInfo", "JobId=1")] == payloads(world)
    assert {(1, NOON): "running"} == world.backend.rows
    assert {"open": [NAME]} == world.files()


def test_late_texts_are_added_after_the_drain_was_killed(world: World) -> None:
    """The run file names script and description; the next drain adds them when the job ends."""
    world.backend.version = NEW
    with_text(world, *TEXTS)
    world.store.flush(world.moment)
    run = replace(world.stored("open", 1), late_texts=TEXTS)
    (world.root / "open" / NAME).write_bytes(codec.encode(run))
    world.boot()
    world.run(2)
    before = payloads(world)
    world.end(1)
    world.run(400)

    assert [] == before  # an open run is read when it has something to send
    assert [("jobScript", "#!/bin/sh\n"), ("slurmInfo", "JobId=1")] == payloads(world)
    assert {(1, NOON): "completed"} == world.backend.rows


def test_an_old_server_is_not_asked_to_add_texts(world: World) -> None:
    """A server older than 1.5.0 cannot identify the row for a script or description."""
    entry = with_text(world, *TEXTS)
    world.run(2)

    assert ([], ()) == (payloads(world), entry.new_texts)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (MetadataPolicy(job_script=False), ["slurmInfo"]),
        (MetadataPolicy(slurm_info=False), ["jobScript"]),
        (MetadataPolicy(job_script=False, slurm_info=False), []),
    ],
)
def test_texts_that_the_site_withholds_are_not_added(
    world: World, policy: MetadataPolicy, expected: list[str]
) -> None:
    """A script or description that `metadata` turns off is not replaced by an empty text."""
    world.backend.version = NEW
    world.composer.metadata = policy
    entry = with_text(world, *TEXTS)
    world.run(2)

    assert (expected, ()) == ([key for key, _ in payloads(world)], entry.new_texts)


def test_a_text_that_cannot_be_added_is_dropped_after_some_tries(world: World) -> None:
    """A script that is always BUSY is skipped after six requests; the run counts no attempt."""
    world.backend.version = NEW
    entry = with_text(world, "script")
    world.backend.answers = {1: Reason.BUSY}
    world.run(30)

    assert (MAX_META_FAILURES * 2, ()) == (len(calls(world, "edit_meta")), entry.new_texts)
    assert 0 == world.stored("open", 1).attempts
    world.backend.answers.clear()
    world.end(1)
    world.run(10)
    assert {(1, NOON): "completed"} == world.backend.rows


def test_each_text_has_its_own_tries(world: World) -> None:
    """A script that failed does not use up the tries of the description."""
    world.backend.version = NEW
    with_text(world, *TEXTS)
    world.backend.answers = {1: Reason.DATABASE}
    world.run(60)

    assert 2 * MAX_META_FAILURES == len(calls(world, "edit_meta"))


def test_an_ended_run_does_not_wait_for_its_texts(world: World) -> None:
    """The stop is sent after one failed try each of script and description."""
    world.backend.version = NEW
    entry = with_text(world, *TEXTS)
    entry.retry_at = world.now + 9
    world.end(1)
    world.run(1)
    world.backend.answers = {1: Reason.DATABASE}
    entry.retry_at = 0.0
    world.store.schedule.reschedule(1, world.now)
    world.run(0.1)

    assert [1, 1] == calls(world, "edit_meta")
    assert [1] == calls(world, "stop")


def test_a_text_that_is_rejected_is_dropped(world: World) -> None:
    """A rejected script or description makes no dead letter, which would lose the run's stop."""
    world.backend.version = NEW
    entry = with_text(world, *TEXTS)
    world.backend.answers = {1: Reason.FEATURE_ABSENT}
    world.run(5)

    assert ([1, 1], ()) == (calls(world, "edit_meta"), entry.new_texts)
    assert {"open": [NAME]} == world.files()
