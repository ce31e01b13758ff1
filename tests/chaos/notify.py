"""What a service tells systemd: when it was ready and each sign of life."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path


class NotifySocket:
    """Takes the messages of one service; `alive` holds the times of `WATCHDOG=1`, monotonic."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.alive: list[float] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Take no more messages."""
        self._socket.close()

    def per_second(self, seconds: float) -> float:
        """Return how many signs of life a second came in the last seconds."""
        begin = time.monotonic() - seconds
        return sum(1 for at in self.alive if at >= begin) / seconds

    def longest_gap(self) -> float:
        """Return the longest time between two signs of life."""
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
