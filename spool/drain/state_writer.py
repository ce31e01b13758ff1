"""What the drain tells the outside: its state file for other commands, and systemd.

`drain.json`: {"pid", "started", "updated", "destination": {...}, "server": {...} | null,
"slurm_silent_since", "disk_full", "inquiries", "unknown_hosts", "once"}; instants in Unix seconds.
`once` says that this drain ends by itself, as one of cron does.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
from pathlib import Path
from typing import Any

from spool.files.state_files import write_json

REFRESH_SECONDS = 10.0
_log = logging.getLogger(__name__)


class DrainStateWriter:
    """Writes the state file on every change, and now and then as a sign of life."""

    def __init__(self, path: Path, *, now: float) -> None:
        self._path = path
        self._started = now
        self._last: dict[str, Any] = {}
        self._written_at = float("-inf")

    def write(self, state: dict[str, Any], now: float) -> None:
        """Write the state if it changed or the last word is old; never an error."""
        if state == self._last and now - self._written_at < REFRESH_SECONDS:
            return
        durable = state != self._last
        self._last, self._written_at = state, now
        document = {"pid": os.getpid(), "started": self._started, "updated": now, **state}
        try:
            write_json(self._path, document, durable=durable)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._path, error)


def json_object(value: Any) -> dict[str, Any] | None:
    """Return a frozen value as JSON data, None as None."""
    return None if value is None else dataclasses.asdict(value)


def notify_systemd(message: str) -> None:
    """Tell systemd, if it started us (sd_notify(3)): `READY=1`, `WATCHDOG=1`, `STOPPING=1`."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(message.encode(), name)
        except OSError as error:
            _log.debug("systemd does not listen: %s", error)
