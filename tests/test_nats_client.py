"""A client of a server in NATS mode: what it publishes, and when a run counts as delivered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from nats_bus import DAY, NOON, TOKEN, Bus, client_of, reason, start, stop
from recorded_backend import releases, scenarios
from stub_server import Model, StubServer

from ccbackend.nats_api.event_lines import event_line
from ccbackend.nats_api.nats_client import CLUSTERS_SECONDS, NatsClient
from ccbackend.outcomes import ApiCall, Reason


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


@pytest.mark.parametrize("release", [name for name in releases() if name.startswith("1.5.")])
def test_a_start_message_equals_the_recorded_one(release: str) -> None:
    """The document of a recorded start gives the message that a real server accepted."""
    recorded = next(
        each.request.body
        for each in scenarios(release)["nats-mode"].exchanges
        if each.request.method == "NATS-PUB" and b"7001" in (each.request.body or b"")
    )
    document = {
        "jobId": 7001,
        "user": "ada",
        "project": "p1",
        "cluster": "lab",
        "partition": "main",
        "numNodes": 1,
        "startTime": NOON,
        "walltime": 3600,
        "resources": [{"hostname": "n2cn001"}],
        "shared": "none",
    }

    assert recorded == event_line(ApiCall.START, document, NOON * 10**9)


@pytest.mark.parametrize("text", ["two\nlines", 'a "quote"', "back\\slash", "tab\t\x00", "ü 漢"])
def test_a_message_keeps_special_characters(text: str) -> None:
    """Newlines, quotes, backslashes, tabs and non-ASCII text of a job script arrive unchanged."""
    model = Model(version="1.5.4", token=TOKEN, nats=True)

    model.publish(event_line(ApiCall.START, start(metaData={"jobScript": text}), 1).decode())

    (row,) = model.cache.values()
    assert text == row["metaData"]["jobScript"]


def test_a_start_with_a_listed_row_is_delivered(
    client: NatsClient, bus: Bus, server: StubServer
) -> None:
    """A repeated start is published until the server lists its row; the server stores one row."""
    first = client.start(start())
    cached = client.start(start(), maybe_sent=True)
    server.model.commit()
    listed = client.start(start(), maybe_sent=True)

    reasons = [reason(each) for each in (first, cached, listed)]
    assert [Reason.PUBLISHED, Reason.PUBLISHED, Reason.STORED_BEFORE] == reasons
    assert (2, {(7, NOON): "running"}) == (len(bus.messages), server.rows())
    assert [NOON] == [row.start_time for row in listed.rows or ()]


def test_a_start_on_an_unknown_host_is_not_published(
    client: NatsClient, bus: Bus, server: StubServer, time: list[float]
) -> None:
    """The server would drop the start silently; its cluster list is read again after 50 s."""
    parts = [{"name": "a", "nodes": "n2cn[001-004]"}]
    server.model.clusters = [{"name": "lab", "subClusters": parts}]
    refused = client.start(start(resources=[{"hostname": "n9"}, {"hostname": "n2cn001"}]))
    other = client.start(start(8))
    parts[0]["nodes"] = "n9"
    early = client.start(start(resources=[{"hostname": "n9"}]))
    time[0] += CLUSTERS_SECONDS

    assert [Reason.UNKNOWN_HOST, Reason.UNKNOWN_HOST] == [reason(refused), reason(early)]
    assert ("no subcluster found for cluster lab and host n9", False) == (
        refused.verdict.message,
        refused.sent,
    )
    assert Reason.PUBLISHED is reason(other)
    assert Reason.PUBLISHED is reason(client.start(start(resources=[{"hostname": "n9"}])))
    assert 2 == len(bus.messages)


@pytest.mark.parametrize("clusters", [None, [], [{"name": "other", "subClusters": []}]])
def test_a_start_is_published_if_its_cluster_is_unknown(
    client: NatsClient, server: StubServer, clusters: list[Any] | None
) -> None:
    """The cluster list cannot be read, or lacks the run's cluster: the server decides."""
    server.model.token = "TOKEN:other" if clusters is None else TOKEN
    server.model.clusters = clusters or []

    assert Reason.PUBLISHED is reason(client.start(start(resources=[{"hostname": "n9"}])))


def test_a_second_run_within_a_day_is_a_conflict(client: NatsClient, server: StubServer) -> None:
    """The server drops the second start without an error; a run a day apart is no conflict."""
    client.start(start(start_time=NOON - 60))
    server.model.commit()

    near = client.start(start(), maybe_sent=True)
    far = client.start(start(start_time=NOON + DAY), maybe_sent=True)

    assert (Reason.DUPLICATE, Reason.PUBLISHED) == (reason(near), reason(far))
    assert [NOON - 60] == [row.start_time for row in near.rows or ()]


def test_a_stop_is_delivered_at_once(client: NatsClient, server: StubServer) -> None:
    """A listed run is stopped within milliseconds; the same stop is not published again."""
    client.start(start())
    server.model.commit()

    reasons = [reason(client.stop(stop())), reason(client.stop(stop()))]

    assert [Reason.STOPPED, Reason.STOPPED_BEFORE] == reasons
    assert {(7, NOON): "completed"} == server.rows()


def test_a_stop_that_is_lost_is_not_delivered(
    client: NatsClient, bus: Bus, server: StubServer
) -> None:
    """The row still runs at the server, so the stop counts only as published."""
    client.start(start())
    server.model.commit()
    bus.loses = True

    assert Reason.PUBLISHED is reason(client.stop(stop()))


def test_a_stop_without_a_row_is_not_published(client: NatsClient, bus: Bus) -> None:
    """The stop could overtake its start, which has to be listed first."""
    assert (Reason.UNKNOWN_RUN, []) == (reason(client.stop(stop())), bus.messages)


def test_a_start_that_is_too_large_is_sent_without_its_script(client: NatsClient, bus: Bus) -> None:
    """The broker refuses more than its max_payload; the job script is left out then."""
    bus.verdicts = [Reason.PAYLOAD_TOO_LARGE]
    reply = client.start(start(metaData={"jobScript": "x" * 100}))

    assert (Reason.PUBLISHED, True) == (reason(reply), b"jobScript" not in bus.messages[0])


def test_a_start_that_cannot_shrink_is_rejected(client: NatsClient, bus: Bus) -> None:
    """A start over the broker's max_payload has no script or description to leave out."""
    bus.verdicts = [Reason.PAYLOAD_TOO_LARGE]

    assert Reason.PAYLOAD_TOO_LARGE is reason(client.start(start()))


def test_all_other_requests_use_rest(client: NatsClient, server: StubServer) -> None:
    """Job lists, clusters, metadata and deletions are not sent by NATS."""
    client.start(start())
    server.model.commit()
    edit = {key: start()[key] for key in ("jobId", "cluster", "startTime")}
    client.edit_meta(edit | {"payload": {"key": "jobScript", "value": "x"}})
    listed = [client.list_runs([7], "lab"), client.running_jobs("lab")]

    assert [1, 1] == [len(each.rows or ()) for each in listed]
    assert Reason.LISTED is reason(client.clusters().reply)
    assert (Reason.DELETED, {}) == (reason(client.delete(edit)), server.rows())
    assert "1.5.4" == str(client.server.version)
