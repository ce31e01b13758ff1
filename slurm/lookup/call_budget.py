"""The number of calls that Slurm's rate limit allows."""

from __future__ import annotations

from collections.abc import Callable

BURST_CALLS = 25
CALLS_PER_SECOND = 2.0


class CallBudget:
    """A bucket of calls: 25 at once, 2 a second after that (`rl_enable`, slurm.conf(5), 23.02 on).

    Slurm's default bucket holds 30; the rest is left to the same account's other commands.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls = float(BURST_CALLS)
        self._time = clock()

    def remaining(self) -> int:
        """Return how many calls may be made now."""
        now = self._clock()
        self._calls = min(BURST_CALLS, self._calls + (now - self._time) * CALLS_PER_SECOND)
        self._time = now
        return int(self._calls)

    def spend(self, calls: int) -> None:
        """Remove calls from the bucket."""
        self._calls = max(0.0, self._calls - calls)
