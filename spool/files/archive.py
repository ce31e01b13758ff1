"""An archive of delivered runs, for a replay after cc-backend's database was restored.

One JSON line a run (the run file's contents) in `delivered/YYYYMMDDTHH.jsonl`, UTC, hour of the
delivery. It is only a copy: it expires, and a power failure may lose its last seconds.
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
from spool.files.system_calls import SystemCalls, read_lines

LIMIT_BYTES = 1_000_000_000
TAIL_BYTES = 16_000_000  # of each file that `recent_runs` reads
ARCHIVE_SUFFIX = ".jsonl"
_DAY_SECONDS = 86400
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_log = logging.getLogger(__name__)


class DeliveredArchive:
    """The archive below a state directory, accessed with `system_calls`."""

    def __init__(
        self, directory: Path, *, keep_days: float, system_calls: SystemCalls = os
    ) -> None:
        self.directory = directory
        self._system_calls = system_calls
        self._keep_days = keep_days

    def add(self, run: Run, now: float) -> None:
        """Append a delivered run; if that fails, only log a warning."""
        if self._keep_days <= 0:
            return
        # One file an hour, so that whole files expire and nothing is ever rewritten. UTC, because a
        # local hour occurs twice in autumn.
        name = time.strftime("%Y%m%dT%H.jsonl", time.gmtime(now))
        try:
            self._append(name, codec.encode(run))
        except OSError as error:
            _log.warning("delivered run %s is not archived: %s", run.name, error)

    def recent_runs(self) -> list[tuple[int, int, int]]:
        """Return job id, start and end of the runs delivered last, oldest first; log errors.

        They are read from the ends of the two newest files; invalid lines are skipped.
        """
        found = []
        for name in sorted(self._files())[-2:]:
            try:
                found += self._last_run_keys(name)
            except OSError as error:
                _log.warning("archive of delivered runs %s cannot be read: %s", name, error)
        return found

    def expire(self, now: float) -> None:
        """Remove the files that are too old, and the oldest ones above the size limit.

        A failure is logged as one warning; the drain tries again in an hour.
        """
        total = 0
        problem: OSError | None = None
        for name, status in sorted(self._files().items(), reverse=True):
            total += status.st_size
            if status.st_mtime < now - self._keep_days * _DAY_SECONDS or total > LIMIT_BYTES:
                try:
                    self._system_calls.unlink(self.directory / name)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    problem = problem or error
        if problem is not None:
            text = "old files in %s cannot be removed: %s; the drain tries again in an hour"
            _log.warning(text, self.directory, problem.strerror)

    def _append(self, name: str, line: bytes) -> None:
        calls = self._system_calls
        try:
            fd = calls.open(self.directory / name, _APPEND, 0o640)
        except FileNotFoundError:
            calls.mkdir(self.directory, 0o750)
            fd = calls.open(self.directory / name, _APPEND, 0o640)
        try:
            _append_line(calls, fd, line)
        finally:
            calls.close(fd)

    def _files(self) -> dict[str, os.stat_result]:
        """Return the status of each archive file by name; {} if no run was ever archived.

        {} also, with a warning, if they cannot be listed: that must not end the drain.
        """
        try:
            return self._list_files()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            text = "archive of delivered runs %s cannot be read: %s"
            _log.warning(text, self.directory, error.strerror)
            return {}

    def _list_files(self) -> dict[str, os.stat_result]:
        calls = self._system_calls
        fd = calls.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with calls.scandir(fd) as entries:
                return {
                    entry.name: entry.stat(follow_symlinks=False)
                    for entry in entries
                    if entry.name.endswith(ARCHIVE_SUFFIX)
                }
        finally:
            calls.close(fd)

    def _last_run_keys(self, name: str) -> list[tuple[int, int, int]]:
        """Return job id, start and end of the last runs in a file (16 MB); skip invalid lines."""
        calls = self._system_calls
        fd = calls.open(self.directory / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            start = max(0, calls.fstat(fd).st_size - TAIL_BYTES)
            lines = read_lines(calls, fd, start)
            return [key for line in lines if (key := _run_key(line)) is not None]
        finally:
            calls.close(fd)


def archive_lines(directory: Path) -> Iterator[bytes]:
    """Yield the lines of an archive, oldest first; a file that expires meanwhile is skipped."""
    for file in sorted(directory.glob("*.jsonl")):
        with suppress(FileNotFoundError), file.open("rb") as lines:
            yield from lines


def _run_key(line: bytes) -> tuple[int, int, int] | None:
    try:
        run = json.loads(line)
        return int(run["job"]["job_id"]), int(run["start_time"]), int(run["end"]["time"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _append_line(calls: SystemCalls, fd: int, line: bytes) -> None:
    """Append a complete line or nothing: a partial line would damage the next one.

    Raises:
        OSError: nothing was appended (ENOSPC if the disk took only a part).
    """
    size = calls.fstat(fd).st_size
    # One `write` for the line: with O_APPEND no other process can write in between.
    if calls.write(fd, line) < len(line):
        calls.ftruncate(fd, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
