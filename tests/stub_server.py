"""A stand-in for cc-backend on loopback: the answers that 1.4.4 and 1.5.4 gave when recorded.

`Model` is the server without a network: tables, rules, texts. `StubServer` puts it behind HTTP.
From 1.5.0 a start lies in `job_cache` until `commit`, which no listing shows.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

DAY_SECONDS = 24 * 3600
_FIELDS = frozenset(
    {
        *("jobId", "user", "project", "cluster", "subCluster", "partition", "arrayJobId"),
        *("numNodes", "numHwthreads", "numAcc", "smt", "monitoringStatus", "jobState"),
        *("startTime", "duration", "walltime", "resources", "metaData", "tags"),
    }
)
_STATES = frozenset({"completed", "failed", "cancelled", "timeout", "preempted", "out_of_memory"})
_NEW_STATES = frozenset({"node_fail", "boot_fail", "deadline", "suspended"})
_REASONS = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 422: "Unprocessable Entity"}

Key = tuple[int, str, int]


class Answer(NamedTuple):
    """Status, body and content type."""

    status: int
    body: str
    kind: str = "application/json"


def refusal(status: int, words: str) -> Answer:
    """Return an error as the server words it."""
    reason = _REASONS.get(status, "Internal Server Error")
    return Answer(status, json.dumps({"status": reason, "error": words}) + "\n")


@dataclass
class Model:
    """Tables and rules of one server. `hosts` None: every host belongs to a subcluster."""

    version: str = "1.4.4"
    cluster: str = "lab"
    token: str = "TOKEN:api"
    hosts: frozenset[str] | None = None
    clusters: list[dict[str, Any]] = field(default_factory=list)
    job: dict[Key, dict[str, Any]] = field(default_factory=dict)
    cache: dict[Key, dict[str, Any]] = field(default_factory=dict)
    poison: dict[int, Answer] = field(default_factory=dict)
    everything: Answer | None = None
    _next: int = 0

    @property
    def is_new(self) -> bool:
        """Tell whether starts are cached and sharing is a word (from 1.5.0)."""
        return tuple(map(int, self.version.split("."))) >= (1, 5, 0)

    def commit(self) -> None:
        """Flush the cache into the table."""
        self.job.update(self.cache)
        self.cache.clear()

    def answer(self, method: str, path: str, body: str, token: str | None) -> Answer:
        """Answer one request."""
        if self.everything is not None:
            return self.everything
        if path == "/login":
            text = f'<li class="build-list-item">Version {self.version}</li>'
            return Answer(200, text, "text/html; charset=utf-8")
        if token != self.token:
            return refusal(401, "no user for secured check")
        routes: dict[tuple[str, str], Callable[[str], Answer]] = {
            ("POST", "/api/jobs/start_job/"): self._start,
            ("POST", "/api/jobs/stop_job/"): self._stop,
            ("DELETE", "/api/jobs/delete_job/"): self._delete,
            ("POST", "/query"): self._query,
            ("GET", "/api/jobs/"): self._list,
            ("GET", "/api/clusters/"): self._clusters,
        }
        route = routes.get((method, path.partition("?")[0]))
        if route is None:
            return Answer(404, "404 page not found\n", "text/plain; charset=utf-8")
        return route(path if method == "GET" else body)

    def _start(self, body: str) -> Answer:
        document = json.loads(body)
        refused = self._refused(document) or self._in_the_way(_key(document))
        if refused is not None:
            return refused
        self._next += 1
        table = self.cache if self.is_new else self.job
        table[_key(document)] = {**document, "id": self._next, "jobState": "running"}
        return Answer(201, '{"msg":"success"}\n')

    def _refused(self, document: dict[str, Any]) -> Answer | None:
        """Return why a start is bad in itself."""
        known = _FIELDS | {"shared" if self.is_new else "exclusive"}
        unknown = next((name for name in document if name not in known), None)
        if unknown is not None:
            return refusal(400, f'parsing request body failed: json: unknown field "{unknown}"')
        if document["cluster"] != self.cluster:
            return refusal(400, f"no such cluster: {document['cluster']}")
        host = document["resources"][0]["hostname"]
        if self.hosts is not None and host not in self.hosts:
            words = f"no subcluster found for cluster {self.cluster} and host {host}"
            return refusal(400, f"ARCHIVE/CLUSTERCONFIG > {words}")
        return self.poison.get(document["jobId"])

    def _in_the_way(self, key: Key) -> Answer | None:
        """Return why a start does not fit beside what is stored."""
        for other, row in self.job.items():
            if other[:2] == key[:2] and abs(other[2] - key[2]) < DAY_SECONDS:
                words = "a job with that jobId, cluster and startTime already exists"
                return refusal(422, f"{words}: dbid: {row['id']}, jobid: {key[0]}")
        if key in self.cache:
            columns = "job_cache.job_id, job_cache.cluster, job_cache.start_time"
            words = f"insert into database failed: UNIQUE constraint failed: {columns}"
            return refusal(500, words)
        return None

    def _stop(self, body: str) -> Answer:
        document = json.loads(body)
        key = _key(document)
        row = self.job.get(key) or self.cache.get(key)
        if row is None:
            words = "finding job failed: sql: no rows in result set"
            return refusal(404 if self.is_new else 422, words)
        name = f"jobId {key[0]} (id {row['id']}) on {key[1]} :"
        if row["jobState"] != "running":
            words = f"job has already been stopped (state is: {row['jobState']})"
            return refusal(422, f"{name} {words}")
        if document["stopTime"] < key[2]:
            words = f"stopTime {document['stopTime']} must be larger/equal than startTime {key[2]}"
            return refusal(400, f"{name} {words}")
        state = document["jobState"]
        if state not in _STATES and not (self.is_new and state in _NEW_STATES):
            return refusal(400, f"{name} invalid requested job state: {state}")
        row |= {"jobState": state, "stopTime": document["stopTime"]}
        self.job[key] = self.cache.pop(key, row)
        return Answer(200, json.dumps({"cluster": key[1], "jobState": state}) + "\n")

    def _delete(self, body: str) -> Answer:
        row = self.job.pop(_key(json.loads(body)), None)
        if row is None:
            return refusal(422, "finding job failed: sql: no rows in result set")
        return Answer(200, json.dumps({"msg": f"Successfully deleted job {row['id']}"}) + "\n")

    def _query(self, body: str) -> Answer:
        """Answer the one query that we send: jobs by cluster, and by state or job id."""
        (wanted,) = json.loads(body)["variables"]["f"]
        ids = wanted.get("jobId", {}).get("in")
        states = wanted.get("state")
        items = [
            {
                "id": row["id"],
                "jobId": key[0],
                "cluster": key[1],
                "startTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(key[2])),
                "state": row["jobState"],
            }
            for key, row in self.job.items()
            if key[1] == wanted["cluster"]["eq"]
            and (ids is None or str(key[0]) in ids)
            and (states is None or row["jobState"] in states)
        ]
        return Answer(200, json.dumps({"data": {"jobs": {"count": len(items), "items": items}}}))

    def _list(self, path: str) -> Answer:
        count = int(path.partition("items-per-page=")[2].partition("&")[0] or 25)
        rows = [row for row in self.job.values() if row["jobState"] == "running"][:count]
        document = {"jobs": rows, "items": count, "page": 1}
        return Answer(200, json.dumps(document, separators=(",", ":")) + "\n")

    def _clusters(self, _path: str) -> Answer:
        return Answer(200, json.dumps({"clusters": self.clusters}, separators=(",", ":")) + "\n")


def _key(document: dict[str, Any]) -> Key:
    return document["jobId"], document["cluster"], document["startTime"]


@dataclass(frozen=True)
class Exchange:
    """One line of the log: what was asked when, and the status of the answer."""

    time: float
    method: str
    path: str
    body: str
    status: int


class StubServer:
    """A model on a loopback port; `with StubServer(model) as server: server.url`."""

    def __init__(self, model: Model | None = None, port: int = 0) -> None:
        self.model = model or Model()
        self.log: list[Exchange] = []
        self._lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # one segment an answer, or delayed ACK adds 40 ms
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode("utf-8", "replace")
                answer = stub.handle(self.command, self.path, body, self.headers["X-Auth-Token"])
                content = answer.body.encode()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def handle(self, method: str, path: str, body: str, token: str | None) -> Answer:
        """Answer one request at a time, and log it."""
        with self._lock:
            answer = self.model.answer(method, path, body, token)
            self.log.append(Exchange(time.time(), method, path, body, answer.status))
            return answer

    def rows(self) -> dict[tuple[int, int], str]:
        """Return the state of every run, cached ones too, by job id and start time."""
        with self._lock:
            tables = {**self.model.job, **self.model.cache}
            return {(key[0], key[2]): row["jobState"] for key, row in tables.items()}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server; its port refuses connections from then on."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
