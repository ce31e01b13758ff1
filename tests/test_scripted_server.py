"""The scripted server survives bytes that are no request."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
from scripted_server import ScriptedServer, hang_up


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\n", b"\x16\n\n", b"a b\nc\n\n"])
def test_bytes_that_are_no_request_get_no_answer(sent: bytes) -> None:
    """A TLS handshake can contain line ends; the server takes no part of it as a request."""
    with ScriptedServer([hang_up]) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port or 0)) as peer:
            peer.sendall(sent)
            peer.settimeout(0.05)
            with pytest.raises(TimeoutError):
                peer.recv(1)

    assert server.connections == 1
    assert server.requests == []
