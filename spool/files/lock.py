"""Locks: one worker per spool, freed by the kernel whatever becomes of its holder.

Looking whether a lock is held takes it, shared, for some microseconds; taking one therefore tries
for a moment before it says *busy*.
"""

from __future__ import annotations

import fcntl
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from spool.errors import SpoolLockedError
from spool.files.state_files import read_json

if TYPE_CHECKING:
    from filelock import FileLock

_TRY_SECONDS = 0.2
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LockState(StrEnum):
    """What can be said of a lock without taking it."""

    FREE = "free"
    HELD = "held"
    UNKNOWN = "unknown"  # the file may not be opened


def take_lock(path: Path, holder_file: Path) -> FileLock:
    """Return the lock, held.

    Args:
        path: the lock file, in a directory that only the service may write.
        holder_file: state file that names the holder's `pid`.

    Raises:
        SpoolLockedError: somebody else holds it; says who.
        OSError: the lock file cannot be opened.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - 49 ms that a look at a lock must not cost

    lock = FileLock(path, mode=0o640)
    try:
        lock.acquire(timeout=_TRY_SECONDS, poll_interval=_TRY_SECONDS / 8)
    except Timeout as error:
        pid = holder_pid(holder_file)
        raise SpoolLockedError(str(path), f"process {pid}" if pid else "another process") from error
    return lock


def lock_state(path: Path) -> LockState:
    """Look whether a lock is held; a file that is not there is free."""
    try:
        fd = os.open(path, _OPEN)
    except FileNotFoundError:
        return LockState.FREE
    except OSError:
        return LockState.UNKNOWN
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return LockState.HELD
    except OSError:
        return LockState.UNKNOWN
    finally:
        os.close(fd)
    return LockState.FREE


def holder_pid(holder_file: Path) -> int | None:
    """Return the process that a holder's state file names, if it is alive."""
    pid = read_json(holder_file).get("pid")
    is_alive = type(pid) is int and Path(f"/proc/{pid}").exists()
    return pid if is_alive else None
