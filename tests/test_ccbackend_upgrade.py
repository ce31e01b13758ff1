"""The client detects the server's release, also when it changes while the client runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import requests
from backend_version import parse_version
from stub_server import Model, StubServer

from ccbackend.client import BackendClient
from ccbackend.outcomes import Outcome, Reason
from ccbackend.version import ServerInfo, SharedServerInfo, Version, server_info
from ccbackend.wire.transport import Transport

BEGAN = 1_767_225_600
RESOURCES = [{"hostname": "n1"}]
START = {"jobId": 7, "user": "ada", "cluster": "lab", "numNodes": 1, "startTime": BEGAN}
OLD = server_info(Version(1, 4, 4))
NEW = server_info(Version(1, 5, 4))


@contextmanager
def backend(url: str, server: ServerInfo | None = None) -> Iterator[BackendClient]:
    """Yield a client of a server."""
    with requests.Session() as session:
        transport = Transport(session, url, token=lambda: "TOKEN:api")
        yield BackendClient(transport, SharedServerInfo(server))


def start(there: BackendClient, job_id: int) -> Reason:
    """Report a start in the dialect that is known; return the reason of the outcome."""
    sharing = {"exclusive": 1} if there.server == OLD else {"shared": "none"}
    return there.start(START | sharing | {"jobId": job_id, "resources": RESOURCES}).verdict.reason


@pytest.mark.parametrize(("before", "after"), [("1.4.4", "1.5.4"), ("1.5.4", "1.4.4")])
def test_an_upgraded_or_downgraded_server_is_recognised(before: str, after: str) -> None:
    """After a reconnect the client reads the version again, and the start succeeds."""
    with StubServer(Model(version=before)) as first, backend(first.url) as there:
        there.probe()
        reasons = [start(there, 1)]
        first.close()
        with StubServer(Model(version=after), urlsplit(first.url).port or 0) as second:
            reasons.append(start(there, 2))
            asked = [exchange.path for exchange in second.log]

    assert [Reason.CREATED] * 2 == reasons
    assert server_info(parse_version(after)) == there.server
    assert "/login" in asked


def test_the_version_is_not_requested_again_over_the_same_connection() -> None:
    """Only a new connection can lead to another server."""
    with StubServer(Model(version="1.4.4")) as server, backend(server.url) as there:
        there.probe()
        for job_id in (1, 2):
            start(there, job_id)

    assert 1 == [exchange.path for exchange in server.log].count("/login")


def test_the_first_connection_of_a_sender_needs_no_probe() -> None:
    """A sender uses the version that another sender found, and requests only start_job."""
    with StubServer(Model(version="1.4.4")) as server, backend(server.url, OLD) as there:
        start(there, 1)

    assert ["/api/jobs/start_job/"] == [exchange.path for exchange in server.log]


def test_nats_mode_halts_deliveries_and_is_named_in_the_hint() -> None:
    """Job lists are answered in NATS mode, so the probe also requests the job API itself."""
    with StubServer(Model(version="1.5.4", nats=True)) as server, backend(server.url) as there:
        probe = there.probe()

    assert (NEW, Reason.API_OFF) == (probe.server, probe.reply.verdict.reason)
    assert (Outcome.HALT, True) == (probe.reply.outcome, "NATS" in probe.reply.verdict.hint)


@pytest.mark.parametrize("version", ["1.4.4", "1.5.4"])
def test_a_server_that_accepts_jobs_is_healthy(version: str) -> None:
    """The probe sends only GET requests and stores no job."""
    with StubServer(Model(version=version)) as server, backend(server.url) as there:
        probe = there.probe()

    assert Reason.LISTED is probe.reply.verdict.reason
    assert {} == server.rows()
    assert {"GET"} == {exchange.method for exchange in server.log}  # a POST would be logged there


def test_a_wrong_token_is_reported_before_the_job_api_is_probed() -> None:
    """The job list is refused, and the probe ends after two requests."""
    with (
        StubServer(Model(version="1.5.4", token="TOKEN:new")) as server,
        backend(server.url) as there,
    ):
        probe = there.probe()

    assert Outcome.HALT is probe.reply.outcome
    assert 2 == len(server.log)
