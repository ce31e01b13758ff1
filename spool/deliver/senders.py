"""Threads that speak to cc-backend: one for starts, deletes and look-ups, one for stops.

They own a session each and nothing else: frozen requests come in, frozen replies go out, so a
server that hangs delays nobody but its own thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from queue import Queue, SimpleQueue
from typing import Any, Protocol

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_random

from ccbackend.classify import Outcome, Reason, ReplyVerdict
from ccbackend.replies import BackendRow, ClusterList, JobList, Probe
from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo
from spool.deliver.schedule import RequestKind

SEND_ATTEMPTS = 2
MAX_RETRY_WAIT_SECONDS = 1.0
_TRANSIENT = frozenset({Reason.UNREACHABLE, Reason.BROKEN, Reason.BUSY})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRequest:
    """One request. `generation` numbers what was handed out between two failures.

    `is_probe`: cc-backend is believed down or halted; exactly one request, never repeated here.
    `maybe_sent`: the same request may have reached cc-backend. `job_ids` are what a listing is
    asked about, `state` is Slurm's word for the end that a stop tells.
    """

    call: RequestKind
    job_id: int
    start_time: int
    cluster: str
    document: Mapping[str, Any] = field(default_factory=dict)
    generation: int = 0
    is_probe: bool = False
    maybe_sent: bool = False
    state: str | None = None
    job_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """What came of a request; `verdict` None: it was not sent, `status` None: no HTTP answer.

    `starts` are the start times of the job id's rows where cc-backend refused a start because of
    one; `document` the body as last sent; `server` is what is known of it by now (None: nothing
    new); `listed` answers a listing (job id and start time of the rows of some jobs); `clusters`
    (None: not told) come with a probe.
    """

    request: SendRequest
    verdict: ReplyVerdict | None
    status: int | None = None
    document: Mapping[str, Any] | None = field(default=None, repr=False)
    starts: tuple[int, ...] = ()
    server: ServerInfo | None = None
    clusters: tuple[Cluster, ...] | None = None
    listed: frozenset[tuple[int, int]] = frozenset()
    retry_after_seconds: float | None = None


class SenderReply(Protocol):
    """A classified answer; `ccbackend.replies.ApiReply` is one."""

    @property
    def verdict(self) -> ReplyVerdict:
        """Return what it means."""

    @property
    def status(self) -> int | None:
        """Return its HTTP status; None where none came."""

    @property
    def retry_after_seconds(self) -> float | None:
        """Return the server's own wish."""

    @property
    def document(self) -> dict[str, Any] | None:
        """Return the body as last sent."""

    @property
    def rows(self) -> tuple[BackendRow, ...] | None:
        """Return the runs of the job id where a start was settled by looking them up."""


class SenderBackend(Protocol):
    """What a sender asks of cc-backend; every call blocks for minutes at most and raises nothing.

    `ccbackend.client.BackendClient` is one.
    """

    @property
    def server(self) -> ServerInfo:
        """Return what is known of the server."""

    def start(self, document: dict[str, Any], *, maybe_sent: bool = False) -> SenderReply:
        """Tell a start, perhaps once more."""

    def stop(self, document: dict[str, Any], *, state: str | None = None) -> SenderReply:
        """Tell a stop; `state` is Slurm's word for the end."""

    def delete(self, document: dict[str, Any]) -> SenderReply:
        """Remove one row."""

    def list_runs(self, job_ids: Iterable[int], cluster: str) -> JobList:
        """List the runs of some job ids."""

    def clusters(self) -> ClusterList:
        """Ask for the clusters with their hosts and topology."""

    def probe(self) -> Probe:
        """Ask which server it is and whether it takes the token."""


class Sender:
    """A thread that sends requests in the order given; `replies` may be shared by several."""

    def __init__(
        self,
        name: str,
        backend: SenderBackend,
        results: Queue[SendResult],
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._backend = backend
        self._results = results
        self._requests: SimpleQueue[SendRequest | None] = SimpleQueue()
        self._failed_generation = -1
        self._retrying = Retrying(
            retry=retry_if_result(_is_transient),
            stop=stop_after_attempt(SEND_ATTEMPTS),
            wait=wait_random(0.2, MAX_RETRY_WAIT_SECONDS),
            sleep=sleep,
            retry_error_callback=_last_reply,
        )
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.outstanding = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def send(self, request: SendRequest) -> None:
        """Queue a request; its reply will come, sent or not."""
        self.outstanding += 1
        self._requests.put(request)

    def acknowledge(self) -> None:
        """Count a reply as received; called by the thread that sends."""
        self.outstanding -= 1

    def close(self) -> None:
        """Let the request under way be the last; those behind it come back unsent."""
        self._failed_generation = 1 << 62
        self._requests.put(None)

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread's end after `close`; False if it takes longer than allowed."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            self._results.put(self._handle(request))

    def _handle(self, request: SendRequest) -> SendResult:
        if request.generation <= self._failed_generation:
            return SendResult(request=request, verdict=None)
        try:
            result = self._dispatch(request)
        except Exception as error:  # noqa: BLE001 - a border: one request; the thread goes on
            _log.error("job=%d %s failed here: %r", request.job_id, request.call, error)
            verdict = ReplyVerdict(Reason.UNEXPECTED, f"{type(error).__name__} in our own code")
            return SendResult(request=request, verdict=verdict)
        if result.verdict and result.verdict.outcome in {Outcome.RETRY, Outcome.HALT}:
            self._failed_generation = max(self._failed_generation, request.generation)
        return result

    def _dispatch(self, request: SendRequest) -> SendResult:
        backend, body = self._backend, dict(request.document)
        match request.call:
            case RequestKind.START:
                again = request.maybe_sent
                return self._send_with_retry(request, lambda: backend.start(body, maybe_sent=again))
            case RequestKind.STOP:
                return self._send_with_retry(
                    request, lambda: backend.stop(body, state=request.state)
                )
            case RequestKind.DELETE:
                return self._send_with_retry(request, lambda: backend.delete(body))
            case RequestKind.LIST:
                listing = backend.list_runs(request.job_ids, request.cluster)
                rows = listing.rows or ()
                listed = frozenset((row.job_id, row.start_time) for row in rows)
                verdict = listing.reply.verdict
                return SendResult(
                    request=request, verdict=verdict, listed=listed, server=backend.server
                )
            case _:  # PROBE
                probe = backend.probe()
                is_ok = probe.reply.verdict.outcome is Outcome.DELIVERED
                return SendResult(
                    request=request,
                    verdict=probe.reply.verdict,
                    server=probe.server if is_ok or probe.server.version else None,
                    clusters=backend.clusters().clusters if is_ok else None,
                    retry_after_seconds=probe.reply.retry_after_seconds,
                )

    def _send_with_retry(self, request: SendRequest, send: Callable[[], SenderReply]) -> SendResult:
        """Send; bridge seconds of an outage unless it is known to be one."""
        answer = send() if request.is_probe else self._retrying(send)
        return SendResult(
            request=request,
            verdict=answer.verdict,
            status=answer.status,
            document=answer.document,
            starts=tuple(row.start_time for row in answer.rows or ()),
            server=self._backend.server,
            retry_after_seconds=answer.retry_after_seconds,
        )


def _is_transient(answer: SenderReply) -> bool:
    """Tell whether a second try within seconds may do: nobody was there, or not ready."""
    wish = answer.retry_after_seconds or 0.0
    return answer.verdict.reason in _TRANSIENT and wish <= MAX_RETRY_WAIT_SECONDS


def _last_reply(state: RetryCallState) -> Any:
    """Return the answer of the last attempt."""
    return None if state.outcome is None else state.outcome.result()
