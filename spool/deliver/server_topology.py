"""The topology from the server, from which hardware threads are computed.

`server_questions` fetches it, `ccbackend.topology` reads it; here it is kept, with its age.
"""

from __future__ import annotations

from ccbackend.topology import Cluster
from spool.moment import Moment

TOPOLOGY_CAUSE = "the server's topology cannot be read yet"
TOPOLOGY_PATIENCE_SECONDS = 900.0


class ServerTopology:
    """The clusters of the server; the last ones are kept while they cannot be read.

    `is_wanted`: they must be read again at once.
    """

    def __init__(self) -> None:
        self.clusters: tuple[Cluster, ...] | None = None
        self.is_wanted = False
        self.read_at = float("-inf")
        self._missing_since: float | None = None

    def is_missing(self, now: Moment) -> bool:
        """Return whether starts must wait for the topology; they wait some minutes at most."""
        if self.clusters is not None:
            return False
        if self._missing_since is None:
            self._missing_since = now.steady
        return now.steady - self._missing_since < TOPOLOGY_PATIENCE_SECONDS

    def is_older_than(self, wanted_at: float, now: Moment) -> bool:
        """Return whether a start must wait for a newer one; it is to be read again then."""
        is_old = self.read_at < wanted_at
        self.is_wanted |= is_old
        return is_old and now.steady - wanted_at < TOPOLOGY_PATIENCE_SECONDS
