"""What lies in a spool, read without its lock while a drain may be at work.

A file that vanishes meanwhile was moved, and is looked for where it went; one that cannot be read
is reported as `Unread`, never raised on. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spool.errors import EventNameError, NewerFormatError, RunFileError
from spool.files.dead import WHY_SUFFIX, Why, read_why
from spool.files.event import EXTRAS_LIMIT_BYTES, Event, parse_extras, parse_name
from spool.files.layout import RUN_ORDER, Directory, Layout, NotRegularError
from spool.files.run import Run
from spool.files.store import load


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """A name in a directory and its mtime, Unix seconds."""

    directory: Directory
    name: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Lying):
    """A run in the directory that is its state."""

    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Hinted(Lying):
    """An event in `new/`, or a dead one with the reason."""

    event: Event
    why: Why | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread(Lying):
    """A file that is neither or cannot be read; `why` says where it came from, if it is dead."""

    reason: str
    why: Why | None = None


def lying(layout: Layout, directory: Directory) -> list[Lying]:
    """Return the names in a directory, without the reasons beside dead letters, oldest first."""
    found = []
    for name in layout.names(directory):
        if directory is Directory.DEAD and name.endswith(WHY_SUFFIX):
            continue
        try:
            time = layout.time(directory, name)
        except OSError:
            continue
        found.append(Lying(directory=directory, name=name, time=time))
    return sorted(found, key=lambda file: (file.time, file.name))


def read_events(layout: Layout) -> Iterator[Hinted | Unread]:
    """Yield what waits in `new/`, oldest first."""
    for file in lying(layout, Directory.NEW):
        found = _event(layout, file, None)
        if found is not None:
            yield found


def read_runs(
    layout: Layout, directories: Sequence[Directory] = RUN_ORDER
) -> Iterator[Held | Unread]:
    """Yield every run in some directories once, by job id and start; of copies the earlier one.

    A run that moves between them while we look is not missed.
    """
    for name in _names(layout, directories):
        found = _run(layout, directories, name)
        if found is not None:
            yield found


def read_dead(layout: Layout) -> Iterator[Held | Hinted | Unread]:
    """Yield the dead letters, oldest first."""
    for file in lying(layout, Directory.DEAD):
        why = read_why(layout, file.name)
        found = _event(layout, file, why) if _is_event(file.name) else _letter(layout, file, why)
        if found is not None:
            yield found


def _names(layout: Layout, directories: Iterable[Directory]) -> list[str]:
    """Return the names in some directories, listed twice: a run may move behind our back."""
    names = {
        name
        for directory in (*directories, *directories)
        for name in layout.names(directory)
        if not (directory is Directory.DEAD and (name.endswith(WHY_SUFFIX) or _is_event(name)))
    }
    return sorted(names, key=_order)


def _order(name: str) -> tuple[int, int, str]:
    job_id, _, start = Path(name).stem.partition("-")
    is_run = job_id.isascii() and job_id.isdigit() and start.isascii() and start.isdigit()
    return (int(job_id), int(start), name) if is_run else (0, 0, name)


def _run(layout: Layout, directories: Iterable[Directory], name: str) -> Held | Unread | None:
    for _ in range(2):  # it may have moved from a later directory into an earlier one
        for directory in directories:
            try:
                time = layout.time(directory, name)
            except OSError:
                continue
            file = Lying(directory=directory, name=name, time=time)
            found = _letter(layout, file, None)
            if found is not None:
                return found
    return None


def _letter(layout: Layout, file: Lying, why: Why | None) -> Held | Unread | None:
    """Return a run or what keeps it from being one; None if it vanished."""
    try:
        run = load(layout, file.directory, file.name)
    except FileNotFoundError:
        return None
    except (RunFileError, NewerFormatError, OSError) as error:
        return _unread(file, error, why)
    return Held(directory=file.directory, name=file.name, time=file.time, run=run)


def _event(layout: Layout, file: Lying, why: Why | None) -> Hinted | Unread | None:
    """Return an event or what keeps it from being one; None if it vanished."""
    try:
        found = layout.read(file.directory, file.name, EXTRAS_LIMIT_BYTES)
        event = parse_name(file.name, time=found.time, extras=parse_extras(found.contents or b""))
    except FileNotFoundError:
        return None
    except (EventNameError, NewerFormatError, NotRegularError, OSError) as error:
        return _unread(file, error, why)
    return Hinted(directory=file.directory, name=file.name, time=found.time, event=event, why=why)


def _unread(file: Lying, error: Exception, why: Why | None) -> Unread:
    return Unread(
        directory=file.directory, name=file.name, time=file.time, reason=_reason(error), why=why
    )


def _reason(error: Exception) -> str:
    if isinstance(error, NotRegularError):
        return "not a regular file"
    if isinstance(error, EventNameError | RunFileError):
        return error.reason
    return (error.strerror or "") if isinstance(error, OSError) else str(error)


def _is_event(name: str) -> bool:
    try:
        parse_name(name, time=0)
    except (EventNameError, NewerFormatError):
        return False
    return True
