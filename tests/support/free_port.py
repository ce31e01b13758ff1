"""Loopback ports that stay free until they are used."""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import suppress
from pathlib import Path

_FIRST = 10240
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")  # ip(7)
_END = max(int(_RANGE.read_text().split()[0]), _FIRST + 4096)  # a lower range is not avoided
_COUNT = 64  # between the first ports of neighbouring processes
_steps = itertools.count()


def free_port() -> int:
    """Return a loopback port that no program uses now.

    It is below the range from which the kernel assigns ports, so no other connection takes it
    before the caller listens. Test processes begin at different ports.
    """
    while True:
        port = _FIRST + (os.getpid() * _COUNT + next(_steps)) % (_END - _FIRST)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


__all__ = ["free_port"]
