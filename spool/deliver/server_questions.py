"""The drain's queries of the server itself: when they are made, and their answers.

The probe has a worker of its own, so that a job list or topology that hangs does not delay it.
"""

from __future__ import annotations

from ccbackend.outcomes import Outcome
from slurm.light_dataclass import light_dataclass
from spool.deliver.backend_health import BackendHealth
from spool.deliver.channel import SendChannel
from spool.deliver.schedule import Schedule
from spool.deliver.senders import ServerQuery, ServerReply, Topic
from spool.deliver.server_names import ServerNames
from spool.deliver.stop_release import StopRelease
from spool.moment import Moment
from spool.worker import Worker

# cc-backend reads cluster.json only when it starts, so that a topology changes rarely; and a start
# that lacks a host has it read again at once.
TOPOLOGY_SECONDS = 3600.0
TOPOLOGY_AGAIN_SECONDS = 15.0  # while it is not known, or names are unknown to cc-backend
TOPOLOGY_PAUSE_SECONDS = 1.0

ServerWorker = Worker[ServerQuery, ServerReply]


@light_dataclass
class BackendWorkers:
    """The workers for cc-backend. `probe` and `queries` make queries of the server."""

    starts: SendChannel
    stops: SendChannel
    probe: ServerWorker
    queries: ServerWorker


class ServerQuestions:
    """The queries to cc-backend (probe, topology, held stops); used only in the loop's thread."""

    def __init__(
        self,
        schedule: Schedule,
        health: BackendHealth,
        names: ServerNames,
        workers: BackendWorkers,
    ) -> None:
        self._schedule = schedule
        self._health = health
        self._names = names
        self._workers = workers
        self._stop_release = StopRelease()
        self._topology_at = self._topology_asked_at = float("-inf")

    def ask(self, now: Moment) -> None:
        """Make the queries that are due."""
        probe, queries = self._workers.probe, self._workers.queries
        if not probe.outstanding and self._health.probe_is_due(now):
            probe.ask(ServerQuery(topic=Topic.PROBE))
        # One query at a time: a slow server must not get a queue of lists, and while it is down the
        # probe alone asks.
        if queries.outstanding or not self._health.is_up:
            return
        # The topology comes first: starts wait for it, while a held stop would be sent after its
        # hold in any case.
        if now.steady >= self._topology_at or self._topology_is_wanted(now):
            self._ask_topology(now)
            return
        server = self._health.server
        if server is not None and server.caches_starts:
            cluster, job_ids = self._stop_release.next_query(self._schedule, now.steady)
            if job_ids:
                queries.ask(ServerQuery(topic=Topic.JOBS, cluster=cluster, job_ids=job_ids))

    def ask_wanted(self, now: Moment) -> None:
        """Query the topology if a start of this pass waits for a newer one."""
        is_free = not self._workers.queries.outstanding and self._health.is_up
        if is_free and self._topology_is_wanted(now):
            self._ask_topology(now)

    def next_time(self) -> float | None:
        """Return when the next query about held stops may be due; None if none can be made."""
        server = self._health.server
        is_asking = self._workers.queries.outstanding or not self._health.is_up
        if is_asking or server is None or not server.caches_starts:
            return None
        return self._stop_release.next_time(self._schedule)

    def ask_held_early(self, now: Moment) -> bool:
        """Make the next query include new held stops; return whether there are any."""
        return self._stop_release.query_early(self._schedule, now.steady)

    def _ask_topology(self, now: Moment) -> None:
        # While a host or a cluster is unknown, an administrator may be editing cluster.json: then
        # an hour would be too long.
        wait = TOPOLOGY_SECONDS if self._names.are_settled else TOPOLOGY_AGAIN_SECONDS
        self._topology_asked_at, self._topology_at = now.steady, now.steady + wait
        self._workers.queries.ask(ServerQuery(topic=Topic.TOPOLOGY))

    def _topology_is_wanted(self, now: Moment) -> bool:
        """Return whether a start waits for a newer topology, not fetched within the last second."""
        is_recent = now.steady - self._topology_asked_at < TOPOLOGY_PAUSE_SECONDS
        return self._names.topology.is_wanted and not is_recent

    def take(self, query: ServerQuery, reply: ServerReply | None, now: Moment) -> None:
        """Apply cc-backend's answer to a query of the drain: probe, job list or topology."""
        if reply is None:
            return
        if query.topic is Topic.PROBE:
            after = reply.retry_after_seconds
            self._health.probed(reply.verdict, reply.server, now, retry_after=after)
            return
        self._health.server_seen(reply.server, now)
        self._health.query_answered(reply.verdict)
        # A failed list is no empty list: nothing is released, and nothing is concluded from it.
        if query.topic is Topic.JOBS and reply.verdict.outcome is not Outcome.DELIVERED:
            self._stop_release.query_failed(now.steady)
        elif query.topic is Topic.JOBS:
            answered_at = self._workers.queries.answered_at
            self._stop_release.release_listed(
                reply.listed, self._schedule, now.steady, answered_at=answered_at
            )
        elif reply.clusters is not None:
            self._names.update(reply.clusters, self._topology_asked_at, now)
