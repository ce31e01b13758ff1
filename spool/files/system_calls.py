"""The system calls used on spool and state directory; module `os` implements them.

A test passes another implementation, a virtual disk, and sees every operation on these files.
Descriptors are numbers, paths are relative where a directory's descriptor is given; all of them
raise OSError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from slurm.type_names import Protocol

_READ_BYTES = 1 << 20


class DirectoryEntry(Protocol):
    """One name that `scandir` yields."""

    @property
    def name(self) -> str:
        """Return the name."""

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return size, times and kind of the file."""


class SystemCalls(Protocol):
    """The operations of a disk; names and arguments are those of module `os`."""

    def open(
        self, path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        """Open or create a file or directory; return its descriptor."""

    def read(self, fd: int, length: int, /) -> bytes:
        """Read the next bytes of a file; empty at its end."""

    def write(self, fd: int, data: bytes | memoryview, /) -> int:
        """Write bytes; return how many were written."""

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        """Read bytes at an offset."""

    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int:
        """Write bytes at an offset."""

    def ftruncate(self, fd: int, length: int, /) -> None:
        """Truncate a file."""

    def fsync(self, fd: int, /) -> None:
        """Make a file's contents, or the names in a directory, durable."""

    def close(self, fd: int) -> None:
        """Close a descriptor."""

    def fstat(self, fd: int) -> os.stat_result:
        """Return size, times and kind of an open file."""

    def fstatvfs(self, fd: int, /) -> os.statvfs_result:
        """Return the free space on the file system of an open file."""

    def stat(
        self, path: str | Path, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        """Return size, times and kind of the file with a name."""

    def scandir(self, path: int, /) -> AbstractContextManager[Iterator[DirectoryEntry]]:
        """List an open directory, in no order."""

    def utime(self, path: int, times: tuple[float, float]) -> None:
        """Set access and modification time of an open file, Unix seconds."""

    def rename(
        self,
        src: str | Path,
        dst: str | Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """Rename a file, replacing an existing one."""

    def link(
        self,
        src: str | Path,
        dst: str | Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """Create a second name of a file; FileExistsError if this name is taken."""

    def unlink(self, path: str | Path, *, dir_fd: int | None = None) -> None:
        """Remove a name of a file."""

    def rmdir(self, path: str, *, dir_fd: int | None = None) -> None:
        """Remove an empty directory."""

    def mkdir(self, path: str | Path, mode: int = 0o777) -> None:
        """Create a directory; FileExistsError if the name is taken."""


def write_all(system_calls: SystemCalls, fd: int, contents: bytes) -> None:
    """Write all bytes, in as many calls as needed.

    Raises:
        OSError: a part may have been written.
    """
    view = memoryview(contents)
    while view:
        view = view[system_calls.write(fd, view) :]


def read_lines(system_calls: SystemCalls, fd: int, offset: int = 0) -> Iterator[bytes]:
    """Yield the lines of an open file from an offset, without newlines; memory stays small."""
    rest = b""
    while piece := system_calls.pread(fd, _READ_BYTES, offset):
        offset += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest
