"""The answers of cc-backend 1.4.4 and 1.5.4 to requests, and the rows that result from them.

Written from the published behaviour of these two releases: the check order of `start_job`, the
24-hour rule for a second run, and from 1.5.0 the job cache, whose rows no job list shows until
they are committed. A stop of a cached row shortly before its commit can close another row of the
real server; here it always does, so that a test notices every stop that comes too early.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

DAY_SECONDS = 86400
RACE_PART = 0.2
"""The last part of a commit interval in which a stop of a cached row hits another row."""
_START_FIELDS = frozenset(
    {"jobId", "user", "project", "cluster", "partition", "subCluster", "startTime", "walltime"}
    | {"numNodes", "numHwthreads", "numAcc", "resources", "metaData", "arrayJobId", "smt"}
    | {"monitoringStatus", "tags", "jobState"}
)
_STOP_FIELDS = frozenset({"jobId", "cluster", "startTime", "stopTime", "jobState"})
_OLD_STATES = frozenset(
    {"running", "completed", "failed", "cancelled", "stopped", "timeout", "preempted"}
    | {"out_of_memory"}
)
_NEW_STATES = (_OLD_STATES - {"stopped"}) | {
    "boot_fail",
    "deadline",
    "node_fail",
    "pending",
    "suspended",
}

Answered = tuple[int, dict[str, Any]]


@dataclass
class Row:
    """A row of the job table, or of the job cache while `is_cached`."""

    row_id: int
    document: dict[str, Any]
    subcluster: str
    is_cached: bool
    state: str = "running"
    stop_time: int | None = None
    accepted: float = field(default_factory=time.monotonic)
    closed: float | None = None

    @property
    def key(self) -> tuple[int, str, int]:
        """Return the unique key: job id, cluster and start time."""
        document = self.document
        return document["jobId"], document["cluster"], document["startTime"]


class Rules:
    """The rows of one server and its answers; safe for several threads."""

    def __init__(
        self,
        version: str,
        hosts: dict[str, str],
        cluster: str,
        *,
        commit_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.version = version
        self.hosts = hosts
        self.cluster = cluster
        self.commit_seconds = commit_seconds
        self.rows: list[Row] = []
        self.deleted: list[Row] = []
        self.wrong_stops = 0
        self.lock = threading.RLock()
        self._clock = clock
        self._committed = clock()
        self._next_id = 1

    @property
    def is_old(self) -> bool:
        """Return whether this is the generation before 1.5.0."""
        return tuple(map(int, self.version.split("."))) < (1, 5, 0)

    @property
    def sharing_field(self) -> str:
        """Return the field for node sharing; the server rejects the other one."""
        return "exclusive" if self.is_old else "shared"

    def start(self, document: Any) -> Answered:
        """Answer `start_job`."""
        with self.lock:
            self.commit()
            problem = self._refused_start(document)
            if problem is not None:
                return problem
            key = document["jobId"], document["cluster"], document["startTime"]
            if any(row.key == key and row.is_cached for row in self.rows):
                text = "insert into database failed: UNIQUE constraint failed: job_cache.job_id"
                return _error(500, f"{text}, job_cache.cluster, job_cache.start_time")
            subcluster = self.hosts.get(document["resources"][0]["hostname"], "")
            row = Row(self._next_id, document, subcluster, is_cached=not self.is_old)
            self._next_id += 1
            self.rows.append(row)
            return 201, {"msg": "success"}

    def stop(self, document: Any) -> Answered:
        """Answer `stop_job`."""
        with self.lock:
            self.commit()
            unknown = _unknown_field(document, _STOP_FIELDS)
            if unknown is not None:
                return unknown
            row = self._row(document)
            if row is None:
                return _error(422 if self.is_old else 404, _NO_ROWS)
            if row.is_cached and self._is_racing():
                return self._close_another(row, document)
            refused = self._refused_stop(row, document)
            if refused is None:
                self._close(row, document["stopTime"], document.get("jobState") or "completed")
            return refused or (200, self.shown(row))

    def delete(self, document: Any) -> Answered:
        """Answer `delete_job` with a tuple in the body."""
        with self.lock:
            self.commit()
            row = self._row(document)
            if row is None or row.is_cached:
                return _error(422, _NO_ROWS)
            self.rows.remove(row)
            self.deleted.append(row)
            return 200, {"msg": f"Successfully deleted job {row.row_id}"}

    def edit_meta(self, document: Any, row_id: int | None = None) -> Answered:
        """Answer `edit_meta` by database id, or by tuple from 1.5.0 on."""
        with self.lock:
            self.commit()
            if row_id is not None:
                row = next((row for row in self.listed() if row.row_id == row_id), None)
                pair, status = document, 404
            else:
                row, pair, status = self._row(document), document.get("payload") or {}, 422
            if row is None or row.is_cached:
                return _error(status, _NO_ROWS)
            meta = dict(row.document.get("metaData") or {})
            row.document["metaData"] = meta | {pair["key"]: pair["value"]}
            return 200, self.shown(row) | {"metaData": row.document["metaData"]}

    def commit(self, *, at_once: bool = False) -> None:
        """Move cached rows to the job table when the commit interval is over."""
        with self.lock:
            if self._clock() - self._committed < self.commit_seconds and not at_once:
                return
            self._committed = self._clock()
            for row in self.rows:
                row.is_cached = False

    def listed(self) -> list[Row]:
        """Return the rows that job lists show, latest start first."""
        with self.lock:
            self.commit()
            rows = [row for row in self.rows if not row.is_cached]
            return sorted(rows, key=lambda row: (-row.document["startTime"], -row.row_id))

    def shown(self, row: Row) -> dict[str, Any]:
        """Return a row as REST shows it, without metaData."""
        start, now = row.document["startTime"], int(time.time())
        return {
            **row.document,
            "id": row.row_id,
            "subCluster": row.subcluster,
            "jobState": row.state,
            "duration": (row.stop_time if row.stop_time is not None else now) - start,
            "metaData": None,
        }

    def _refused_stop(self, row: Row, document: dict[str, Any]) -> Answered | None:
        """Check state, then time, then the name of the end state."""
        start, stop = row.document["startTime"], document.get("stopTime", 0)
        where = f"jobId {row.document['jobId']} (id {row.row_id}) on {self.cluster} :"
        state = document.get("jobState") or "completed"
        if row.state != "running":
            text = f"{where} job has already been stopped (state is: {row.state})"
            return _error(422, text)
        if stop < start:
            text = f"{where} stopTime {stop} must be larger/equal than startTime {start}"
            return _error(400, text)
        if state not in (_OLD_STATES if self.is_old else _NEW_STATES):
            return _error(400, f'{where} invalid requested job state: "{state}"')
        return None

    def _refused_start(self, document: Any) -> Answered | None:
        """Check in the order of the real server; None: the start is accepted."""
        unknown = _unknown_field(document, _START_FIELDS | {self.sharing_field})
        if unknown is not None:
            return unknown
        cluster, resources = document.get("cluster", ""), document.get("resources") or []
        if cluster != self.cluster:
            return _error(400, f"no such cluster: {cluster}")
        if not resources:
            return _error(400, "ARCHIVE/CLUSTERCONFIG > job without any resources/hosts")
        host = resources[0].get("hostname")
        if host not in self.hosts:
            text = f"no subcluster found for cluster {cluster} and host {host}"
            return _error(400, f"ARCHIVE/CLUSTERCONFIG > {text}")
        return _bad_numbers(document) or self._duplicate(document) or self._bad_value(document)

    def _duplicate(self, document: dict[str, Any]) -> Answered | None:
        """Apply the 24-hour rule; rows of the cache do not count."""
        job_id, start = document["jobId"], document["startTime"]
        for row in self.rows:
            is_same = row.document["jobId"] == job_id and not row.is_cached
            if is_same and start - row.document["startTime"] < DAY_SECONDS:
                text = "a job with that jobId, cluster and startTime already exists"
                return _error(422, f"{text}: dbid: {row.row_id}, jobid: {job_id}")
        return None

    def _bad_value(self, document: dict[str, Any]) -> Answered | None:
        known: tuple[Any, ...] = ("none", "single_user", "multi_user")
        if document.get(self.sharing_field) not in (None, *((0, 1, 2) if self.is_old else known)):
            return _error(500, "insert into database failed: CHECK constraint failed: shared")
        return None

    def _row(self, document: dict[str, Any]) -> Row | None:
        """Find a row by its tuple, in the cache first."""
        wanted = document.get("jobId"), document.get("cluster"), document.get("startTime")
        found = [row for row in self.rows if row.key == wanted]
        return min(found, key=lambda row: not row.is_cached, default=None)

    def _is_racing(self) -> bool:
        left = self.commit_seconds - (self._clock() - self._committed)
        return left < RACE_PART * self.commit_seconds

    def _close_another(self, row: Row, document: dict[str, Any]) -> Answered:
        """Close a running row of another job, and answer as if the right one had been closed."""
        others = [each for each in self.rows if each is not row and each.state == "running"]
        if others:
            self._close(others[0], document["stopTime"], document["jobState"])
            self.wrong_stops += 1
        return 200, self.shown(row) | {"jobState": document["jobState"]}

    def _close(self, row: Row, stop_time: int, state: str) -> None:
        row.is_cached = False
        row.state, row.stop_time, row.closed = state, stop_time, time.monotonic()


_NO_ROWS = "finding job failed: sql: no rows in result set"


def _error(status: int, text: str) -> Answered:
    return status, {"status": HTTPStatus(status).phrase, "error": text}


def _bad_numbers(document: dict[str, Any]) -> Answered | None:
    """Reject a start without user, and one whose number of nodes is not that of its hosts."""
    nodes, hosts = document.get("numNodes", 0), len(document["resources"])
    if not document.get("user"):
        return _error(400, "'resources' and 'user' should not be empty")
    if nodes < 1:
        return _error(400, "'numNodes', 'numAcc' or 'numHWThreads' invalid")
    if nodes != hosts:
        return _error(400, f"len(resources) does not equal numNodes ({hosts} vs {nodes})")
    return None


def _unknown_field(document: Any, known: frozenset[str]) -> Answered | None:
    """Reject an empty body, and fields that the server does not know."""
    if document is None:
        return _error(400, "parsing request body failed: EOF")
    for name in document:
        if name not in known:
            return _error(400, f'parsing request body failed: json: unknown field "{name}"')
    return None
