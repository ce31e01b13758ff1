"""One exchange: bounded, never led elsewhere, and a value whatever happens."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from scripted_server import Action, ScriptedServer, answer, drip, hang_up, raw, stall

from ccbackend.errors import Fault
from ccbackend.wire.transport import ExchangeLimits, Transport, retry_after, tls_fault

OK = answer(200, "{}")
TOKEN = "eyJ-secret"


@contextmanager
def transport(
    *actions: Action, context: ssl.SSLContext | None = None, **settings: Any
) -> Iterator[tuple[Transport, ScriptedServer]]:
    """A transport to a server with this script."""
    given: dict[str, Any] = {"token": lambda: TOKEN} | settings
    with ScriptedServer(actions, context) as peer, requests.Session() as session:
        yield Transport(session, peer.url, **given), peer


def test_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a proxy nor a netrc entry gets into a request."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with transport(OK) as (there, peer):
        found = there.exchange("GET", "/x")

    assert found.status == 200
    assert "authorization" not in peer.requests[0].headers


def test_no_redirect_is_followed_and_no_cookie_kept() -> None:
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


def test_a_proxy_of_the_session_is_used() -> None:
    """The one that the site has configured, not the environment's."""
    with ScriptedServer([OK]) as peer, requests.Session() as session:
        session.proxies = {"http": peer.url}
        found = Transport(session, "http://cc.invalid", token=lambda: TOKEN).exchange("GET", "/x")

    assert found.status == 200
    assert peer.requests[0].path == "http://cc.invalid/x"


def test_connections_are_reused() -> None:
    """One connection carries request after request."""
    with transport(OK, OK, OK) as (there, peer):
        for _ in range(3):
            there.exchange("GET", "/")
        there.close()

    assert peer.connections == 1


def test_the_token_is_sent_only_where_asked_for() -> None:
    """The server is detected without it."""
    with transport(OK, OK) as (there, peer):
        there.exchange("GET", "/", with_token=False)
        there.exchange("GET", "/")

    assert [request.headers.get("x-auth-token") for request in peer.requests] == [None, TOKEN]
    assert there.token() == TOKEN


def test_the_token_is_in_no_answer_and_no_representation() -> None:
    """A server or proxy that echoes its request does not leak it into our messages."""
    with transport(answer(400, f"header X-Auth-Token: {TOKEN}")) as (there, _):
        found = there.exchange("GET", "/")

    assert found.text == "header X-Auth-Token: ***"
    assert TOKEN not in repr(there)


def test_a_token_that_cannot_be_a_header_does_not_leak() -> None:
    """The library's own message would quote it."""
    with transport(OK, token=lambda: "bad\ntoken") as (there, _):
        found = there.exchange("GET", "/")

    assert found.fault is Fault.BROKEN
    assert "bad" not in found.text


@pytest.mark.parametrize("status", [204, 301, 401, 404, 500, 503])
def test_every_status_is_an_answer(status: int) -> None:
    """What it means is not decided here."""
    with transport(answer(status, "")) as (there, _):
        assert there.exchange("GET", "/").status == status


def test_a_stale_connection_is_replaced_once() -> None:
    """The server had closed it while idle: nothing was processed."""
    with transport(OK, hang_up, OK) as (there, peer):
        there.exchange("GET", "/")
        found = there.exchange("POST", "/x", body=b"{}")

    assert found.status == 200
    assert peer.connections == 2


def test_a_connection_that_breaks_twice_is_broken() -> None:
    """The second one was fresh, so the outcome is unknown."""
    with transport(OK, hang_up, hang_up, OK) as (there, peer):
        there.exchange("GET", "/")
        found = there.exchange("POST", "/x", body=b"{}")

    assert (found.fault, found.sent, found.status) == (Fault.BROKEN, True, None)
    assert len(peer.requests) == 3


def test_a_fresh_connection_that_breaks_is_not_resent() -> None:
    """The server may have worked on the request."""
    with transport(hang_up, OK) as (there, peer):
        found = there.exchange("POST", "/x", body=b"{}")

    assert found.fault is Fault.BROKEN
    assert len(peer.requests) == 1


def test_a_break_after_a_long_time_is_not_resent() -> None:
    """End of file after the server's write timeout means that it was at work."""
    ticks = count(0, 10)
    with transport(OK, hang_up, OK, clock=lambda: next(ticks)) as (there, peer):
        there.exchange("GET", "/")
        found = there.exchange("POST", "/x", body=b"{}")

    assert found.fault is Fault.BROKEN
    assert len(peer.requests) == 2


def test_half_a_status_line_on_a_reused_connection_is_not_resent() -> None:
    """An answer had begun."""
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
def test_a_cut_answer_is_no_answer(data: bytes) -> None:
    """The status alone does not count."""
    with transport(raw(data)) as (there, _):
        found = there.exchange("GET", "/")

    assert (found.status, found.fault, found.sent) == (None, Fault.BROKEN, True)


def test_an_answer_over_the_limit_is_dropped() -> None:
    """The limit itself is still fine."""
    with transport(answer(200, "x" * 100), answer(200, "x" * 300_000), OK) as (there, peer):
        sizes = [there.exchange("GET", "/", limit_bytes=100) for _ in range(2)]
        after = there.exchange("GET", "/")

    assert [one.fault for one in sizes] == [None, Fault.TOO_LARGE]
    assert sizes[1].text == "over 100 bytes"
    assert (after.status, peer.connections) == (200, 2)


def test_silence_ends_with_the_read_timeout() -> None:
    """The request was sent; its outcome is unknown."""
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
def test_a_dripping_server_is_cut_at_the_deadline(head: bytes) -> None:
    """Every byte restarts the read timeout, not the deadline."""
    limits = ExchangeLimits(read_seconds=30, deadline_seconds=0.3)
    with transport(drip(head, threading.Event()), OK, limits=limits) as (there, peer):
        found = there.exchange("GET", "/")
        after = there.exchange("GET", "/")

    assert found.fault is Fault.TIMED_OUT
    assert (after.status, peer.connections) == (200, 2)


def test_an_address_without_server_is_unreachable() -> None:
    """Nothing was sent."""
    with ScriptedServer([]) as peer:
        url = peer.url
    with requests.Session() as session:
        found = Transport(session, url, token=lambda: TOKEN).exchange("GET", "/")

    assert (found.fault, found.sent) == (Fault.UNREACHABLE, False)
    assert "refused" in found.text


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=lab", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for the loopback address."""
    return certificate(tmp_path_factory.mktemp("tls"), "server")


def server_context(pair: tuple[Path, Path]) -> ssl.SSLContext:
    """TLS with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


def test_tls_with_the_sites_certificate_works(pair: tuple[Path, Path]) -> None:
    """The file with the site's authority is enough."""
    with transport(OK, context=server_context(pair), ca_file=str(pair[0])) as (there, _):
        assert there.exchange("GET", "/").status == 200


def test_a_dripping_tls_server_is_cut_too(pair: tuple[Path, Path]) -> None:
    """The deadline reaches below the encryption."""
    limits = ExchangeLimits(read_seconds=30, deadline_seconds=0.3)
    dripping = drip(b"HTTP/1.1 200 OK\r\nX: ", threading.Event())
    context = server_context(pair)
    with transport(dripping, context=context, ca_file=str(pair[0]), limits=limits) as (there, _):
        assert there.exchange("GET", "/").fault is Fault.TIMED_OUT


def test_a_handshake_that_never_ends_is_unreachable(pair: tuple[Path, Path]) -> None:
    """The connect timeout bounds it, also beyond the deadline."""
    limits = ExchangeLimits(connect_seconds=0.3, deadline_seconds=0.1)
    with ScriptedServer([]) as peer, requests.Session() as session:
        url = peer.url.replace("http:", "https:")
        there = Transport(session, url, token=lambda: TOKEN, ca_file=str(pair[0]), limits=limits)
        found = there.exchange("GET", "/")

    assert (found.fault, found.sent) == (Fault.UNREACHABLE, False)


def test_an_unknown_certificate_is_never_accepted(pair: tuple[Path, Path]) -> None:
    """Not even where the session given does not verify."""
    with ScriptedServer([OK], server_context(pair)) as peer, requests.Session() as session:
        session.verify = False
        found = Transport(session, peer.url, token=lambda: TOKEN).exchange("GET", "/")

    assert (found.fault, found.sent) == (Fault.CERTIFICATE, False)
    assert peer.requests == []


def system_store(folder: Path, kind: str, authority: Path) -> dict[str, str]:
    """Return the environment that makes one authority the system's, in a file or a directory."""
    nothing = folder / "nothing"
    nothing.mkdir()
    if kind == "file":
        return {"SSL_CERT_FILE": str(authority), "SSL_CERT_DIR": str(nothing)}
    store = folder / "store"
    store.mkdir()
    (store / "site.pem").write_bytes(authority.read_bytes())
    subprocess.run(["openssl", "rehash", str(store)], check=True, capture_output=True)
    return {"SSL_CERT_FILE": str(nothing / "none.pem"), "SSL_CERT_DIR": str(store)}


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_an_authority_of_the_system_is_trusted(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A site has its own authority there; the libraries' own list is not asked."""
    for name, value in system_store(tmp_path, kind, pair[0]).items():
        monkeypatch.setenv(name, value)
    with transport(OK, context=server_context(pair)) as (there, _):
        assert 200 == there.exchange("GET", "/").status


def test_a_file_of_authorities_replaces_those_of_the_system(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `ca_file` is set nobody else is trusted."""
    other, _ = certificate(tmp_path, "other")
    for name, value in system_store(tmp_path, "file", pair[0]).items():
        monkeypatch.setenv(name, value)
    with transport(OK, context=server_context(pair), ca_file=str(other)) as (there, _):
        assert Fault.CERTIFICATE is there.exchange("GET", "/").fault


def test_variables_of_other_programs_name_no_authority(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of requests and curl, as the documentation says."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(pair[0]))
    with transport(OK, context=server_context(pair)) as (there, _):
        assert Fault.CERTIFICATE is there.exchange("GET", "/").fault


@pytest.mark.parametrize(
    ("greeting", "fault"),
    [
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", Fault.NO_TLS),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Fault.NO_TLS),
        (b"220 mail.example ESMTP\r\n", Fault.NO_TLS),
        (b"\x15\x03\x01\x00\x02\x02\x28", Fault.TLS),
        (b"\x15\x03\x01\x00\x02\x02\x46", Fault.TLS),
        (b"", Fault.UNREACHABLE),
    ],
    ids=["http", "ssh", "smtp", "handshake failure", "protocol version", "cut"],
)
def test_a_port_without_tls_is_told_from_a_bad_certificate_and_a_cut(
    greeting: bytes, fault: Fault
) -> None:
    """The URL is wrong, the two do not fit, or the server is just restarting."""
    with ScriptedServer([], greeting=greeting) as peer, requests.Session() as session:
        url = peer.url.replace("http:", "https:")
        found = Transport(session, url, token=lambda: TOKEN).exchange("GET", "/")

    assert (found.fault, found.sent) == (fault, False)


def test_a_missing_authority_file_is_a_fault_of_its_own(pair: tuple[Path, Path]) -> None:
    """It is named by the message."""
    with transport(OK, context=server_context(pair), ca_file="/nowhere/ca.pem") as (there, _):
        found = there.exchange("GET", "/")

    assert found.fault is Fault.CA_FILE
    assert "/nowhere/ca.pem" in found.text


def test_an_authority_file_without_certificates_is_a_fault_of_its_own(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """The server's certificate is not to blame."""
    authority = tmp_path / "ca.pem"
    authority.write_text("nonsense")
    with transport(OK, context=server_context(pair), ca_file=str(authority)) as (there, _):
        found = there.exchange("GET", "/")

    assert (Fault.CA_FILE, False) == (found.fault, found.sent)


def test_an_authority_file_that_may_not_be_read_is_a_fault_of_its_own() -> None:
    """The library wraps the refusal, and no byte is sent."""
    refused = PermissionError(13, "Permission denied")

    assert Fault.CA_FILE is tls_fault([requests.exceptions.SSLError(refused), refused])
    assert tls_fault([requests.exceptions.ConnectionError(refused), refused]) is None


@pytest.mark.parametrize("error", [ssl.SSLEOFError(8, "EOF"), ssl.SSLZeroReturnError(6, "closed")])
def test_a_handshake_that_is_cut_is_no_fault_of_tls(error: ssl.SSLError) -> None:
    """The server may be restarting."""
    assert tls_fault([requests.exceptions.SSLError(error), error]) is None


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
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str | None, seconds: float | None) -> None:
    """At most a quarter of an hour; nonsense is ignored."""
    assert retry_after(value, 1767225600) == seconds


def test_retry_after_travels_with_the_answer() -> None:
    """A busy server says how long."""
    with transport(answer(503, "", "Retry-After: 12\r\n")) as (there, _):
        assert there.exchange("GET", "/").retry_after_seconds == 12.0
