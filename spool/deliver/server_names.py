"""The hosts and clusters of cc-backend: the topology that it lists, and names that it refuses.

Hardware threads are computed from the topology, which `server_questions` fetches. The runs of a
refused name wait, and one is tried per minute. After an administrator has corrected cluster.json or
`host_map`, all of them are sent. Until then other runs are not delayed, and one line per name is
logged.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from ccbackend.outcomes import Outcome, Reason, ReplyVerdict
from ccbackend.replies import ApiReply
from ccbackend.topology import Cluster
from spool.deliver.compose import PayloadComposer
from spool.deliver.pending_run import PendingRun, RequestKind
from spool.deliver.schedule import Schedule
from spool.deliver.senders import SendRequest
from spool.escaping import escape
from spool.files.run import Run
from spool.moment import Moment

# cc-backend looks up only the first host of a start and reads cluster.json at its start: an
# administrator has to edit it and to restart the server, so one try a minute is often enough.
TRY_SECONDS = 50.0
TOPOLOGY_PATIENCE_SECONDS = 900.0
# cc-backend looks for other runs of the job only after it has found host and cluster
# (v1.5.4 internal/api/job.go; the same order since 1.0.0).
_NAMES_FOUND = frozenset(
    {Outcome.DELIVERED, Outcome.ALREADY_THERE, Outcome.CONFIRM, Outcome.CONFLICT}
)
_log = logging.getLogger(__name__)


def _has_found_names(verdict: ReplyVerdict) -> bool:
    """Return whether the answer to a start shows that host and cluster are known."""
    return verdict.outcome in _NAMES_FOUND or verdict.reason is Reason.AFTER_FLUSH


class ServerTopology:
    """The clusters of cc-backend as last read; they are kept while a new reading fails.

    `is_wanted`: they must be read again at once.
    """

    def __init__(self) -> None:
        self.clusters: tuple[Cluster, ...] | None = None
        self.is_wanted = False
        self.read_at = float("-inf")
        self._missing_since: float | None = None

    def must_wait(self, now: Moment) -> bool:
        """Return whether starts must wait for the topology; False after 15 minutes in any case."""
        if self.clusters is not None:
            return False
        if self._missing_since is None:
            self._missing_since = now.steady
        return now.steady - self._missing_since < TOPOLOGY_PATIENCE_SECONDS

    def is_older_than(self, wanted_at: float, now: Moment) -> bool:
        """Return whether a start must wait for a newer topology; if it is old, request it."""
        is_old = self.read_at < wanted_at
        self.is_wanted |= is_old
        return is_old and now.steady - wanted_at < TOPOLOGY_PATIENCE_SECONDS


class UnknownNames:
    """The host or cluster names that cc-backend refused; times are of the monotonic clock."""

    def __init__(self, kind: str, schedule: Schedule) -> None:
        self._kind = kind
        self._schedule = schedule
        self._try_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._try_at)

    def defers(self, entry: PendingRun, name: str, now: float) -> bool:
        """Return whether a run in flight must wait because a name was refused; if so, put it back.

        One run a minute is let through as a trial; `take_try` records that it is sent.
        """
        # Without this, thousands of runs of one host that cc-backend does not know would each be
        # sent and rejected every minute.
        at = self._try_at.get(name)
        if at is None or at <= now:
            return False
        entry.in_flight = None
        self._park(entry, name)
        self._schedule.reschedule(entry.job_id, now)
        return True

    def take_try(self, name: str, now: float) -> None:
        """Record that a trial run with a refused name is sent; the next is TRY_SECONDS later."""
        if name in self._try_at:
            self._try_at[name] = now + TRY_SECONDS

    def try_now(self, name: str, now: float) -> None:
        """Allow the next run with a refused name, because an administrator ran `retry`."""
        if name in self._try_at:
            self._try_at[name] = now

    def mark_unknown(self, entry: PendingRun, name: str, message: str, now: float) -> None:
        """Record that cc-backend refused a name; its run waits until the next try."""
        # One line for the name, not one for each of its runs.
        if name not in self._try_at:
            what = f"{self._kind} {escape(name)}"
            _log.error(
                "cc-backend does not have %s; add it to its cluster.json, or map it with"
                " host_map: %s",
                what,
                escape(message),
            )
        self._try_at[name] = now + TRY_SECONDS
        self._park(entry, name)

    def _park(self, entry: PendingRun, name: str) -> None:
        """Let a run wait until the next try of its name, which may need a newer topology."""
        entry.retry_at, entry.waits_for = self._try_at[name], self._cause(name)
        entry.stays_due, entry.topology_wanted_at = False, 0.0

    def mark_known(self, name: str, now: float) -> None:
        """Release all runs that wait for a name that is known now."""
        if name in self._try_at:
            self._release([name], now)

    def release_all(self, now: float) -> None:
        """Release all runs, because the server's names or our configuration changed."""
        if self._try_at:
            self._release(list(self._try_at), now)

    def _release(self, names: list[str], now: float) -> None:
        causes = {self._cause(name) for name in names}
        for name in names:
            del self._try_at[name]
        for entry in self._schedule:
            if entry.waits_for in causes:
                self._schedule.release(entry, now)

    def _cause(self, name: str) -> str:
        """Return the cause for which the runs of a name wait."""
        return f"{self._kind} {name} is unknown to cc-backend"


class ServerNames:
    """The topology and the refused names of cc-backend; used only in the loop's thread."""

    def __init__(self, schedule: Schedule, composer: PayloadComposer) -> None:
        self._composer = composer
        self.topology = ServerTopology()
        self.hosts = UnknownNames("host", schedule)
        self.clusters = UnknownNames("cluster", schedule)

    @property
    def are_settled(self) -> bool:
        """Return whether the topology is known and the server has refused no name."""
        return self.topology.clusters is not None and not self.hosts and not self.clusters

    def update(self, clusters: tuple[Cluster, ...], asked_at: float, now: Moment) -> None:
        """Replace the server's topology; a change releases the runs of unknown names."""
        self.topology.read_at, self.topology.is_wanted = asked_at, False
        if clusters == self.topology.clusters:
            return
        self.topology.clusters = clusters
        self._composer.update_clusters(clusters)
        self.release_all(now)

    def adjust_reply(self, reply: ApiReply) -> ApiReply:
        """Return the reply; with several clusters, an unknown one delays only its own runs."""
        is_unknown = reply.verdict.reason is Reason.UNKNOWN_CLUSTER
        if not (is_unknown and self._composer.has_several_clusters):
            return reply
        alone = ReplyVerdict(Reason.UNKNOWN_CLUSTER_ALONE, reply.verdict.message)
        return replace(reply, verdict=alone)

    def record(
        self, entry: PendingRun, request: SendRequest, verdict: ReplyVerdict, now: Moment
    ) -> None:
        """Record from the answer to a start whether its first host and cluster are known."""
        if verdict.reason is Reason.UNKNOWN_HOST:
            self.hosts.mark_unknown(entry, entry.host, verdict.message, now.steady)
        elif verdict.reason is Reason.UNKNOWN_CLUSTER_ALONE:
            self.clusters.mark_unknown(entry, request.cluster, verdict.message, now.steady)
        elif _has_found_names(verdict) and request.kind is RequestKind.START:
            self.hosts.mark_known(entry.host, now.steady)
            self.clusters.mark_known(request.cluster, now.steady)

    def try_now(self, entry: PendingRun, run: Run, now: Moment) -> None:
        """Allow the next run with the host and cluster of a run to be sent."""
        entry.topology_wanted_at = now.steady
        self.hosts.try_now(entry.host, now.steady)
        self.clusters.try_now(self._composer.cluster(run), now.steady)

    def release_all(self, now: Moment) -> None:
        """Release all runs of unknown names."""
        self.hosts.release_all(now.steady)
        self.clusters.release_all(now.steady)
