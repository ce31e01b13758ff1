"""The contents of the virtual disk, what of them is durable, and what a power cut leaves.

What was synced survives; any part of the rest may survive. The changes of one name happen in order,
a rename is one change of two names, and all other changes are independent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from simulation.inodes import Change, Inode, contents_after_crash

_TICK_NS = 4_000_000  # times of files are as coarse as the kernel's tick


class DiskTree:
    """Directories and files. Times are the wall clock's.

    `on_added` and `on_removed` are called with the directory and the name of each change.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self.directories: dict[str, Inode] = {}
        self.pending: list[Change] = []
        self.unsynced: list[Inode] = []
        self.on_added: Callable[[str, str], None] = lambda _directory, _name: None
        self.on_removed: Callable[[str, str], None] = lambda _directory, _name: None
        self._wall = wall

    def add_directory(self, path: Path) -> None:
        """Create a directory that is durable from the beginning."""
        self.directories[str(path)] = Inode(is_directory=True, time_ns=self.now_ns())

    def names(self, path: Path) -> dict[str, bytes]:
        """Return the files of a directory with their contents."""
        return {name: each.data for name, each in self.directories[str(path)].entries.items()}

    def durable(self, path: Path, name: str) -> bytes | None:
        """Return the contents of a file that survive a power cut; None if nothing does."""
        inode = self.directories[str(path)].durable.get(name)
        return None if inode is None else inode.synced

    def create(self, path: Path, name: str, contents: bytes) -> None:
        """Create a file as another process does, not durably."""
        directory, inode = self.directories[str(path)], self.new_file()
        inode.data = contents
        self.unsynced.append(inode)
        self.change(None, (directory, name, inode))

    def write_late(self, path: Path, name: str, contents: bytes) -> None:
        """Write a file as the process does that created it, if the file still exists."""
        inode = self.directories[str(path)].entries.get(name)
        if inode is not None:
            inode.data = contents
            inode.time_ns = inode.changed_ns = self.now_ns()
            self.unsynced.append(inode)

    def write_back(self) -> None:
        """Make everything durable, as the kernel does some seconds later."""
        for change in self.pending:
            change.make_durable()
        self.pending.clear()
        for inode in self.unsynced:
            inode.synced = inode.data
        self.unsynced.clear()

    def lose(self, random: Random) -> list[str]:
        """Cut the power; return the paths that are removed or changed."""
        keep = random.choice([0.0, 0.3, 0.7, 1.0])
        lost: set[tuple[int, str]] = set()
        for change in self.pending:
            names = change.names()
            if random.random() < keep and not lost.intersection(names):
                change.make_durable()
            else:
                lost.update(names)
        self.pending.clear()
        changed: list[str] = []
        for path, directory in self.directories.items():
            gone = directory.entries.keys() - directory.durable.keys()
            changed += [f"{path}/{name}" for name in sorted(gone)]
            directory.entries = dict(directory.durable)
            for name, inode in directory.entries.items():
                if inode.synced != inode.data:
                    inode.data = contents_after_crash(inode, random)
                    inode.synced = inode.data
                    changed.append(f"{path}/{name}")
        return changed

    def change(
        self, removed: tuple[Inode, str] | None, added: tuple[Inode, str, Inode] | None
    ) -> None:
        """Remove a name, add one, or both at once."""
        self.pending.append(Change(removed, added))
        now = self.now_ns()
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
        return next(path for path, each in self.directories.items() if each is directory)

    def new_file(self) -> Inode:
        """Return an empty file without a name."""
        return Inode(is_directory=False, time_ns=self.now_ns())

    def now_ns(self) -> int:
        """Return the time that files get now."""
        return int(self._wall() * 1e9) // _TICK_NS * _TICK_NS
