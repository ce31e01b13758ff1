"""Notify systemd of a service's state: ready, alive, stopping (sd_notify(3))."""

from __future__ import annotations

import logging
import os
import socket

_log = logging.getLogger(__name__)


class Watchdog:
    """The watchdog notification: once at the first pass, then twice per watchdog period, if any."""

    def __init__(self) -> None:
        period = os.environ.get("WATCHDOG_USEC", "")
        microseconds = int(period) if period.isdecimal() else 0
        self._interval = microseconds / 2e6 if microseconds else float("inf")
        self._next = float("-inf")

    def remaining(self, now: float) -> float:
        """Return the seconds until the next notification is due, from `now` on."""
        return max(0.0, self._next - now)

    def alive(self, now: float) -> None:
        """Notify systemd if it is time; `now` by the monotonic clock."""
        if now >= self._next:
            self._next = now + self._interval
            notify_systemd("WATCHDOG=1")


def notify_systemd(words: str) -> None:
    """Send a notification if systemd started us: `READY=1`, `WATCHDOG=1`, `STOPPING=1`."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(words.encode(), name)
        except OSError as error:
            _log.debug("cannot notify systemd: %s", error)
