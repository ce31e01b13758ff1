"""Kill a process before or after its n-th system call on the spool or the network.

Installed in a forked child only. With `power_cut` the child first applies the effects of a power
cut: a file without fsync becomes empty, a rename or link without fsync of its directory is undone.
Removals stay, which is the worst case.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_NAMED = (
    *("open", "write", "pwrite", "read", "pread", "ftruncate", "fsync", "close", "stat", "scandir"),
    *("rename", "replace", "link", "unlink", "mkdir"),
)
_SOCKET = ("connect", "sendall", "send", "recv_into")


@dataclass
class Calls:
    """A counter of system calls that kills the process at one of them; `number` None: never."""

    number: int | None
    after: bool
    power_cut: bool
    count: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _unsynced: dict[int, tuple[int, str]] = field(default_factory=dict)
    _files: dict[tuple[int, str], bool] = field(default_factory=dict)
    _renames: list[tuple[int, int, str, bytes | None]] = field(default_factory=list)
    _links: list[tuple[int, str]] = field(default_factory=list)
    _real: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def install(self) -> None:
        """Replace the functions of `os` and `socket` by functions that count their calls."""
        for name in _NAMED:
            self._real[name] = getattr(os, name)
            setattr(os, name, self._observed(name, self._real[name]))
        for name in _SOCKET:
            setattr(socket.socket, name, self._observed(name, getattr(socket.socket, name)))

    def _observed(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                self.count += 1
                mine = self.count == self.number
                if mine and not self.after:
                    self._end()
                old = self._old(name, arguments, named)
            result = real(*arguments, **named)
            with self._lock:
                self._note(name, arguments, named, result, old)
                if mine:
                    self._end()
            return result

        return call

    def _old(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> bytes | None:
        """Return the file that a rename will replace: a power cut may restore it."""
        if name != "rename" or "dst_dir_fd" not in named or not self.power_cut:
            return None
        try:
            fd = self._real["open"](arguments[1], os.O_RDONLY, dir_fd=named["dst_dir_fd"])
        except OSError:
            return None
        try:
            return bytes(self._real["read"](fd, 1 << 24))
        finally:
            os.close(fd)

    def _note(
        self,
        name: str,
        arguments: tuple[Any, ...],
        named: dict[str, Any],
        result: Any,
        old: bytes | None,
    ) -> None:
        """Record the changes that would not survive a power cut."""
        directory = named.get("dir_fd")
        if name == "open" and directory is not None and arguments[1] & os.O_CREAT:
            self._unsynced[result] = (directory, arguments[0])
            self._files[directory, arguments[0]] = False
        elif name == "fsync":
            self._synced(arguments[0])
        elif name == "rename" and "dst_dir_fd" in named:
            source, target = named["src_dir_fd"], named["dst_dir_fd"]
            self._files[target, arguments[1]] = self._files.pop((source, arguments[0]), True)
            self._renames.append((source, target, arguments[1], old))
        elif name == "link":
            linked = (named["dst_dir_fd"], arguments[1])
            self._files[linked] = self._files.get((named["src_dir_fd"], arguments[0]), True)
            self._links.append(linked)

    def _synced(self, fd: int) -> None:
        if fd in self._unsynced:
            self._files[self._unsynced.pop(fd)] = True
        self._renames = [rename for rename in self._renames if rename[1] != fd]
        self._links = [link for link in self._links if link[0] != fd]

    def _end(self) -> None:
        if self.power_cut:
            self._cut()
        os.kill(os.getpid(), signal.SIGKILL)

    def _cut(self) -> None:
        for directory, name in self._links:
            with suppress(OSError):
                self._real["unlink"](name, dir_fd=directory)
        for (directory, name), is_safe in self._files.items():
            if not is_safe:
                try:
                    fd = self._real["open"](name, os.O_WRONLY | os.O_TRUNC, dir_fd=directory)
                except OSError:
                    continue
                os.close(fd)
        for source, target, name, old in reversed(self._renames):
            try:
                self._real["rename"](name, name, src_dir_fd=target, dst_dir_fd=source)
            except OSError:
                continue
            if old is not None:
                fd = self._real["open"](name, os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=target)
                self._real["write"](fd, old)
                os.close(fd)
