"""Threads that speak to cc-backend: one for starts, deletes and look-ups, one for stops.

They own a session each and nothing else: frozen requests come in, frozen replies go out, so a
server that hangs delays nobody but its own thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Protocol

from ccbackend.outcome import Outcome, Reason, Verdict
from ccbackend.version import Server
from spool.schedule import Call

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `wave` numbers what was handed out between two failures of the destination.

    `is_probe`: cc-backend is believed down or halted; exactly one request, never repeated here.
    """

    call: Call
    job_id: int
    start_time: int
    cluster: str
    document: Mapping[str, Any] = field(default_factory=dict)
    wave: int = 0
    is_probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of a request; `verdict` None: it was not sent.

    `starts` answers a look-up (start times of a job id's rows), `server` a probe, `listed` a
    listing (job id, start time of all running rows).
    """

    request: Request
    verdict: Verdict | None
    starts: tuple[int, ...] = ()
    server: Server | None = None
    listed: frozenset[tuple[int, int]] = frozenset()
    retry_after_seconds: float | None = None


class Backend(Protocol):
    """What a sender asks of cc-backend; every call blocks for 90 s at most and raises nothing."""

    def start(self, document: Mapping[str, Any], *, patient: bool) -> Verdict:
        """Tell a start; `patient` bridges seconds of an outage."""

    def stop(self, document: Mapping[str, Any], *, patient: bool) -> Verdict:
        """Tell a stop."""

    def delete(self, document: Mapping[str, Any]) -> Verdict:
        """Remove one row."""

    def lookup(self, job_id: int, cluster: str) -> tuple[Verdict, tuple[int, ...]]:
        """Return the start times of all rows of a job id."""

    def running(self) -> tuple[Verdict, frozenset[tuple[int, int]]]:
        """Return job id and start time of all rows that are listed as running."""

    def probe(self) -> tuple[Verdict, Server | None]:
        """Ask whether the token is accepted and which server it is."""


class Sender:
    """A thread that sends requests in the order given; `replies` may be shared by several."""

    def __init__(self, name: str, backend: Backend, replies: SimpleQueue[Reply]) -> None:
        self._backend = backend
        self._replies = replies
        self._requests: SimpleQueue[Request | None] = SimpleQueue()
        self._failed_wave = -1
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.outstanding = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def send(self, request: Request) -> None:
        """Queue a request; its reply will come, sent or not."""
        self.outstanding += 1
        self._requests.put(request)

    def acknowledge(self) -> None:
        """Count a reply as received; called by the thread that sends."""
        self.outstanding -= 1

    def stop(self, timeout_seconds: float) -> bool:
        """End the thread after its request; False if that takes longer than allowed."""
        self._failed_wave = 1 << 62
        self._requests.put(None)
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            self._replies.put(self._answer(request))

    def _answer(self, request: Request) -> Reply:
        if request.wave <= self._failed_wave:
            return Reply(request=request, verdict=None)
        try:
            reply = self._ask(request)
        except Exception as error:  # noqa: BLE001 - a border: one request; the thread goes on
            _log.error("job=%d %s failed here: %r", request.job_id, request.call, error)
            verdict = Verdict(Reason.UNEXPECTED, f"{type(error).__name__} in our own code")
            return Reply(request=request, verdict=verdict)
        if reply.verdict and reply.verdict.outcome in {Outcome.RETRY, Outcome.HALT}:
            self._failed_wave = max(self._failed_wave, request.wave)
        return reply

    def _ask(self, request: Request) -> Reply:
        backend, patient = self._backend, not request.is_probe
        match request.call:
            case Call.START:
                return Reply(
                    request=request, verdict=backend.start(request.document, patient=patient)
                )
            case Call.STOP:
                return Reply(
                    request=request, verdict=backend.stop(request.document, patient=patient)
                )
            case Call.DELETE:
                return Reply(request=request, verdict=backend.delete(request.document))
            case Call.LOOKUP:
                verdict, starts = backend.lookup(request.job_id, request.cluster)
                return Reply(request=request, verdict=verdict, starts=starts)
            case Call.LIST:
                verdict, listed = backend.running()
                return Reply(request=request, verdict=verdict, listed=listed)
            case Call.PROBE:
                verdict, server = backend.probe()
                return Reply(request=request, verdict=verdict, server=server)
