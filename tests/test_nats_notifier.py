"""Notifications by NATS: what is announced, and that deliveries do not wait for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
import requests
from stub_server import Model, StubServer, refusal

from ccbackend.nats_api.notifier import MAX_QUEUED, Notifier, NotifyingClient
from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import Transport

NOON = 1_767_225_600
TOKEN = "TOKEN:api"
KEY = {"jobId": 7, "cluster": "lab", "startTime": NOON}
START = KEY | {
    "user": "ada",
    "project": "p1",
    "numNodes": 1,
    "resources": [{"hostname": "n2cn001"}],
    "shared": "none",
}
STOP = KEY | {"stopTime": NOON + 60, "jobState": "completed"}


class Bus:
    """A broker that keeps messages; `gate` blocks it, `reasons` are its first answers.

    `answered` counts the answers.
    """

    def __init__(self, *reasons: Reason) -> None:
        self.reasons = list(reasons)
        self.messages: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.answered = threading.Semaphore(0)

    def publish(self, message: bytes) -> ReplyVerdict:
        """Keep a message."""
        self.gate.wait(20)
        self.messages.append(message.decode())
        self.answered.release()
        return ReplyVerdict(self.reasons.pop(0) if self.reasons else Reason.PUBLISHED)


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a server that takes jobs by REST."""
    with StubServer(Model(version="1.5.4", token=TOKEN)) as stub:
        yield stub


def functions(bus: Bus) -> list[str]:
    """Return the functions of the announced messages."""
    return [message.partition(" ")[0].partition("=")[2] for message in bus.messages]


def test_accepted_requests_are_announced(server: StubServer) -> None:
    """A start and a stop are announced once; a rejected or repeated request is not."""
    bus = Bus()
    notifier = Notifier(bus, clock_ns=lambda: 1)
    server.model.poison[8] = refusal(400, "no such project")
    with requests.Session() as session:
        transport = Transport(session, server.url, token=lambda: TOKEN)
        client = NotifyingClient(transport, SharedServerInfo(), notifier)
        client.start(START | {"jobId": 8})
        client.start(START)
        server.model.commit()
        client.stop(STOP)
        client.stop(STOP)
    notifier.close()

    assert ["start_job", "stop_job"] == functions(bus)


def test_a_full_queue_delays_no_delivery(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond 1000 queued messages further ones are dropped, with one line in the log for all."""
    bus = Bus()
    bus.gate.clear()
    notifier = Notifier(bus, clock_ns=lambda: 1)
    for _ in range(MAX_QUEUED + 5):
        notifier.announce(ApiCall.STOP, STOP)
    notifier.close()
    lost = [record for record in caplog.records if "notifications are being lost" in record.message]
    bus.gate.set()
    for _ in range(MAX_QUEUED):  # the thread logs during this test, not during the next one
        bus.answered.acquire(timeout=20)
    notifier.close()

    assert 1 == len(lost)


def test_an_outage_of_the_broker_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The end is logged with the number of lost messages; a missing subscriber is no outage."""
    caplog.set_level(logging.WARNING)
    bus = Bus(Reason.BROKER_AWAY, Reason.BROKER_AWAY, Reason.NO_SUBSCRIBER)
    notifier = Notifier(bus, clock_ns=lambda: 1)
    for _ in range(4):
        notifier.announce(ApiCall.START, START)
    notifier.close()

    begin, end = (record.message for record in caplog.records)
    assert (True, True) == ("are being lost" in begin, end.endswith("work again; 2 were lost"))


def test_an_unused_notifier_can_be_closed() -> None:
    """`close` raises nothing and leaves no thread if no message was ever announced."""
    before = set(threading.enumerate())
    Notifier(Bus()).close()

    assert before >= set(threading.enumerate())
