"""Faults of a connection on demand: no answer, a reset, a cut answer, single bytes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from enum import StrEnum

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Kind(StrEnum):
    """The kind of fault that replaces a normal answer."""

    SILENCE = "silence"  # the request is read and never answered
    RESET = "reset"  # the connection is reset
    CLOSE = "close"  # the connection ends in order, without a byte
    CUT = "cut"  # some bytes of the answer, then the end
    DRIP = "drip"  # the answer byte by byte


@dataclass(frozen=True)
class Fault:
    """A fault of the next `times` requests (None: of all) whose path begins with `path`.

    `handled`: the request takes effect, only its answer fails. `after_bytes` of a CUT or a DRIP
    arrive at once.
    """

    kind: Kind
    times: int | None = None
    path: str = ""
    handled: bool = False
    after_bytes: int = 0
    pause_seconds: float = 0.05


class Faults:
    """Holds the active fault and the connections that it keeps waiting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._left: int | None = None
        self._repaired = threading.Event()

    def switch(self, fault: Fault | None) -> None:
        """Replace the active fault (None: no fault) and close the connections that wait."""
        with self._lock:
            self._repaired.set()
            self._repaired = threading.Event()
            self._fault, self._left = fault, fault.times if fault else None

    def take(self, path: str) -> tuple[Fault, threading.Event] | None:
        """Return the fault for one request and the event that ends it; None if it is answered."""
        with self._lock:
            fault = self._fault
            if fault is None or not path.startswith(fault.path) or self._left == 0:
                return None
            if self._left is not None:
                self._left -= 1
            return fault, self._repaired


def suffer(peer: socket.socket, fault: Fault, repaired: threading.Event, answer: bytes) -> None:
    """Apply a fault to a connection, which the caller closes afterwards."""
    with contextlib.suppress(OSError):
        if fault.kind is Kind.SILENCE:
            repaired.wait()
        elif fault.kind is Kind.RESET:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        elif fault.kind is Kind.CUT:
            peer.sendall(answer[: fault.after_bytes])
        elif fault.kind is Kind.DRIP:
            _drip(peer, fault, repaired, answer)


def _drip(peer: socket.socket, fault: Fault, repaired: threading.Event, answer: bytes) -> None:
    peer.sendall(answer[: fault.after_bytes])
    for at in range(fault.after_bytes, len(answer)):
        if repaired.wait(fault.pause_seconds):
            return
        peer.sendall(answer[at : at + 1])
