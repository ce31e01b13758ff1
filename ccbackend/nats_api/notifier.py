"""Announce accepted starts and stops by NATS to other programs: best effort, never waited for.

The messages have a worker and a bounded queue of their own: what the broker does not take is
dropped and counted, and neither delays nor fails a delivery.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Full, Queue

from ccbackend.client import BackendClient
from ccbackend.nats_api.event_lines import event_line
from ccbackend.nats_api.nats_client import Publisher
from ccbackend.outcomes import ApiCall, Outcome, Reason
from ccbackend.payload import Document
from ccbackend.replies import ApiReply
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import Transport

MAX_QUEUED = 1000
_ACCEPTED = frozenset({Outcome.DELIVERED, Outcome.CONFIRM})
_TAKEN = frozenset({Reason.PUBLISHED, Reason.NO_SUBSCRIBER})  # subscribers are optional
_log = logging.getLogger(__name__)


class Notifier:
    """The worker that publishes the announcements; its thread starts with the first message."""

    def __init__(self, broker: Publisher, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._broker = broker
        self._clock_ns = clock_ns
        self._messages: Queue[bytes | None] = Queue(MAX_QUEUED)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._lost = 0

    def announce(self, call: ApiCall, document: Document) -> None:
        """Queue the message of an accepted start or stop; drop it if the queue is full."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
                self._thread.start()
        try:
            self._messages.put_nowait(event_line(call, document, self._clock_ns()))
        except Full:
            self._count_lost("the queue of notifications is full")

    def close(self) -> None:
        """Publish the queued messages for at most 1 s; return at once if the queue is full."""
        if self._thread is None:
            return
        try:
            self._messages.put_nowait(None)
        except Full:
            return
        self._thread.join(1.0)

    def _run(self) -> None:
        while (message := self._messages.get()) is not None:
            verdict = self._broker.publish(message)
            if verdict.reason not in _TAKEN:
                self._count_lost(verdict.message or verdict.hint)
            elif self._lost:
                _log.warning("NATS notifications work again; %d were lost", self._lost)
                self._lost = 0

    def _count_lost(self, cause: str) -> None:
        """Count a lost message; only the first one of an outage is logged."""
        with self._lock:
            self._lost += 1
            is_first = self._lost == 1
        if is_first:
            _log.warning(
                "NATS notifications are being lost, but jobs are still delivered: %s", cause
            )


class NotifyingClient(BackendClient):
    """A REST client that announces accepted starts and stops; use it in one thread only."""

    def __init__(self, transport: Transport, shared: SharedServerInfo, notifier: Notifier) -> None:
        super().__init__(transport, shared)
        self._notifier = notifier

    def start(self, document: Document, *, maybe_sent: bool = False) -> ApiReply:
        """Report a start, and announce it if it is accepted."""
        return self._announced(super().start(document, maybe_sent=maybe_sent))

    def stop(self, document: Document, *, state: str | None = None) -> ApiReply:
        """Report an end, and announce it if it is accepted."""
        return self._announced(super().stop(document, state=state))

    def _announced(self, reply: ApiReply) -> ApiReply:
        if reply.outcome in _ACCEPTED and reply.document is not None:
            self._notifier.announce(reply.call, reply.document)
        return reply
