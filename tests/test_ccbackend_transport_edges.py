"""One exchange in rare cases of HTTP: proxies, headers, odd answers, replaced certificates.

The pool of urllib3 sends the requests, so each case that `requests` would handle is tested here.
"""

from __future__ import annotations

import base64
import gzip
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from scripted_server import ScriptedServer, answer, raw
from scripted_transport import OK, TOKEN, transport

from ccbackend.errors import Fault
from ccbackend.wire.transport import HttpAnswer, Transport

PROXY_PASSWORD = "Basic " + base64.b64encode(b"site:p@ss").decode()


def proxied(proxy: str, url: str, **settings: Any) -> HttpAnswer:
    """Return the answer to one request that is sent through a proxy."""
    with requests.Session() as session:
        session.proxies = {"http": proxy, "https": proxy}
        there = Transport(session, url, token=lambda: TOKEN, **settings)
        found = there.exchange("POST", "/x", body=b"{}")
        there.close()
    return found


def with_password(url: str) -> str:
    """Return the URL of a proxy with a user name and a password."""
    return url.replace("//", "//site:p%40ss@")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for the loopback address, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=lab", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key


def server_context(pair: tuple[Path, Path]) -> ssl.SSLContext:
    """Return a server's TLS context with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


# ---- proxies


def test_a_proxy_of_plain_http_gets_its_password_and_the_full_url() -> None:
    """The proxy forwards the request with the token."""
    with ScriptedServer([OK]) as proxy:
        found = proxied(with_password(proxy.url), "http://cc.invalid:8080")

    (request,) = proxy.requests
    assert (found.status, request.path) == (200, "http://cc.invalid:8080/x")
    assert request.headers["host"] == "cc.invalid:8080"
    assert request.headers["proxy-authorization"] == PROXY_PASSWORD
    assert request.headers["x-auth-token"] == TOKEN


def test_a_proxy_of_https_gets_its_password_and_no_token(pair: tuple[Path, Path]) -> None:
    """The request itself is encrypted for the server."""
    inner: list[bytes] = []

    def tunnel(peer: socket.socket) -> bool:
        peer.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        with server_context(pair).wrap_socket(peer, server_side=True) as opened:
            inner.append(opened.recv(65_536))
            opened.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            opened.recv(65_536)
        return False

    with ScriptedServer([tunnel]) as proxy:
        found = proxied(with_password(proxy.url), "https://127.0.0.1:9", ca_file=str(pair[0]))

    (request,) = proxy.requests
    assert (found.status, found.text) == (200, "{}")
    assert (request.method, request.path) == ("CONNECT", "127.0.0.1:9")
    assert request.headers["proxy-authorization"] == PROXY_PASSWORD
    assert "x-auth-token" not in request.headers
    assert inner[0].startswith(b"POST /x HTTP/1.1\r\n")
    assert b"proxy-authorization" not in inner[0].lower()


def test_a_proxy_that_refuses_the_tunnel_leaves_the_request_unsent() -> None:
    """After a 407 of the proxy the request can be repeated later."""
    with ScriptedServer([answer(407, "")]) as proxy:
        found = proxied(proxy.url, "https://cc.invalid")

    assert (found.fault, found.sent) == (Fault.UNREACHABLE, False)
    assert "407" in found.text


def test_a_proxy_that_is_down_leaves_the_request_unsent() -> None:
    """The result is the same as for a server that is down."""
    with ScriptedServer([]) as proxy:
        url = proxy.url
    found = [proxied(url, server) for server in ("http://cc.invalid", "https://cc.invalid")]

    assert [(one.fault, one.sent) for one in found] == [(Fault.UNREACHABLE, False)] * 2


@pytest.mark.parametrize("proxy", ["http://", "gopher://proxy:70", "http://[::1"])
def test_an_invalid_proxy_url_is_a_fault(proxy: str) -> None:
    """The fault BROKEN is returned; no exception is raised."""
    assert proxied(proxy, "http://cc.invalid").fault is Fault.BROKEN


# ---- requests


@pytest.mark.parametrize("url", ["http://", "nowhere", "gopher://cc", "http://[::1"])
def test_an_invalid_server_url_is_a_fault(url: str) -> None:
    """The fault BROKEN is returned; no exception is raised."""
    with requests.Session() as session:
        found = Transport(session, url, token=lambda: TOKEN).exchange("GET", "/")

    assert found.fault is Fault.BROKEN


@pytest.mark.parametrize("host", ["a" * 64, "cc.example.org"])
def test_a_host_without_address_is_unreachable(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name service does not know the host, or the name is too long for it."""

    def unknown(*_args: object, **_settings: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with requests.Session() as session:
        found = Transport(session, f"http://{host}", token=lambda: TOKEN).exchange("GET", "/")

    assert (found.fault, found.sent) == (Fault.UNREACHABLE, False)


@pytest.mark.parametrize("token", ["bad\ntoken", "bad\n token", "bad\r\nX: y", " bad", "bäd\u20ac"])
def test_a_token_that_cannot_be_a_header_is_not_sent(token: str) -> None:
    """The message of the fault does not contain the token either."""
    with transport(OK, token=lambda: token) as (there, peer):
        found = there.exchange("GET", "/")

    assert found.fault is Fault.BROKEN
    assert token.strip() not in found.text
    assert peer.requests == []


def test_a_request_has_eight_headers_and_no_others() -> None:
    """Neither requests nor urllib3 adds a header of its own."""
    with transport(OK) as (there, peer):
        there.exchange("POST", "/api/x/?a=b%20c", body=b"[1]")
        host = peer.url.removeprefix("http://")

    (request,) = peer.requests
    assert (request.path, request.body) == ("/api/x/?a=b%20c", b"[1]")
    assert request.headers == {
        "host": host,
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "cc-slurm-sync",
        "connection": "keep-alive",
        "content-type": "application/json",
        "content-length": "3",
        "x-auth-token": TOKEN,
    }


@pytest.mark.parametrize(("method", "length"), [("GET", None), ("POST", "0")])
def test_a_request_without_body_has_no_content_type(method: str, length: str | None) -> None:
    """A POST has a Content-Length of 0, a GET has none."""
    with transport(OK) as (there, peer):
        there.exchange(method, "/")

    (request,) = peer.requests
    assert "content-type" not in request.headers
    assert request.headers.get("content-length") == length


def test_a_closed_transport_opens_another_connection() -> None:
    """The server sees the end of the first connection; the next request works."""
    with transport(OK, OK) as (there, peer):
        first = there.exchange("GET", "/").status
        there.close()
        second = there.exchange("GET", "/").status

    assert (first, second) == (200, 200)
    assert (peer.connections, there.connections) == (2, 2)


# ---- answers


def test_a_chunked_answer_is_read_and_its_connection_is_reused() -> None:
    """The last chunk marks the end of the answer."""

    def chunked(peer: socket.socket) -> bool:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        peer.sendall(head + b'1\r\n[\r\n6\r\n"\xc3\xa4xy"\r\n1\r\n]\r\n0\r\n\r\n')
        return True

    with transport(chunked, OK) as (there, peer):
        texts = [there.exchange("GET", "/").text for _ in range(2)]

    assert texts == ['["äxy"]', "{}"]
    assert peer.connections == 1


def test_an_answer_without_length_ends_with_the_connection() -> None:
    """HTTP 1.0 servers answer like this."""
    with transport(raw(b"HTTP/1.0 200 OK\r\n\r\nabc")) as (there, _):
        assert there.exchange("GET", "/").text == "abc"


def test_a_compressed_answer_is_limited_by_its_decompressed_size() -> None:
    """We request no compression, but a proxy may send it."""
    packed = gzip.compress(b"x" * 1_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    with transport(raw(head.encode() + packed)) as (there, _):
        assert there.exchange("GET", "/", limit_bytes=999_999).fault is Fault.TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 " + b"2" * 70_000,
    ],
    ids=["compression", "chunk", "headers", "status"],
)
def test_an_answer_that_violates_http_is_broken(data: bytes) -> None:
    """The server received the request, so its outcome is unknown."""
    with transport(raw(data)) as (there, _):
        found = there.exchange("POST", "/", body=b"{}")

    assert (found.fault, found.sent, found.status) == (Fault.BROKEN, True, None)


def test_a_request_is_not_repeated_after_503() -> None:
    """Another module decides when to retry."""
    busy = answer(503, "", "Retry-After: 0\r\n")
    with transport(busy, OK) as (there, peer):
        found = there.exchange("GET", "/")

    assert (found.status, found.retry_after_seconds) == (503, 0.0)
    assert len(peer.requests) == 1


# ---- ca_file


def test_a_removed_ca_file_is_a_fault_until_it_is_restored(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """The open connection is not used either, because the next one would fail."""
    authority = tmp_path / "ca.pem"
    found: list[HttpAnswer] = []
    with transport(OK, OK, context=server_context(pair), ca_file=str(authority)) as (there, peer):
        for is_there in (True, False, True):
            authority.write_bytes(pair[0].read_bytes())
            if not is_there:
                authority.unlink()
            found.append(there.exchange("GET", "/"))

    assert [one.fault for one in found] == [None, Fault.CA_FILE, None]
    assert (found[1].sent, str(authority) in found[1].text) == (False, True)
    assert (len(peer.requests), peer.connections) == (2, 1)


def test_a_replaced_ca_file_is_used_for_the_next_connection(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """`ca_file` is read each time a connection is opened."""
    authority = tmp_path / "ca.pem"
    authority.write_bytes(pair[0].read_bytes())
    with transport(OK, OK, context=server_context(pair), ca_file=str(authority)) as (there, _):
        first = there.exchange("GET", "/")
        authority.write_text("nonsense")
        there.close()
        second = there.exchange("GET", "/")

    assert (first.fault, second.fault) == (None, Fault.CA_FILE)
