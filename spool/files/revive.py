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

from spool.errors import DeadLetterError, EventNameError, NewerFormatError, RunFileError
from spool.files import codec
from spool.files.dead import WHY_SUFFIX, Why, read_why, safe_name
from spool.files.event import parse_name
from spool.files.layout import Directory, Layout
from spool.files.run import Run, parse_run_name
from spool.files.store import load, place

DISCARDED = "discarded by the operator"


def retry(layout: Layout, name: str, *, dry_run: bool = False) -> str:
    """Have a dead letter tried again, with its original times; return what became of it.

    Raises:
        DeadLetterError: it cannot be tried as it is.
        OSError: the spool cannot be written; the letter is still there.
    """
    if not _is_run(name):
        return _put_back(layout, name, dry_run=dry_run)
    run = _load(layout, name)
    return _place(layout, clean(run), "is tried again", dry_run=dry_run)


def discard(layout: Layout, name: str, *, dry_run: bool = False) -> str:
    """Give a dead letter up; return what became of it.

    Raises:
        DeadLetterError: it cannot be removed.
        OSError: the spool cannot be written; the letter is still there.
    """
    run = None
    if _is_run(name):
        with suppress(RunFileError, NewerFormatError):
            run = load(layout, Directory.DEAD, name)
    if run is not None and run.reported and run.end is None:
        mark = replace(clean(run), reported=False, reason=DISCARDED)
        words = "is discarded; a mark in open/ keeps its job from being reported until it ends"
        return _place(layout, mark, words, dry_run=dry_run)
    if not dry_run:
        _remove(layout, name)
    return "is discarded"


def clean(run: Run) -> Run:
    """Return a run as if cc-backend had never refused it."""
    return replace(run, attempts=0, not_before=0, last_error=None)


def where(layout: Layout, name: str) -> Directory | None:
    """Return whether a run lies in `todo/` or `open/` already."""
    for directory in (Directory.TODO, Directory.OPEN):
        if layout.holds(directory, name):
            return directory
    return None


def _place(layout: Layout, run: Run, words: str, *, dry_run: bool) -> str:
    """Put a run into `todo/` and take its letter away."""
    taken = where(layout, run.name)
    if not dry_run:
        if taken is None:
            place(layout, Directory.TODO, run.name, codec.encode(run))
        _remove(layout, run.name)
    return words if taken is None else f"lies in {taken}/ too, which counts; the letter is removed"


def _put_back(layout: Layout, name: str, *, dry_run: bool) -> str:
    """Put a file that is no run back where it came from."""
    why = read_why(layout, name) or _guess(name)
    if (
        safe_name(why.name) != name or "/" in why.name
    ):  # the reason was tampered with: a name may lead anywhere
        raise DeadLetterError(name, "what lies beside it belongs to another file; discard it")
    if not layout.holds(Directory.DEAD, name):
        raise FileNotFoundError(2, os.strerror(2), f"dead/{name}")
    if layout.holds(why.directory, why.name):
        raise DeadLetterError(
            name, f"{why.directory}/ holds a file of its name; discard one of them"
        )
    if not dry_run:
        source, target = layout.fd(Directory.DEAD), layout.fd(why.directory)
        os.rename(name, why.name, src_dir_fd=source, dst_dir_fd=target)
        os.fsync(target)
        _unlink(layout, name + WHY_SUFFIX)
    return f"goes back into {why.directory}/"


def _guess(name: str) -> Why:
    """Return where a letter without its reason came from."""
    try:
        parse_name(name, time=0)
    except (EventNameError, NewerFormatError) as error:
        raise DeadLetterError(name, "nothing says where it came from; discard it") from error
    return Why(name=name, directory=Directory.NEW, time=0, reason="", hint="")


def _load(layout: Layout, name: str) -> Run:
    try:
        return load(layout, Directory.DEAD, name)
    except RunFileError as error:
        raise DeadLetterError(name, f"{error.reason}; mend the file, or discard it") from error
    except NewerFormatError as error:
        raise DeadLetterError(name, f"format {error.version} is newer than this program") from error


def _remove(layout: Layout, name: str) -> None:
    """Remove a letter and its reason; an empty directory that somebody put there, too."""
    dead = layout.fd(Directory.DEAD)
    try:
        _unlink(layout, name)
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=dead)
        except OSError as error:
            raise DeadLetterError(
                name, f"a directory: {error.strerror}; remove it by hand"
            ) from error
    _unlink(layout, name + WHY_SUFFIX)


def _unlink(layout: Layout, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=layout.fd(Directory.DEAD))


def _is_run(name: str) -> bool:
    try:
        parse_run_name(name)
    except RunFileError:
        return False
    return True
