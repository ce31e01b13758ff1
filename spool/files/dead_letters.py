"""Dead letters: files that were rejected or cannot be understood, with a reason and a hint.

A dead run is a run file whose `last_error` has cc-backend's message and the request. Any other file
keeps its contents under a safe name and gets a file `NAME.why` (`dead_letter_reason`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from slurm.light_dataclass import light_dataclass
from spool.errors import BadFileError, UnusableFileError
from spool.files import codec
from spool.files.codec import load_run
from spool.files.dead_letter_reason import DeadLetterReason, encode_why, read_why
from spool.files.durable_files import NewFile, WriteBatch, create_files
from spool.files.event import parse_event_name
from spool.files.file_times import WHY_SUFFIX
from spool.files.layout import Directory, Layout
from spool.files.run import LastError, Run, is_run_name, waiting_since

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", re.ASCII)


def move_run_to_dead(batch: WriteBatch, run: Run, error: LastError) -> Run:
    """Move a run to `dead/` when the batch commits; return it with its error."""
    dead = replace(run, last_error=error)
    batch.put(Directory.DEAD, run.name, codec.encode(dead))
    batch.remove(Directory.TODO, run.name)
    batch.remove(Directory.OPEN, run.name)
    return dead


def has_dead_run(layout: Layout, name: str) -> bool:
    """Return whether `dead/` has a rejected run of this name; a file with a `.why` is no run."""
    with suppress(OSError):
        has_run = layout.exists(Directory.DEAD, name)
        return has_run and not layout.exists(Directory.DEAD, name + WHY_SUFFIX)
    return False


def move_file_to_dead(layout: Layout, why: DeadLetterReason) -> str:
    """Move any file to `dead/` with its reason, durably; return its name there.

    Raises:
        OSError: it could not be moved (a directory of another user, a full disk).
    """
    name = safe_name(why.name)
    batch = WriteBatch(layout)
    batch.put(Directory.DEAD, name + WHY_SUFFIX, encode_why(why))
    batch.commit()
    try:
        layout.rename(why.directory, why.name, Directory.DEAD, name)
    except OSError:
        layout.unlink(Directory.DEAD, name + WHY_SUFFIX)
        raise
    layout.fsync(Directory.DEAD)
    return name


def safe_name(name: str) -> str:
    """Return a name that is harmless in a listing; a harmless name is returned unchanged."""
    if _SAFE_NAME.fullmatch(name) and not name.endswith(WHY_SUFFIX):
        return name
    import hashlib  # noqa: PLC0415 - loads OpenSSL, and such names are rare

    return "strange-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:20]


# The caller holds the lock of `dead/` from the plan to the last removal; else it could remove a
# newer dead letter, of a run that the drain takes up and that is rejected again meanwhile. The
# drain never waits for this lock: its dead letters wait for a later group (`PendingChanges`).
#
# A run is put into `todo/` under a free name, and is removed from `dead/` when that is durable. A
# crash in between leaves both copies; the one in `todo/` wins. Discarding a run whose job may still
# run leaves a mark (a run that is not reported); otherwise the next sweep would report the job as
# missing. The mark goes through `todo/`, too: only the holder of the drain's lock may write to
# `open/`, and it moves the mark there at once, or at its next start.
DISCARDED = "discarded by an administrator"
GROUP_SIZE = 200
GROUP_BYTES = 16_000_000  # only a run of about 65536 nodes is larger


@light_dataclass
class DeadLetterChange:
    """The planned change of a dead letter; `planned` and `done` describe it before and after.

    `file` is put into `todo/`; a file that is not a run goes `back` to its old directory. The dead
    letter and its reason are removed in any case.
    """

    name: str
    done: str
    planned: str
    file: NewFile | None = None
    back: DeadLetterReason | None = None

    @property
    def size_bytes(self) -> int:
        """Return the size of the file that the change creates; 0 without one."""
        return 0 if self.file is None else len(self.file.contents)


DeadLetterPlan = Callable[[Layout, str], DeadLetterChange]


def plan_retry(layout: Layout, name: str) -> DeadLetterChange:
    """Return the change that requeues a dead letter with its original times.

    Raises:
        UnusableFileError: it cannot be requeued as it is.
        OSError: it cannot be read, or vanished (FileNotFoundError).
    """
    if not is_run_name(name):
        return _plan_return(layout, name)
    run = reset_delivery(_load_dead_run(layout, name))
    return _plan_requeue(layout, run, "{} requeued")


def plan_discard(layout: Layout, name: str) -> DeadLetterChange:
    """Return the change that discards a dead letter.

    Raises:
        OSError: it cannot be read, or vanished (FileNotFoundError).
    """
    run = None
    if is_run_name(name):
        with suppress(UnusableFileError):
            run = load_run(layout, Directory.DEAD, name)
    if run is not None and run.reported and run.end is None:
        mark = replace(reset_delivery(run), reported=False, reason=DISCARDED)
        words = "{} discarded; a mark in open/ keeps sweeps from reporting the job again"
        return _plan_requeue(layout, mark, words)
    return _change(name, "{} discarded")


def apply_changes(
    layout: Layout, changes: Sequence[DeadLetterChange]
) -> dict[str, UnusableFileError | FileNotFoundError]:
    """Apply changes of dead letters, durably as a group; return the refusals by name.

    The lock of `dead/` is held, and has been since the changes were planned.

    Raises:
        OSError: the spool cannot be written; no dead letter is lost.
    """
    if files := [change.file for change in changes if change.file is not None]:
        create_files(layout, Directory.TODO, files)
    refused: dict[str, UnusableFileError | FileNotFoundError] = {}
    for change in changes:
        try:
            if change.back is None:
                _remove_dead_letter(layout, change.name)
            else:
                _put_back(layout, change.name, change.back)
        except (UnusableFileError, FileNotFoundError) as error:
            refused[change.name] = error
    for directory in {change.back.directory for change in changes if change.back is not None}:
        layout.fsync(directory)
    return refused


def reset_delivery(run: Run) -> Run:
    """Return a run without attempts and errors, as if cc-backend had never rejected it."""
    return replace(run, attempts=0, replacements=0, not_before=0, last_error=None)


def active_directory(layout: Layout, name: str) -> Directory | None:
    """Return `todo` or `open` if a run is there already, else None."""
    for directory in (Directory.TODO, Directory.OPEN):
        if layout.exists(directory, name):
            return directory
    return None


def _plan_requeue(layout: Layout, run: Run, words: str) -> DeadLetterChange:
    """Return the change that puts a run into `todo/`, unless `todo/` or `open/` has it already."""
    taken = active_directory(layout, run.name)
    if taken is not None:
        return _change(run.name, f"is in {taken}/ already; the dead letter {{}} removed")
    file = NewFile(name=run.name, contents=codec.encode(run), mtime=waiting_since(run))
    return replace(_change(run.name, words), file=file)


def _change(name: str, words: str) -> DeadLetterChange:
    """Return a change; `{}` in its description is replaced by `is` or `would be`."""
    return DeadLetterChange(name=name, done=words.format("is"), planned=words.format("would be"))


def _plan_return(layout: Layout, name: str) -> DeadLetterChange:
    """Return the change that puts a file that is not a run back into its old directory."""
    why = read_why(layout, name) or _reason_from_name(name)
    # a modified reason could move the file to any place
    if safe_name(why.name) != name or "/" in why.name:
        raise BadFileError(name, "its .why file is about another file; type `cc-spool discard ID`")
    if not layout.exists(Directory.DEAD, name):
        raise FileNotFoundError(2, os.strerror(2), f"dead/{name}")
    if layout.exists(why.directory, why.name):
        text = (
            f"{why.directory}/ already has a file of this name, so that it cannot be put back;"
            " type `cc-spool discard ID`"
        )
        raise BadFileError(name, text)
    return replace(_change(name, f"{{}} put back into {why.directory}/"), back=why)


def _reason_from_name(name: str) -> DeadLetterReason:
    """Return `new/` as the origin of a dead letter without `.why` file but with an event's name."""
    try:
        parse_event_name(name, time=0)
    except UnusableFileError as error:
        reason = (
            "the directory that it came from is not known (no .why file); type `cc-spool"
            " discard ID`"
        )
        raise BadFileError(name, reason) from error
    return DeadLetterReason(name=name, directory=Directory.NEW, time=0, reason="", hint="")


def _load_dead_run(layout: Layout, name: str) -> Run:
    try:
        return load_run(layout, Directory.DEAD, name)
    except BadFileError as error:
        reason = f"{error.reason}; repair the file, or type `cc-spool discard ID`"
        raise BadFileError(name, reason) from error


def _put_back(layout: Layout, name: str, origin: DeadLetterReason) -> None:
    """Move a dead letter to the directory that it came from, and remove its `.why` file."""
    layout.rename(Directory.DEAD, name, origin.directory, origin.name)
    # The drain needs no lock to move it to `dead/` once more, with a new reason.
    if not layout.exists(Directory.DEAD, name):
        layout.unlink(Directory.DEAD, name + WHY_SUFFIX)


def _remove_dead_letter(layout: Layout, name: str) -> None:
    """Remove a dead letter, which may be an empty directory, and its `.why` file."""
    try:
        layout.unlink(Directory.DEAD, name)
    except IsADirectoryError:
        try:
            layout.system_calls.rmdir(name, dir_fd=layout.fd(Directory.DEAD))
        except OSError as error:
            reason = f"it is a directory ({error.strerror}); remove it with rm -r"
            raise BadFileError(name, reason) from error
    layout.unlink(Directory.DEAD, name + WHY_SUFFIX)
