"""The server's topology, as far as it is known: hardware threads are computed from it."""

from __future__ import annotations

from ccbackend.topology import Cluster
from spool.moment import Moment

TOPOLOGY_PATIENCE_SECONDS = 900.0


class ServerTopology:
    """What the server said of its clusters; kept when it cannot be read for a while.

    `is_wanted`: it is to be read again at once.
    """

    def __init__(self) -> None:
        self.clusters: tuple[Cluster, ...] | None = None
        self.is_wanted = False
        self.read_at = float("-inf")
        self._missing_since: float | None = None

    def is_missing(self, now: Moment) -> bool:
        """Return whether starts must wait for it; not for ever: after minutes they go without."""
        if self.clusters is not None:
            return False
        if self._missing_since is None:
            self._missing_since = now.steady
        return now.steady - self._missing_since < TOPOLOGY_PATIENCE_SECONDS
