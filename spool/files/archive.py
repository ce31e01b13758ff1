"""Delivered runs, kept for a while: what a replay needs after cc-backend's database was restored.

One JSON line a run (the run file's contents) in `delivered/YYYYMMDDTHH.jsonl`, UTC, hour of the
delivery. A copy of what is done: it may expire, and a power cut may cost its last seconds.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from spool.files import codec
from spool.files.run import Run

LIMIT_BYTES = 1_000_000_000
TAIL_BYTES = 16_000_000  # of each file that `recent_runs` reads
_DAY_SECONDS = 86400
_log = logging.getLogger(__name__)


class DeliveredArchive:
    """The delivered runs below a state directory."""

    def __init__(self, directory: Path, *, keep_days: float) -> None:
        self.directory = directory
        self._keep_days = keep_days

    def add(self, run: Run, now: float) -> None:
        """Append a delivered run; a failure costs the copy, never the delivery."""
        if self._keep_days <= 0:
            return
        name = time.strftime("%Y%m%dT%H.jsonl", time.gmtime(now))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self.directory.mkdir(mode=0o750, exist_ok=True)
            fd = os.open(self.directory / name, flags, 0o640)
            try:
                _append_line(fd, codec.encode(run))
            finally:
                os.close(fd)
        except OSError as error:
            _log.warning("delivered run %s is not kept: %s", run.name, error)

    def recent_runs(self) -> list[tuple[int, int, int]]:
        """Return job id, start and end of the runs delivered last, oldest first; never an error.

        From the ends of the two newest files; lines that cannot be read are left out.
        """
        found = []
        for file in sorted(self.directory.glob("*.jsonl"))[-2:]:
            try:
                found += [key for line in _last_lines(file) if (key := _run_key(line)) is not None]
            except OSError as error:
                _log.warning("delivered runs in %s cannot be read: %s", file.name, error)
        return found

    def expire(self, now: float) -> None:
        """Remove the files that are too old, and the oldest ones above the size limit."""
        if not self.directory.is_dir():
            return
        files = sorted(self.directory.glob("*.jsonl"), reverse=True)
        total = 0
        for file in files:
            status = file.stat()
            total += status.st_size
            if status.st_mtime < now - self._keep_days * _DAY_SECONDS or total > LIMIT_BYTES:
                file.unlink(missing_ok=True)


def archive_lines(directory: Path) -> Iterator[bytes]:
    """Yield the lines of an archive, oldest first; a file that expires meanwhile is no error."""
    for file in sorted(directory.glob("*.jsonl")):
        with suppress(FileNotFoundError), file.open("rb") as lines:
            yield from lines


def _last_lines(file: Path) -> Iterator[bytes]:
    """Yield the last lines of a file, never all in memory; the first of them may be cut."""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - TAIL_BYTES))
        yield from stream


def _run_key(line: bytes) -> tuple[int, int, int] | None:
    try:
        run = json.loads(line)
        return int(run["job"]["job_id"]), int(run["start_time"]), int(run["end"]["time"])
    except (ValueError, KeyError, TypeError):
        return None


def _append_line(fd: int, line: bytes) -> None:
    """Append a whole line or nothing: half of one would spoil the next.

    Raises:
        OSError: nothing was appended (ENOSPC where the disk took a part).
    """
    size = os.fstat(fd).st_size
    if os.write(fd, line) < len(line):
        os.ftruncate(fd, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
