"""Small files of the state directory: each is replaced atomically; a missing one has defaults.

`drain.json` shows the drain's state to other commands; `handling` names the file being parsed or
processed, so that one file cannot cause a crash loop. Counts and ages are never stored here: they
come from the spool's directories.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from slurm.type_names import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from spool.files.system_calls import SystemCalls

# files of the state directory that more than one part of the program reads
DRAIN_STATE_FILE = "drain.json"
DRAIN_LOCK_FILE = "drain.lock"
SWEEP_STATE_FILE = "sweep.json"
DELIVERED_DIRECTORY = "delivered"
FILE_MODE = 0o640
MAX_CRASHES = 3
_REPLACE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_WIDTH = 512


def write_json(
    path: Path, value: dict[str, Any], *, durable: bool = True, system_calls: SystemCalls = os
) -> None:
    """Replace a state file by an object: tmp file, fsync, rename, fsync of the directory.

    Raises:
        OSError: the old file is still there.
    """
    from spool.files.system_calls import write_all  # noqa: PLC0415 - most commands only read

    contents = json.dumps(value).encode() + b"\n"
    tmp = path.with_name(f".{path.name}.tmp")
    fd = system_calls.open(tmp, _REPLACE, FILE_MODE)
    try:
        write_all(system_calls, fd, contents)
        if durable:
            system_calls.fsync(fd)
    finally:
        system_calls.close(fd)
    system_calls.rename(tmp, path)
    if durable:
        _sync_directory(path.parent, system_calls)


def _sync_directory(path: Path, system_calls: SystemCalls) -> None:
    """Make the names in a directory durable."""
    fd = system_calls.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        system_calls.fsync(fd)
    finally:
        system_calls.close(fd)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a state file; {} and a warning when it is damaged, {} when missing."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        logging.getLogger(__name__).warning("state file %s is ignored: %s", path, error)
        return {}
    if not isinstance(value, dict):
        logging.getLogger(__name__).warning(
            "state file %s is not a JSON object: it is ignored, and written anew", path
        )
        return {}
    return value


class CrashMarkerError(OSError):
    """The crash marker cannot be written; the file that it names is not at fault."""


class CrashMarker:
    """A marker on disk of the name being processed: `with crash_marker(name): ...`.

    It must survive a crash of the process, not of the machine: no fsync. A name found at the start
    was being processed when the last process died; after three crashes in a row it is moved to
    `dead/`. If one step with it succeeds (parsing), the next one (processing) may crash.
    """

    def __init__(self, path: Path, system_calls: SystemCalls = os) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._system_calls = system_calls
        self._fd = system_calls.open(path, flags, FILE_MODE)
        crashes, _, name = (
            system_calls.pread(self._fd, _WIDTH, 0).partition(b"\0")[0].partition(b" ")
        )
        self._name = ""  # of the block that is running
        self._crashes = int(crashes) if crashes in {b"1", b"2", b"3"} else 0
        self._suspect_name = os.fsdecode(name) if self._crashes else ""

    def is_poison(self, name: str) -> bool:
        """Return whether processing this name has crashed the process too often.

        True only once: the file is moved to dead/ then, and may be retried after a repair.
        """
        if name != self._suspect_name or self._crashes < MAX_CRASHES:
            return False
        self._suspect_name, self._crashes = "", 0
        return True

    def __call__(self, name: str) -> AbstractContextManager[object]:
        """Write the name for the `with` block; inside of it the same name has no further effect.

        Raises:
            CrashMarkerError: it cannot be written, here or at the end of the block.
        """
        if name == self._name:
            return nullcontext()
        crashes = self._crashes if name == self._suspect_name else 0
        self._write(b"%d %b" % (min(crashes + 1, MAX_CRASHES), os.fsencode(name)))
        self._name = name
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._name = ""
        if not _is_bug(error):
            self._write(b"")

    def close(self) -> None:
        """Close the file."""
        self._system_calls.close(self._fd)

    def _write(self, line: bytes) -> None:
        try:
            self._system_calls.pwrite(self._fd, line[:_WIDTH].ljust(_WIDTH, b"\0"), 0)
        except OSError as error:
            raise CrashMarkerError(error.errno, error.strerror) from error


def _is_bug(error: BaseException | None) -> bool:
    """Return whether an exception is a bug that ends the process: a built-in one, no OSError."""
    is_answer = isinstance(error, OSError) or type(error).__module__ != "builtins"
    return isinstance(error, Exception) and not is_answer
