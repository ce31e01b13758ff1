"""A broker with a subscribed server in NATS mode, a client, and bodies for the client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from stub_server import StubServer

from ccbackend.nats_api.nats_client import NatsClient
from ccbackend.outcomes import Reason, ReplyVerdict
from ccbackend.replies import ApiReply
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import Transport

NOON = 1_767_225_600
DAY = 24 * 3600
TOKEN = "TOKEN:api"


class Bus:
    """A broker with the server as subscriber; gives `verdicts` first; `loses` drops messages."""

    def __init__(self, server: StubServer) -> None:
        self.server = server
        self.verdicts: list[Reason] = []
        self.loses = False
        self.messages: list[bytes] = []

    def publish(self, message: bytes) -> ReplyVerdict:
        """Pass a message to the server, unless a verdict is set or messages are to be lost."""
        if self.verdicts:
            return ReplyVerdict(self.verdicts.pop(0))
        self.messages.append(message)
        if not self.loses:
            self.server.take_message(message.decode())
        return ReplyVerdict(Reason.PUBLISHED)


@contextmanager
def client_of(server: StubServer, bus: Bus, time: list[float]) -> Iterator[NatsClient]:
    """Yield a client that has probed the server."""
    made = NatsClient(
        Transport(requests.Session(), server.url, token=lambda: TOKEN),
        SharedServerInfo(),
        bus,
        clock_ns=lambda: NOON * 10**9,
        sleep=lambda _: None,
        steady=lambda: time[0],
    )
    made.probe()
    bus.messages.clear()
    yield made
    made.close()


def start(job_id: int = 7, start_time: int = NOON, **more: Any) -> dict[str, Any]:
    """Return the body of a start."""
    return {
        "jobId": job_id,
        "user": "ada",
        "project": "p1",
        "cluster": "lab",
        "numNodes": 1,
        "startTime": start_time,
        "resources": [{"hostname": "n2cn001"}],
        "shared": "none",
        **more,
    }


def stop(job_id: int = 7, start_time: int = NOON) -> dict[str, Any]:
    """Return the body of a stop."""
    return {
        "jobId": job_id,
        "cluster": "lab",
        "startTime": start_time,
        "stopTime": start_time + 60,
        "jobState": "completed",
    }


def reason(reply: ApiReply) -> Reason:
    """Return the reason in the verdict of a reply."""
    return reply.verdict.reason
