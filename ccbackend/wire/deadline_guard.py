"""Limit the time that an answer takes, and record when a connection is opened.

`requests` does not show whether a connection was new, and does not limit how long an answer takes.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter

_MIN_WAIT_SECONDS = 0.001


class DeadlineGuard:
    """State of the one connection, and the deadline of the exchange that is under way.

    A read timeout counts per receive, so a peer that drips bytes would hold a request for ever:
    each receive gets what is left of the time. No thread is needed for that.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.connecting = False
        self.reused = True
        self.connections_opened = 0
        self._clock = clock
        self._read_seconds = 0.0
        self._deadline = 0.0

    def start_deadline(self, *, deadline_seconds: float, read_seconds: float) -> None:
        """Let the deadline of the next exchange count from now."""
        self.connecting, self.reused = False, True
        self._read_seconds = read_seconds
        self._deadline = self._clock() + deadline_seconds

    def remaining_seconds(self) -> float:
        """Return how long the next receive may take; never 0, which would mean no waiting."""
        return min(max(self._deadline - self._clock(), _MIN_WAIT_SECONDS), self._read_seconds)

    def instrumented(self, kind: type[Any]) -> type[Any]:
        """Return a subclass of the connection class that connects and receives under this guard."""
        guard = self

        def connect(connection: Any) -> None:
            guard.connecting, guard.reused = True, False
            kind.connect(connection)
            guard.connecting = False
            guard.connections_opened += 1

        def response(sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
            made = http.client.HTTPResponse(sock, *args, **kwargs)
            made.fp = io.BufferedReader(_Receiver(made.fp.detach(), sock, guard))
            return made

        members = {"connect": connect, "response_class": staticmethod(response)}
        return type(kind.__name__, (kind,), members)


class _Receiver(io.RawIOBase):
    """The receiving side of a connection, under a deadline.

    It reads from the socket's own file object, which keeps the socket open after the connection
    has given it up: an answer without length is read then.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, guard: DeadlineGuard) -> None:
        self._raw = raw
        self._sock = sock
        self._guard = guard

    def readable(self) -> bool:
        """Return True: the stream can be read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Receive bytes into the buffer; wait no longer than the deadline allows."""
        seconds = self._guard.remaining_seconds()
        if seconds != self._sock.gettimeout():  # each change is a system call
            self._sock.settimeout(seconds)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close the file object, which frees the socket."""
        self._raw.close()
        super().close()


class DeadlineAdapter(HTTPAdapter):
    """The HTTP adapter of `requests`, without retries; a guard limits its connections."""

    def __init__(self, guard: DeadlineGuard) -> None:
        self._guard = guard
        super().__init__(pool_connections=1, pool_maxsize=1)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return a new pool for requests; its connections report to the guard."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = self._guard.instrumented(pool.ConnectionCls)
        return pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Verify servers with the system's CA certificates (urllib3's default) or the CA file.

        requests would take the list of certifi, which lacks a site's own authority.

        Raises:
            SSLError: of requests; the file is missing.
        """
        if verify is True:
            return
        try:
            adapter: Any = super()
            adapter.cert_verify(conn, url, verify, cert)
        except OSError as error:
            raise requests.exceptions.SSLError(error) from error
