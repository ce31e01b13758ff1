"""A disk in memory behind the port of system calls, with faults, kills and legal crash states.

What was synced survives a power cut; of the rest any part may. The changes of one name happen in
order, a rename is one change of two names, and everything else is independent.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from simulation.inodes import Change, Entry, Inode, contents_after_crash

MEBIBYTE = 1 << 20
FREE_BYTES = 50 << 30
_TICK_NS = 4_000_000  # times of files are as coarse as the kernel's tick


class KilledError(BaseException):
    """The process was killed: nothing of it runs any more."""


class VirtualDisk:
    """The system calls of `spool.files.system_calls.SystemCalls`; time is the wall clock's.

    `fault` may raise an OSError for an operation on a name; `on_added`, `on_removed` hear of each
    name that comes and goes: (directory, name).
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._directories: dict[str, Inode] = {}
        self._pending: list[Change] = []
        self._unsynced: list[Inode] = []
        self._open: dict[int, tuple[Inode, str]] = {}
        self._offsets: dict[int, int] = {}
        self._next_fd = 100
        self.calls_left: int | None = None
        self.is_dead = False
        self.free_bytes = FREE_BYTES
        self.fault: Callable[[str, str], None] | None = None
        self.on_added: Callable[[str, str], None] = lambda _directory, _name: None
        self.on_removed: Callable[[str, str], None] = lambda _directory, _name: None

    # ---- the world's view

    def add_directory(self, path: Path) -> None:
        """Create a directory that was always there."""
        self._directories[str(path)] = Inode(is_directory=True, time_ns=self._now_ns())

    def names(self, path: Path) -> dict[str, bytes]:
        """Return the files of a directory with their contents."""
        return {name: each.data for name, each in self._directories[str(path)].entries.items()}

    def durable(self, path: Path, name: str) -> bytes | None:
        """Return what surely survives of a file; None if nothing does."""
        inode = self._directories[str(path)].durable.get(name)
        return None if inode is None else inode.synced

    def create(self, path: Path, name: str, contents: bytes) -> None:
        """Create a file as somebody else's process does, not durably."""
        directory, inode = self._directories[str(path)], self._new_file()
        inode.data = contents
        self._unsynced.append(inode)
        self._change(None, (directory, name, inode))

    def write_back(self) -> None:
        """Make everything durable, as the kernel does some seconds later."""
        for change in self._pending:
            change.make_durable()
        self._pending.clear()
        for inode in self._unsynced:
            inode.synced = inode.data
        self._unsynced.clear()

    def restart(self, random: Random, *, power_cut: bool) -> list[str]:
        """Begin a new life; return the paths that a power cut cost or changed."""
        self._open.clear()
        self._offsets.clear()
        self.is_dead, self.calls_left = False, None
        return self._lose(random) if power_cut else []

    def _lose(self, random: Random) -> list[str]:
        keep = random.choice([0.0, 0.3, 0.7, 1.0])
        lost: set[tuple[int, str]] = set()
        for change in self._pending:
            names = change.names()
            if random.random() < keep and not lost.intersection(names):
                change.make_durable()
            else:
                lost.update(names)
        self._pending.clear()
        changed: list[str] = []
        for path, directory in self._directories.items():
            gone = directory.entries.keys() - directory.durable.keys()
            changed += [f"{path}/{name}" for name in sorted(gone)]
            directory.entries = dict(directory.durable)
            for name, inode in directory.entries.items():
                if inode.synced != inode.data:
                    inode.data = contents_after_crash(inode, random)
                    inode.synced = inode.data
                    changed.append(f"{path}/{name}")
        return changed

    # ---- system calls

    def open(
        self, path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        """Open or create."""
        del mode
        name = str(path)
        self._gate("open_write" if flags & (os.O_WRONLY | os.O_RDWR) else "open", name)
        if dir_fd is None and (found := self._directories.get(name)) is not None:
            return self._opened(found, name)
        directory, last = self._place(name, dir_fd)
        inode = directory.entries.get(last)
        if inode is None:
            if not flags & os.O_CREAT:
                raise _error(errno.ENOENT, name)
            inode = self._new_file()
            self._change(None, (directory, last, inode))
        elif flags & os.O_EXCL:
            raise _error(errno.EEXIST, name)
        elif flags & os.O_TRUNC:
            inode.data = b""
        fd = self._opened(inode, name)
        self._offsets[fd] = -1 if flags & os.O_APPEND else 0
        return fd

    def read(self, fd: int, length: int, /) -> bytes:
        """Read on."""
        inode, name = self._open[fd]
        self._gate("read", name)
        data = inode.data[self._offsets[fd] : self._offsets[fd] + length]
        self._offsets[fd] += len(data)
        return data

    def write(self, fd: int, data: bytes | memoryview, /) -> int:
        """Write on; at the end of a file opened to append."""
        inode, name = self._open[fd]
        self._gate("write", name)
        offset = self._offsets[fd]
        at = len(inode.data) if offset < 0 else offset
        inode.data = inode.data[:at] + bytes(data) + inode.data[at + len(data) :]
        if offset >= 0:
            self._offsets[fd] = at + len(data)
        inode.time_ns = self._now_ns()
        self._unsynced.append(inode)
        return len(data)

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        """Read at an offset."""
        inode, name = self._open[fd]
        self._gate("read", name)
        return inode.data[offset : offset + length]

    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int:
        """Write at an offset."""
        inode, name = self._open[fd]
        self._gate("write", name)
        inode.data = (
            inode.data[:offset].ljust(offset, b"\0") + data + inode.data[offset + len(data) :]
        )
        return len(data)

    def ftruncate(self, fd: int, length: int, /) -> None:
        """Cut a file."""
        inode, name = self._open[fd]
        self._gate("write", name)
        inode.data = inode.data[:length]

    def fsync(self, fd: int, /) -> None:
        """Make contents, or names, durable."""
        inode, name = self._open[fd]
        self._gate("fsync", name)
        if not inode.is_directory:
            inode.synced = inode.data
            return
        own = [c for c in self._pending if any(place == id(inode) for place, _ in c.names())]
        for change in own:
            change.make_durable()
            self._pending.remove(change)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        self._open.pop(fd, None)
        self._offsets.pop(fd, None)

    def fstat(self, fd: int) -> os.stat_result:
        """Return size, times and kind of what is open."""
        inode, name = self._open[fd]
        self._gate("stat", name)
        return inode.status()

    def fstatvfs(self, fd: int, /) -> os.statvfs_result:
        """Return the room."""
        self._gate("stat", self._open[fd][1])
        blocks = self.free_bytes // 4096
        return os.statvfs_result(
            (4096, 4096, 1 << 30, blocks, blocks, 1 << 20, 1 << 19, 1 << 19, 0, 255)
        )

    def stat(
        self, path: str | Path, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        """Return size, times and kind of a name."""
        del follow_symlinks
        self._gate("stat", str(path))
        directory, last = self._place(str(path), dir_fd)
        if last not in directory.entries:
            raise _error(errno.ENOENT, str(path))
        return directory.entries[last].status()

    @contextmanager
    def scandir(self, path: int, /) -> Iterator[Iterator[Entry]]:
        """List an open directory."""
        inode, name = self._open[path]
        self._gate("list", name)
        yield iter([Entry(each, found) for each, found in inode.entries.items()])

    def utime(self, path: int, times: tuple[float, float]) -> None:
        """Set the time of an open file."""
        self._gate("write", self._open[path][1])
        self._open[path][0].time_ns = int(times[1] * 1e9)

    def rename(
        self,
        src: str | Path,
        dst: str | Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """Move a name, over one that is there."""
        self._gate("rename", str(dst))
        source, old = self._place(str(src), src_dir_fd)
        target, new = self._place(str(dst), dst_dir_fd)
        if old not in source.entries:
            raise _error(errno.ENOENT, str(src))
        self._change((source, old), (target, new, source.entries[old]))

    def link(
        self,
        src: str | Path,
        dst: str | Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """Give a file a second name."""
        self._gate("rename", str(dst))
        source, old = self._place(str(src), src_dir_fd)
        target, new = self._place(str(dst), dst_dir_fd)
        if new in target.entries:
            raise _error(errno.EEXIST, str(dst))
        self._change(None, (target, new, source.entries[old]))

    def unlink(self, path: str | Path, *, dir_fd: int | None = None) -> None:
        """Remove a name."""
        self._gate("unlink", str(path))
        directory, last = self._place(str(path), dir_fd)
        if last not in directory.entries:
            raise _error(errno.ENOENT, str(path))
        self._change((directory, last), None)

    def rmdir(self, path: str, *, dir_fd: int | None = None) -> None:
        """Remove an empty directory; there is none."""
        del dir_fd
        raise _error(errno.ENOTDIR, path)

    def mkdir(self, path: str | Path, mode: int = 0o777) -> None:
        """Create a directory."""
        del mode
        self._gate("open_write", str(path))
        if str(path) in self._directories:
            raise _error(errno.EEXIST, str(path))
        self.add_directory(Path(path))

    # ---- inside

    def _gate(self, operation: str, name: str) -> None:
        """Let an operation pass, unless the process is dead or the disk fails."""
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
        found = self._directories.get(parent)
        if found is None:
            raise _error(errno.ENOENT, path)
        return found, last

    def _change(
        self, removed: tuple[Inode, str] | None, added: tuple[Inode, str, Inode] | None
    ) -> None:
        self._pending.append(Change(removed, added))
        now = self._now_ns()
        if removed:
            del removed[0].entries[removed[1]]
            removed[0].time_ns = now
        if added:
            added[0].entries[added[1]] = added[2]
            added[0].time_ns = now
        if removed:
            self.on_removed(self._path_of(removed[0]), removed[1])
        if added:
            self.on_added(self._path_of(added[0]), added[1])

    def _path_of(self, directory: Inode) -> str:
        return next(path for path, each in self._directories.items() if each is directory)

    def _opened(self, inode: Inode, name: str) -> int:
        self._next_fd += 1
        self._open[self._next_fd] = (inode, name)
        return self._next_fd

    def _new_file(self) -> Inode:
        return Inode(is_directory=False, time_ns=self._now_ns())

    def _now_ns(self) -> int:
        return int(self._wall() * 1e9) // _TICK_NS * _TICK_NS


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
