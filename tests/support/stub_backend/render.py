"""How a row is shown as JSON: the order and the choice of fields changed with 1.4.0 and 1.5.0."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from stub_backend.auth import Account
from stub_backend.release import Release
from stub_backend.state import State
from stub_backend.tables import Key, Row

# Omitted if they are zero or empty.
_OPTIONAL = frozenset(
    {
        *("partition", "arrayJobId", "numHwthreads", "numAcc", "smt", "walltime"),
        *("monitoringStatus", "tags", "submitTime", "requestedMemory"),
    }
)
_FIELDS_1_0 = (
    *("id", "jobId", "user", "project", "cluster", "subCluster", "partition", "arrayJobId"),
    *("numNodes", "numHwthreads", "numAcc", "exclusive", "monitoringStatus", "smt", "jobState"),
    *("duration", "walltime", "tags", "resources", "metaData", "concurrentJobs", "startTime"),
)
_FIELDS_1_4 = (
    *("cluster", "subCluster", "partition", "project", "user", "shared", "jobState", "tags"),
    *("resources", "energyFootprint", "footprint", "metaData", "concurrentJobs", "energy"),
    *("arrayJobId", "walltime", "jobId", "duration", "smt", "monitoringStatus", "exclusive"),
    *("numNodes", "numHwthreads", "numAcc", "statistics", "id", "startTime"),
)
_SHARED = {0: "multi_user", 1: "none", 2: "single_user"}
_NO_METRICS = {"cpu_load_avg": 0, "mem_used_max": 0}


def as_job(
    state: State,
    key: Key,
    row: Row,
    *,
    with_metadata: bool = False,
    tags: list[Row] | None = None,
) -> Row:
    """Return a row as the handlers of single jobs show it, up to 1.4.4 with an RFC 3339 start."""
    shown = _shown(state, key, row, with_metadata=with_metadata, tags=tags or [])
    if state.is_new:
        return shown
    shown.pop("statistics", None)
    if state.release.has_rest_reading and not state.release.has_scopes:
        shown |= dict.fromkeys(("memUsedMax", "flopsAnyAvg", "memBwAvg", "loadAvg"), 0)
    return shown | {"startTime": rfc3339(key[2])}


def as_item(state: State, key: Key, row: Row, *, with_metadata: bool, account: Account) -> Row:
    """Return a row as the listing shows it: the start in epoch seconds."""
    tags = scoped_tags(state, row["id"], account)
    shown = _shown(state, key, row, with_metadata=with_metadata, tags=tags)
    return shown | {"statistics": {} if row.get("archived") else None}


def _shown(
    state: State, key: Key, row: Row, *, with_metadata: bool, tags: Iterable[Row]
) -> dict[str, Any]:
    values = {
        "project": "",
        "subCluster": "",
        "user": "",
        "numNodes": 0,
        **row,
        "jobId": key[0],
        "cluster": key[1],
        "startTime": key[2],
        "duration": duration(state, key, row),
        "tags": list(tags),
        "resources": [_resource(each) for each in row.get("resources", [])],
        "metaData": row.get("metaData") if with_metadata else None,
        "concurrentJobs": {"items": None, "count": 0},
        "monitoringStatus": row.get("monitoringStatus", 1),
        "energyFootprint": None,
        "footprint": _NO_METRICS if row.get("archived") else None,
        "energy": 0,
        "statistics": None,
        **sharing(state.release, row),
    }
    fields = _FIELDS_1_4 if state.release.has_scopes else _FIELDS_1_0
    return {
        name: values[name]
        for name in fields
        if name in values and (name not in _OPTIONAL or values[name])
    }


def sharing(release: Release, row: Row) -> Row:
    """Return the sharing field in the words of a release; rows of older ones were migrated."""
    if not release.is_new:
        return {"exclusive": row.get("exclusive", 1)}
    return {"shared": row.get("shared", _SHARED[row.get("exclusive", 1)])}


def duration(state: State, key: Key, row: Row) -> int:
    """Return the seconds from the start to the end, or to now; they wrap at 32 bits."""
    if row["jobState"] == "running" and "stopTime" not in row:
        return int(state.clock()) - key[2]
    if "stopTime" not in row:
        return int(row.get("duration", 0))
    seconds: int = row["stopTime"] - key[2]
    return (seconds + 2**31) % 2**32 - 2**31


def scoped_tags(state: State, number: int, account: Account) -> list[Row]:
    """Return the tags of a row that an account may see."""
    shown = {"global", account.name} | ({"admin"} if account.is_admin else set())
    carried = state.tagged.get(number, [])
    scopes = state.release.has_scopes
    return [
        {"type": tag.type, "name": tag.name, "id": tag.id}
        | ({"scope": tag.scope} if scopes else {})
        for tag in state.tags
        if tag.id in carried and tag.scope in shown
    ]


def rfc3339(instant: int) -> str:
    """Return epoch seconds as the server prints them; it runs in UTC."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def path_in_archive(key: Key) -> str:
    """Return the path of a job's metadata in the server's archive."""
    return f"var/job-archive/{key[1]}/{key[0] // 1000}/{key[0] % 1000:03d}/{key[2]}/meta.json"


def _resource(given: Row) -> Row:
    return {"hostname": given.get("hostname", "")} | {
        name: given[name]
        for name in ("configuration", "hwthreads", "accelerators")
        if given.get(name)
    }
