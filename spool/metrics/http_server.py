"""The HTTP server of the metrics: a few requests at a time, none for long.

The server of prometheus_client (0.26.0, exposition.py, `ThreadingWSGIServer`) starts a thread for
each connection and waits for its request without a limit: idle connections used up the threads of
the service (TasksMax), and it could not start a command of Slurm any more.
"""

from __future__ import annotations

import logging
import socket
import socketserver
import sys
from contextlib import suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

MAX_REQUESTS = 4
REQUEST_SECONDS = 5.0
_log = logging.getLogger(__name__)


class MetricsHandler(WSGIRequestHandler):
    """The handler of one request; requests are not logged."""

    timeout = REQUEST_SECONDS  # of each read and write

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in `http.server`
        """Log nothing."""


class MetricsServer(socketserver.ThreadingMixIn, WSGIServer):
    """The server of a registry; it closes connections beyond `MAX_REQUESTS` at a time.

    Raises:
        OSError: it cannot listen.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        self._requests: set[Any] = set()
        super().__init__((host, port), MetricsHandler)
        self.set_app(make_wsgi_app(registry))

    def server_bind(self) -> None:
        """Bind, without the reverse lookup of the address that `http.server` makes for a name.

        A name server that does not answer would delay it by many seconds.
        """
        socketserver.TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)
        self.setup_environ()

    def wake(self) -> None:
        """Let the `handle_request` that waits for a connection in another thread return."""
        with suppress(OSError):  # closed meanwhile
            self.socket.shutdown(socket.SHUT_RDWR)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether a connection is accepted; if so, count it as open."""
        del client_address
        if len(self._requests) >= MAX_REQUESTS:
            return False
        self._requests.add(request)
        return True

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, also a failed or refused one, and count it no longer."""
        self._requests.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log why a request failed, for example because it did not arrive in time."""
        del request
        _log.debug("metrics: a request from %s failed: %r", client_address[0], sys.exc_info()[1])
