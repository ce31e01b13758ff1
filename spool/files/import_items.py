"""Read events and runs from outside this spool: from another or older spool, or the archive.

A source is one file, a directory of files, a spool, or a state directory (its `delivered/`). It is
only read, up to its size at the beginning: meanwhile a drain appends what is delivered again. A
file that is not valid, or an event that its hook may still be writing, is returned with the reason.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from spool.errors import BadFileError, UnusableFileError
from spool.files import codec
from spool.files.archive import ARCHIVE_SUFFIX
from spool.files.event import (
    EXTRAS_LIMIT_BYTES,
    Event,
    is_complete,
    parse_event_name,
    parse_extras,
)
from spool.files.file_times import WHY_SUFFIX
from spool.files.layout import Directory
from spool.files.run import Run
from spool.files.state_files import DELIVERED_DIRECTORY

WRITING_SECONDS = 60.0  # a younger event without its last line may get it yet
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SOURCE_DIRECTORIES = (Directory.NEW, Directory.TODO, Directory.OPEN, Directory.DEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportItem:
    """One event or run with its origin; for an invalid file `item` is None and `reason` is set."""

    where: str
    item: Event | Run | None
    reason: str = ""


def read_import_items(
    source: Path, *, clock: Callable[[], float] = time.time
) -> Iterator[ImportItem]:
    """Yield the items of a source, one at a time because runs may be large."""
    real = Path(os.path.realpath(source))
    try:
        files = list(_files(real)) if real.is_dir() else [real]
        sizes = [file.lstat().st_size for file in files]
    except OSError as error:
        yield _unreadable(str(source), error)
        return
    for file, size_bytes in zip(files, sizes, strict=True):
        yield from _read_file(file, size_bytes, clock)


def _files(directory: Path) -> Iterator[Path]:
    """Yield the files that may be events or runs, oldest first in each directory of a source."""
    parts = [directory / name for name in _SOURCE_DIRECTORIES if (directory / name).is_dir()]
    if not parts and (directory / DELIVERED_DIRECTORY).is_dir():
        parts = [directory / DELIVERED_DIRECTORY]
    for part in parts or [directory]:
        inside = [file for file in part.iterdir() if file.suffix != WHY_SUFFIX]
        yield from sorted(inside, key=lambda file: (file.lstat().st_mtime, file.name))


def _read_file(file: Path, size_bytes: int, clock: Callable[[], float]) -> Iterator[ImportItem]:
    try:
        with _open_regular(file) as stream:
            if file.suffix == ARCHIVE_SUFFIX:
                yield from _read_archive(str(file), stream, size_bytes)
            else:
                yield ImportItem(where=str(file), item=_parse_file(file, stream, clock))
    except (OSError, UnusableFileError) as error:
        yield _unreadable(str(file), error)


def _read_archive(where: str, stream: BinaryIO, size_bytes: int) -> Iterator[ImportItem]:
    """Yield the runs of an archive; an invalid line does not affect the others."""
    number = 0
    while stream.tell() < size_bytes and (line := stream.readline(codec.LIMIT_BYTES)):
        number += 1
        at = f"{where}:{number}"
        try:
            yield ImportItem(where=at, item=codec.decode_line(at, line))
        except UnusableFileError as error:
            yield _unreadable(at, error)


def _parse_file(file: Path, stream: BinaryIO, clock: Callable[[], float]) -> Event | Run:
    """Return the event or run in a file; refuse an event that may be half-written."""
    status = os.fstat(stream.fileno())
    if file.suffix == ".json":
        if status.st_size > codec.LIMIT_BYTES:
            reason = f"it has {status.st_size} bytes, more than the limit of {codec.LIMIT_BYTES}"
            raise BadFileError(file.name, reason)
        return codec.decode(file.name, stream.read())
    contents = stream.read(EXTRAS_LIMIT_BYTES + 1)
    event = parse_event_name(file.name, time=status.st_mtime, extras=parse_extras(contents))
    # A copy gets its last line: it would count as complete, without what the hook writes later.
    if not is_complete(contents) and abs(clock() - status.st_mtime) < WRITING_SECONDS:
        reason = "its hook may still be writing it: repeat this command in a minute"
        raise BadFileError(file.name, reason)
    return event


def _open_regular(file: Path) -> BinaryIO:
    """Open a regular file without following links or blocking."""
    fd = os.open(file, _OPEN)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BadFileError(file.name, "not a regular file")
    return os.fdopen(fd, "rb")


def _unreadable(where: str, error: Exception) -> ImportItem:
    if isinstance(error, UnusableFileError):
        reason = error.reason
    else:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return ImportItem(where=where, item=None, reason=reason)
