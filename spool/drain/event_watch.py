"""Wake the loop on signals and file changes: events, runs in `todo/`, token and configuration.

A thread waits in the kernel (inotify(7)) and puts a wake-up into the loop's queue. A wake-up is
only a hint: the loop looks at all files itself, also without one. The watches of the spool follow
its open directories, even if their paths are renamed later. Without inotify the loop polls and
needs no wake-up.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from spool.files.layout import Directory, Layout
from spool.worker import Answered

# the IN_* masks of <sys/inotify.h>, see inotify(7)
_IN_ATTRIB, _IN_CLOSE_WRITE, _IN_MOVED_FROM, _IN_MOVED_TO = 0x4, 0x8, 0x40, 0x80
_IN_CREATE, _IN_DELETE, _IN_DELETE_SELF, _IN_MOVE_SELF = 0x100, 0x200, 0x400, 0x800
# A hook's event is complete when its file is closed; the sweep links a complete file to its name,
# which only IN_CREATE reports. Slurm may forget a job soon, so no event may wait for a second.
_NEW = _IN_CLOSE_WRITE | _IN_MOVED_TO | _IN_CREATE
_TODO = _IN_MOVED_TO | _IN_CREATE
_INPUTS = _IN_ATTRIB | _IN_CLOSE_WRITE | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE
_INPUTS |= _IN_DELETE_SELF | _IN_MOVE_SELF
# Editors rename the old file and then write the new one: after the first change the new file does
# not exist yet.
INPUTS_SETTLE_SECONDS = 0.5
_READ_BYTES = 1 << 16


class WakeUps(Protocol):
    """The queue that the loop waits on."""

    def put(self, item: Answered, /) -> None:
        """Add an item to the queue that the drain's loop waits on."""


def new_descriptor(watched: Iterable[tuple[bytes, int]]) -> int:
    """Return an inotify descriptor that becomes readable when a watched directory changes.

    `watched` are pairs of a directory's path and its inotify mask.

    Raises:
        OSError: inotify cannot be used, as beyond a limit (`fs.inotify.max_user_instances`).
    """
    library = ctypes.CDLL(None, use_errno=True)
    fd: int = library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for path, mask in watched:
        if library.inotify_add_watch(fd, path, mask) < 0:
            number = ctypes.get_errno()
            os.close(fd)
            raise OSError(number, os.strerror(number))
    return fd


class EventWatch:
    """The watch (inotify) of `new/`, `todo/` and the directories of `inputs`, and of signals.

    `problem` is why the spool is not watched, so that the loop must poll; else "". All methods are
    used only in the main thread (`signal.set_wakeup_fd` requires it).
    """

    def __init__(
        self,
        layout: Layout,
        wake_ups: WakeUps,
        *,
        inputs: Iterable[Path] = (),
        new_descriptor: Callable[[Iterable[tuple[bytes, int]]], int] = new_descriptor,
    ) -> None:
        self.problem = ""
        self.wake_up_count = 0
        self._wake_ups = wake_ups
        self._is_announced = self._is_closing = False
        self._inputs = {path: _identity(path) for path in _directories(inputs)}
        self._fds: dict[str, int] = {}
        spool = ((Directory.NEW, _NEW), (Directory.TODO, _TODO))
        try:
            self._fds["spool"] = new_descriptor(
                (b"/proc/self/fd/%d" % layout.fd(directory), mask) for directory, mask in spool
            )
        except OSError as error:
            self.problem = error.strerror or str(error)
            return
        with suppress(OSError):
            self._fds["inputs"] = new_descriptor((bytes(path), _INPUTS) for path in self._inputs)
        self._fds["signals"], self._signal = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # A handler in Python runs only after the main thread has stopped waiting. CPython's handler
        # in C writes into this pipe at once, in whichever thread it runs (Python documentation,
        # signal.set_wakeup_fd).
        signal.set_wakeup_fd(self._signal, warn_on_full_buffer=False)
        self._thread = threading.Thread(
            target=self._run, args=(dict(self._fds),), name="events", daemon=True
        )
        self._thread.start()

    @property
    def is_watching_inputs(self) -> bool:
        """Return whether all directories of `inputs` are watched; False after one was replaced."""
        is_same = all(known == _identity(path) for path, known in self._inputs.items())
        return "inputs" in self._fds and is_same

    def take(self) -> None:
        """Receive a wake-up; the loop looks at all files afterwards."""
        self._is_announced = False
        self.wake_up_count += 1

    def close(self) -> None:
        """End the thread; safe to repeat."""
        if "signals" not in self._fds:
            return
        self._is_closing = True
        signal.set_wakeup_fd(-1)
        os.close(self._signal)  # its other end is readable now
        self._thread.join()
        fds, self._fds = self._fds, {}
        for fd in fds.values():
            os.close(fd)

    def _run(self, fds: dict[str, int]) -> None:
        try:
            self._wait(fds)
        except Exception as error:  # noqa: BLE001 - without this thread the loop must poll
            self.problem = repr(error)
            self._wake_ups.put(self)

    def _wait(self, fds: dict[str, int]) -> None:
        """Queue a wake-up after a change; no second one before the loop has received the first."""
        inputs = fds.get("inputs", -1)
        # `poll` and not `select`, which takes no descriptor above 1023 (select(2)).
        poll = select.poll()
        for fd in fds.values():
            poll.register(fd, select.POLLIN)
        settled_at: float | None = None  # when changed inputs will have settled
        while True:
            wait = None if settled_at is None else max(0.0, settled_at - time.monotonic()) * 1000
            ready = {fd for fd, _ in poll.poll(wait)}
            for fd in ready:
                os.read(fd, _READ_BYTES)
            if self._is_closing:
                return
            if ready == {inputs}:
                poll.unregister(inputs)  # others may write into that directory all the time
                settled_at = time.monotonic() + INPUTS_SETTLE_SECONDS
                continue
            if settled_at is not None:
                poll.register(inputs, select.POLLIN)
                settled_at = None
            # A change that comes while a wake-up is announced needs none: the loop looks at the
            # files after it has received that one, and this change was made before this line.
            if not self._is_announced:
                self._is_announced = True
                self._wake_ups.put(self)


def _directories(paths: Iterable[Path]) -> set[Path]:
    """Return the parent directories of paths, and of the files that links among them point to."""
    # not `Path.resolve`, which raises RuntimeError for a loop of links (Python 3.11)
    return {each.parent for path in paths for each in (path, Path(os.path.realpath(path)))}


def _identity(directory: Path) -> tuple[int, int] | None:
    """Return the device and inode number of a directory; None if it does not exist."""
    try:
        status = directory.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
