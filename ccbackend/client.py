"""Asking and telling one cc-backend; every failure is a classified reply, never an exception.

Requests that the server would take in another form are amended here, each way once. Nothing is
retried beyond that: when to try again is the caller's decision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ccbackend import replies
from ccbackend.errors import TokenError
from ccbackend.outcome import Call, Outcome, Reason, Verdict, settle
from ccbackend.payload import Document, amend, key_of
from ccbackend.replies import Clusters, Listing, ListingError, Probe, Reply, not_whole, reply_to
from ccbackend.sharing import in_dialect
from ccbackend.states import depends_on_dialect, end_state
from ccbackend.topology import clusters_of_json
from ccbackend.version import (
    Dialect,
    Server,
    dialect_of_unknown_path,
    server_of,
    version_of_login_page,
)
from ccbackend.wire.session import Link

_METHODS = {Call.START: "POST", Call.STOP: "POST", Call.DELETE: "DELETE"}
_PATHS = {
    Call.START: "/api/jobs/start_job/",
    Call.STOP: "/api/jobs/stop_job/",
    Call.DELETE: "/api/jobs/delete_job/",
}
_SERVER_ERROR = 500
_ATTEMPTS = 3  # a listing whose count moved while it was read


class Known:
    """What is known of the server, shared by all who speak to it; assignment is atomic."""

    def __init__(self, server: Server | None = None) -> None:
        self.server = server or Server()


class Backend:
    """One server by one link; for one thread."""

    def __init__(self, link: Link, known: Known | None = None) -> None:
        self._link = link
        self._known = known or Known()
        self._vouched: str | None = None  # the token to which REST has answered
        self._connections = 1  # of the link when the server was last detected

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    @property
    def server(self) -> Server:
        """What is known of the server: its dialect decides how a payload is made."""
        return self._known.server

    def detect(self) -> Server:
        """Ask which server this is, without token; what is known stays if it does not say."""
        page = self._link.exchange("GET", "/login", with_token=False)
        self._connections = max(1, self._link.connections)
        version = version_of_login_page(page.text) if page.status else None
        if version is not None:
            self._known.server = server_of(version)
        elif page.status is not None and page.status < _SERVER_ERROR:
            self._detect_generation()
        return self.server

    def probe(self) -> Probe:
        """Detect the server, ask it for one row of a listing with our token, and for its job API.

        A server in NATS mode (>= 1.5.0) lists jobs by REST but takes none.
        """
        server, reply = self.detect(), self._vouch()
        if reply.outcome is Outcome.DELIVERED and server.caches_starts:
            taken = self.takes_jobs()
            reply = taken if taken.outcome is Outcome.HALT else reply
        return Probe(server, reply)

    def takes_jobs(self) -> Reply:
        """Ask whether the REST job API is on, by a start without body; stores nothing.

        `BAD_REQUEST` is the good answer, `API_OFF` that of a server in NATS mode (>= 1.5.0).
        """
        return self._ask(Call.START, "POST", _PATHS[Call.START])[0]

    def start(self, document: Document, *, told_before: bool = False) -> Reply:
        """Tell a start. Safe to repeat if `told_before` says that it is one.

        A "duplicate" is looked up and settled: `rows` then holds the runs of the job id.

        Args:
            document: of `start_payload`.
            told_before: the same start may have reached the server. One of 1.4.0 or 1.4.1 is asked
                for it first; one >= 1.5.0 may hold it in its cache, where no listing shows it.
        """
        if told_before and self.server.queues_starts:
            found = self._found(document)
            if found is not None:
                return found
        reply = self._told(Call.START, document)
        if reply.outcome is not Outcome.CONFLICT:
            return reply
        return self._settled(reply, maybe_cached=told_before and self.server.caches_starts)

    def stop(self, document: Document, *, state: str | None = None) -> Reply:
        """Tell an end. Safe to repeat.

        `state` is Slurm's word. If its name depends on the server's generation, that is asked for
        first: a server just upgraded takes an old name, and no row can be corrected.
        """
        if state is not None and depends_on_dialect(state):
            document = document | {"jobState": end_state(state, (), self.detect().dialect)}
        return self._told(Call.STOP, document)

    def delete(self, document: Document) -> Reply:
        """Delete one run by its whole tuple. Safe to repeat."""
        return self._told(Call.DELETE, document)

    def lookup(self, job_id: int, cluster: str, start_time: int | None = None) -> Listing:
        """List the runs of a job id, in whatever state; with a start time only that one.

        From 1.5.0 a run accepted in the last minutes may be missing: it is still cached.
        """
        found = self.listed([job_id], cluster)
        if found.rows is None and start_time is not None and replies.worth_rest(found.reply):
            found = self._rest(replies.rest_window(cluster, start_time))
        return replies.only(found, job_id, cluster, start_time)

    def listed(self, job_ids: Iterable[int], cluster: str) -> Listing:
        """List the runs of some job ids, in whatever state; by GraphQL alone.

        From 1.5.0 a run that is shown has left the server's cache.
        """
        wanted = tuple(job_ids)
        return self._graphql(lambda items: replies.graphql_jobs(wanted, cluster, items))

    def running(self, cluster: str) -> Listing:
        """List all running jobs of a cluster, whole or not at all."""
        self._vouched = None  # believed only after REST has answered in the same sweep
        found = self._graphql(lambda items: replies.graphql_running(cluster, items))
        if found.rows is None and replies.worth_rest(found.reply):
            found = self._rest(replies.rest_running(cluster))
        return found

    def clusters(self) -> Clusters:
        """Ask for the clusters with their nodes and topology (cc-backend >= 1.3.0)."""
        limit = self._link.limits.listing_bytes
        reply, text = self._ask(Call.CLUSTERS, "GET", "/api/clusters/", limit_bytes=limit)
        if reply.outcome is not Outcome.DELIVERED:
            return Clusters(reply)
        try:
            return Clusters(reply, clusters_of_json(json.loads(text)))
        except ValueError as error:
            return Clusters(not_whole(reply, str(error)))

    def _detect_generation(self) -> None:
        answer = self._link.exchange("GET", "/api/cc-slurm-sync/", with_token=False)
        dialect = dialect_of_unknown_path(answer.status or 0, answer.text)
        if dialect is not None:
            self._known.server = Server(None, dialect)

    def _told(self, call: Call, document: Document) -> Reply:
        """Send, and amend as long as an amendment is new."""
        sent = document
        amended: tuple[Reason, ...] = ()
        while True:
            reply, _ = self._ask(call, _METHODS[call], _PATHS[call], document=sent)
            reason = reply.verdict.reason
            changed = None
            if reply.outcome is Outcome.AMEND:
                changed = self._amended(sent, reason, amended)
                if changed is None:
                    verdict = Verdict(Reason.BAD_REQUEST, reply.verdict.message)
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
            self._known.server = self.server.flipped()
        return in_dialect(sent, refused.other)

    def _found(self, document: Document) -> Reply | None:
        """Return the reply to a start that need not be sent; None: the server does not have it."""
        key = key_of(document)
        found = self.lookup(key.job_id, key.cluster, key.start_time)
        if found.rows is None:
            return replace(found.reply, document=document)
        if not found.rows:
            return None
        verdict = Verdict(Reason.STORED_BEFORE)
        return Reply(call=Call.START, verdict=verdict, sent=False, document=document)

    def _settled(self, reply: Reply, *, maybe_cached: bool) -> Reply:
        """Decide a duplicate by what is listed; if nothing can be listed, that is the reply."""
        key = key_of(reply.document or {})
        found = self.lookup(key.job_id, key.cluster)
        if found.rows is None:
            one = self.lookup(key.job_id, key.cluster, key.start_time)
            if not one.rows:
                return replace(found.reply, document=reply.document, amended=reply.amended)
            found = one
        rows = found.rows or ()
        starts = [row.start_time for row in rows]
        verdict = settle(reply.verdict, starts, key.start_time, maybe_cached=maybe_cached)
        return replace(reply, verdict=verdict, rows=rows)

    def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        document: Mapping[str, object] | None = None,
        limit_bytes: int | None = None,
    ) -> tuple[Reply, str]:
        """Exchange and classify; the text beside it, for listings."""
        body = None if document is None else encoded(document)
        try:
            token = self._link.token()
            answer = self._link.exchange(method, path, body=body, limit_bytes=limit_bytes)
        except TokenError as error:
            verdict = Verdict(Reason.TOKEN_UNREADABLE, str(error))
            return Reply(call=call, verdict=verdict, sent=False), ""
        if answer.status is not None and self._link.connections > self._connections:
            self.detect()  # a lost connection may have led to another release
        reply = reply_to(call, answer, self.server.version)
        if call is not Call.GRAPHQL and reply.outcome is Outcome.DELIVERED:
            self._vouched = token  # only now can a GraphQL listing be believed
        return reply, answer.text

    def _vouch(self) -> Reply:
        path = "/api/jobs/?state=running&items-per-page=1&page=1"
        return self._ask(Call.LISTING, "GET", path)[0]

    def _is_vouched(self) -> bool:
        try:
            return self._vouched is not None and self._vouched == self._link.token()
        except TokenError:
            return False

    def _graphql(self, query: Callable[[int], Mapping[str, object]]) -> Listing:
        """Ask with a page that grows to the count; no rows unless REST knows the token."""
        if not self._is_vouched():
            reply = self._vouch()
            if reply.outcome is not Outcome.DELIVERED:
                return Listing(reply)
        limit, items = self._link.limits.listing_bytes, replies.PAGE_ITEMS
        for _ in range(_ATTEMPTS):
            reply, text = self._ask(
                Call.GRAPHQL, "POST", "/query", document=query(items), limit_bytes=limit
            )
            if reply.outcome is not Outcome.DELIVERED:
                break
            try:
                return Listing(reply, replies.graphql_rows(text))
            except ListingError as error:
                reply = not_whole(reply, str(error))
                items = max(items, (error.count or 0) + 1000)
        return Listing(reply)

    def _rest(self, path: str) -> Listing:
        limit = self._link.limits.listing_bytes
        reply, text = self._ask(Call.LISTING, "GET", path, limit_bytes=limit)
        if reply.outcome is not Outcome.DELIVERED:
            return Listing(reply)
        try:
            return Listing(reply, replies.rest_rows(text))
        except ListingError as error:
            return Listing(not_whole(reply, str(error)))


def encoded(document: Mapping[str, object]) -> bytes:
    """A body as JSON in UTF-8, whatever its strings hold."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")
