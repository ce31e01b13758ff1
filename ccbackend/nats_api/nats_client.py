"""Deliver jobs to one cc-backend by NATS; everything else goes to its REST API.

cc-backend never answers to a message, and a message may be lost, so that a run counts as delivered
only when a job list shows it (Reason: `PUBLISHED` until then). A start is listed once it has left
the server's job cache, so that its stop can neither overtake it nor close another job. To repeat a
message is safe: the server drops the start of a run that it has and the stop of a stopped one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ccbackend.client import BackendClient
from ccbackend.nats_api.event_lines import PROBE, event_line
from ccbackend.outcomes import NATS_FAILURES, ApiCall, Outcome, Reason, ReplyVerdict
from ccbackend.payload import Document, amend, key_of
from ccbackend.replies import ApiReply, BackendRow, Probe, unsent_reply
from ccbackend.topology import Cluster
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import Transport

_DAY_SECONDS = 24 * 3600  # runs of a job id that began within a day exclude each other
# As often as a start on an unknown host is tried: each try sees a newer list.
CLUSTERS_SECONDS = 50.0
"""The age at which the server's clusters are read again."""
_LOOK_AGAIN_SECONDS = (0.01, 0.05, 0.25)  # a stop is in the database some milliseconds later
_UNSENT = (NATS_FAILURES | {Reason.PAYLOAD_TOO_LARGE}) - {Reason.BROKER_LOST}


class Publisher(Protocol):
    """The connection to the broker; `ccbackend.nats_api.publish.Broker` implements it."""

    def publish(self, message: bytes) -> ReplyVerdict:
        """Publish a message; `PUBLISHED` if a subscriber got it."""


class NatsClient(BackendClient):
    """A client of a server in NATS mode: jobs by NATS, the rest by REST; for one thread only."""

    def __init__(
        self,
        transport: Transport,
        shared: SharedServerInfo,
        broker: Publisher,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], None] = time.sleep,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(transport, shared)
        self._broker = broker
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._steady = steady
        self._clusters: tuple[Cluster, ...] | None = None
        self._clusters_until = float("-inf")

    def probe(self) -> Probe:
        """Detect the server; check our token, that it is in NATS mode, and that it subscribes."""
        probe = super().probe()
        return Probe(probe.server, self._by_nats(probe.reply))

    def check_job_api(self) -> ApiReply:
        """Ask whether the server takes jobs by NATS and subscribes to the subject: `NATS_ON`."""
        return self._by_nats(super().check_job_api())

    def _by_nats(self, reply: ApiReply) -> ApiReply:
        """Return what a REST reply means in NATS mode; where REST is off, look for a subscriber."""
        # A server that takes jobs by REST does not subscribe, whatever the broker says.
        if reply.outcome is Outcome.DELIVERED:
            return replace(reply, call=ApiCall.JOB_API, verdict=ReplyVerdict(Reason.REST_MODE))
        if reply.verdict.reason is not Reason.API_OFF:
            return reply
        verdict = self._broker.publish(PROBE)
        if verdict.reason is Reason.PUBLISHED:
            verdict = ReplyVerdict(Reason.NATS_ON)
        return replace(reply, verdict=verdict)

    def start(self, document: Document, *, maybe_sent: bool = False) -> ApiReply:
        """Publish a start; with `maybe_sent` look first whether the server lists the run.

        `STORED_BEFORE`: it is listed. `DUPLICATE`: another run of its job id excludes it. `rows`
        then holds the listed runs of the job id. `UNKNOWN_HOST`: the server would drop it without
        a word.
        """
        listed = self._listed(document) if maybe_sent else None
        refused = listed or self._unknown_host(document)
        if refused is not None:
            return refused
        # The broker's limit counts the whole line: script and description are dropped as after a
        # 413.
        sent: Document | None = document
        while sent is not None:
            reply = self._publish(ApiCall.START, sent)
            if reply.verdict.reason is not Reason.PAYLOAD_TOO_LARGE:
                return reply
            sent = amend(sent, Reason.METADATA_TOO_LARGE)
        return reply

    def stop(self, document: Document, *, state: str | None = None) -> ApiReply:  # noqa: ARG002 - the document names it as a server in NATS mode does
        """Publish the stop of a listed run, and look whether it has been stopped."""
        # From 1.5.2 on eight workers of the server take messages in parallel: of 500 starts with
        # their stops right behind, about 190 were stopped (measured with 1.5.4). A listed run is
        # safe.
        listed = self._row(document)
        if isinstance(listed, ApiReply):
            return listed
        if listed.state != "running":
            return unsent_reply(ApiCall.STOP, Reason.STOPPED_BEFORE, document)
        reply = self._publish(ApiCall.STOP, document)
        if reply.verdict.reason is not Reason.PUBLISHED:
            return reply
        for seconds in _LOOK_AGAIN_SECONDS:
            self._sleep(seconds)
            row = self._row(document)
            if isinstance(row, BackendRow) and row.state != "running":
                return replace(reply, verdict=ReplyVerdict(Reason.STOPPED))
        return reply

    def _publish(self, call: ApiCall, document: Document) -> ApiReply:
        verdict = self._broker.publish(event_line(call, document, self._clock_ns()))
        was_sent = verdict.reason not in _UNSENT
        return ApiReply(call=call, verdict=verdict, sent=was_sent, document=document)

    def _unknown_host(self, document: Document) -> ApiReply | None:
        """Return the reply to a start on a host that the server does not have, as REST gives it.

        None if the server has the first host, which alone counts, or its clusters are not known.
        """
        if self._steady() >= self._clusters_until:
            self._clusters = self.clusters().clusters or self._clusters
            self._clusters_until = self._steady() + CLUSTERS_SECONDS
        name, host = document["cluster"], document["resources"][0]["hostname"]
        found = [each for each in self._clusters or () if each.name == name]
        if not found or found[0].subcluster(host) is not None:
            return None
        reply = unsent_reply(ApiCall.START, Reason.UNKNOWN_HOST, document)
        message = f"no subcluster found for cluster {name} and host {host}"
        return replace(reply, verdict=ReplyVerdict(Reason.UNKNOWN_HOST, message))

    def _listed(self, document: Document) -> ApiReply | None:
        """Return the reply to a start that must not be sent again; None if it must be sent."""
        key = key_of(document)
        listing = self.lookup(key.job_id, key.cluster)
        if listing.rows is None:
            return replace(listing.reply, document=document)
        starts = [row.start_time for row in listing.rows]
        if key.start_time in starts:
            reason = Reason.STORED_BEFORE
        # Signed, as the server's own rule: every later run excludes an earlier one.
        elif any(key.start_time - start < _DAY_SECONDS for start in starts):
            reason = Reason.DUPLICATE
        else:
            return None
        return replace(unsent_reply(ApiCall.START, reason, document), rows=listing.rows)

    def _row(self, document: Document) -> BackendRow | ApiReply:
        """Return the listed run; else the reply to its stop: run unknown, or the list failed."""
        key = key_of(document)
        listing = self.lookup(key.job_id, key.cluster, key.start_time)
        if listing.rows is None:
            return replace(listing.reply, document=document)
        if not listing.rows:
            return unsent_reply(ApiCall.STOP, Reason.UNKNOWN_RUN, document)
        return listing.rows[0]
