"""The API calls to one cc-backend; every failure is a classified reply, never an exception.

A request that the server would accept in another form is changed here and sent again. Nothing else
is retried: when to try again is the caller's decision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ccbackend import replies
from ccbackend.api_requests import ApiRequests
from ccbackend.dialects import depends_on_dialect, end_state, translate_sharing
from ccbackend.outcomes import ApiCall, Outcome, Reason, ReplyVerdict
from ccbackend.payload import Document, amend, key_of
from ccbackend.replies import (
    ApiReply,
    ClusterList,
    JobList,
    JobListError,
    Probe,
    check_duplicate,
    incomplete,
    unsent_reply,
)
from ccbackend.topology import clusters_of_json
from ccbackend.version import Dialect, ServerInfo, SharedServerInfo
from ccbackend.wire.transport import Transport

_ENDPOINTS = {
    ApiCall.START: ("POST", "/api/jobs/start_job/"),
    ApiCall.STOP: ("POST", "/api/jobs/stop_job/"),
    ApiCall.DELETE: ("DELETE", "/api/jobs/delete_job/"),
    ApiCall.EDIT_META: ("PATCH", "/api/jobs/edit_meta/"),
    ApiCall.NODESTATE: ("POST", "/api/nodestate/"),
}
_BAD_REQUEST, _CONTENT_TOO_LARGE = 400, 413
_LIST_ATTEMPTS = 3  # a listing whose count moved while it was read


class BackendClient:
    """A client of one cc-backend over one transport; use it in one thread only."""

    def __init__(self, transport: Transport, shared: SharedServerInfo | None = None) -> None:
        self._requests = ApiRequests(transport, shared or SharedServerInfo())
        self._max_list_bytes = transport.limits.max_list_bytes

    def close(self) -> None:
        """Close the connection."""
        self._requests.close()

    @property
    def server(self) -> ServerInfo:
        """What is known of the server: its dialect decides how a payload is made."""
        return self._requests.server

    def detect_server(self) -> ServerInfo:
        """Detect the server's version or dialect, without token; keep the last if none is shown."""
        return self._requests.detect_server()

    def probe(self) -> Probe:
        """Detect the server; check that it accepts our token and that its job API is on.

        A server in NATS mode (>= 1.5.0) lists jobs by REST but takes none. A server that cannot be
        reached or does not answer in time gets one request: a second one would fail in the same
        way, the latter after another minute.
        """
        server = self.detect_server()
        if self._requests.failed_detection is not None:
            return Probe(server, self._requests.failed_detection)
        reply = self._requests.verify_token()
        if reply.outcome is Outcome.DELIVERED:
            # by REST, whatever a subclass asks: `NatsClient` asks its broker as well
            job_api = BackendClient.check_job_api(self)
            reply = job_api if job_api.verdict.reason is Reason.API_OFF else reply
        return Probe(server, reply)

    def check_job_api(self) -> ApiReply:
        """Ask whether the REST job API is on: `JOB_API_ON`, or `API_OFF` in NATS mode (>= 1.5.0).

        A GET of the path for starts: the router alone answers it, 405 where the path exists and 404
        where it does not, so that nothing is stored and no error is logged. Any other answer says
        nothing. An older server has no NATS mode and is not asked.
        """
        if not self.server.may_lack_job_api:
            return unsent_reply(ApiCall.JOB_API, Reason.JOB_API_ON)
        return self._requests.send(ApiCall.JOB_API, "GET", _ENDPOINTS[ApiCall.START][1])[0]

    def start(self, document: Document, *, maybe_sent: bool = False) -> ApiReply:
        """Report a start. Set `maybe_sent` to repeat one that may have reached the server.

        A "duplicate" is decided by a look-up: `rows` then holds the listed runs of the job id.

        Args:
            document: of `start_payload`.
            maybe_sent: the same start may have reached the server. A server 1.4.0 or 1.4.1 is asked
                for the run first; a server >= 1.5.0 may hold it in its cache, which is not listed.
        """
        if maybe_sent and self.server.queues_starts:
            stored = self._already_stored(document)
            if stored is not None:
                return stored
        reply = self._send_amended(ApiCall.START, document)
        if reply.outcome is not Outcome.CONFLICT:
            return reply
        return self._resolved(reply, maybe_cached=maybe_sent and self.server.caches_starts)

    def stop(self, document: Document, *, state: str | None = None) -> ApiReply:
        """Report an end. Safe to repeat.

        `state` is Slurm's word. If cc-backend's name for it depends on the version, the server is
        asked first: a server just upgraded accepts the old name, and no row can be corrected.
        """
        if state is not None and depends_on_dialect(state):
            document = document | {"jobState": end_state(state, self.detect_server().dialect)}
        return self._send_amended(ApiCall.STOP, document)

    def delete(self, document: Document) -> ApiReply:
        """Delete one run, given by job id, cluster and start time. Safe to repeat."""
        return self._send_amended(ApiCall.DELETE, document)

    def edit_meta(self, document: Document) -> ApiReply:
        """Set one key of a stored run's metadata (>= 1.5.0). Safe to repeat.

        `LATER` while the run is still cached. A run that has ended may be changed in the database
        alone (`EDITED_UNARCHIVED`): repeating would not help.
        """
        return self._send_amended(ApiCall.EDIT_META, document)

    def node_states(self, document: Document) -> ApiReply:
        """Report the states of all nodes of a cluster (>= 1.5.0), once; see `nodestate_payload`."""
        call = ApiCall.NODESTATE
        return self._requests.send(call, *_ENDPOINTS[call], document=document)[0]

    def lookup(self, job_id: int, cluster: str, start_time: int | None = None) -> JobList:
        """List the runs of a job id, in whatever state; with a start time only that one.

        From 1.5.0 a run accepted in the last minutes may be missing: it is still cached.
        """
        listing = self.list_runs([job_id], cluster)
        if listing.rows is None and start_time is not None and replies.needs_rest(listing.reply):
            listing = self._list_by_rest(replies.rest_window(cluster, start_time))
        return replies.matching_rows(listing, job_id, cluster, start_time)

    def list_runs(self, job_ids: Iterable[int], cluster: str) -> JobList:
        """List the runs of some job ids, in whatever state; by GraphQL alone.

        From 1.5.0 a run that is shown has left the server's cache.
        """
        wanted = tuple(job_ids)
        return self._list_by_graphql(lambda items: replies.graphql_jobs(wanted, cluster, items))

    def running_jobs(self, cluster: str) -> JobList:
        """List all running jobs of a cluster, whole or not at all."""
        self._requests.forget_token()  # trusted only after REST has answered in the same sweep
        listing = self._list_by_graphql(lambda items: replies.graphql_running(cluster, items))
        if listing.rows is None and replies.needs_rest(listing.reply):
            listing = self._list_by_rest(replies.rest_running(cluster))
        return listing

    def clusters(self) -> ClusterList:
        """Ask for the clusters with their nodes and topology (cc-backend >= 1.3.0).

        Empty where the server has no such call, None where they could not be read now.
        """
        limit = self._max_list_bytes
        reply, text = self._requests.send(
            ApiCall.CLUSTERS, "GET", "/api/clusters/", limit_bytes=limit
        )
        if reply.outcome is not Outcome.DELIVERED:
            return _unlisted_clusters(reply, self.server)
        try:
            return ClusterList(reply, clusters_of_json(json.loads(text)))
        except ValueError as error:
            return ClusterList(incomplete(reply, str(error)))

    def _send_amended(self, call: ApiCall, document: Document) -> ApiReply:
        """Send a request; change it as the server demands and resend it until no change is left."""
        sent = document
        amended: tuple[Reason, ...] = ()
        while True:
            reply, _ = self._requests.send(call, *_ENDPOINTS[call], document=sent)
            reply = _with_refused_end(reply, sent)
            reason = reply.verdict.reason
            changed = None
            if reply.outcome is Outcome.AMEND:
                changed = self._amended(sent, reason, amended)
                if changed is None:
                    verdict = ReplyVerdict(_reason_unamended(reply), reply.verdict.message)
                    reply = replace(reply, verdict=verdict)
            if changed is None:
                return replace(reply, document=sent)
            sent, amended = changed, (*amended, reason)

    def _amended(
        self, sent: Document, reason: Reason, before: tuple[Reason, ...]
    ) -> Document | None:
        """Return the request changed as the refusal requires; None if no change is left."""
        if reason in before and reason is not Reason.METADATA_TOO_LARGE:
            return None
        if reason is not Reason.WRONG_DIALECT:
            return amend(sent, reason)
        refused = next((each for each in Dialect if each.value in sent), None)
        if refused is None:
            return None
        if refused is self.server.dialect:  # else another sender has found that out already
            self._requests.switch_dialect()
        return translate_sharing(sent, refused.other)

    def _already_stored(self, document: Document) -> ApiReply | None:
        """Return the reply if a start is listed or the list failed; None if it is not listed."""
        key = key_of(document)
        listing = self.lookup(key.job_id, key.cluster, key.start_time)
        if listing.rows is None:
            return replace(listing.reply, document=document)
        if not listing.rows:
            return None
        return unsent_reply(ApiCall.START, Reason.STORED_BEFORE, document)

    def _resolved(self, reply: ApiReply, *, maybe_cached: bool) -> ApiReply:
        """Look up the job's runs to correct a start's conflict verdict; return a failed look-up."""
        key = key_of(reply.document or {})
        listing = self.lookup(key.job_id, key.cluster)
        if listing.rows is None:
            # With a start time REST can answer where GraphQL fails.
            one = self.lookup(key.job_id, key.cluster, key.start_time)
            if not one.rows:
                return replace(listing.reply, document=reply.document)
            listing = one
        rows = listing.rows or ()
        starts = [row.start_time for row in rows]
        verdict = check_duplicate(reply.verdict, starts, key.start_time, maybe_cached=maybe_cached)
        return replace(reply, verdict=verdict, rows=rows)

    def _list_by_graphql(self, query: Callable[[int], Mapping[str, object]]) -> JobList:
        """List by GraphQL, with a larger page if needed; no rows unless REST accepts the token."""
        if not self._requests.is_token_verified():
            reply = self._requests.verify_token()
            if reply.outcome is not Outcome.DELIVERED:
                return JobList(reply)
        limit, items = self._max_list_bytes, replies.PAGE_ITEMS
        for _ in range(_LIST_ATTEMPTS):
            reply, text = self._requests.send(
                ApiCall.GRAPHQL, "POST", "/query", document=query(items), limit_bytes=limit
            )
            if reply.outcome is not Outcome.DELIVERED:
                break
            try:
                return JobList(reply, replies.graphql_rows(text))
            except JobListError as error:
                reply = incomplete(reply, str(error))
                # More than the count: jobs start between two attempts.
                items = max(items, (error.count or 0) + 1000)
        return JobList(reply)

    def _list_by_rest(self, path: str) -> JobList:
        limit = self._max_list_bytes
        reply, text = self._requests.send(ApiCall.LISTING, "GET", path, limit_bytes=limit)
        if reply.outcome is not Outcome.DELIVERED:
            return JobList(reply)
        try:
            return JobList(reply, replies.rest_rows(text))
        except JobListError as error:
            return JobList(incomplete(reply, str(error)))


def _with_refused_end(reply: ApiReply, sent: Document) -> ApiReply:
    """Return the reply as `END_BEFORE_START` if the refused end is not after its start.

    Up to 1.3.1 one and the same answer says "already stopped" and "ends too early" (job.go of
    cc-backend v1.0.0 ... v1.3.1): only an end after the start distinguishes the two.
    """
    reason, is_early = reply.verdict.reason, sent.get("stopTime", 0) <= sent.get("startTime", -1)
    if reason is not Reason.STOPPED_BEFORE or reply.status != _BAD_REQUEST or not is_early:
        return reply
    verdict = ReplyVerdict(Reason.END_BEFORE_START, reply.verdict.message)
    return replace(reply, verdict=verdict)


def _unlisted_clusters(reply: ApiReply, server: ServerInfo) -> ClusterList:
    """Return no clusters if the server is too old to list them; None if it cannot answer now."""
    if reply.verdict.reason is not Reason.FEATURE_ABSENT:
        return ClusterList(reply)
    if not server.has_clusters:
        return ClusterList(reply, ())
    # A proxy writes the same words as a server before 1.3.0.
    return ClusterList(
        replace(reply, verdict=ReplyVerdict(Reason.UNEXPECTED, reply.verdict.message))
    )


def _reason_unamended(reply: ApiReply) -> Reason:
    """Return why a request is not accepted after everything that could be changed was changed."""
    too_large = reply.status == _CONTENT_TOO_LARGE  # which something in front may say to everything
    return Reason.UNEXPECTED if too_large else Reason.BAD_REQUEST
