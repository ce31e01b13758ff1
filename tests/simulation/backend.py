"""A virtual cc-backend with the rules of 1.4.4 and 1.5.x, to which the production client connects.

It has rows, the duplicate rule of 24 h, and the job cache with its commit interval and the race of
an early stop with a commit. Its error texts are those of the real server.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ccbackend.version import FIRST_WITH_SHARED, Version
from simulation.faults import Faults
from simulation.scheduler import Scheduler

DAY_SECONDS = 86400
COMMIT_SECONDS = 120.0
RACE_SECONDS = 1.0
CLUSTER = "alex"
Key = tuple[int, int]
_OLD_STATES = frozenset(
    {
        *("running", "completed", "failed", "cancelled"),
        *("stopped", "timeout", "preempted", "out_of_memory"),
    }
)
_NEW_STATES = _OLD_STATES - {"stopped"} | {
    "boot_fail",
    "deadline",
    "node_fail",
    "pending",
    "suspended",
}


@dataclass(slots=True)
class Row:
    """A job at the server."""

    db_id: int
    document: dict[str, Any]
    state: str = "running"
    stop_time: int | None = None

    @property
    def key(self) -> Key:
        """Return job id and start time."""
        return self.document["jobId"], self.document["startTime"]


@dataclass(slots=True)
class Observer:
    """Functions that are called when rows change; the oracle sets them."""

    started: Callable[[Row], None] = lambda _row: None
    stopped: Callable[[Row], None] = lambda _row: None
    deleted: Callable[[Row], None] = lambda _row: None
    edited: Callable[[Row], None] = lambda _row: None


class VirtualBackend:
    """The server: tables and handlers."""

    def __init__(
        self, version: Version, hosts: list[str], scheduler: Scheduler, faults: Faults
    ) -> None:
        self.version = version
        self.hosts = hosts
        self.faults = faults
        self.observer = Observer()
        self.table: dict[Key, Row] = {}
        self.cache: dict[Key, Row] = {}
        self.token = "good"
        self.core_count = 8
        self._next_id = 0
        self._scheduler = scheduler
        self._commit_at = scheduler.clock.steady + scheduler.random.uniform(0, COMMIT_SECONDS)
        scheduler.at(self._commit_at, self._commit)

    @property
    def is_new(self) -> bool:
        """Return whether this is 1.5.0 or later."""
        return self.version >= FIRST_WITH_SHARED

    def row(self, key: Key) -> Row | None:
        """Return a row of the table or of the cache; None if there is none."""
        return self.table.get(key) or self.cache.get(key)

    def _commit(self) -> None:
        """Move the cache into the main table without a check for duplicates."""
        for key, row in self.cache.items():
            self.table.setdefault(key, row)
        self.cache.clear()
        self._commit_at = self._scheduler.clock.steady + COMMIT_SECONDS
        self._scheduler.at(self._commit_at, self._commit)

    # ---- handlers: (status, text)

    def handle(self, method: str, path: str, body: bytes | None) -> tuple[int, str]:
        """Answer one authenticated request."""
        parts = urlsplit(path)
        handlers: dict[tuple[str, str], Callable[[dict[str, Any]], tuple[int, str]]] = {
            ("POST", "/api/jobs/start_job/"): self._start,
            ("POST", "/api/jobs/stop_job/"): self._stop,
            ("DELETE", "/api/jobs/delete_job/"): self._delete,
            ("PATCH", "/api/jobs/edit_meta/"): self._edit,
            ("GET", "/api/jobs/"): lambda _: self._list(parse_qs(parts.query)),
            ("GET", "/api/clusters/"): lambda _: self._clusters(),
            ("POST", "/query"): self._query,
        }
        if not self.is_new:
            del handlers["PATCH", "/api/jobs/edit_meta/"]
        handler = handlers.get((method, parts.path))
        if handler is not None:
            return handler(json.loads(body) if body else {})
        is_path = any(parts.path == known for _, known in handlers)
        return (405, "") if self.is_new and is_path else self._not_found()

    def _not_found(self) -> tuple[int, str]:
        if self.is_new:
            return _refusal(404, "the requested endpoint does not exist")
        return 404, "404 page not found"

    def _start(self, document: dict[str, Any]) -> tuple[int, str]:
        if not document:
            return _refusal(400, "parsing request body failed: EOF")
        words = self._refused(document)
        if words:
            return _refusal(400, words)
        key = (document["jobId"], document["startTime"])
        for job_id, start in self.table:
            if job_id == key[0] and key[1] - start < DAY_SECONDS:
                number = self.table[job_id, start].db_id
                same = "a job with that jobId, cluster and startTime already exists"
                return _refusal(422, f"{same}: dbid: {number}, jobid: {job_id}")
        if key in self.cache:
            unique = "UNIQUE constraint failed: job_cache.job_id, job_cache.cluster"
            return _refusal(500, f"insert into database failed: {unique}")
        self._next_id += 1
        row = Row(self._next_id, document)
        (self.cache if self.is_new else self.table)[key] = row
        self.observer.started(row)
        return 201, '{"msg":"success"}'

    def _refused(self, document: dict[str, Any]) -> str:
        wrong = "exclusive" if self.is_new else "shared"
        if wrong in document:
            return f'parsing request body failed: json: unknown field "{wrong}"'
        if document["cluster"] != CLUSTER:
            return f"no such cluster: {document['cluster']}"
        host = document["resources"][0]["hostname"]
        if host in self.faults.unknown_hosts or host not in self.hosts:
            return (
                f"ARCHIVE/CLUSTERCONFIG > no subcluster found for cluster {CLUSTER} and host {host}"
            )
        if document["numNodes"] != len(document["resources"]) or not document.get("user"):
            return "'numNodes' or 'user' invalid"
        return ""

    def _stop(self, document: dict[str, Any]) -> tuple[int, str]:
        key = (document["jobId"], document["startTime"])
        row = self.cache.get(key) or self.table.get(key)
        if row is None:
            status = 404 if self.is_new else 422
            return _refusal(status, "finding job failed: sql: no rows in result set")
        if row.state != "running":
            return _refusal(422, f"job has already been stopped (state is: {row.state})")
        if document["stopTime"] < key[1]:
            return _refusal(400, "stopTime must be larger/equal than startTime")
        if document["jobState"] not in (_NEW_STATES if self.is_new else _OLD_STATES):
            return _refusal(400, f'invalid requested job state: "{document["jobState"]}"')
        if key in self.cache:
            row = self._leave_cache(key, row)
        row.state, row.stop_time = document["jobState"], document["stopTime"]
        self.observer.stopped(row)
        return 200, json.dumps({"jobState": row.state, "jobId": row.key[0]})

    def _leave_cache(self, key: Key, row: Row) -> Row:
        """Move a row out of the cache; a stop that races with the commit gets another job's row."""
        if self._commit_at - self._scheduler.clock.now() < RACE_SECONDS:
            strangers = [
                r for r in (*self.table.values(), *self.cache.values()) if r.state == "running"
            ]
            return self._scheduler.random.choice(strangers)
        del self.cache[key]
        self.table[key] = row
        return row

    def _delete(self, document: dict[str, Any]) -> tuple[int, str]:
        row = self.table.pop((document["jobId"], document["startTime"]), None)
        if row is None:
            return _refusal(422, "finding job failed: sql: no rows in result set")
        self.observer.deleted(row)
        return 200, f'{{"msg":"Successfully deleted job {row.db_id}"}}'

    def _edit(self, document: dict[str, Any]) -> tuple[int, str]:
        row = self.table.get((document["jobId"], document["startTime"]))
        if row is None:
            return _refusal(422, "finding job failed: sql: no rows in result set")
        metadata = row.document.setdefault("metaData", {})
        metadata[document["payload"]["key"]] = document["payload"]["value"]
        self.observer.edited(row)
        return 200, json.dumps({"jobId": row.key[0], "jobState": row.state})

    def _list(self, query: dict[str, list[str]]) -> tuple[int, str]:
        rows = sorted(self.table.values(), key=lambda row: -row.key[1])
        if "state" in query:
            rows = [row for row in rows if row.state in query["state"]]
        if "start-time" in query:
            first = int(query["start-time"][0].partition("-")[0])
            rows = [row for row in rows if row.key[1] == first]
        items = int(query["items-per-page"][0])
        found = [
            {
                "id": r.db_id,
                "jobId": r.key[0],
                "cluster": CLUSTER,
                "startTime": r.key[1],
                "jobState": r.state,
            }
            for r in rows[:items]
        ]
        return 200, json.dumps({"jobs": found, "items": items, "page": 1})

    def _query(self, document: dict[str, Any]) -> tuple[int, str]:
        (filters,) = document["variables"]["f"]
        wanted = {int(each) for each in filters.get("jobId", {}).get("in", ())}
        found = [
            {
                "id": r.db_id,
                "jobId": r.key[0],
                "cluster": CLUSTER,
                "startTime": _instant(r.key[1]),
                "state": r.state,
            }
            for r in self.table.values()
            if r.key[0] in wanted
        ]
        return 200, json.dumps({"data": {"jobs": {"count": len(found), "items": found}}})

    def _clusters(self) -> tuple[int, str]:
        known = [host for host in self.hosts if host not in self.faults.unknown_hosts]
        cores = [[core, core + self.core_count] for core in range(self.core_count)]
        topology = {"socket": [[thread for core in cores for thread in core]], "core": cores}
        part = {"name": "main", "nodes": ",".join(known), "topology": topology}
        return 200, json.dumps({"clusters": [{"name": CLUSTER, "subClusters": [part]}]})


def _instant(seconds: int) -> str:
    """Return a time as GraphQL writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _refusal(status: int, words: str) -> tuple[int, str]:
    return status, json.dumps({"status": "refused", "error": words})
