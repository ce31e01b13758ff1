"""One bad run, one odd answer or one missing fact never stops the others, and loses nothing."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from ccbackend.version import Version
from slurm.job import NodeAllocation
from spool.deliver.health_rules import Channel, Health
from spool.deliver.pending_run import PendingRun
from spool.files.layout import Directory, Layout
from spool.files.run import Run

CORES = (NodeAllocation(name="n1", cores=(0,)),)
HALF_HOUR = 1800.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a site with nothing in it."""
    made = World(tmp_path)
    yield made
    made.parts.layout.close()


def running(world: World) -> set[int]:
    """Return the job ids that cc-backend shows as running."""
    return {job_id for (job_id, _), state in world.backend.rows.items() if state == "running"}


@pytest.mark.parametrize("reason", [Reason.TOKEN_REFUSED, Reason.PANIC, Reason.UNEXPECTED])
def test_an_answer_to_one_run_alone_halts_nobody(world: World, reason: Reason) -> None:
    """A firewall in front dislikes one script: the others go on within seconds."""
    world.backend.answers[1] = reason
    world.begin(1)
    world.run(2)
    for job_id in range(2, 22):
        world.begin(job_id)

    world.run(5)

    assert set(range(2, 22)) == running(world)
    assert world.health.state.server.is_up


@pytest.mark.parametrize("reason", [Reason.UNEXPECTED, Reason.PANIC, Reason.NOT_THE_API])
def test_an_outage_with_an_unknown_answer_buries_nothing(world: World, reason: Reason) -> None:
    """Every run gets it, for hours; after the repair all are delivered within a minute or so."""
    world.backend.everything = reason
    for job_id in range(1, 41):
        world.begin(job_id)
    world.run(5)
    for _ in range(60):
        world.now += 360
        world.run(1)
    buried = world.files().get("dead", [])
    world.backend.everything = None

    world.run(70)

    assert ([], set(range(1, 41))) == (buried, running(world))


def test_an_endpoint_that_fails_for_all_buries_nothing(world: World) -> None:
    """The probe succeeds, yet no start is accepted: nobody is to blame."""
    for job_id in range(1, 11):
        world.backend.answers[job_id] = Reason.UNEXPECTED
        world.begin(job_id)
    world.run(20)
    for _ in range(30):
        world.now += 720
        world.run(1)
    state = world.health.state.channels[Channel.STARTS].condition.health
    buried = world.files().get("dead", [])
    world.backend.answers.clear()

    world.run(70)

    assert (Health.DOWN, [], set(range(1, 11))) == (state, buried, running(world))


def test_a_start_waits_for_the_topology(world: World) -> None:
    """Its hardware threads are computed from it, and a row cannot be corrected."""
    world.backend.topology = None
    world.begin(1, allocations=CORES)
    world.run(60)
    before = running(world)
    world.backend.topology = ()

    world.run(20)

    assert (set(), {1}) == (before, running(world))


def test_a_start_does_not_wait_for_a_topology_for_ever(world: World) -> None:
    """A quarter of an hour; a job without hardware threads is better than no job."""
    world.backend.topology = None
    world.begin(1, allocations=CORES)
    world.run(20)

    world.now += 1000
    world.run(5)

    assert {1} == running(world)


def test_runs_of_an_unknown_host_go_within_a_minute_of_its_appearance(world: World) -> None:
    """Without a restart, and new runs of that host too."""
    for job_id in (1, 2, 3):
        world.backend.answers[job_id] = Reason.UNKNOWN_HOST
        world.begin(job_id)
    world.run(100)
    waiting = running(world)
    world.backend.answers.clear()
    world.begin(4)

    world.run(60)

    assert (set(), {1, 2, 3, 4}) == (waiting, running(world))


def test_one_run_of_an_unknown_host_is_tried_at_a_time(world: World) -> None:
    """The server is not asked about each of them."""
    for job_id in range(1, 51):
        world.backend.answers[job_id] = Reason.UNKNOWN_HOST
    world.begin(1)
    world.run(2)
    for job_id in range(2, 51):
        world.begin(job_id)

    world.run(120)

    starts = [job_id for call, job_id in world.backend.asked if call == "start"]
    assert 4 >= len(starts)


def test_an_administrators_retry_delivers_now(world: World) -> None:
    """Whatever the run waits for."""
    world.backend.answers[1] = Reason.UNKNOWN_HOST
    world.begin(1)
    world.run(5)
    world.backend.answers.clear()
    world.hook("retry", 1)

    world.run(2)

    assert {1} == running(world)
    assert {"open"} == set(world.files())


def test_a_retry_of_all_delivers_all(world: World) -> None:
    """One event stands for every pending run."""
    for job_id in (1, 2):
        world.backend.answers[job_id] = Reason.UNKNOWN_HOST
        world.begin(job_id)
    world.run(5)
    world.backend.answers.clear()
    world.hook("retry", 0)

    world.run(2)

    assert {1, 2} == running(world)


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_wall_clock_that_is_set_changes_no_deadline(world: World, step: int) -> None:
    """The server is away at the step, and back some seconds later."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.run(5)
    world.skew += step
    world.run(5)
    world.backend.everything = None

    world.run(75)

    assert {1} == running(world)


def test_a_file_that_cannot_be_read_stays_and_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input/output error of the disk is no fault of the run."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.run(2)
    world.backend.everything = None
    read = Layout.read

    def failing(layout: Layout, directory: Directory, name: str, limit_bytes: int) -> object:
        if name.startswith("1-") and name.endswith(".json"):
            raise OSError(5, "Input/output error")
        return read(layout, directory, name, limit_bytes)

    with monkeypatch.context() as patched:
        patched.setattr(Layout, "read", failing)
        world.boot()
        world.begin(2)
        world.run(10)
        unreadable = dict(world.parts.loader.unreadable)
    stays = world.files()["todo"]

    world.run(70)

    assert ({f"1-{NOON}.json": "Input/output error"}, [f"1-{NOON}.json"]) == (unreadable, stays)
    assert {1, 2} == running(world)


def test_accounting_that_is_silent_holds_up_no_start(world: World) -> None:
    """A stop waits for it; new jobs do not."""
    world.begin(1)
    world.run(2)
    world.slurm.accounting_silent = True
    world.slurm.records.clear()
    world.hook("stop", 1)
    world.run(2)
    world.begin(2)

    world.run(2)

    assert {1, 2} == running(world)


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


def sent_scripts(world: World) -> list[tuple[int, str]]:
    """Return job id and script of what cc-backend received, with a start or later."""
    sent = []
    for document in world.backend.documents:
        added = document.get("payload") or {}
        script = added.get("value") or document.get("metaData", {}).get("jobScript")
        sent += [(document["jobId"], script)] if script else []
    return sent


def test_a_script_out_of_reach_is_added_minutes_later(world: World) -> None:
    """The start does not wait for it; it is asked for again until it comes."""
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
    """Only where the server can still take it, and never for long."""
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


def test_a_drain_asks_for_the_scripts_that_the_one_before_did_not_get(world: World) -> None:
    """It died between storing a run and adding its script."""
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


def test_a_script_that_cannot_be_noted_now_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state directory is full while it comes: it is asked for again."""
    world.texts[1] = ("#!/bin/sh\n", None)

    def full(_entry: PendingRun) -> Run:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "load_run", full)
        world.begin(1)
        world.run(30)

    world.run(70)

    assert [(1, "#!/bin/sh\n")] == sent_scripts(world)


def test_a_start_without_its_texts_is_not_sent_when_the_cause_may_be_gone(world: World) -> None:
    """It follows a refusal at once, or the whole start is tried again first."""
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
