"""Closing the connection to a NATS broker: it does not wait, and ends all publishing."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import Context
from typing import Any, TypeVarTuple, Unpack

import pytest
from nats_site import SUBJECT, LineRecorder

from ccbackend.nats_api.event_lines import PROBE
from ccbackend.nats_api.publish import Broker, BrokerSettings
from ccbackend.outcomes import Reason

LOOPBACK = ("127.0.0.1", 0)
Arguments = TypeVarTuple("Arguments")


def connect(*servers: str, **settings: Any) -> Broker:
    """Return a connection to the first of some brokers that answers."""
    return Broker(BrokerSettings(servers=servers, subject=SUBJECT, **settings))


def test_an_unused_connection_can_be_closed() -> None:
    """`close` raises nothing and leaves no thread if no broker was ever connected."""
    before = set(threading.enumerate())
    connect("nats://127.0.0.1:9").close()

    assert before >= set(threading.enumerate())


def test_closing_does_not_wait_for_silent_brokers() -> None:
    """Messages that wait for a silent broker fail at once, and no other broker is tried."""
    with socket.create_server(LOOPBACK) as first, socket.create_server(LOOPBACK) as second:
        urls = [f"nats://127.0.0.1:{each.getsockname()[1]}" for each in (first, second)]
        broker = connect(*urls)
        with ThreadPoolExecutor() as threads:
            publishing = [threads.submit(broker.publish, PROBE) for _ in range(3)]
            connection, _ = first.accept()
            broker.close()
            reasons = {each.result().reason for each in publishing}
        connection.close()
        second.settimeout(0)

        with pytest.raises(BlockingIOError):
            second.accept()
    assert {Reason.BROKER_AWAY} == reasons


def test_a_message_without_answer_at_the_close_may_have_been_sent() -> None:
    """The broker got the message before the connection was closed: BROKER_LOST."""
    with closing(LineRecorder(is_mute=True)) as recorder, ThreadPoolExecutor() as threads:
        broker = connect(recorder.url, answer_seconds=60.0)
        publishing = threads.submit(broker.publish, PROBE)
        assert recorder.got_message.wait(60)
        broker.close()

        assert Reason.BROKER_LOST is publishing.result().reason


def test_no_message_is_published_after_closing() -> None:
    """`publish` returns BROKER_AWAY and opens no connection."""
    with closing(LineRecorder()) as recorder:
        broker = connect(recorder.url)
        broker.close()

        assert (Reason.BROKER_AWAY, 0) == (broker.publish(PROBE).reason, recorder.connections)


class LateLoop(asyncio.SelectorEventLoop):
    """An event loop that begins its work after the thread `closer` has called it."""

    def __init__(self, closer: threading.Thread) -> None:
        super().__init__()
        begin = threading.Event()
        self._on_calls: list[Callable[[], None]] = [closer.start, begin.set]
        self.call_soon(begin.wait, 60)

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Schedule a call, then do the next step of the test."""
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        if self._on_calls:
            self._on_calls.pop(0)()
        return handle


def test_a_connection_can_be_closed_just_before_a_message_is_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event loop has no task yet that `close` could cancel; no connection is opened."""
    with closing(LineRecorder()) as recorder:

        def close() -> None:
            broker.close()

        closer = threading.Thread(target=close)
        monkeypatch.setattr(asyncio, "new_event_loop", lambda: LateLoop(closer))
        broker = connect(recorder.url)
        reason = broker.publish(PROBE).reason
        closer.join()

        assert (Reason.BROKER_AWAY, 0) == (reason, recorder.connections)
