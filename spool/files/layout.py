"""The directories of a spool, held open: every file is reached relative to a directory descriptor.

The directory of a run is its state (of two copies `todo` wins over `open`, `open` over `dead`).
No link in them is followed, no FIFO is read, and a renamed parent cannot redirect a path.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from slurm.type_names import TYPE_CHECKING, Self
from spool.errors import ACCESS_HINT, BadFileError, SpoolError

if TYPE_CHECKING:
    from spool.files.system_calls import SystemCalls

# A link in `new/` would show another file, and opening a FIFO would block the loop for ever:
# whoever can become SlurmUser can make both.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SPARE_BYTES = 4096  # that a file may have grown between its size and the read
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Directory(StrEnum):
    """The five directories of a spool; the commands use the same words."""

    NEW = "new"
    TODO = "todo"
    OPEN = "open"
    DEAD = "dead"
    TMP = "tmp"


RUN_DIRECTORIES = (
    Directory.TODO,
    Directory.OPEN,
    Directory.DEAD,
)  # of two copies, the one in the earlier directory wins


@light_dataclass
class FileContents:
    """A regular file: contents (None when over the limit), size and mtime (Unix seconds)."""

    contents: bytes | None
    size_bytes: int
    time: float


class NotRegularError(BadFileError):
    """The name is not a regular file but a link, FIFO, directory, socket or device."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "not a regular file")


class Layout:
    """An open spool, accessed with `system_calls`, and `flock` (flock(2) by default).

    Raises:
        SpoolError: a directory is missing or may not be opened.
    """

    def __init__(
        self,
        root: Path,
        system_calls: SystemCalls = os,
        *,
        flock: Callable[[int, int], None] | None = None,
    ) -> None:
        self.root = root
        self.system_calls = system_calls
        self._flock = flock or fcntl.flock
        self._fds: dict[Directory, int] = {}
        try:
            for directory in Directory:
                self._fds[directory] = system_calls.open(root / directory, _OPEN_DIRECTORY)
        except OSError as error:
            self.close()
            hint = "create it as docs/install.md shows, or correct spool.directory"
            if isinstance(error, PermissionError):
                hint = ACCESS_HINT
            raise SpoolError(str(error.filename), error.strerror or "cannot open", hint) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptors; safe to repeat."""
        for fd in self._fds.values():
            self.system_calls.close(fd)
        self._fds.clear()

    def fd(self, directory: Directory) -> int:
        """Return the descriptor of a directory."""
        return self._fds[directory]

    def names(self, directory: Directory) -> Iterator[str]:
        """Yield the names in a directory, unsorted; a file may be removed before it is yielded."""
        with self.system_calls.scandir(self._fds[directory]) as entries:
            for entry in entries:
                yield entry.name

    def mtimes(self, directory: Directory) -> list[tuple[float, str]]:
        """Return mtime (Unix seconds) and name of each file in a directory, unsorted.

        The cheapest way to list many files: none is opened; a file that vanishes is skipped.
        """
        found = []
        with self.system_calls.scandir(self._fds[directory]) as entries:
            for entry in entries:
                try:
                    found.append((entry.stat(follow_symlinks=False).st_mtime, entry.name))
                except OSError:
                    continue
        return found

    def directory_mtime_ns(self, directory: Directory) -> int:
        """Return the mtime of a directory in nanoseconds."""
        return self.system_calls.fstat(self._fds[directory]).st_mtime_ns

    def mtime(self, directory: Directory, name: str) -> float:
        """Return the mtime of a file (of a link itself, not its target), Unix seconds."""
        return self._stat(directory, name).st_mtime

    def ctime(self, directory: Directory, name: str) -> float:
        """Return the ctime of a file (last write, chmod, link or rename), Unix seconds.

        Unlike the mtime, no program can set it.
        """
        return self._stat(directory, name).st_ctime

    def exists(self, directory: Directory, name: str) -> bool:
        """Return whether a name exists, of any file type."""
        try:
            self._stat(directory, name)
        except FileNotFoundError:
            return False
        return True

    def is_regular(self, directory: Directory, name: str) -> bool:
        """Return whether a name is a regular file; a link is not.

        Raises:
            OSError: it vanished.
        """
        return stat.S_ISREG(self._stat(directory, name).st_mode)

    def read(self, directory: Directory, name: str, limit_bytes: int) -> FileContents:
        """Read one regular file without following links or blocking.

        Raises:
            FileNotFoundError: it vanished.
            NotRegularError: it is not a regular file (ELOOP for a link, ENXIO for a socket).
            OSError: it cannot be read.
        """
        try:
            fd = self.system_calls.open(name, _OPEN_FILE, dir_fd=self._fds[directory])
        except OSError as error:
            if error.errno in _NOT_REGULAR:
                raise NotRegularError(name) from error
            raise
        try:
            # Of the open file, not of its name: between two calls the name may get another file.
            status = self.system_calls.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise NotRegularError(name)
            is_small = status.st_size <= limit_bytes
            contents = self._read_up_to(fd, limit_bytes, status.st_size) if is_small else None
            return FileContents(contents=contents, size_bytes=status.st_size, time=status.st_mtime)
        finally:
            self.system_calls.close(fd)

    def unlink(self, directory: Directory, name: str) -> None:
        """Remove a name, not durably; a missing name is not an error."""
        with suppress(FileNotFoundError):
            self.system_calls.unlink(name, dir_fd=self._fds[directory])

    def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        """Move a file to another directory; `fsync` of that directory makes it durable.

        Raises:
            OSError: it could not be moved, or vanished (FileNotFoundError).
        """
        fds = self._fds
        self.system_calls.rename(name, new_name, src_dir_fd=fds[source], dst_dir_fd=fds[target])

    def fsync(self, directory: Directory) -> None:
        """Make the names in a directory durable."""
        self.system_calls.fsync(self._fds[directory])

    @contextmanager
    def lock(self, directory: Directory, *, wait: bool) -> Iterator[bool]:
        """Hold the lock of a directory; without `wait` yield False if another process holds it.

        The kernel frees it when its holder ends. Where a file system has no locks, all hold it.
        """
        fd = self._fds[directory]
        try:
            self._flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:  # ENOLCK, EOPNOTSUPP: a file system without locks must not stop the drain
            yield True
            return
        try:
            yield True
        finally:
            # Not left to `close`: a child that is just being started has a copy of the descriptor,
            # and the lock lasts until all copies are closed or one of them is unlocked (flock(2)).
            self._flock(fd, fcntl.LOCK_UN)

    def free_bytes(self) -> int:
        """Return the bytes available to an unprivileged writer on the spool's file system."""
        status = self.system_calls.fstatvfs(self._fds[Directory.TMP])
        return status.f_bavail * status.f_frsize

    def free_inodes(self) -> int | None:
        """Return how many files the spool's file system can still take.

        None for a file system that does not count them, as btrfs (statvfs(3): `f_files` is 0).
        """
        status = self.system_calls.fstatvfs(self._fds[Directory.TMP])
        return status.f_favail if status.f_files else None

    def _stat(self, directory: Directory, name: str) -> os.stat_result:
        return self.system_calls.stat(name, dir_fd=self._fds[directory], follow_symlinks=False)

    def _read_up_to(self, fd: int, limit_bytes: int, size_bytes: int) -> bytes | None:
        """Read an open file of a known size to its end; None if it grew over the limit meanwhile.

        The pieces are larger than the file was, so that one short read is enough.
        """
        pieces: list[bytes] = []
        count, piece_bytes = 0, size_bytes + _SPARE_BYTES
        while piece := self.system_calls.read(fd, piece_bytes):
            count += len(piece)
            if count > limit_bytes:
                return None
            pieces.append(piece)
            # A short read before the end is that of a bad block: Linux returns the bytes before it,
            # and EIO at the next read (filemap_read in mm/filemap.c).
            if len(piece) < piece_bytes and count >= size_bytes:
                break
        return b"".join(pieces)


_NOT_REGULAR = frozenset({errno.ELOOP, errno.ENXIO})  # a link (O_NOFOLLOW), a socket
