"""A small HTTP/1.1 server on loopback: one thread per connection, one segment per answer.

The standard library's server writes an answer in pieces, which a client's delayed acknowledgement
delays by 40 ms, and needs too much time per request for a load test.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus

from stub_backend.wire.answers import Answer, Request
from stub_backend.wire.faults import Faults, suffer

_LARGEST_HEAD = 1 << 16
_PIECE = 1 << 18
_Respond = Callable[[Request], Answer]


class HttpServer:
    """Serves one function on 127.0.0.1; `faults` breaks its connections on demand."""

    def __init__(self, respond: _Respond, port: int = 0) -> None:
        self.faults = Faults()
        self._respond = respond
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._peers: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def start(self) -> None:
        """Start to serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop the server and close all connections; the port refuses connections from then on."""
        self.faults.switch(None)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            peers, self._peers = self._peers, set()
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        if self._thread.ident is not None:
            self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._peers.add(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        reader = _Reader(peer)
        with peer, contextlib.suppress(OSError, ValueError):
            while (request := reader.request()) is not None:
                if not self._served(peer, request):
                    break
        with self._lock:
            self._peers.discard(peer)

    def _served(self, peer: socket.socket, request: Request) -> bool:
        """Answer one request; return whether the connection stays open."""
        broken = self.faults.take(request.path)
        if broken is None:
            peer.sendall(packed(self._respond(request), request))
            return request.headers.get("connection", "").lower() != "close"
        fault, repaired = broken
        whole = packed(self._respond(request), request) if fault.handled else b""
        suffer(peer, fault, repaired, whole)
        return False


class _Reader:
    """Requests from a connection, which may arrive in any pieces."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._address = peer.getpeername()[0]
        self._rest = b""

    def request(self) -> Request | None:
        """Return the next request; None at the end of the connection.

        Raises:
            ValueError: this is no HTTP.
        """
        while b"\r\n\r\n" not in self._rest:
            if len(self._rest) > _LARGEST_HEAD:
                raise ValueError("the head has no end")
            if not self._more():
                return None
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        body = self._chunks() if chunked else self._take(int(headers.get("content-length", "0")))
        return Request(method, path, headers, body, self._address)

    def _more(self) -> bool:
        piece = self._peer.recv(_PIECE)
        self._rest += piece
        return bool(piece)

    def _take(self, size: int) -> bytes:
        parts, left = [self._rest[:size]], size - len(self._rest)
        self._rest = self._rest[size:]
        while left > 0:
            piece = self._peer.recv(min(left, _PIECE))
            if not piece:
                raise ValueError("the body is cut")
            parts.append(piece)
            left -= len(piece)
        return b"".join(parts)

    def _chunks(self) -> bytes:
        parts = []
        while True:
            while b"\r\n" not in self._rest:
                if not self._more():
                    raise ValueError("the body is cut")
            line, _, self._rest = self._rest.partition(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            parts.append(self._take(size))
            self._take(2)
            if size == 0:
                return b"".join(parts)


def packed(answer: Answer, request: Request) -> bytes:
    """Return an answer as bytes, compressed if the client asked for it, without body for HEAD."""
    body = answer.body.encode()
    headers = list(answer.headers)
    if answer.kind:
        headers.append(("Content-Type", answer.kind))
    if body and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 1)
        headers.append(("Content-Encoding", "gzip"))
    headers.append(("Content-Length", str(len(body))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n{lines}\r\n"
    return head.encode("latin-1") + (b"" if request.method == "HEAD" else body)
