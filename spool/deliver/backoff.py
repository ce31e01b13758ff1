"""The delay before a server or a channel that fails is tried again.

`reaction` computes the delay of a single run that fails while others are accepted.
"""

from __future__ import annotations

_MAX_DOUBLINGS = 6


def backoff(failures: int, longest: float, random: float) -> float:
    """Return the seconds before the next try: random in (d/2, d), d = min(longest, 2ⁿ s).

    `failures` is n, the number of failed tries before this one; `random` is in [0, 1).
    """
    # The exponent is limited before the power is computed: after a week of failures 2.0 ** n would
    # overflow. Half of the delay is random, so that several drains do not return to a restarted
    # server in the same second.
    bound = min(longest, 2.0 ** min(failures, _MAX_DOUBLINGS))
    return bound * (1 + random) / 2
