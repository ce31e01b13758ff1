"""A stand-in for cc-backend on loopback, of any release from 1.0.0 to 1.5.4.

In a test: `with StubServer(Model(version="1.5.4")) as server: server.url`. As a process:
`python tests/support/stub_server.py --version 1.5.4 --clusters FILE` prints its URL and serves
until it is stopped; it needs only the standard library. With `--control` it also accepts commands:
GET /stub/rows, POST /stub/commit, POST /stub/fault, POST /stub/poison.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stub_backend.auth import Account
from stub_backend.model import Model
from stub_backend.release import HASHES
from stub_backend.starts import DAY_SECONDS
from stub_backend.state import Worker
from stub_backend.tables import Key
from stub_backend.wire.answers import Answer, Request, as_json, refusal
from stub_backend.wire.faults import Fault, Kind
from stub_backend.wire.http import HttpServer

__all__ = [
    "DAY_SECONDS",
    "Account",
    "Answer",
    "Exchange",
    "Fault",
    "Key",
    "Kind",
    "Model",
    "Request",
    "StubServer",
    "Worker",
    "refusal",
]


@dataclass(frozen=True)
class Exchange:
    """One line of the log: the time, the request and the status of the answer."""

    time: float
    method: str
    path: str
    body: str
    status: int


class StubServer:
    """A model on a loopback port; `with StubServer(model) as server: server.url`."""

    def __init__(
        self, model: Model | None = None, port: int = 0, *, takes_orders: bool = False
    ) -> None:
        self.model = model or Model()
        self.log: list[Exchange] = []
        self._takes_orders = takes_orders
        self._lock = threading.Lock()
        self._http = HttpServer(self.respond, port)

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"http://127.0.0.1:{self._http.port}"

    def respond(self, request: Request) -> Answer:
        """Answer one request at a time, and log it."""
        if self._takes_orders and request.path.startswith("/stub/"):
            return self._execute(request)
        with self._lock:
            answer = self.model.respond(request)
            body = request.body.decode("utf-8", "replace")
            self.log.append(
                Exchange(time.time(), request.method, request.path, body, answer.status)
            )
            return answer

    def take_message(self, message: str) -> None:
        """Process a NATS message, whose lines get no answer."""
        with self._lock:
            self.model.publish(message)

    def handle(self, method: str, path: str, body: str, token: str | None) -> Answer:
        """Answer a request given as texts, and log it."""
        with self._lock:
            answer = self.model.answer(method, path, body, token)
            self.log.append(Exchange(time.time(), method, path, body, answer.status))
            return answer

    def fail(self, fault: Fault | None) -> None:
        """Apply a fault to connections from now on; None: answer again, close those that wait."""
        self._http.faults.switch(fault)

    def rows(self) -> dict[tuple[int, int], str]:
        """Return the state of every run, cached ones too, by job id and start time."""
        with self._lock:
            self.model.catch_up()
            tables = {**self.model.job, **self.model.cache}
            return {(key[0], key[2]): row["jobState"] for key, row in tables.items()}

    def __enter__(self) -> Self:
        self._http.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server; its port refuses connections from then on."""
        self._http.close()

    def _execute(self, request: Request) -> Answer:
        """Execute a command of the program that controls the process.

        /stub/fault takes `{"kind", "times", "path", "handled", ...}` of a `Fault` or null,
        /stub/poison `{"job_id", "status", "words"}`; a status of 0 removes it.
        """
        order = json.loads(request.body or b"null")
        what = request.path.removeprefix("/stub/")
        if what == "fault":
            self.fail(None if order is None else Fault(**order | {"kind": Kind(order["kind"])}))
            return as_json(200, None)
        with self._lock:
            if what == "commit":
                self.model.commit()
            elif what == "poison":
                self._poison(order)
            self.model.catch_up()
            tables = {"job": self.model.job, "job_cache": self.model.cache}
            return as_json(200, {name: list(table.values()) for name, table in tables.items()})

    def _poison(self, order: dict[str, Any]) -> None:
        self.model.poison.pop(order["job_id"], None)
        if order["status"]:
            self.model.poison[order["job_id"]] = refusal(order["status"], order["words"])


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; print only the URL on stdout."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--version", default="1.5.4", choices=sorted(HASHES))
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--cluster", default="lab", help="its name where no file is given")
    parser.add_argument("--clusters", type=Path, help="JSON: a list of cluster.json documents")
    parser.add_argument("--token", default="TOKEN:api", help="the good token")
    parser.add_argument("--commit-seconds", type=float, help="interval of the job cache's commit")
    parser.add_argument("--worker", type=Worker, default=Worker.REAL, help="1.4.0, 1.4.1: queue")
    parser.add_argument("--nats", action="store_true", help="no REST job API")
    parser.add_argument("--control", action="store_true", help="take orders below /stub/")
    args = parser.parse_args(argv)
    model = Model(
        version=args.version,
        cluster=args.cluster,
        token=args.token,
        clusters=json.loads(args.clusters.read_text()) if args.clusters else [],
        commit_seconds=args.commit_seconds,
        worker=args.worker,
        nats=args.nats,
    )
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with StubServer(model, args.port, takes_orders=args.control) as server:
        print(server.url, flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
