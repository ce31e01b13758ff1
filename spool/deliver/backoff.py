"""The delay before a request to cc-backend is tried again."""

from __future__ import annotations

_MAX_DOUBLINGS = 6


def backoff(failures: int, longest: float, random: float) -> float:
    """Return the seconds before the next try: random in (d/2, d), d = min(longest, 2ⁿ s).

    `failures` is n, the number of failed tries before this one; `random` is in [0, 1).
    """
    bound = min(longest, 2.0 ** min(failures, _MAX_DOUBLINGS))
    return bound * (1 + random) / 2
