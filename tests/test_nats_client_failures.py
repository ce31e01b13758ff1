"""A client of a server in NATS mode whose broker or REST interface fails, and its probe."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from nats_bus import TOKEN, Bus, client_of, reason, start, stop
from stub_server import Model, StubServer

from ccbackend.nats_api.event_lines import PROBE
from ccbackend.nats_api.nats_client import NatsClient
from ccbackend.outcomes import Reason


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a server in NATS mode."""
    with StubServer(Model(version="1.5.4", token=TOKEN, nats=True)) as stub:
        yield stub


@pytest.fixture
def bus(server: StubServer) -> Bus:
    """Return a broker to which the server subscribes."""
    return Bus(server)


@pytest.fixture
def time() -> list[float]:
    """Return the monotonic clock as a list of one number."""
    return [0.0]


@pytest.fixture
def client(server: StubServer, bus: Bus, time: list[float]) -> Iterator[NatsClient]:
    """Return a client that knows the server."""
    with client_of(server, bus, time) as made:
        yield made


@pytest.mark.parametrize(
    ("failure", "sent"), [(Reason.BROKER_AWAY, False), (Reason.BROKER_LOST, True)]
)
def test_a_failure_shows_whether_the_message_may_have_arrived(
    client: NatsClient, bus: Bus, server: StubServer, failure: Reason, *, sent: bool
) -> None:
    """BROKER_AWAY means not sent, BROKER_LOST maybe sent, for a start and for a stop."""
    bus.verdicts = [failure]
    begun = client.start(start())
    client.start(start())
    server.model.commit()
    bus.verdicts = [failure]
    ended = client.stop(stop())

    assert [(failure, sent)] * 2 == [(reason(each), each.sent) for each in (begun, ended)]


def test_no_run_is_published_while_rest_fails(
    client: NatsClient, bus: Bus, server: StubServer
) -> None:
    """Without a job list the client cannot check whether a message had an effect."""
    server.model.token = "TOKEN:other"
    replies = [client.start(start(), maybe_sent=True), client.stop(stop())]

    assert [Reason.TOKEN_REFUSED] * 2 == [reason(each) for each in replies]
    assert [] == bus.messages


@pytest.mark.parametrize(
    ("nats", "verdicts", "expected"),
    [
        (True, [], Reason.NATS_ON),
        (True, [Reason.NO_SUBSCRIBER], Reason.NO_SUBSCRIBER),
        (True, [Reason.BROKER_AWAY], Reason.BROKER_AWAY),
        (False, [], Reason.REST_MODE),
    ],
)
def test_a_probe_checks_server_and_broker(
    client: NatsClient,
    bus: Bus,
    server: StubServer,
    *,
    nats: bool,
    verdicts: list[Reason],
    expected: Reason,
) -> None:
    """The probe publishes a message without a run, which leaves no row at the server."""
    server.model.nats = nats
    bus.verdicts = [*verdicts, *verdicts]
    found = [reason(client.probe().reply), reason(client.check_job_api())]

    assert ([expected] * 2, {}) == (found, server.rows())
    assert {PROBE} >= set(bus.messages)


def test_a_refused_token_is_reported_before_the_broker_is_probed(
    client: NatsClient, bus: Bus, server: StubServer
) -> None:
    """An administrator has to replace the token first."""
    server.model.token = "TOKEN:other"

    assert (Reason.TOKEN_REFUSED, []) == (reason(client.probe().reply), bus.messages)
