"""What an operator does to a dead letter: have it tried again, or give it up.

Both act on `dead/` alone and need no lock: a run is put into `todo/` under a name that is free, and
leaves `dead/` when that is durable. A crash in between leaves both; of copies `todo/` wins.
A run that is given up while its job may still run leaves a mark, a run that is not to be reported,
or the next sweep would find the job missing and bring it back. The mark goes through `todo/` too:
`open/` belongs to the lock's holder, who moves it there at once, or at its next start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from spool.errors import BadFileError, NewerFormatError
from spool.files import codec
from spool.files.dead_letters import WHY_SUFFIX, DeadLetterReason, read_why, safe_name
from spool.files.durable_files import NewFile, create_files, load_run
from spool.files.event import parse_event_name
from spool.files.layout import Directory, Layout
from spool.files.run import Run, parse_run_name, waiting_since

DISCARDED = "discarded by the operator"
GROUP_SIZE = 200
GROUP_BYTES = 16_000_000  # a run of 65536 nodes alone is larger


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterChange:
    """What is to become of a dead letter, in words for what is done and for what would be done.

    `file` is put into `todo/`; one that is no run goes `back` where it came from. The letter and
    its reason go in any case.
    """

    name: str
    done: str
    planned: str
    file: NewFile | None = None
    back: DeadLetterReason | None = None

    @property
    def size_bytes(self) -> int:
        """Return how much memory the change holds."""
        return 0 if self.file is None else len(self.file.contents)


LetterPlan = Callable[[Layout, str], LetterChange]


def plan_retry(layout: Layout, name: str) -> LetterChange:
    """Return how a dead letter is tried again, with its original times.

    Raises:
        BadFileError: it cannot be tried as it is.
        OSError: it cannot be read, or vanished (FileNotFoundError).
    """
    if not _is_run_name(name):
        return _plan_return(layout, name)
    run = reset_delivery(_load_dead_run(layout, name))
    return _plan_requeue(layout, run, "{} tried again")


def plan_discard(layout: Layout, name: str) -> LetterChange:
    """Return how a dead letter is given up.

    Raises:
        OSError: it cannot be read, or vanished (FileNotFoundError).
    """
    run = None
    if _is_run_name(name):
        with suppress(BadFileError, NewerFormatError):
            run = load_run(layout, Directory.DEAD, name)
    if run is not None and run.reported and run.end is None:
        mark = replace(reset_delivery(run), reported=False, reason=DISCARDED)
        words = "{} discarded; a mark in open/ keeps its job from being reported until it ends"
        return _plan_requeue(layout, mark, words)
    return _change(name, "{} discarded")


def apply_changes(
    layout: Layout, changes: Sequence[LetterChange]
) -> dict[str, BadFileError | FileNotFoundError]:
    """Apply changes of dead letters, durably as a group; return by name what was refused.

    Raises:
        OSError: the spool cannot be written; every letter or what became of it is there.
    """
    if files := [change.file for change in changes if change.file is not None]:
        create_files(layout, Directory.TODO, files)
    refused: dict[str, BadFileError | FileNotFoundError] = {}
    for change in changes:
        try:
            if change.back is not None:
                layout.rename(Directory.DEAD, change.name, change.back.directory, change.back.name)
            _remove_letter(layout, change.name)
        except (BadFileError, FileNotFoundError) as error:
            refused[change.name] = error
    for directory in {change.back.directory for change in changes if change.back is not None}:
        layout.fsync(directory)
    return refused


def reset_delivery(run: Run) -> Run:
    """Return a run as if cc-backend had never refused it."""
    return replace(run, attempts=0, not_before=0, last_error=None)


def active_directory(layout: Layout, name: str) -> Directory | None:
    """Return whether a run lies in `todo/` or `open/` already."""
    for directory in (Directory.TODO, Directory.OPEN):
        if layout.exists(directory, name):
            return directory
    return None


def _plan_requeue(layout: Layout, run: Run, words: str) -> LetterChange:
    """Return the change that puts a run into `todo/`; a run that lies elsewhere too counts."""
    taken = active_directory(layout, run.name)
    if taken is not None:
        return _change(
            run.name, f"lies in {taken}/ too, which counts; the dead letter {{}} removed"
        )
    file = NewFile(run.name, codec.encode(run), waiting_since(run))
    return replace(_change(run.name, words), file=file)


def _change(name: str, words: str) -> LetterChange:
    """Return a change; `{}` in the words is where `is` or `would be` stands."""
    return LetterChange(name=name, done=words.format("is"), planned=words.format("would be"))


def _plan_return(layout: Layout, name: str) -> LetterChange:
    """Return the change that puts a file that is no run back where it came from."""
    why = read_why(layout, name) or _reason_from_name(name)
    # a reason that was tampered with could lead the file anywhere
    if safe_name(why.name) != name or "/" in why.name:
        raise BadFileError(name, "what lies beside it belongs to another file; discard it")
    if not layout.exists(Directory.DEAD, name):
        raise FileNotFoundError(2, os.strerror(2), f"dead/{name}")
    if layout.exists(why.directory, why.name):
        raise BadFileError(name, f"{why.directory}/ holds a file of its name; discard one of them")
    return replace(_change(name, f"{{}} put back into {why.directory}/"), back=why)


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
        raise BadFileError(name, f"{error.reason}; repair the file, or discard it") from error
    except NewerFormatError as error:
        raise BadFileError(name, f"format {error.version} is newer than this program") from error


def _remove_letter(layout: Layout, name: str) -> None:
    """Remove a letter and its reason; an empty directory that somebody put there, too."""
    try:
        layout.unlink(Directory.DEAD, name)
    except IsADirectoryError:
        try:
            layout.system_calls.rmdir(name, dir_fd=layout.fd(Directory.DEAD))
        except OSError as error:
            reason = f"a directory: {error.strerror}; remove it by hand"
            raise BadFileError(name, reason) from error
    layout.unlink(Directory.DEAD, name + WHY_SUFFIX)


def _is_run_name(name: str) -> bool:
    try:
        parse_run_name(name)
    except BadFileError:
        return False
    return True
