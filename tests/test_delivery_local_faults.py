"""Crashes and bugs while a run is mapped, and a disk that is full or fails."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from delivery_steps import HOUR, NAME, alarms, stored
from drain_world import NOON, World

from spool.deliver.compose import UnsendableError
from spool.files import codec
from spool.files.run import Run
from spool.files.state_files import CrashMarker


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def break_off(*_: object, **__: object) -> None:
    """Fail as a bug does."""
    raise LookupError("a bug")


def test_a_run_that_crashes_the_drain_three_times_is_skipped_for_an_hour(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The crash marker counts three crashes; the run stays in `todo/`, others are delivered."""
    world.service.close()
    (world.state / "handling").write_bytes(f"3 {NAME}".encode())
    world.boot()
    world.begin(1)
    world.begin(2)
    world.run(10)

    assert {(2, NOON): "running"} == world.backend.rows
    assert (
        f"{NAME} stays in the spool and is not sent:"
        " the drain crashed three times while processing this file" in caplog.text
    )
    assert {"open": [f"2-{NOON}.json"], "todo": [NAME]} == world.files()
    world.now += HOUR
    world.run(6)  # the drain first reads the job's comments again
    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


def test_a_new_run_is_tried_again_in_a_minute_if_the_state_directory_is_full(world: World) -> None:
    """The crash marker cannot be written; an alarm shows `No space left on device` meanwhile."""

    def fail(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "pwrite", fail)
        world.begin(1)
        world.run(20)
    assert ({}, {NAME: "No space left on device"}) == (world.backend.rows, alarms(world))
    world.now += 60
    world.run(6)

    assert ({(1, NOON): "running"}, {}) == (world.backend.rows, alarms(world))


def test_a_run_with_an_internal_error_is_skipped_for_an_hour(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug while the request is made causes no dead letter; other runs are delivered."""
    document = world.composer.document

    def fail(run: Run, *args: Any, **facts: Any) -> Any:
        if run.job_id == 1:
            raise TypeError("secret")
        return document(run, *args, **facts)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(world.composer, "document", fail)
        world.begin(1)
        world.begin(2)
        world.run(20)
    assert {(2, NOON): "running"} == world.backend.rows
    assert {
        NAME: ("internal error of cc-slurm-sync (TypeError); please report it with the log")
    } == alarms(world)
    assert (
        f"no request can be made from {NAME}: internal error of cc-slurm-sync (TypeError"
        in caplog.text
    )
    world.now += HOUR
    world.run(6)

    assert ({1, 2}, {}) == ({job_id for job_id, _ in world.backend.rows}, alarms(world))


def test_an_internal_error_does_not_count_as_a_crash(world: World) -> None:
    """The crash marker is empty: otherwise the run would be skipped after three restarts."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(world.composer, "document", break_off)
        world.begin(1)
        world.run(20)

    assert b"" == (world.state / "handling").read_bytes().rstrip(b"\0")


def test_an_internal_error_while_a_run_is_read_delays_only_this_run(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug while the run file is decoded raises an alarm; the log has the traceback."""
    stored(world, 1, 2)
    decode = codec.decode

    def fail(name: str, contents: bytes) -> Run:
        if name == NAME:
            break_off()
        return decode(name, contents)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(codec, "decode", fail)
        world.run(20)

    assert {(2, NOON): "running"} == world.backend.rows
    assert "Traceback" in caplog.text
    assert [NAME] == list(alarms(world))


def test_a_dead_letter_raises_no_alarm_if_the_crash_marker_cannot_be_cleared(world: World) -> None:
    """A run that cannot be sent has moved to `dead/`, so it is no pending run any more."""
    pwrite = os.pwrite

    def fail(fd: int, data: bytes, offset: int) -> int:
        if not data.rstrip(b"\0"):
            raise OSError(errno.EIO, "Input/output error")
        return pwrite(fd, data, offset)

    def refuse(*_: object, **__: object) -> None:
        raise UnsendableError("no nodes")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "pwrite", fail)
        patched.setattr(world.composer, "document", refuse)
        world.begin(1)
        world.run(20)

    assert ({"dead": [NAME]}, {}) == (world.files(), alarms(world))


def test_a_failing_file_system_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An I/O error at each write is one line in the log; another says that the error is over."""
    caplog.set_level(logging.INFO)
    world.begin(1)
    with monkeypatch.context() as patched:

        def fail(*_args: object, **_facts: object) -> None:
            raise OSError(5, "Input/output error")

        patched.setattr(world.store, "flush", fail)
        for _ in range(60):
            world.drain.step(0.0)
            world.now += 1
        assert "Input/output error" == world.drain.disk_reason
    for _ in range(30):
        world.drain.step(0.0)
        world.now += 1
    said = [record.message for record in caplog.records]

    assert ("", {"open": [NAME]}) == (world.drain.disk_reason, world.files())
    assert 1 == sum(line.startswith("the drain cannot write to the spool") for line in said)
    assert "the spool is writable again" in said


def test_the_crash_marker_names_the_run_whose_request_is_made(world: World) -> None:
    """While the request is made, a crash counts for this run; afterwards it does not."""
    seen: list[bytes] = []
    cluster = world.composer.cluster

    def look(run: Run) -> str:
        seen.append((world.state / "handling").read_bytes().rstrip(b"\0"))
        return cluster(run)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(world.composer, "cluster", look)
        world.begin(1)
        world.run(6)

    assert f"1 {NAME}".encode() == seen[0]
    assert not CrashMarker(world.state / "handling").is_poison(NAME)
