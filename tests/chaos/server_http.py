"""HTTP of the small server, which can reset a connection, never answer, or answer byte by byte."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from chaos.injection import Injected, Kind, ServerFault

ENDPOINTS = ("start", "stop", "delete", "edit_meta", "jobs", "query", "clusters", "login", "other")
DRIP_SECONDS = 0.2
_PATHS = {
    "/api/jobs/start_job/": "start",
    "/api/jobs/stop_job/": "stop",
    "/api/jobs/delete_job/": "delete",
    "/api/jobs/": "jobs",
    "/query": "query",
    "/api/clusters/": "clusters",
    "/login": "login",
}
_JSON = "application/json"
_HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Seen:
    """One request as the server received it; `status` 0: no answer was sent. `at` is monotonic."""

    at: float
    endpoint: str
    job_id: int | None
    status: int


class Answering(Protocol):
    """The server as a listener uses it."""

    token: str
    log: list[Seen]

    @property
    def version(self) -> str:
        """Return the release."""

    @property
    def is_old(self) -> bool:
        """Return whether this is the generation before 1.5.0."""

    def matched(self, endpoint: str, job_id: int | None, body: bytes) -> Injected | None:
        """Return the fault that a request meets."""

    def answer(self, endpoint: str, method: str, path: str, body: bytes) -> Any:
        """Answer by the rules; None: there is no such endpoint."""


class Listener(ThreadingTCPServer):
    """The open port and its connections."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], backend: Answering) -> None:
        self.backend = backend
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that it can be reset."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: lost clients and reset connections are intended."""

    def reset_all(self) -> None:
        """Reset every connection."""
        with self._lock:
            connections = tuple(self._connections)
        for connection in connections:
            _reset(connection)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.shutdown(socket.SHUT_RD)
        connection.close()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 20  # idle connections, as the real server's read timeout

    def do_GET(self) -> None:
        """Answer any method."""
        backend = cast("Listener", self.server).backend
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        endpoint = self._endpoint()
        document = document_of(body)
        job_id = document.get("jobId") if isinstance(document, dict) else None
        injected = backend.matched(endpoint, job_id, body)
        status = 0
        if injected is None:
            status, content_type, payload = self._answered(backend, endpoint, body)
            self._send(status, content_type, payload)
        else:
            status = self._fail(backend, injected, endpoint, body)
        backend.log.append(Seen(time.monotonic(), endpoint, job_id, status))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of the base class

    def log_message(self, *_: Any) -> None:
        """Write no log."""

    def _endpoint(self) -> str:
        path = urlsplit(self.path).path
        if path.startswith("/api/jobs/edit_meta/"):
            return "edit_meta"
        endpoint = _PATHS.get(path, "other")
        is_routed = self.command == "POST" or endpoint not in {"start", "stop"}
        return endpoint if is_routed else "router"

    def _answered(self, backend: Answering, endpoint: str, body: bytes) -> tuple[int, str, bytes]:
        if endpoint == "login":
            text = f'<li class="build-list-item">Version {backend.version}</li>'
            return 200, _HTML, f"<!DOCTYPE html>{text}".encode()
        if endpoint == "router":  # another method: only the router answers, nothing is logged
            return 405, "", b""
        if endpoint != "other" and self.headers.get("X-Auth-Token") != backend.token:
            error = {"error": "signature is invalid", "status": "Unauthorized"}
            return 401, _JSON, json.dumps(error).encode()
        answered = backend.answer(endpoint, self.command, self.path, body)
        if answered is None and backend.is_old:
            return 404, "text/plain; charset=utf-8", b"404 page not found\n"
        if answered is None:
            error = {"error": "the requested endpoint does not exist"}
            return 404, _JSON, json.dumps(error | {"status": "Resource not found"}).encode()
        return answered[0], _JSON, json.dumps(answered[1]).encode()

    def _fail(self, backend: Answering, injected: Injected, endpoint: str, body: bytes) -> int:
        """Apply a fault; return the status sent, 0 for none."""
        fault = injected.fault
        assert isinstance(fault, ServerFault)
        if fault.kind is Kind.STATUS:
            self._send(fault.status, fault.content_type, fault.text.encode(), fault.headers)
            return fault.status
        answer = None
        if fault.kind in {Kind.LOSE, Kind.DROP, Kind.DRIP}:
            answer = self._answered(backend, endpoint, body)
        self.close_connection = True
        if fault.kind in {Kind.SILENCE, Kind.DROP}:
            self._hang(injected)
        elif fault.kind is Kind.DRIP and answer is not None:
            self._drip(injected, answer)
            return answer[0]
        _reset(self.connection)
        return 0

    def _hang(self, injected: Injected) -> None:
        """Wait until the fault is lifted or the client has disconnected."""
        self.connection.settimeout(0.1)
        while not injected.is_lifted.is_set():
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def _drip(self, injected: Injected, answer: tuple[int, str, bytes]) -> None:
        status, content_type, payload = answer
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        for byte in payload:
            self.wfile.write(bytes([byte]))
            injected.is_lifted.wait(DRIP_SECONDS)

    def _send(
        self,
        status: int,
        content_type: str,
        payload: bytes,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(payload)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)


def document_of(body: bytes) -> Any:
    """Return a body decoded as JSON; None if it is not JSON."""
    try:
        return json.loads(body) if body.strip() else None
    except ValueError:
        return None
