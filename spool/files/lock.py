"""The drain's lock: one worker per spool, freed by the kernel whatever becomes of its holder."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from spool.errors import SpoolLockedError
from spool.files.state import read_json


def take_lock(path: Path, holder_file: Path) -> FileLock:
    """Return the lock, held.

    Args:
        path: the lock file, in a directory that only the service may write.
        holder_file: state file that names the holder's `pid`.

    Raises:
        SpoolLockedError: somebody else holds it; says who.
        OSError: the lock file cannot be opened.
    """
    lock = FileLock(path, mode=0o640)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        pid = read_json(holder_file).get("pid")
        holder = f"process {pid}" if isinstance(pid, int) else "another process"
        raise SpoolLockedError(str(path), holder) from error
    return lock
