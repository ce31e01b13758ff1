"""Wait for something that Slurm does later; fail with a reason after a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable


class LabError(RuntimeError):
    """The cluster did not do in time what was asked of it."""


def wait_until(
    condition: Callable[[], bool], what: str, *, timeout: float = 60, interval: float = 0.02
) -> None:
    """Return as soon as a condition holds.

    Args:
        condition: Asked every `interval` seconds.
        what: What is waited for; the error names it.
        timeout: Seconds; generous, because machines that run tests are busy.
        interval: Seconds between two checks.

    Raises:
        LabError: The condition did not hold in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout} s in vain for {what}")
        time.sleep(interval)
