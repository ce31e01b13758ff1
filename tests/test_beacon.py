"""What the drain tells other commands and systemd, and its lock."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
from pathlib import Path

import pytest
from spool.deliver.destination import Destination
from spool.drain.state_writer import DrainStateWriter, json_object, notify_systemd

from spool.errors import SpoolLockedError
from spool.files.lock import LockState, lock_state, take_lock


def test_a_state_is_written_with_who_and_when(tmp_path: Path) -> None:
    """Other commands read it."""
    DrainStateWriter(tmp_path / "drain.json", now=5.0).write({"disk_full": False}, 7.0)

    expected = {"pid": os.getpid(), "started": 5.0, "updated": 7.0, "disk_full": False}
    assert expected == json.loads((tmp_path / "drain.json").read_text())


@pytest.mark.parametrize(("later", "updated"), [(9.0, 7.0), (17.0, 17.0)])
def test_an_unchanged_state_is_written_now_and_then(
    tmp_path: Path, later: float, updated: float
) -> None:
    """As a sign of life every ten seconds."""
    writer = DrainStateWriter(tmp_path / "drain.json", now=5.0)
    writer.write({}, 7.0)
    writer.write({}, later)

    assert updated == json.loads((tmp_path / "drain.json").read_text())["updated"]


def test_a_state_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The drain goes on, and the log says so."""
    DrainStateWriter(tmp_path / "missing" / "drain.json", now=5.0).write({}, 7.0)

    assert "cannot be written" in caplog.text


def test_frozen_values_become_plain() -> None:
    """None stays None."""
    shown = json_object(Destination())

    assert shown is not None
    assert ("up", None) == (shown["health"], json_object(None))


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool
) -> None:
    """By one datagram to the socket it named."""
    name = f"@cc-slurm-sync-{os.getpid()}" if abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if abstract else name)
        notify_systemd("READY=1")

        assert b"READY=1" == sock.recv(100)


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain in a terminal needs none: no socket is opened."""
    opened: list[object] = []
    monkeypatch.setattr(socket, "socket", lambda *how: opened.append(how))
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    notify_systemd("READY=1")

    assert [] == opened


def test_a_deaf_systemd_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The socket may be gone; who debugs it is told."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    caplog.set_level(logging.DEBUG)

    notify_systemd("READY=1")

    assert ["DEBUG"] == [record.levelname for record in caplog.records]


@pytest.mark.parametrize(
    ("state", "holder"),
    [
        (f'{{"pid": {os.getpid()}}}', f"process {os.getpid()}"),
        ('{"pid": 99999999}', "another process"),  # its state file is older than its lock
        ("", "another process"),
    ],
    ids=["alive", "gone", "missing"],
)
def test_a_second_drain_is_told_who_holds_the_lock(tmp_path: Path, state: str, holder: str) -> None:
    """And the first one keeps it."""
    (tmp_path / "drain.json").write_text(state)
    first = take_lock(tmp_path / "drain.lock", tmp_path / "drain.json")

    with pytest.raises(SpoolLockedError, match=holder):
        take_lock(tmp_path / "drain.lock", tmp_path / "drain.json")
    first.release()


def test_a_released_lock_can_be_taken(tmp_path: Path) -> None:
    """The kernel frees it; the file stays, or two could hold what they think is one lock."""
    path = tmp_path / "drain.lock"
    take_lock(path, tmp_path / "drain.json").release()
    first = path.stat().st_ino
    take_lock(path, tmp_path / "drain.json").release()

    assert first == path.stat().st_ino


def test_a_lock_that_is_held_is_seen(tmp_path: Path) -> None:
    """Held, free again, and free before it was ever taken."""
    path = tmp_path / "drain.lock"
    states = [lock_state(path)]
    lock = take_lock(path, tmp_path / "drain.json")
    states.append(lock_state(path))
    lock.release()
    states.append(lock_state(path))

    assert [LockState.FREE, LockState.HELD, LockState.FREE] == states


def test_a_lock_of_a_file_system_without_locks_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said of what cannot be known."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / "drain.lock").touch()
    monkeypatch.setattr(fcntl, "flock", refuse)

    assert LockState.UNKNOWN == lock_state(tmp_path / "drain.lock")


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """Nothing is said of what cannot be known."""
    path = tmp_path / "drain.lock"
    path.symlink_to(tmp_path / "other")

    assert LockState.UNKNOWN is lock_state(path)
