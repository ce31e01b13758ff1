"""The delay before the next try: it doubles with each failure, up to a limit."""

from __future__ import annotations

_MAX_DOUBLINGS = 20  # after a week of failures 2.0 ** failures would overflow


def backoff(failures: int, *, first: float, longest: float) -> float:
    """Return the seconds before the next try: `first` · 2ⁿ, at most `longest`.

    `failures` is n, the number of failed tries before the last one.
    """
    return min(longest, first * 2.0 ** min(failures, _MAX_DOUBLINGS))


def spread_backoff(failures: int, longest: float, random: float) -> float:
    """Return the seconds before the next try: random in (d/2, d), d = min(longest, 2ⁿ s).

    `random` is in [0, 1). Half of the delay is random, so that several drains do not return to a
    restarted server in the same second.
    """
    return backoff(failures, first=1.0, longest=longest) * (1 + random) / 2
