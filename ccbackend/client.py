"""Asking and telling one cc-backend; every failure is a classified reply, never an exception.

Requests that the server would take in another form are amended here, each way once. Nothing is
retried beyond that: when to try again is the caller's decision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ccbackend import replies
from ccbackend.classify import ApiCall, Outcome, Reason, ReplyVerdict, check_duplicate
from ccbackend.end_states import depends_on_dialect, end_state
from ccbackend.errors import TokenError
from ccbackend.node_sharing import translate_sharing
from ccbackend.payload import Document, amend, key_of
from ccbackend.replies import ApiReply, ClusterList, JobList, JobListError, Probe, incomplete
from ccbackend.topology import clusters_of_json
from ccbackend.version import (
    Dialect,
    ServerInfo,
    dialect_of_404,
    server_info,
    version_of_login_page,
)
from ccbackend.wire.transport import Transport

_HTTP_METHODS = {ApiCall.START: "POST", ApiCall.STOP: "POST", ApiCall.DELETE: "DELETE"}
_PATHS = {
    ApiCall.START: "/api/jobs/start_job/",
    ApiCall.STOP: "/api/jobs/stop_job/",
    ApiCall.DELETE: "/api/jobs/delete_job/",
}
_SERVER_ERROR = 500
_LIST_ATTEMPTS = 3  # a listing whose count moved while it was read


class SharedServerInfo:
    """What is known of the server, shared by all who speak to it; assignment is atomic."""

    def __init__(self, server: ServerInfo | None = None) -> None:
        self.server = server or ServerInfo()


class BackendClient:
    """One server by one transport; for one thread."""

    def __init__(self, transport: Transport, shared: SharedServerInfo | None = None) -> None:
        self._transport = transport
        self._shared = shared or SharedServerInfo()
        self._verified: str | None = None  # the token to which REST has answered
        self._connections_seen = 1  # of the transport when the server was last detected

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    @property
    def server(self) -> ServerInfo:
        """What is known of the server: its dialect decides how a payload is made."""
        return self._shared.server

    def detect_server(self) -> ServerInfo:
        """Ask which server this is, without token; what is known stays if it does not say."""
        page = self._transport.exchange("GET", "/login", with_token=False)
        self._connections_seen = max(1, self._transport.connections)
        version = version_of_login_page(page.text) if page.status else None
        if version is not None:
            self._shared.server = server_info(version)
        elif page.status is not None and page.status < _SERVER_ERROR:
            self._detect_generation()
        return self.server

    def probe(self) -> Probe:
        """Detect the server, ask it for one row of a listing with our token, and for its job API.

        A server in NATS mode (>= 1.5.0) lists jobs by REST but takes none.
        """
        server, reply = self.detect_server(), self._verify_token()
        if reply.outcome is Outcome.DELIVERED and server.caches_starts:
            taken = self.check_job_api()
            reply = taken if taken.outcome is Outcome.HALT else reply
        return Probe(server, reply)

    def check_job_api(self) -> ApiReply:
        """Ask whether the REST job API is on, by a start without body; stores nothing.

        `BAD_REQUEST` is the good answer, `API_OFF` that of a server in NATS mode (>= 1.5.0).
        """
        return self._request(ApiCall.START, "POST", _PATHS[ApiCall.START])[0]

    def start(self, document: Document, *, maybe_sent: bool = False) -> ApiReply:
        """Tell a start. Safe to repeat if `maybe_sent` says that it is one.

        A "duplicate" is looked up and settled: `rows` then holds the runs of the job id.

        Args:
            document: of `start_payload`.
            maybe_sent: the same start may have reached the server. One of 1.4.0 or 1.4.1 is asked
                for it first; one >= 1.5.0 may hold it in its cache, where no listing shows it.
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
        """Tell an end. Safe to repeat.

        `state` is Slurm's word. If its name depends on the server's generation, that is asked for
        first: a server just upgraded takes an old name, and no row can be corrected.
        """
        if state is not None and depends_on_dialect(state):
            document = document | {"jobState": end_state(state, (), self.detect_server().dialect)}
        return self._send_amended(ApiCall.STOP, document)

    def delete(self, document: Document) -> ApiReply:
        """Delete one run by its whole tuple. Safe to repeat."""
        return self._send_amended(ApiCall.DELETE, document)

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
        self._verified = None  # believed only after REST has answered in the same sweep
        listing = self._list_by_graphql(lambda items: replies.graphql_running(cluster, items))
        if listing.rows is None and replies.needs_rest(listing.reply):
            listing = self._list_by_rest(replies.rest_running(cluster))
        return listing

    def clusters(self) -> ClusterList:
        """Ask for the clusters with their nodes and topology (cc-backend >= 1.3.0)."""
        limit = self._transport.limits.max_list_bytes
        reply, text = self._request(ApiCall.CLUSTERS, "GET", "/api/clusters/", limit_bytes=limit)
        if reply.outcome is not Outcome.DELIVERED:
            return ClusterList(reply)
        try:
            return ClusterList(reply, clusters_of_json(json.loads(text)))
        except ValueError as error:
            return ClusterList(incomplete(reply, str(error)))

    def _detect_generation(self) -> None:
        answer = self._transport.exchange("GET", "/api/cc-slurm-sync/", with_token=False)
        dialect = dialect_of_404(answer.status or 0, answer.text)
        if dialect is not None:
            self._shared.server = ServerInfo(None, dialect)

    def _send_amended(self, call: ApiCall, document: Document) -> ApiReply:
        """Send, and amend as long as an amendment is new."""
        sent = document
        amended: tuple[Reason, ...] = ()
        while True:
            reply, _ = self._request(call, _HTTP_METHODS[call], _PATHS[call], document=sent)
            reason = reply.verdict.reason
            changed = None
            if reply.outcome is Outcome.AMEND:
                changed = self._amended(sent, reason, amended)
                if changed is None:
                    verdict = ReplyVerdict(Reason.BAD_REQUEST, reply.verdict.message)
                    reply = replace(reply, verdict=verdict)
            if changed is None:
                return replace(reply, document=sent, amended=amended)
            sent, amended = changed, (*amended, reason)

    def _amended(
        self, sent: Document, reason: Reason, before: tuple[Reason, ...]
    ) -> Document | None:
        """Each way once; the shrinking as often as there is something to drop."""
        if reason in before and reason is not Reason.METADATA_TOO_LARGE:
            return None
        if reason is not Reason.WRONG_DIALECT:
            return amend(sent, reason)
        refused = next((each for each in Dialect if each.value in sent), None)
        if refused is None:
            return None
        if refused is self.server.dialect:  # else somebody has found that out already
            self._shared.server = self.server.with_other_dialect()
        return translate_sharing(sent, refused.other)

    def _already_stored(self, document: Document) -> ApiReply | None:
        """Return the reply to a start that need not be sent; None: the server does not have it."""
        key = key_of(document)
        listing = self.lookup(key.job_id, key.cluster, key.start_time)
        if listing.rows is None:
            return replace(listing.reply, document=document)
        if not listing.rows:
            return None
        verdict = ReplyVerdict(Reason.STORED_BEFORE)
        return ApiReply(call=ApiCall.START, verdict=verdict, sent=False, document=document)

    def _resolved(self, reply: ApiReply, *, maybe_cached: bool) -> ApiReply:
        """Decide a duplicate by what is listed; if nothing can be listed, that is the reply."""
        key = key_of(reply.document or {})
        listing = self.lookup(key.job_id, key.cluster)
        if listing.rows is None:
            one = self.lookup(key.job_id, key.cluster, key.start_time)
            if not one.rows:
                return replace(listing.reply, document=reply.document, amended=reply.amended)
            listing = one
        rows = listing.rows or ()
        starts = [row.start_time for row in rows]
        verdict = check_duplicate(reply.verdict, starts, key.start_time, maybe_cached=maybe_cached)
        return replace(reply, verdict=verdict, rows=rows)

    def _request(
        self,
        call: ApiCall,
        method: str,
        path: str,
        *,
        document: Mapping[str, object] | None = None,
        limit_bytes: int | None = None,
    ) -> tuple[ApiReply, str]:
        """Exchange and classify; the text beside it, for listings."""
        body = None if document is None else encoded(document)
        try:
            token = self._transport.token()
            answer = self._transport.exchange(method, path, body=body, limit_bytes=limit_bytes)
        except TokenError as error:
            verdict = ReplyVerdict(Reason.TOKEN_UNREADABLE, str(error))
            return ApiReply(call=call, verdict=verdict, sent=False), ""
        if answer.status is not None and self._transport.connections > self._connections_seen:
            self.detect_server()  # a lost connection may have led to another release
        reply = replies.reply_to(call, answer, self.server.version)
        if call is not ApiCall.GRAPHQL and reply.outcome is Outcome.DELIVERED:
            self._verified = token  # only now can a GraphQL listing be believed
        return reply, answer.text

    def _verify_token(self) -> ApiReply:
        path = "/api/jobs/?state=running&items-per-page=1&page=1"
        return self._request(ApiCall.LISTING, "GET", path)[0]

    def _is_token_verified(self) -> bool:
        try:
            return self._verified is not None and self._verified == self._transport.token()
        except TokenError:
            return False

    def _list_by_graphql(self, query: Callable[[int], Mapping[str, object]]) -> JobList:
        """Ask with a page that grows to the count; no rows unless REST knows the token."""
        if not self._is_token_verified():
            reply = self._verify_token()
            if reply.outcome is not Outcome.DELIVERED:
                return JobList(reply)
        limit, items = self._transport.limits.max_list_bytes, replies.PAGE_ITEMS
        for _ in range(_LIST_ATTEMPTS):
            reply, text = self._request(
                ApiCall.GRAPHQL, "POST", "/query", document=query(items), limit_bytes=limit
            )
            if reply.outcome is not Outcome.DELIVERED:
                break
            try:
                return JobList(reply, replies.graphql_rows(text))
            except JobListError as error:
                reply = incomplete(reply, str(error))
                items = max(items, (error.count or 0) + 1000)
        return JobList(reply)

    def _list_by_rest(self, path: str) -> JobList:
        limit = self._transport.limits.max_list_bytes
        reply, text = self._request(ApiCall.LISTING, "GET", path, limit_bytes=limit)
        if reply.outcome is not Outcome.DELIVERED:
            return JobList(reply)
        try:
            return JobList(reply, replies.rest_rows(text))
        except JobListError as error:
            return JobList(incomplete(reply, str(error)))


def encoded(document: Mapping[str, object]) -> bytes:
    """A body as JSON in UTF-8, whatever its strings hold."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")
