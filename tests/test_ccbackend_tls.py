"""Certificates and certificate authorities: accepted, refused, and how a fault is named."""

from __future__ import annotations

import ssl
import subprocess
import threading
from pathlib import Path

import pytest
import requests
import urllib3
from scripted_server import ScriptedServer, drip
from scripted_transport import OK, TOKEN, transport

from ccbackend.errors import Fault
from ccbackend.wire.connection_errors import tls_fault
from ccbackend.wire.transport import ExchangeLimits, Transport


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a self-signed certificate and its key; return their paths."""
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
    """Return a server's TLS context with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


def test_tls_works_with_the_ca_file_of_the_site(pair: tuple[Path, Path]) -> None:
    """The server's certificate is in `ca_file`; no other setting is needed."""
    with transport(OK, context=server_context(pair), ca_file=str(pair[0])) as (there, _):
        assert there.exchange("GET", "/").status == 200


def test_a_request_to_a_slow_tls_server_ends_at_the_deadline(pair: tuple[Path, Path]) -> None:
    """The deadline also limits a TLS server that sends a byte every few milliseconds."""
    limits = ExchangeLimits(read_seconds=30, deadline_seconds=0.3)
    dripping = drip(b"HTTP/1.1 200 OK\r\nX: ", threading.Event())
    context = server_context(pair)
    with transport(dripping, context=context, ca_file=str(pair[0]), limits=limits) as (there, _):
        assert there.exchange("GET", "/").fault is Fault.TIMED_OUT


def test_a_server_that_never_ends_the_handshake_is_unreachable(pair: tuple[Path, Path]) -> None:
    """The connect timeout limits the TLS handshake, even if the deadline is shorter."""
    limits = ExchangeLimits(connect_seconds=0.3, deadline_seconds=0.1)
    with ScriptedServer([]) as peer, requests.Session() as session:
        url = peer.url.replace("http:", "https:")
        there = Transport(session, url, token=lambda: TOKEN, ca_file=str(pair[0]), limits=limits)
        found = there.exchange("GET", "/")

    assert (found.fault, found.sent) == (Fault.UNREACHABLE, False)


def test_an_unknown_certificate_is_never_accepted(pair: tuple[Path, Path]) -> None:
    """The certificate is refused even if the given session does not verify certificates."""
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
def test_a_ca_of_the_system_is_trusted(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A site adds its own CA there; the list of the Python libraries is not used."""
    for name, value in system_store(tmp_path, kind, pair[0]).items():
        monkeypatch.setenv(name, value)
    with transport(OK, context=server_context(pair)) as (there, _):
        assert 200 == there.exchange("GET", "/").status


def test_ca_file_replaces_the_cas_of_the_system(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If `ca_file` is set, no other CA is trusted."""
    other, _ = certificate(tmp_path, "other")
    for name, value in system_store(tmp_path, "file", pair[0]).items():
        monkeypatch.setenv(name, value)
    with transport(OK, context=server_context(pair), ca_file=str(other)) as (there, _):
        assert Fault.CERTIFICATE is there.exchange("GET", "/").fault


def test_ca_variables_of_requests_and_curl_are_ignored(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE do not make a CA trusted."""
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
def test_a_server_that_does_not_speak_tls_has_its_own_fault(greeting: bytes, fault: Fault) -> None:
    """An HTTP, SSH or SMTP server means a wrong URL; a TLS alert or a cut is another fault."""
    with ScriptedServer([], greeting=greeting) as peer, requests.Session() as session:
        url = peer.url.replace("http:", "https:")
        found = Transport(session, url, token=lambda: TOKEN).exchange("GET", "/")

    assert (found.fault, found.sent) == (fault, False)


def test_a_missing_ca_file_is_a_fault_of_its_own(pair: tuple[Path, Path]) -> None:
    """The fault is CA_FILE, and the message names the file."""
    with transport(OK, context=server_context(pair), ca_file="/nowhere/ca.pem") as (there, _):
        found = there.exchange("GET", "/")

    assert found.fault is Fault.CA_FILE
    assert "/nowhere/ca.pem" in found.text


def test_a_ca_file_without_certificates_is_a_fault_of_its_own(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """The fault is CA_FILE, not the server's certificate; no request was sent."""
    authority = tmp_path / "ca.pem"
    authority.write_text("nonsense")
    with transport(OK, context=server_context(pair), ca_file=str(authority)) as (there, _):
        found = there.exchange("GET", "/")

    assert (Fault.CA_FILE, False) == (found.fault, found.sent)


def test_an_unreadable_ca_file_is_a_fault_of_its_own() -> None:
    """urllib3 raises the PermissionError inside an SSLError; the fault is CA_FILE."""
    refused = PermissionError(13, "Permission denied")

    assert Fault.CA_FILE is tls_fault([urllib3.exceptions.SSLError(refused), refused])
    assert tls_fault([urllib3.exceptions.ProtocolError(refused), refused]) is None


@pytest.mark.parametrize("error", [ssl.SSLEOFError(8, "EOF"), ssl.SSLZeroReturnError(6, "closed")])
def test_a_tls_handshake_that_is_cut_is_not_a_tls_fault(error: ssl.SSLError) -> None:
    """A server that closes the connection may be restarting."""
    assert tls_fault([urllib3.exceptions.SSLError(error), error]) is None
