"""The requests to cc-backend that run in workers: requests for runs, and queries of the server.

Each function blocks for minutes at most, raises nothing, and runs in its worker's thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Protocol

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_random

from ccbackend.outcomes import ApiCall, Outcome, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, ClusterList, JobList, Probe
from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo
from slurm.light_dataclass import light_dataclass
from spool.deliver.pending_run import RequestKind
from spool.errors import internal_error, log_internal_error
from spool.escaping import escape

# One repetition within a second bridges a lost connection or a proxy that restarts. All longer
# waits are decided by the loop, where one probe stands for all runs.
SEND_ATTEMPTS = 2
MAX_RETRY_WAIT_SECONDS = 1.0
NO_EDITS_SECONDS = 60.0
_UNANSWERED = frozenset({Outcome.RETRY, Outcome.HALT})
# Not TIMED_OUT: it took a minute, and a repetition would block the connection for another one.
_TRANSIENT = frozenset({Reason.UNREACHABLE, Reason.BROKEN, Reason.BUSY})
_log = logging.getLogger(__name__)


@light_dataclass
class SendRequest:
    """One request for a run.

    `is_trial`: exactly one request is sent, without a repetition: the server or channel is down, or
    a repetition would lack the threads of a host that the server may have learnt of meanwhile.
    `maybe_sent`: the same request may have reached cc-backend before. `state` is Slurm's state of
    the end that a stop reports; `edits` are changes of the row's metadata to be made before it.
    """

    kind: RequestKind
    job_id: int
    start_time: int
    cluster: str
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    is_trial: bool = False
    maybe_sent: bool = False
    state: str | None = None
    edits: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


@light_dataclass
class SendResult:
    """The result of a request: cc-backend's classified reply, and the server's version."""

    reply: ApiReply
    server: ServerInfo


class Topic(StrEnum):
    """The subject of a query of the server."""

    PROBE = "probe"  # its version, and whether it accepts the token
    TOPOLOGY = "topology"  # its clusters with their hosts
    JOBS = "jobs"  # the runs of some job ids


@light_dataclass
class ServerQuery:
    """A query of the server; `cluster` and `job_ids` are for `Topic.JOBS`."""

    topic: Topic
    cluster: str = ""
    job_ids: tuple[int, ...] = ()


@light_dataclass
class ServerReply:
    """The answer to a query; `listed` has job ids and start times, `clusters` None: not known."""

    verdict: ReplyVerdict
    server: ServerInfo
    clusters: tuple[Cluster, ...] | None = None
    listed: frozenset[tuple[int, int]] = frozenset()
    retry_after_seconds: float | None = None


class SenderBackend(Protocol):
    """The calls of a worker to cc-backend; each blocks for minutes at most and raises nothing.

    `ccbackend.client.BackendClient` implements them.
    """

    @property
    def server(self) -> ServerInfo:
        """Return the known version and dialect of the server."""

    def start(self, document: dict[str, Any], *, maybe_sent: bool = False) -> ApiReply:
        """Send a start; `maybe_sent`: it may have been sent before."""

    def stop(self, document: dict[str, Any], *, state: str | None = None) -> ApiReply:
        """Send a stop; `state` is Slurm's state of the end."""

    def delete(self, document: dict[str, Any]) -> ApiReply:
        """Remove one row."""

    def edit_meta(self, document: dict[str, Any]) -> ApiReply:
        """Set one key of a row's metaData."""

    def list_runs(self, job_ids: Iterable[int], cluster: str) -> JobList:
        """List the runs of some job ids."""

    def clusters(self) -> ClusterList:
        """Request the clusters with their hosts and topology."""

    def probe(self) -> Probe:
        """Request the version, and check that the token is accepted."""


class BackendSender:
    """The sender of requests with one client; used only in the thread of its worker.

    `new_editor` creates a client with short timeouts for the changes that precede a stop; None: the
    same client makes them.
    """

    def __init__(
        self,
        backend: SenderBackend,
        *,
        sleep: Callable[[float], None] = time.sleep,
        new_editor: Callable[[], SenderBackend] | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._new_editor = new_editor or (lambda: backend)
        self._editor: SenderBackend | None = None
        self._no_edits_until = float("-inf")
        self._steady = steady
        self._retrying = Retrying(
            retry=retry_if_result(_is_transient),
            stop=stop_after_attempt(SEND_ATTEMPTS),
            wait=wait_random(0.2, MAX_RETRY_WAIT_SECONDS),
            sleep=sleep,
            retry_error_callback=_last_reply,
        )

    def send(self, request: SendRequest) -> SendResult:
        """Send a request; retry within seconds if there is no answer, unless it is a trial."""
        run = (request.job_id, request.start_time, escape(request.cluster), request.kind)
        _log.debug("job=%d start=%d cluster=%s call=%s: sending the request", *run)
        try:
            # A trial is one request: changes before it could hang as well.
            if not request.is_trial:
                self._edit(request)
            reply = self._call(request) if request.is_trial else self._retrying(self._call, request)
        except Exception as error:  # noqa: BLE001 - a border: one request; the worker goes on
            what = "job=%d request %s failed"
            log_internal_error(_log, error, what, request.job_id, request.kind)
            reply = own_failure(error)
        reason = reply.verdict.reason.name.lower()
        text = "job=%d start=%d cluster=%s call=%s outcome=%s: status %s, %s"
        _log.debug(text, *run, reply.outcome, reply.status, reason)
        return SendResult(reply=reply, server=self._backend.server)

    def ask(self, query: ServerQuery) -> ServerReply:
        """Make a query of the server."""
        try:
            return self._ask(query)
        except Exception as error:  # noqa: BLE001 - a border: one query; the worker goes on
            log_internal_error(_log, error, "the query of %s failed", query.topic)
            return ServerReply(verdict=own_failure(error).verdict, server=self._backend.server)

    def _edit(self, request: SendRequest) -> None:
        """Send the changes of metadata before a stop; the stop is sent even if they fail.

        If cc-backend does not answer, no changes are sent for a minute: each could cost seconds.
        """
        if not request.edits or self._steady() < self._no_edits_until:
            return
        try:
            self._editor = self._editor or self._new_editor()
            is_answered = all(
                self._editor.edit_meta(dict(each)).outcome not in _UNANSWERED
                for each in request.edits  # none follows one that was not answered
            )
        except Exception as error:  # noqa: BLE001 - a border: the stop must be sent
            log_internal_error(_log, error, "job=%d request edit_meta failed", request.job_id)
            is_answered = False
        if not is_answered:
            self._no_edits_until = self._steady() + NO_EDITS_SECONDS

    def _call(self, request: SendRequest) -> ApiReply:
        body = dict(request.document)
        match request.kind:
            case RequestKind.START:
                return self._backend.start(body, maybe_sent=request.maybe_sent)
            case RequestKind.STOP:
                return self._backend.stop(body, state=request.state)
            case RequestKind.DELETE:
                return self._backend.delete(body)
        return self._backend.edit_meta(body)

    def _ask(self, query: ServerQuery) -> ServerReply:
        backend = self._backend
        if query.topic is Topic.PROBE:
            probe = backend.probe()
            return ServerReply(
                verdict=probe.reply.verdict,
                server=probe.server,
                retry_after_seconds=probe.reply.retry_after_seconds,
            )
        if query.topic is Topic.TOPOLOGY:
            found = backend.clusters()
            return ServerReply(
                verdict=found.reply.verdict, server=backend.server, clusters=found.clusters
            )
        listing = backend.list_runs(query.job_ids, query.cluster)
        listed = frozenset((row.job_id, row.start_time) for row in listing.rows or ())
        return ServerReply(verdict=listing.reply.verdict, server=backend.server, listed=listed)


def own_failure(error: Exception) -> ApiReply:
    """Return a reply for an exception in our own code."""
    # UNEXPECTED counts as a failure of unknown cause: a bug of ours must not move a run to `dead/`.
    verdict = ReplyVerdict(Reason.UNEXPECTED, internal_error(error))
    return ApiReply(call=ApiCall.START, verdict=verdict, sent=False)


def _is_transient(reply: ApiReply) -> bool:
    """Return whether a retry within seconds may succeed: no server, or not ready yet."""
    wish = reply.retry_after_seconds or 0.0
    return reply.verdict.reason in _TRANSIENT and wish <= MAX_RETRY_WAIT_SECONDS


def _last_reply(state: RetryCallState) -> Any:
    """Return the reply to the last attempt."""
    return None if state.outcome is None else state.outcome.result()
