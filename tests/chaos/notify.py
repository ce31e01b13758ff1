"""The messages of a service to systemd: the times of its `WATCHDOG=1`."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path


class NotifySocket:
    """A receiver of one service's messages; `alive` holds the monotonic times of `WATCHDOG=1`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.alive: list[float] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Receive no more messages."""
        self._socket.close()

    def per_second(self, seconds: float) -> float:
        """Return how many `WATCHDOG=1` per second came in the last seconds."""
        begin = time.monotonic() - seconds
        return sum(1 for at in self.alive if at >= begin) / seconds

    def longest_gap(self) -> float:
        """Return the longest time between two `WATCHDOG=1`."""
        pairs = zip(self.alive, self.alive[1:], strict=False)
        return max((later - earlier for earlier, later in pairs), default=0.0)

    def _listen(self) -> None:
        while True:
            try:
                message = self._socket.recv(4096)
            except OSError:
                return
            if b"WATCHDOG=1" in message:
                self.alive.append(time.monotonic())
