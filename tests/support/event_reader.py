"""A scanner of events and its spool."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from empty_spool import make_directories

from spool.files.dead_letter_reason import read_why
from spool.files.layout import Directory, FileContents, Layout
from spool.files.state_files import CrashMarker
from spool.moment import Moment
from spool.resolve.event_scanner import EventScanner

NOW = 1_767_225_600.0


def at(seconds: float) -> Moment:
    """Return a moment with the same time on both clocks."""
    return Moment(seconds, seconds)


MOMENT = at(NOW)
NAME = "1-start-5-0-0-4711"
OTHER = "1-stop-6-100-200-4712"


class Spool(Layout):
    """A spool in which some files cannot be read, as if they belonged to another user."""

    unreadable: frozenset[str] = frozenset()

    def read(self, directory: Directory, name: str, limit_bytes: int) -> FileContents:
        """Read a file; raise PermissionError if it is unreadable."""
        if name in self.unreadable:
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return super().read(directory, name, limit_bytes)


@dataclass
class Reader:
    """A scanner of events with its spool and crash marker."""

    spool: Spool
    crash_marker: CrashMarker
    event_scanner: EventScanner

    @property
    def new(self) -> Path:
        """Return the path of `new/`."""
        return self.spool.root / "new"

    def scan(self) -> list[str]:
        """Return the names of the events that a scan returns."""
        return [event.name for event in self.event_scanner.scan(MOMENT)]

    def dead(self) -> dict[str, str]:
        """Return the reason of every dead letter by its original name."""
        names = self.spool.names(Directory.DEAD)
        whys = [read_why(self.spool, name) for name in names if not name.endswith(".why")]
        return {why.name: why.reason for why in whys if why}

    def event(self, name: str = NAME, *, time: float = NOW, extras: str = "end\n") -> Path:
        """Write an event as a hook does."""
        path = self.new / name
        path.write_text(extras)
        os.utime(path, (time, time))
        return path


@contextmanager
def reader_of(root: Path) -> Iterator[Reader]:
    """Yield a reader of an empty spool."""
    make_directories(root)
    crash_marker = CrashMarker(root / "handling")
    with Spool(root) as spool:
        yield Reader(spool, crash_marker, EventScanner(spool, crash_marker))
    crash_marker.close()
