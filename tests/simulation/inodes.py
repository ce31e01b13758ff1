"""Files, directories and name changes of the virtual disk, with their durable state."""

from __future__ import annotations

import os
import stat
from random import Random


class Inode:
    """A file or a directory."""

    def __init__(self, *, is_directory: bool, time_ns: int) -> None:
        self.is_directory = is_directory
        self.data = b""
        self.synced: bytes | None = None
        self.time_ns = self.changed_ns = time_ns
        self.entries: dict[str, Inode] = {}
        self.durable: dict[str, Inode] = {}

    def status(self) -> os.stat_result:
        """Return the result of `stat`."""
        kind = stat.S_IFDIR if self.is_directory else stat.S_IFREG
        seconds, changed = self.time_ns // 1_000_000_000, self.changed_ns // 1_000_000_000
        plain = (kind | 0o640, id(self) & 0xFFFF, 1, 1, 0, 0, len(self.data), 0, seconds, changed)
        times = {"st_mtime": self.time_ns / 1e9, "st_mtime_ns": self.time_ns}
        return os.stat_result(plain, times)


class Change:
    """A change of names that is not durable yet: it removes `removed` and adds `added`."""

    def __init__(
        self, removed: tuple[Inode, str] | None, added: tuple[Inode, str, Inode] | None
    ) -> None:
        self.removed = removed
        self.added = added

    def names(self) -> list[tuple[int, str]]:
        """Return the names that the change affects."""
        return [(id(place[0]), place[1]) for place in (self.removed, self.added) if place]

    def make_durable(self) -> None:
        """Make the change durable."""
        if self.removed:
            self.removed[0].durable.pop(self.removed[1], None)
        if self.added:
            self.added[0].durable[self.added[1]] = self.added[2]


class Entry:
    """A name that `scandir` yields."""

    def __init__(self, name: str, inode: Inode) -> None:
        self.name = name
        self._inode = inode

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return size, times and kind."""
        del follow_symlinks
        return self._inode.status()


def contents_after_crash(inode: Inode, random: Random) -> bytes:
    """Return what a power cut leaves of contents that were not synced."""
    data, old = inode.data, inode.synced or b""
    return random.choice([data, old, b"", data[: len(data) // 2], b"\0" * len(data)])
