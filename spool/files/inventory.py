"""What lies in a spool, read without its lock while a drain may be at work.

A file that vanishes meanwhile was moved, and is looked for where it went; one that cannot be read
is reported as `BadFile`, never raised on. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spool.errors import BadFileError, NewerFormatError
from spool.files.dead_letters import WHY_SUFFIX, DeadLetterReason, read_why
from spool.files.durable_files import load_run
from spool.files.event import EXTRAS_LIMIT_BYTES, Event, parse_event_name, parse_extras
from spool.files.layout import RUN_DIRECTORIES, Directory, Layout
from spool.files.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolFile:
    """A name in a directory and its mtime, Unix seconds."""

    directory: Directory
    name: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile(SpoolFile):
    """A run in the directory that is its state."""

    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFile(SpoolFile):
    """An event in `new/`, or a dead one with the reason."""

    event: Event
    why: DeadLetterReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFile(SpoolFile):
    """A file that is neither or cannot be read; `why` says where it came from, if it is dead."""

    reason: str
    why: DeadLetterReason | None = None


def list_files(layout: Layout, directory: Directory) -> list[SpoolFile]:
    """Return the names in a directory, without the reasons beside dead letters, oldest first."""
    found = []
    for name in layout.names(directory):
        if directory is Directory.DEAD and name.endswith(WHY_SUFFIX):
            continue
        try:
            time = layout.mtime(directory, name)
        except OSError:
            continue
        found.append(SpoolFile(directory=directory, name=name, time=time))
    return sorted(found, key=lambda file: (file.time, file.name))


def read_events(layout: Layout) -> Iterator[EventFile | BadFile]:
    """Yield what waits in `new/`, oldest first."""
    for file in list_files(layout, Directory.NEW):
        found = _read_event(layout, file, None)
        if found is not None:
            yield found


def read_runs(
    layout: Layout, directories: Sequence[Directory] = RUN_DIRECTORIES
) -> Iterator[RunFile | BadFile]:
    """Yield every run in some directories once, by job id and start; of copies the earlier one.

    A run that moves between them while we look is not missed.
    """
    for name in _names_of_runs(layout, directories):
        found = _find_run(layout, directories, name)
        if found is not None:
            yield found


def read_dead(layout: Layout) -> Iterator[RunFile | EventFile | BadFile]:
    """Yield the dead letters, oldest first."""
    for file in list_files(layout, Directory.DEAD):
        why = read_why(layout, file.name)
        found = (
            _read_event(layout, file, why)
            if _is_event_name(file.name)
            else _read_run(layout, file, why)
        )
        if found is not None:
            yield found


def _names_of_runs(layout: Layout, directories: Iterable[Directory]) -> list[str]:
    """Return the names in some directories, listed twice: a run may move behind our back."""
    names = {
        name
        for directory in (*directories, *directories)
        for name in layout.names(directory)
        if not (directory is Directory.DEAD and (name.endswith(WHY_SUFFIX) or _is_event_name(name)))
    }
    return sorted(names, key=_sort_key)


def _sort_key(name: str) -> tuple[int, int, str]:
    job_id, _, start = Path(name).stem.partition("-")
    is_run = job_id.isascii() and job_id.isdigit() and start.isascii() and start.isdigit()
    return (int(job_id), int(start), name) if is_run else (0, 0, name)


def _find_run(
    layout: Layout, directories: Iterable[Directory], name: str
) -> RunFile | BadFile | None:
    for _ in range(2):  # it may have moved from a later directory into an earlier one
        for directory in directories:
            try:
                time = layout.mtime(directory, name)
            except OSError:
                continue
            file = SpoolFile(directory=directory, name=name, time=time)
            found = _read_run(layout, file, None)
            if found is not None:
                return found
    return None


def _read_run(
    layout: Layout, file: SpoolFile, why: DeadLetterReason | None
) -> RunFile | BadFile | None:
    """Return a run or what keeps it from being one; None if it vanished."""
    try:
        run = load_run(layout, file.directory, file.name)
    except FileNotFoundError:
        return None
    except (BadFileError, NewerFormatError, OSError) as error:
        return _bad_file(file, error, why)
    return RunFile(directory=file.directory, name=file.name, time=file.time, run=run)


def _read_event(
    layout: Layout, file: SpoolFile, why: DeadLetterReason | None
) -> EventFile | BadFile | None:
    """Return an event or what keeps it from being one; None if it vanished."""
    try:
        found = layout.read(file.directory, file.name, EXTRAS_LIMIT_BYTES)
        event = parse_event_name(
            file.name, time=found.time, extras=parse_extras(found.contents or b"")
        )
    except FileNotFoundError:
        return None
    except (BadFileError, NewerFormatError, OSError) as error:
        return _bad_file(file, error, why)
    return EventFile(
        directory=file.directory, name=file.name, time=found.time, event=event, why=why
    )


def _bad_file(file: SpoolFile, error: Exception, why: DeadLetterReason | None) -> BadFile:
    return BadFile(
        directory=file.directory, name=file.name, time=file.time, reason=_reason_of(error), why=why
    )


def _reason_of(error: Exception) -> str:
    if isinstance(error, BadFileError):
        return error.reason
    return (error.strerror or "") if isinstance(error, OSError) else str(error)


def _is_event_name(name: str) -> bool:
    try:
        parse_event_name(name, time=0)
    except (BadFileError, NewerFormatError):
        return False
    return True
