"""Wake the loop when an event is new in the spool, by inotify(7).

A thread waits in the kernel and puts a wake-up into the loop's queue. A wake-up is only a hint: the
loop looks at `new/` itself, also without one, each second. The watch is of the directory that the
spool holds open, whatever its path means later.
"""

from __future__ import annotations

import ctypes
import os
import select
import threading
from collections.abc import Callable
from typing import Protocol

from spool.files.layout import Directory, Layout
from spool.worker import Answered

# A hook's event is complete when its file is closed; the sweep links a complete file to its name,
# which only IN_CREATE reports. Slurm may forget a job soon, so no event may wait for a second.
_WATCHED = 0x08 | 0x80 | 0x100  # IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE
_READ_BYTES = 1 << 16


class WakeUps(Protocol):
    """The queue that the loop waits on."""

    def put(self, item: Answered, /) -> None:
        """Add an item."""


def new_descriptor(path: bytes) -> int:
    """Return an inotify descriptor that is readable after events were written to a directory.

    Raises:
        OSError: inotify cannot be used, as beyond a limit (`fs.inotify.max_user_instances`).
    """
    library = ctypes.CDLL(None, use_errno=True)
    fd: int = library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if library.inotify_add_watch(fd, path, _WATCHED) < 0:
        number = ctypes.get_errno()
        os.close(fd)
        raise OSError(number, os.strerror(number))
    return fd


class EventWatch:
    """The watch of `new/`; `problem` is why there is none, so that the loop must poll; else "".

    All methods except `take` are for the thread that creates it.
    """

    def __init__(
        self,
        layout: Layout,
        wake_ups: WakeUps,
        *,
        new_descriptor: Callable[[bytes], int] = new_descriptor,
    ) -> None:
        self.problem = ""
        self._wake_ups = wake_ups
        self._is_announced = False
        self._fds: tuple[int, ...] = ()
        try:
            inotify = new_descriptor(b"/proc/self/fd/%d" % layout.fd(Directory.NEW))
        except OSError as error:
            self.problem = error.strerror or str(error)
            return
        end = os.eventfd(0, os.EFD_CLOEXEC)
        self._fds = inotify, end
        self._thread = threading.Thread(
            target=self._wait, args=(inotify, end), name="events", daemon=True
        )
        self._thread.start()

    def take(self) -> None:
        """Receive a wake-up; called by the loop, which looks at `new/` afterwards."""
        self._is_announced = False

    def close(self) -> None:
        """End the thread; safe to repeat."""
        if not self._fds:
            return
        inotify, end = self._fds
        self._fds = ()
        os.eventfd_write(end, 1)
        self._thread.join()
        os.close(inotify)
        os.close(end)

    def _wait(self, inotify: int, end: int) -> None:
        """Put one wake-up into the queue for all events until the loop has received it."""
        # `poll` and not `select`, which takes no descriptor above 1023 (select(2)).
        poll = select.poll()
        poll.register(inotify, select.POLLIN)
        poll.register(end, select.POLLIN)
        while all(fd != end for fd, _ in poll.poll()):
            os.read(inotify, _READ_BYTES)
            # An event that comes while a wake-up is announced needs none: the loop lists `new/`
            # after it has received that one, and the file was there before this line.
            if not self._is_announced:
                self._is_announced = True
                self._wake_ups.put(self)
