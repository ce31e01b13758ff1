"""A disk in memory behind the system call interface, with faults, kills and legal crash states."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from simulation.disk_tree import DiskTree
from simulation.inodes import Entry, Inode

MEBIBYTE = 1 << 20
FREE_BYTES = 50 << 30


class KilledError(BaseException):
    """The process was killed: nothing of it runs any more."""


class VirtualDisk(DiskTree):
    """The system calls of `spool.files.system_calls.SystemCalls`.

    `fault` may raise an OSError for an operation on a name. After `calls_left` more calls the
    process is killed.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        super().__init__(wall)
        self.calls_left: int | None = None
        self.is_dead = False
        self.free_bytes = FREE_BYTES
        self.fault: Callable[[str, str], None] | None = None
        self._open: dict[int, tuple[Inode, str]] = {}
        self._offsets: dict[int, int] = {}
        self._next_fd = 100

    def restart(self, random: Random, *, power_cut: bool) -> list[str]:
        """Begin a new process; return the paths that a power cut removed or changed."""
        self._open.clear()
        self._offsets.clear()
        self.is_dead, self.calls_left = False, None
        return self.lose(random) if power_cut else []

    # ---- system calls

    def open(
        self, path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        """Open a path, or create a file; return the descriptor."""
        del mode
        name = str(path)
        self._check_call("open_write" if flags & (os.O_WRONLY | os.O_RDWR) else "open", name)
        if dir_fd is None and (found := self.directories.get(name)) is not None:
            return self._opened(found, name)
        directory, last = self._place(name, dir_fd)
        inode = directory.entries.get(last)
        if inode is None:
            if not flags & os.O_CREAT:
                raise _error(errno.ENOENT, name)
            inode = self.new_file()
            self.change(None, (directory, last, inode))
        elif flags & os.O_EXCL:
            raise _error(errno.EEXIST, name)
        elif flags & os.O_TRUNC:
            inode.data = b""
        fd = self._opened(inode, name)
        self._offsets[fd] = -1 if flags & os.O_APPEND else 0
        return fd

    def read(self, fd: int, length: int, /) -> bytes:
        """Read from the current offset."""
        inode, name = self._open[fd]
        self._check_call("read", name)
        data = inode.data[self._offsets[fd] : self._offsets[fd] + length]
        self._offsets[fd] += len(data)
        return data

    def write(self, fd: int, data: bytes | memoryview, /) -> int:
        """Write at the current offset, or at the end of a file opened to append."""
        inode, name = self._open[fd]
        self._check_call("write", name)
        offset = self._offsets[fd]
        at = len(inode.data) if offset < 0 else offset
        inode.data = inode.data[:at] + bytes(data) + inode.data[at + len(data) :]
        if offset >= 0:
            self._offsets[fd] = at + len(data)
        inode.time_ns = inode.changed_ns = self.now_ns()
        self.unsynced.append(inode)
        return len(data)

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        """Read at an offset."""
        inode, name = self._open[fd]
        self._check_call("read", name)
        return inode.data[offset : offset + length]

    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int:
        """Write at an offset."""
        inode, name = self._open[fd]
        self._check_call("write", name)
        inode.data = (
            inode.data[:offset].ljust(offset, b"\0") + data + inode.data[offset + len(data) :]
        )
        return len(data)

    def ftruncate(self, fd: int, length: int, /) -> None:
        """Cut a file to a length."""
        inode, name = self._open[fd]
        self._check_call("write", name)
        inode.data = inode.data[:length]

    def fsync(self, fd: int, /) -> None:
        """Make the contents of a file, or the names in a directory, durable."""
        inode, name = self._open[fd]
        self._check_call("fsync", name)
        if not inode.is_directory:
            inode.synced = inode.data
            return
        own = [c for c in self.pending if any(place == id(inode) for place, _ in c.names())]
        for change in own:
            change.make_durable()
            self.pending.remove(change)

    def flock(self, fd: int, _operation: int) -> None:
        """Take or release a lock; there is no other process that could hold it."""
        self._check_call("lock", self._open[fd][1])

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        self._open.pop(fd, None)
        self._offsets.pop(fd, None)

    def fstat(self, fd: int) -> os.stat_result:
        """Return size, times and kind of an open file."""
        inode, name = self._open[fd]
        self._check_call("stat", name)
        return inode.status()

    def fstatvfs(self, fd: int, /) -> os.statvfs_result:
        """Return the free space."""
        self._check_call("stat", self._open[fd][1])
        blocks = self.free_bytes // 4096
        return os.statvfs_result(
            (4096, 4096, 1 << 30, blocks, blocks, 1 << 20, 1 << 19, 1 << 19, 0, 255)
        )

    def stat(
        self, path: str | Path, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        """Return size, times and kind of a name."""
        del follow_symlinks
        self._check_call("stat", str(path))
        directory, last = self._place(str(path), dir_fd)
        if last not in directory.entries:
            raise _error(errno.ENOENT, str(path))
        return directory.entries[last].status()

    @contextmanager
    def scandir(self, path: int, /) -> Iterator[Iterator[Entry]]:
        """List an open directory."""
        inode, name = self._open[path]
        self._check_call("list", name)
        yield iter([Entry(each, found) for each, found in inode.entries.items()])

    def utime(self, path: int, times: tuple[float, float]) -> None:
        """Set the time of an open file."""
        self._check_call("write", self._open[path][1])
        inode = self._open[path][0]
        inode.time_ns, inode.changed_ns = int(times[1] * 1e9), self.now_ns()

    def rename(
        self,
        src: str | Path,
        dst: str | Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """Move a name; replace the target if it exists."""
        self._check_call("rename", str(dst))
        source, old = self._place(str(src), src_dir_fd)
        target, new = self._place(str(dst), dst_dir_fd)
        if old not in source.entries:
            raise _error(errno.ENOENT, str(src))
        self.change((source, old), (target, new, source.entries[old]))

    def link(
        self,
        src: str | Path,
        dst: str | Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """Give a file a second name."""
        self._check_call("rename", str(dst))
        source, old = self._place(str(src), src_dir_fd)
        target, new = self._place(str(dst), dst_dir_fd)
        if new in target.entries:
            raise _error(errno.EEXIST, str(dst))
        self.change(None, (target, new, source.entries[old]))

    def unlink(self, path: str | Path, *, dir_fd: int | None = None) -> None:
        """Remove a name."""
        self._check_call("unlink", str(path))
        directory, last = self._place(str(path), dir_fd)
        if last not in directory.entries:
            raise _error(errno.ENOENT, str(path))
        self.change((directory, last), None)

    def rmdir(self, path: str, *, dir_fd: int | None = None) -> None:
        """Fail: there is no directory that may be removed."""
        del dir_fd
        raise _error(errno.ENOTDIR, path)

    def mkdir(self, path: str | Path, mode: int = 0o777) -> None:
        """Create a directory."""
        del mode
        self._check_call("open_write", str(path))
        if str(path) in self.directories:
            raise _error(errno.EEXIST, str(path))
        self.add_directory(Path(path))

    # ---- inside

    def _check_call(self, operation: str, name: str) -> None:
        """Raise an error if the process is dead or the disk fails."""
        if self.calls_left is not None:
            self.calls_left -= 1
            self.is_dead = self.is_dead or self.calls_left < 0
        if self.is_dead:
            raise KilledError
        if self.fault is not None:
            self.fault(operation, name)

    def _place(self, path: str, dir_fd: int | None) -> tuple[Inode, str]:
        if dir_fd is not None:
            return self._open[dir_fd][0], path
        parent, _, last = path.rpartition("/")
        found = self.directories.get(parent)
        if found is None:
            raise _error(errno.ENOENT, path)
        return found, last

    def _opened(self, inode: Inode, name: str) -> int:
        self._next_fd += 1
        self._open[self._next_fd] = (inode, name)
        return self._next_fd


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
