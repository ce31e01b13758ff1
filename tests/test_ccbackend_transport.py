"""One HTTP exchange: limited in time and size, without redirects, always with a result."""

from __future__ import annotations

import socket
import threading
from itertools import count
from pathlib import Path

import pytest
import requests
from scripted_server import ScriptedServer, answer, drip, hang_up, raw, stall
from scripted_transport import OK, TOKEN, transport

from ccbackend.errors import Fault
from ccbackend.wire.transport import ExchangeLimits, Transport, retry_after


def test_proxy_variables_and_netrc_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a proxy variable nor a netrc entry changes a request."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with transport(OK) as (there, peer):
        found = there.exchange("GET", "/x")

    assert found.status == 200
    assert "authorization" not in peer.requests[0].headers


def test_redirects_are_not_followed_and_cookies_are_not_stored() -> None:
    """A redirect is an answer like any other."""
    moved = answer(302, "", "Location: /elsewhere\r\nSet-Cookie: a=b; Path=/\r\n")
    with transport(moved, OK) as (there, peer):
        statuses = [
            there.exchange("POST", "/x", body=b"{}").status,
            there.exchange("GET", "/").status,
        ]

    assert statuses == [302, 200]
    assert [request.path for request in peer.requests] == ["/x", "/"]
    assert "cookie" not in peer.requests[1].headers


def test_the_configured_proxy_is_used() -> None:
    """The request goes to the proxy of the session, with the full URL."""
    with ScriptedServer([OK]) as peer, requests.Session() as session:
        session.proxies = {"http": peer.url}
        found = Transport(session, "http://cc.invalid", token=lambda: TOKEN).exchange("GET", "/x")

    assert found.status == 200
    assert peer.requests[0].path == "http://cc.invalid/x"


def test_connections_are_reused() -> None:
    """All three requests use one connection."""
    with transport(OK, OK, OK) as (there, peer):
        for _ in range(3):
            there.exchange("GET", "/")
        there.close()

    assert peer.connections == 1


def test_the_token_is_sent_only_if_requested() -> None:
    """The probe of the server's version needs no token."""
    with transport(OK, OK) as (there, peer):
        there.exchange("GET", "/", with_token=False)
        there.exchange("GET", "/")

    assert [request.headers.get("x-auth-token") for request in peer.requests] == [None, TOKEN]
    assert there.token() == TOKEN


def test_the_token_is_in_no_answer_and_no_repr() -> None:
    """A server or proxy that sends the request back cannot leak the token into our messages."""
    with transport(answer(400, f"header X-Auth-Token: {TOKEN}")) as (there, _):
        found = there.exchange("GET", "/")

    assert found.text == "header X-Auth-Token: ***"
    assert TOKEN not in repr(there)


def test_a_token_that_cannot_be_a_header_does_not_leak() -> None:
    """A token with a newline is in no message, although the HTTP library would quote it."""
    with transport(OK, token=lambda: "bad\ntoken") as (there, _):
        found = there.exchange("GET", "/")

    assert found.fault is Fault.BROKEN
    assert "bad" not in found.text


@pytest.mark.parametrize("status", [204, 301, 401, 404, 500, 503])
def test_every_status_is_an_answer(status: int) -> None:
    """A 401, 404 or 500 raises no exception; another module decides what the status means."""
    with transport(answer(status, "")) as (there, _):
        assert there.exchange("GET", "/").status == status


def test_a_stale_connection_is_replaced_once() -> None:
    """The server closed the idle connection, so the request is sent again over a new one."""
    with transport(OK, hang_up, OK) as (there, peer):
        there.exchange("GET", "/")
        found = there.exchange("POST", "/x", body=b"{}")

    assert found.status == 200
    assert peer.connections == 2


def test_a_request_is_resent_only_once() -> None:
    """The reused connection and then the new one break, so the outcome is unknown."""
    with transport(OK, hang_up, hang_up, OK) as (there, peer):
        there.exchange("GET", "/")
        found = there.exchange("POST", "/x", body=b"{}")

    assert (found.fault, found.sent, found.status) == (Fault.BROKEN, True, None)
    assert len(peer.requests) == 3


def test_a_request_over_a_new_connection_is_not_resent() -> None:
    """The connection breaks after the server may have processed the request."""
    with transport(hang_up, OK) as (there, peer):
        found = there.exchange("POST", "/x", body=b"{}")

    assert found.fault is Fault.BROKEN
    assert len(peer.requests) == 1


def test_a_request_over_a_connection_that_breaks_late_is_not_resent() -> None:
    """The server may have worked on the request until its write timeout."""
    ticks = count(0, 10)
    with transport(OK, hang_up, OK, clock=lambda: next(ticks)) as (there, peer):
        there.exchange("GET", "/")
        found = there.exchange("POST", "/x", body=b"{}")

    assert found.fault is Fault.BROKEN
    assert len(peer.requests) == 2


def test_a_request_is_not_resent_after_half_a_status_line() -> None:
    """The server had begun to answer over the reused connection."""
    with transport(OK, raw(b"HTTP/1."), OK) as (there, peer):
        there.exchange("GET", "/")
        found = there.exchange("POST", "/x", body=b"{}")

    assert found.fault is Fault.BROKEN
    assert len(peer.requests) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"garbage\r\n\r\n",
    ],
)
def test_a_truncated_answer_is_a_fault(data: bytes) -> None:
    """A status without the complete body is not used."""
    with transport(raw(data)) as (there, _):
        found = there.exchange("GET", "/")

    assert (found.status, found.fault, found.sent) == (None, Fault.BROKEN, True)


@pytest.mark.parametrize("status", [101, 102, 103, 199])
def test_an_interim_answer_does_not_shift_later_answers(status: int) -> None:
    """A proxy may send early hints; the final answer must not be read for the next request."""

    def interim(peer: socket.socket) -> bool:
        peer.sendall(f"HTTP/1.1 {status} X\r\nLink: </x.css>\r\n\r\n".encode())
        return answer(201, '"first"')(peer)

    with transport(OK, interim, answer(200, '"second"')) as (there, _):
        there.exchange("GET", "/")
        answers = [there.exchange("POST", "/", body=b"{}") for _ in range(2)]

    assert [(None, Fault.BROKEN), (200, None)] == [(each.status, each.fault) for each in answers]
    assert '"second"' == answers[1].text


def test_an_answer_over_the_size_limit_is_dropped() -> None:
    """An answer of exactly the limit (100 bytes) is accepted."""
    with transport(answer(200, "x" * 100), answer(200, "x" * 300_000), OK) as (there, peer):
        sizes = [there.exchange("GET", "/", limit_bytes=100) for _ in range(2)]
        after = there.exchange("GET", "/")

    assert [one.fault for one in sizes] == [None, Fault.TOO_LARGE]
    assert sizes[1].text == "over 100 bytes"
    assert (after.status, peer.connections) == (200, 2)


def test_a_request_to_a_silent_server_ends_at_the_read_timeout() -> None:
    """The request was sent, so its outcome is unknown."""
    with transport(stall, limits=ExchangeLimits(read_seconds=0.1)) as (there, _):
        found = there.exchange("GET", "/")

    assert (found.fault, found.sent) == (Fault.TIMED_OUT, True)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"",
    ],
)
def test_a_request_to_a_slow_server_ends_at_the_deadline(head: bytes) -> None:
    """Every byte of the answer restarts the read timeout, but not the deadline."""
    limits = ExchangeLimits(read_seconds=30, deadline_seconds=0.3)
    with transport(drip(head, threading.Event()), OK, limits=limits) as (there, peer):
        found = there.exchange("GET", "/")
        after = there.exchange("GET", "/")

    assert found.fault is Fault.TIMED_OUT
    assert (after.status, peer.connections) == (200, 2)


def test_an_address_without_server_is_unreachable() -> None:
    """The connection is refused; the result says that the request was not sent."""
    with ScriptedServer([]) as peer:
        url = peer.url
    with requests.Session() as session:
        found = Transport(session, url, token=lambda: TOKEN).exchange("GET", "/")

    assert (found.fault, found.sent) == (Fault.UNREACHABLE, False)
    assert "refused" in found.text


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("5", 5.0),
        (" 7 ", 7.0),
        ("100000", 900.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 00:00:30", 30.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("Fri, 31 Dec 20240000000000000000 00:00:00 +0000", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str | None, seconds: float | None) -> None:
    """The maximum is 900 seconds; an invalid value is ignored."""
    assert retry_after(value, 1767225600) == seconds


def test_retry_after_is_part_of_the_answer() -> None:
    """A busy server says how long to wait."""
    with transport(answer(503, "", "Retry-After: 12\r\n")) as (there, _):
        assert there.exchange("GET", "/").retry_after_seconds == 12.0
