"""Locks: one drain per spool; the kernel frees the lock when its holder ends.

Checking whether a lock is held takes it, shared, for some microseconds; taking a lock therefore
retries for a moment before it fails.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from slurm.type_names import TYPE_CHECKING
from spool.errors import SpoolLockedError
from spool.files.layout import Directory, Layout
from spool.files.state_files import read_json

if TYPE_CHECKING:
    from filelock import FileLock

_TRY_SECONDS = 0.2
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LockState(StrEnum):
    """The state of a lock, as another process sees it."""

    FREE = "free"
    HELD = "held"
    UNKNOWN = "unknown"  # the file may not be opened


def take_lock(path: Path, holder_file: Path) -> FileLock:
    """Acquire the lock of a lock file and return it.

    Args:
        path: the lock file, in a directory that only the service may write.
        holder_file: state file that names the holder's `pid`.

    Raises:
        SpoolLockedError: another process holds it; the message says which.
        OSError: the lock file cannot be opened.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - 49 ms, not needed to check a lock

    lock = FileLock(path, mode=0o640)
    try:
        lock.acquire(timeout=_TRY_SECONDS, poll_interval=_TRY_SECONDS / 8)
    except Timeout as error:
        pid = holder_pid(holder_file)
        raise SpoolLockedError(str(path), f"process {pid}" if pid else "another process") from error
    return lock


@contextmanager
def spool_lock(layout: Layout) -> Iterator[None]:
    """Hold the lock of a spool, so that no drain with another state directory uses it, too.

    Raises:
        SpoolLockedError: another drain holds it.
    """
    with layout.lock(Directory.TODO, wait=False) as is_free:
        if not is_free:
            holder = (
                "a drain with another spool.state_directory; stop one of the two, or give it a"
                " spool.directory of its own"
            )
            raise SpoolLockedError(str(layout.root / Directory.TODO), holder)
        yield


def lock_state(path: Path) -> LockState:
    """Return whether a lock is held; a missing file means that it is free."""
    try:
        fd = os.open(path, _OPEN)
    except FileNotFoundError:
        return LockState.FREE
    except OSError:
        return LockState.UNKNOWN
    try:
        # Shared, so that two commands that look at the same time do not take each other for a
        # drain.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return LockState.HELD
    except OSError:
        return LockState.UNKNOWN
    finally:
        os.close(fd)
    return LockState.FREE


def holder_pid(holder_file: Path) -> int | None:
    """Return the process id in the holder's state file, if that process is alive."""
    # For messages alone: a process id may be used again, so that only the lock says who works.
    pid = read_json(holder_file).get("pid")
    is_alive = type(pid) is int and Path(f"/proc/{pid}").exists()
    return pid if is_alive else None
