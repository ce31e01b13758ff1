"""Whether cc-backend may be asked now: up, down with backoff, or halted. Pure.

The destination backs off, not the run: while it is down or halted one request at a time goes out as
a probe. Delays are random in (d/2, d) with d = min(60 s, 2**n s); a halt is probed every 5 minutes
and at once after its cause may have changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

LONGEST_DELAY_SECONDS = 60
HALT_PROBE_SECONDS = 300
LONGEST_RETRY_AFTER_SECONDS = 15 * 60


class Health(StrEnum):
    """What is believed of cc-backend."""

    UP = "up"
    DOWN = "down"
    HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The belief, since when, why, and when the next probe may go; Unix seconds.

    `failures` counts the tries since then.
    """

    health: Health = Health.UP
    since: float = 0.0
    reason: str = ""
    failures: int = 0
    next_probe: float = 0.0

    @property
    def is_up(self) -> bool:
        """Tell whether requests flow freely."""
        return self.health is Health.UP

    def probe_is_due(self, now: float) -> bool:
        """Tell whether one request may go out although cc-backend is down or halted."""
        return not self.is_up and now >= self.next_probe

    def succeeded(self, now: float) -> Destination:
        """Return the belief after a request that cc-backend answered as it should."""
        return self if self.is_up else Destination(since=now)

    def failed(
        self, now: float, reason: str, *, random: float, retry_after: float | None = None
    ) -> Destination:
        """Return the belief after an outage's sign; `random` in [0, 1) spreads the delay.

        `retry_after` (seconds) is cc-backend's own wish, a minimum.
        """
        before = self.failures if self.health is Health.DOWN else 0
        longest = min(LONGEST_DELAY_SECONDS, 2.0 ** min(before, 6))
        delay = longest * (1 + random) / 2
        wish = min(retry_after or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        return Destination(
            health=Health.DOWN,
            since=self.since if self.health is Health.DOWN else now,
            reason=reason,
            failures=before + 1,
            next_probe=now + max(delay, wish),
        )

    def halted(self, now: float, reason: str) -> Destination:
        """Return the belief after an answer that only an operator can mend."""
        return Destination(
            health=Health.HALTED,
            since=self.since if self.health is Health.HALTED else now,
            reason=reason,
            failures=1 + (self.failures if self.health is Health.HALTED else 0),
            next_probe=now + HALT_PROBE_SECONDS,
        )

    def cause_changed(self, now: float) -> Destination:
        """Return the belief when token, configuration or operator allow a probe at once."""
        return self if self.is_up else replace(self, next_probe=now)
