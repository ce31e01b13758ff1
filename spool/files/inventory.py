"""The contents of a spool, read without its lock while a drain may be running.

The mtime of a file says since when it waits, so names and times are enough for most purposes; a
file is opened only to print its contents. A file that vanishes meanwhile was moved, and is searched
in its next directory; a file that cannot be read becomes a `BadFile`, not an exception. Nothing is
changed.
"""

from __future__ import annotations

from collections.abc import Iterator

from slurm.light_dataclass import light_dataclass
from spool.errors import UnusableFileError
from spool.files.codec import load_run
from spool.files.dead_letter_reason import DeadLetterReason, read_why
from spool.files.event import EXTRAS_LIMIT_BYTES, Event, parse_event_name, parse_extras
from spool.files.file_times import list_names
from spool.files.layout import Directory, Layout
from spool.files.run import Run


@light_dataclass
class SpoolFile:
    """A name in a directory and its mtime (Unix seconds): since when it waits there."""

    directory: Directory
    name: str
    time: float


@light_dataclass
class RunFile(SpoolFile):
    """A run in the directory that is its state."""

    run: Run


@light_dataclass
class EventFile(SpoolFile):
    """An event in `new/`, or one in `dead/` with its `.why` file."""

    event: Event
    why: DeadLetterReason | None = None


@light_dataclass
class BadFile(SpoolFile):
    """A file that is no run or event, or cannot be read; `why` is its `.why` file in `dead/`."""

    reason: str
    why: DeadLetterReason | None = None


def read_events(layout: Layout) -> Iterator[EventFile | BadFile]:
    """Yield the events in `new/` and the files that are no valid event, oldest first."""
    for _, name in list_names(layout, Directory.NEW):
        found = read_file(layout, Directory.NEW, name)
        if isinstance(found, EventFile | BadFile):
            yield found


def read_dead(layout: Layout) -> Iterator[RunFile | EventFile | BadFile]:
    """Yield the dead letters, oldest first."""
    for _, name in list_names(layout, Directory.DEAD):
        found = read_file(layout, Directory.DEAD, name)
        if found is not None:
            yield found


def read_file(
    layout: Layout, directory: Directory, name: str
) -> RunFile | EventFile | BadFile | None:
    """Read one file of a directory; return None if it vanished.

    A run that the drain moves between `todo/` and `open/` meanwhile is found in either place.
    """
    if directory in {Directory.TODO, Directory.OPEN}:
        return _find_run(layout, directory, name)
    file = _stat_file(layout, directory, name)
    if file is None:
        return None
    if directory is Directory.NEW:
        return _read_event(layout, file, None)
    read = _read_event if is_event_name(name) else _read_run
    return read(layout, file, read_why(layout, name))


def _find_run(layout: Layout, directory: Directory, name: str) -> RunFile | BadFile | None:
    other = Directory.OPEN if directory is Directory.TODO else Directory.TODO
    for place in (directory, other, directory):  # it may move twice
        file = _stat_file(layout, place, name)
        found = None if file is None else _read_run(layout, file, None)
        if found is not None:
            return found
    return None


def _stat_file(layout: Layout, directory: Directory, name: str) -> SpoolFile | None:
    try:
        return SpoolFile(directory=directory, name=name, time=layout.mtime(directory, name))
    except OSError:
        return None


def _read_run(
    layout: Layout, file: SpoolFile, why: DeadLetterReason | None
) -> RunFile | BadFile | None:
    """Return a run, or a `BadFile` with the reason; None if it vanished."""
    try:
        run = load_run(layout, file.directory, file.name)
    except FileNotFoundError:
        return None
    except (UnusableFileError, OSError) as error:
        return _bad_file(file, error, why)
    return RunFile(directory=file.directory, name=file.name, time=file.time, run=run)


def _read_event(
    layout: Layout, file: SpoolFile, why: DeadLetterReason | None
) -> EventFile | BadFile | None:
    """Return an event, or a `BadFile` with the reason; None if it vanished."""
    try:
        found = layout.read(file.directory, file.name, EXTRAS_LIMIT_BYTES)
        event = parse_event_name(
            file.name, time=found.time, extras=parse_extras(found.contents or b"")
        )
    except FileNotFoundError:
        return None
    except (UnusableFileError, OSError) as error:
        return _bad_file(file, error, why)
    return EventFile(
        directory=file.directory, name=file.name, time=found.time, event=event, why=why
    )


def _bad_file(file: SpoolFile, error: Exception, why: DeadLetterReason | None) -> BadFile:
    return BadFile(
        directory=file.directory, name=file.name, time=file.time, reason=_reason_of(error), why=why
    )


def _reason_of(error: Exception) -> str:
    if isinstance(error, UnusableFileError):
        return error.reason
    return (error.strerror or "") if isinstance(error, OSError) else str(error)


def is_event_name(name: str) -> bool:
    """Return whether a file's name is a valid name of an event."""
    try:
        parse_event_name(name, time=0)
    except UnusableFileError:
        return False
    return True
