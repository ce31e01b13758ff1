"""A loopback server that gives scripted answers byte by byte and records its requests."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

Action = Callable[[socket.socket], bool]  # answers a request; True: keep the connection


@dataclass(frozen=True)
class Request:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body parsed as JSON."""
        return json.loads(self.body)


NO_HTTP = Request("", "", {}, b"")


def answer(
    status: int,
    text: str,
    headers: str = "Content-Type: application/json\r\n",
    *,
    keep: bool = True,
) -> Action:
    """Return an action that sends a complete answer."""
    data = text.encode()
    head = f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(data)}\r\n\r\n".encode()

    def act(peer: socket.socket) -> bool:
        peer.sendall(head + data)
        return keep

    return act


def raw(data: bytes) -> Action:
    """Return an action that sends some bytes and closes the connection."""

    def act(peer: socket.socket) -> bool:
        peer.sendall(data)
        return False

    return act


def hang_up(_peer: socket.socket) -> bool:
    """Close the connection without sending a byte."""
    return False


def stall(peer: socket.socket) -> bool:
    """Send nothing until the other side closes the connection."""
    while peer.recv(1024):
        pass
    return False


def drip(data: bytes, started: threading.Event) -> Action:
    """Return an action that sends some bytes, then one `x` every few milliseconds."""

    def act(peer: socket.socket) -> bool:
        peer.sendall(data)
        started.set()
        peer.settimeout(0.01)
        while True:
            try:
                if not peer.recv(1):
                    return False
            except TimeoutError:
                peer.sendall(b"x")

    return act


class ScriptedServer:
    """A server that answers requests by a list of actions, then closes every connection."""

    def __init__(
        self,
        actions: Sequence[Action],
        context: ssl.SSLContext | None = None,
        *,
        greeting: bytes | None = None,
    ) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._actions = list(actions)
        self._context = context
        self._greeting = greeting  # sent on each connection, which is then closed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """The base URL, with the address of the loopback."""
        scheme = "https" if self._context else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()
        self._thread.join(10)

    def _run(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                if self._greeting is not None:
                    peer.recv(1)
                    peer.sendall(self._greeting)
                    continue
                if self._context:
                    peer = self._context.wrap_socket(peer, server_side=True)
                self._peers.append(peer)
                self._serve(peer)
            except OSError:
                pass
            finally:
                peer.close()

    def _serve(self, peer: socket.socket) -> None:
        file = peer.makefile("rb")
        with file:
            while request := _read(file):
                if request is NO_HTTP:
                    stall(peer)
                    return
                self.requests.append(request)
                if not self._actions or not self._actions.pop(0)(peer):
                    return


def _read(file: Any) -> Request | None:
    """Return the next request; `NO_HTTP` for other bytes, such as those of a TLS handshake."""
    text = file.readline().decode("latin-1")
    if not text:
        return None
    line = text.split()
    if len(line) != 3 or not line[2].startswith("HTTP/"):
        return NO_HTTP
    headers: dict[str, str] = {}
    while (text := file.readline().decode("latin-1").strip()) != "":
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    body = file.read(int(headers.get("content-length", "0")))
    return Request(line[0], line[1], headers, body)
