"""A small cc-backend on loopback: HTTP around `backend_rules`, with injected faults.

Each connection has a thread of its own. `stop()` closes the port and resets every connection, as a
killed server does; `start()` opens the same port again, the rows stay.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chaos import backend_queries
from chaos.backend_rules import Answered, Rules
from chaos.injection import Faults, Injected, ServerFault
from chaos.server_http import Listener, Seen, document_of
from chaos.site_facts import CLUSTER, clusters, hosts, token


class Backend:
    """The server. `log` holds every request; `rules` the rows."""

    def __init__(
        self,
        version: str = "1.5.4",
        *,
        seed: int = 0,
        commit_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.faults = Faults()
        self.rules = Rules(version, hosts(), CLUSTER, commit_seconds=commit_seconds, clock=clock)
        self.clusters: list[dict[str, Any]] = clusters()
        self.token = token()
        self.log: list[Seen] = []
        self.random = random.Random(seed)
        self._place = socket.socket()  # reserves the port while the server is down
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self._port: int = self._place.getsockname()[1]
        self._server: Listener | None = None

    @property
    def url(self) -> str:
        """Return the base URL; the same after every start."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def version(self) -> str:
        """Return the release."""
        return self.rules.version

    @property
    def is_old(self) -> bool:
        """Return whether this is the generation before 1.5.0."""
        return self.rules.is_old

    @property
    def is_up(self) -> bool:
        """Return whether the port is open."""
        return self._server is not None

    def start(self) -> None:
        """Open the port, if it is not open."""
        if self._server is not None:
            return
        server = Listener(("127.0.0.1", self._port), self)
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Close the port and reset every connection; the rows stay."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.reset_all()
            server.server_close()

    def close(self) -> None:
        """Stop and release the port."""
        self.stop()
        self._place.close()

    def restart(self, version: str | None = None, *, with_new_nodes: bool | None = None) -> None:
        """Stop and start, optionally as another release or with another cluster.json."""
        self.stop()
        if version is not None:
            self.rules.version = version
            self.rules.commit(at_once=True)
        if with_new_nodes is not None:
            self.rules.hosts = hosts(with_new_nodes=with_new_nodes)
            self.clusters = clusters(with_new_nodes=with_new_nodes)
        self.start()

    def matched(self, endpoint: str, job_id: int | None, body: bytes) -> Injected | None:
        """Return the fault that a request meets."""
        draw = self.random.random()

        def matches(fault: object) -> bool:
            assert isinstance(fault, ServerFault)
            return (
                (fault.endpoints is None or endpoint in fault.endpoints)
                and (fault.job_ids is None or job_id in fault.job_ids)
                and (fault.containing is None or fault.containing in body)
                and draw < fault.chance
            )

        return self.faults.chosen(matches)

    def answer(self, endpoint: str, method: str, path: str, body: bytes) -> Answered | None:
        """Answer by the rules; None: there is no such endpoint."""
        document = document_of(body)
        query = parse_qs(urlsplit(path).query, keep_blank_values=True)
        answers: dict[str, Callable[[], Answered | None]] = {
            "start": lambda: self.rules.start(document),
            "stop": lambda: self.rules.stop(document),
            "delete": lambda: self.rules.delete(document) if method == "DELETE" else None,
            "edit_meta": lambda: self._edit_meta(path, document),
            "jobs": lambda: backend_queries.listing(self.rules, query),
            "query": lambda: backend_queries.graphql(self.rules, document or {}),
            "clusters": lambda: (200, {"clusters": self.clusters}),
        }
        return answers[endpoint]() if endpoint in answers else None

    def _edit_meta(self, path: str, document: Any) -> Answered | None:
        tail = urlsplit(path).path.removeprefix("/api/jobs/edit_meta/").strip("/")
        if tail.isdigit():
            return self.rules.edit_meta(document, int(tail))
        return None if self.rules.is_old else self.rules.edit_meta(document)
