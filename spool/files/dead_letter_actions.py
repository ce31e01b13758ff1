"""What an operator does to a dead letter: have it tried again, or give it up.

Both act on `dead/` alone and need no lock: a run is put into `todo/` under a name that is free, and
leaves `dead/` when that is durable. A crash in between leaves both; of copies `todo/` wins.
A run that is given up while its job may still run leaves a mark, a run that is not to be reported,
or the next sweep would find the job missing and bring it back. The mark goes through `todo/` too:
`open/` belongs to the lock's holder, who moves it there at once, or at its next start.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace

from spool.errors import BadFileError, NewerFormatError
from spool.files import codec
from spool.files.dead_letters import WHY_SUFFIX, DeadLetterReason, read_why, safe_name
from spool.files.durable_files import create_file, load_run
from spool.files.event import parse_event_name
from spool.files.layout import Directory, Layout
from spool.files.run import Run, parse_run_name

DISCARDED = "discarded by the operator"


def retry(layout: Layout, name: str, *, dry_run: bool = False) -> str:
    """Have a dead letter tried again, with its original times; return what became of it.

    Raises:
        BadFileError: it cannot be tried as it is.
        OSError: the spool cannot be written; the letter is still there.
    """
    if not _is_run_name(name):
        return _return_file(layout, name, dry_run=dry_run)
    run = _load_dead_run(layout, name)
    words = "would be tried again" if dry_run else "is tried again"
    return _requeue_run(layout, reset_delivery(run), words, dry_run=dry_run)


def discard(layout: Layout, name: str, *, dry_run: bool = False) -> str:
    """Give a dead letter up; return what became of it.

    Raises:
        BadFileError: it cannot be removed.
        OSError: the spool cannot be written; the letter is still there.
    """
    discarded = "would be discarded" if dry_run else "is discarded"
    run = None
    if _is_run_name(name):
        with suppress(BadFileError, NewerFormatError):
            run = load_run(layout, Directory.DEAD, name)
    if run is not None and run.reported and run.end is None:
        mark = replace(reset_delivery(run), reported=False, reason=DISCARDED)
        words = f"{discarded}; a mark in open/ keeps its job from being reported until it ends"
        return _requeue_run(layout, mark, words, dry_run=dry_run)
    if not dry_run:
        _remove_letter(layout, name)
    return discarded


def reset_delivery(run: Run) -> Run:
    """Return a run as if cc-backend had never refused it."""
    return replace(run, attempts=0, not_before=0, last_error=None)


def active_directory(layout: Layout, name: str) -> Directory | None:
    """Return whether a run lies in `todo/` or `open/` already."""
    for directory in (Directory.TODO, Directory.OPEN):
        if layout.exists(directory, name):
            return directory
    return None


def _requeue_run(layout: Layout, run: Run, words: str, *, dry_run: bool) -> str:
    """Put a run into `todo/` and take its letter away."""
    taken = active_directory(layout, run.name)
    if not dry_run:
        if taken is None:
            create_file(layout, Directory.TODO, run.name, codec.encode(run))
        _remove_letter(layout, run.name)
    if taken is None:
        return words
    removed = "would be removed" if dry_run else "is removed"
    return f"lies in {taken}/ too, which counts; the letter {removed}"


def _return_file(layout: Layout, name: str, *, dry_run: bool) -> str:
    """Put a file that is no run back where it came from."""
    why = read_why(layout, name) or _reason_from_name(name)
    if (
        safe_name(why.name) != name or "/" in why.name
    ):  # the reason was tampered with: a name may lead anywhere
        raise BadFileError(name, "what lies beside it belongs to another file; discard it")
    if not layout.exists(Directory.DEAD, name):
        raise FileNotFoundError(2, os.strerror(2), f"dead/{name}")
    if layout.exists(why.directory, why.name):
        raise BadFileError(name, f"{why.directory}/ holds a file of its name; discard one of them")
    if dry_run:
        return f"would be put back into {why.directory}/"
    layout.rename(Directory.DEAD, name, why.directory, why.name)
    layout.fsync(why.directory)
    layout.unlink(Directory.DEAD, name + WHY_SUFFIX)
    return f"goes back into {why.directory}/"


def _reason_from_name(name: str) -> DeadLetterReason:
    """Return where a letter without its reason came from."""
    try:
        parse_event_name(name, time=0)
    except (BadFileError, NewerFormatError) as error:
        raise BadFileError(name, "nothing says where it came from; discard it") from error
    return DeadLetterReason(name=name, directory=Directory.NEW, time=0, reason="", hint="")


def _load_dead_run(layout: Layout, name: str) -> Run:
    try:
        return load_run(layout, Directory.DEAD, name)
    except BadFileError as error:
        raise BadFileError(name, f"{error.reason}; mend the file, or discard it") from error
    except NewerFormatError as error:
        raise BadFileError(name, f"format {error.version} is newer than this program") from error


def _remove_letter(layout: Layout, name: str) -> None:
    """Remove a letter and its reason; an empty directory that somebody put there, too."""
    dead = layout.fd(Directory.DEAD)
    try:
        layout.unlink(Directory.DEAD, name)
    except IsADirectoryError:
        try:
            layout.system_calls.rmdir(name, dir_fd=dead)
        except OSError as error:
            raise BadFileError(name, f"a directory: {error.strerror}; remove it by hand") from error
    layout.unlink(Directory.DEAD, name + WHY_SUFFIX)


def _is_run_name(name: str) -> bool:
    try:
        parse_run_name(name)
    except BadFileError:
        return False
    return True
