"""A probe detects version, dialect, job API and whether the token is accepted."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
import requests
from scripted_client import EMPTY, NEW, OLD, backend, error
from scripted_server import Action, answer, hang_up, stall

from ccbackend.client import BackendClient
from ccbackend.errors import Fault
from ccbackend.outcomes import ApiCall, Outcome, Reason
from ccbackend.version import Dialect, ServerInfo
from ccbackend.wire.transport import ExchangeLimits, HttpAnswer, Transport

LOGIN = answer(200, '<li class="build-list-item">Version 1.4.4</li>')
PLAIN = answer(200, "<html>login</html>")


@pytest.mark.parametrize(
    ("actions", "server"),
    [
        ((LOGIN,), OLD),
        ((PLAIN, error(404, "the requested endpoint does not exist")), ServerInfo()),
        ((PLAIN, answer(404, "404 page not found")), ServerInfo(None, Dialect.EXCLUSIVE)),
        ((PLAIN, answer(200, "<html>")), NEW),
        ((PLAIN, hang_up, hang_up), NEW),
        ((hang_up,), NEW),
        ((answer(503, "404 page not found"),), NEW),
    ],
)
def test_the_server_release_is_detected_without_token(
    actions: tuple[Action, ...], server: ServerInfo
) -> None:
    """The login page or a 404 shows version or dialect; otherwise the last known values stay."""
    with backend(*actions) as (there, peer):
        found = there.detect_server()

    assert found == server
    assert not any("x-auth-token" in request.headers for request in peer.requests)


def test_a_probe_returns_the_version_and_checks_the_token() -> None:
    """A probe reads the version on the login page, then requests one row of the job list."""
    with backend(LOGIN, EMPTY) as (there, _):
        found = there.probe()

    assert (found.server, found.reply.call, found.reply.outcome) == (
        OLD,
        ApiCall.LISTING,
        Outcome.DELIVERED,
    )


def test_a_probe_of_a_silent_server_ends_after_the_first_request() -> None:
    """Each further request would wait for its timeout too."""
    with backend(stall, EMPTY, limits=ExchangeLimits(read_seconds=0.1)) as (there, peer):
        found = there.probe()
        paths = [request.path for request in peer.requests]

    assert found.reply.verdict.reason is Reason.TIMED_OUT
    assert paths == ["/login"]


@pytest.fixture
def answers() -> list[HttpAnswer]:
    """Return the answers that the server of `client` will give."""
    return []


@pytest.fixture
def client(answers: list[HttpAnswer]) -> Iterator[BackendClient]:
    """Return a client that gets these answers, one after the other."""
    transport = Transport(requests.Session(), "http://lab", token=lambda: "secret-token")
    with patch.object(transport, "exchange", lambda *_args, **_options: answers.pop(0)):
        yield BackendClient(transport)


UNREACHABLE = HttpAnswer(fault=Fault.UNREACHABLE, sent=False)
VERSION_PAGE = HttpAnswer(status=200, text="Version 1.4.4")
EMPTY_LIST = HttpAnswer(status=200, text='{"jobs":[],"items":1,"page":1}')


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.UNREACHABLE, Reason.UNREACHABLE),
        (Fault.CERTIFICATE, Reason.CERTIFICATE),
        (Fault.CA_FILE, Reason.CA_FILE),
    ],
)
def test_a_probe_without_a_connection_makes_one_request(
    client: BackendClient, answers: list[HttpAnswer], fault: Fault, reason: Reason
) -> None:
    """Server unreachable, bad certificate or bad CA file: a second request would fail too."""
    answers += [HttpAnswer(fault=fault, sent=False), EMPTY_LIST]
    found = client.probe()

    assert (reason, [EMPTY_LIST]) == (found.reply.verdict.reason, answers)


def test_a_probe_after_a_failed_probe_requests_the_job_list(
    client: BackendClient, answers: list[HttpAnswer]
) -> None:
    """The server can be reached again: the second probe succeeds."""
    answers += [UNREACHABLE, VERSION_PAGE, EMPTY_LIST]
    client.probe()

    assert client.probe().reply.outcome is Outcome.DELIVERED


def test_a_probe_goes_on_after_a_broken_connection() -> None:
    """The probe succeeds although the connection breaks during the request for the login page."""
    with backend(hang_up, EMPTY) as (there, _):
        found = there.probe()

    assert found.reply.outcome is Outcome.DELIVERED


def test_get_start_job_shows_whether_the_job_api_is_on() -> None:
    """405: the job API is on. 404: the server is in NATS mode (from 1.5.0 on)."""
    absent = error(404, "the requested endpoint does not exist")
    with backend(answer(405, ""), absent) as (there, peer):
        reasons = [there.check_job_api().verdict.reason for _ in range(2)]

    assert reasons == [Reason.JOB_API_ON, Reason.API_OFF]
    assert {("GET", "/api/jobs/start_job/", b"")} == {
        (each.method, each.path, each.body) for each in peer.requests
    }


def test_an_old_server_is_not_asked_for_its_job_api() -> None:
    """cc-backend before 1.5.0 has no NATS mode, so no request is sent."""
    with backend(server=OLD) as (there, peer):
        found = there.check_job_api()

    assert (Reason.JOB_API_ON, False, []) == (found.verdict.reason, found.sent, peer.requests)


def test_a_job_api_answer_does_not_show_that_the_token_is_valid() -> None:
    """cc-backend sends 405 also without a token, so a REST request precedes the GraphQL list."""
    with backend(answer(405, ""), error(401, "unauthorized")) as (there, _):
        there.check_job_api()
        found = there.running_jobs("lab")

    assert (None, Outcome.HALT) == (found.rows, found.reply.outcome)
