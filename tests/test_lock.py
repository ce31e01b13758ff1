"""The drain's lock: one drain per spool, and the process that holds it."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from spool.errors import SpoolLockedError
from spool.files.lock import LockState, lock_state, take_lock


@pytest.mark.parametrize(
    ("state", "holder"),
    [
        (f'{{"pid": {os.getpid()}}}', f"process {os.getpid()}"),
        ('{"pid": 99999999}', "another process"),  # its state file is older than its lock
        ("", "another process"),
    ],
    ids=["alive", "gone", "missing"],
)
def test_a_second_drain_names_the_lock_holder(tmp_path: Path, state: str, holder: str) -> None:
    """The error has the process id in drain.json; if that file is outdated, `another process`."""
    (tmp_path / "drain.json").write_text(state)
    first = take_lock(tmp_path / "drain.lock", tmp_path / "drain.json")

    with pytest.raises(SpoolLockedError, match=holder):
        take_lock(tmp_path / "drain.lock", tmp_path / "drain.json")
    first.release()


def test_a_released_lock_can_be_taken(tmp_path: Path) -> None:
    """The lock file stays: if it were removed, two processes could lock two different files."""
    path = tmp_path / "drain.lock"
    take_lock(path, tmp_path / "drain.json").release()
    first = path.stat().st_ino
    take_lock(path, tmp_path / "drain.json").release()

    assert first == path.stat().st_ino


def test_a_held_lock_is_detected(tmp_path: Path) -> None:
    """The lock is free before it is taken and after it is released."""
    path = tmp_path / "drain.lock"
    states = [lock_state(path)]
    lock = take_lock(path, tmp_path / "drain.json")
    states.append(lock_state(path))
    lock.release()
    states.append(lock_state(path))

    assert [LockState.FREE, LockState.HELD, LockState.FREE] == states


def test_a_lock_on_a_file_system_without_locks_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If flock fails with ENOLCK, the state of the lock is neither free nor held."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / "drain.lock").touch()
    monkeypatch.setattr(fcntl, "flock", refuse)

    assert LockState.UNKNOWN == lock_state(tmp_path / "drain.lock")


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """The state of the lock is unknown."""
    path = tmp_path / "drain.lock"
    path.symlink_to(tmp_path / "other")

    assert LockState.UNKNOWN is lock_state(path)
