"""Take up the spool as the last drain left it, whatever it died of.

A run in two directories: todo wins over open, and the loser is unlinked (telling twice is
harmless). Files that cannot be understood are set aside, those of a later version left alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress

from spool.deliver.schedule import ScheduleEntry, schedule_entry
from spool.errors import NewerFormatError, RunFileError
from spool.escaping import escape
from spool.files.dead_letters import WHY_SUFFIX, DeadLetterReason, move_file_to_dead
from spool.files.durable_files import load_run
from spool.files.layout import Directory, Layout
from spool.files.run import Run
from spool.files.state_files import CrashMarker

STALE_SECONDS = 3600
_log = logging.getLogger(__name__)


def recover(layout: Layout, crash_marker: CrashMarker, now: float) -> Iterator[ScheduleEntry]:
    """Yield an entry of every run in `todo/` and `open/`; clean `tmp/` and `dead/` of leftovers."""
    _clean_tmp(layout, now)
    _clean_reasons(layout)
    todo = set(layout.names(Directory.TODO))
    for name in sorted(todo):
        if (run := read_run(layout, crash_marker, Directory.TODO, name, now)) is not None:
            yield entry_in_todo(run)
    for name in sorted(layout.names(Directory.OPEN)):
        if name in todo:
            os.unlink(name, dir_fd=layout.fd(Directory.OPEN))
        elif (run := read_run(layout, crash_marker, Directory.OPEN, name, now)) is not None:
            yield schedule_entry(run, Directory.OPEN)


def entry_in_todo(run: Run) -> ScheduleEntry:
    """Return the entry of a run in `todo/`; it keeps the run in memory if that belongs elsewhere.

    `discard` and `replay` leave what is not to be reported there, for the lock's holder to move.
    """
    entry = schedule_entry(run, Directory.TODO)
    entry.run = None if run.directory is Directory.TODO else run
    return entry


def read_run(
    layout: Layout, crash_marker: CrashMarker, directory: Directory, name: str, now: float
) -> Run | None:
    """Return a run; None if it vanished, is of a later version, or had to be set aside."""
    if crash_marker.is_poison(name):
        _set_aside(layout, directory, name, "reading it ended the drain three times", now)
        return None
    try:
        with crash_marker(name):
            return load_run(layout, directory, name)
    except FileNotFoundError:
        return None
    except NewerFormatError as error:
        _log.warning("%s", escape(str(error)))
    except (RunFileError, OSError) as error:
        _set_aside(layout, directory, name, str(error), now)
    return None


def _set_aside(layout: Layout, directory: Directory, name: str, reason: str, now: float) -> None:
    why = DeadLetterReason(
        name=name,
        directory=directory,
        time=int(now),
        reason=reason,
        hint="mend the file and `cc-spool retry` it, or `cc-spool discard` it",
    )
    try:
        buried = move_file_to_dead(layout, why)
    except OSError as error:
        _log.error("%s/%s: %s; it stays there: %s", directory, escape(name), escape(reason), error)
        return
    _log.warning("%s/%s is set aside as dead/%s: %s", directory, escape(name), buried, reason)


def _clean_tmp(layout: Layout, now: float) -> None:
    """Remove what a dead writer left half-written an hour ago."""
    for name in list(layout.names(Directory.TMP)):
        try:
            if now - layout.mtime(Directory.TMP, name) > STALE_SECONDS:
                os.unlink(name, dir_fd=layout.fd(Directory.TMP))
        except OSError as error:
            _log.warning("tmp/%s cannot be removed: %s", escape(name), error.strerror)


def _clean_reasons(layout: Layout) -> None:
    """Remove reasons whose letter is gone: `retry` or `discard` died between the two."""
    names = set(layout.names(Directory.DEAD))
    for name in names:
        if name.endswith(WHY_SUFFIX) and name.removesuffix(WHY_SUFFIX) not in names:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=layout.fd(Directory.DEAD))
