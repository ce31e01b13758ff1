"""Shift the clocks of one Python process by the offsets in a file, for tests of clock steps.

The file holds two doubles: seconds that the wall clock is ahead, and seconds that both clocks are
ahead because time has passed. Timeouts inside the kernel stay real, which is harmless: time jumps
only while nothing important is running.
"""

from __future__ import annotations

import mmap
import os
import struct
import time

_wall, _wall_ns, _steady, _steady_ns = (
    time.time,
    time.time_ns,
    time.monotonic,
    time.monotonic_ns,
)
_PAIR = struct.Struct("dd")


def _install(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    shifts = mmap.mmap(descriptor, _PAIR.size, prot=mmap.PROT_READ)
    os.close(descriptor)

    def ahead() -> tuple[float, float]:
        stepped, passed = _PAIR.unpack(shifts[: _PAIR.size])
        return stepped + passed, passed

    time.time = lambda: _wall() + ahead()[0]
    time.time_ns = lambda: _wall_ns() + int(ahead()[0] * 1e9)
    time.monotonic = lambda: _steady() + ahead()[1]
    time.monotonic_ns = lambda: _steady_ns() + int(ahead()[1] * 1e9)


if "CHAOS_CLOCK" in os.environ:
    _install(os.environ["CHAOS_CLOCK"])
