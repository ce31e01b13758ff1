"""Waiting for what Slurm does in its own time, with a limit and a reason when it does not."""

from __future__ import annotations

import time
from collections.abc import Callable


class LabError(RuntimeError):
    """The cluster did not do what it was told, in the time it was given."""


def wait_until(
    condition: Callable[[], bool], what: str, *, timeout: float = 60, interval: float = 0.02
) -> None:
    """Return as soon as a condition holds.

    Args:
        condition: Asked every `interval` seconds.
        what: What is waited for, told when it does not come.
        timeout: Seconds; generous, because machines that run tests are busy.
        interval: Seconds between two looks.

    Raises:
        LabError: The condition did not come to hold in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout} s in vain for {what}")
        time.sleep(interval)
