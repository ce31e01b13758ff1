"""start_job: checks in the server's order, the duplicate rule, and the table for the row."""

from __future__ import annotations

from typing import Any

from stub_backend import schema
from stub_backend.auth import Account
from stub_backend.extras import TagError, add_tag
from stub_backend.release import Release
from stub_backend.state import State, key_of, nodes_of
from stub_backend.tables import Row
from stub_backend.wire.answers import PANIC, TEXT, Answer, Request, as_json, refusal
from stub_backend.wire.gojson import GoError, decode

DAY_SECONDS = 24 * 3600
_NOT_INSERTED = "insert into database failed"
_STATUS = ("monitoringStatus", (0, 1, 2, 3), "monitoring_status IN (0, 1, 2, 3)")
_SHARED = ("none", "single_user", "multi_user")
_Check = tuple[str, tuple[Any, ...], str]
_CHECKS_OLD: tuple[_Check, ...] = (
    ("smt", (0, 1), "smt               IN (0, 1   )"),
    ("exclusive", (0, 1, 2), "exclusive         IN (0, 1, 2)"),
    _STATUS,
)
_CHECKS_NEW: tuple[_Check, ...] = (
    ("smt", (0, 1), "smt IN (0, 1)"),
    ("shared", _SHARED, 'shared IN ("none", "single_user", "multi_user")'),
    _STATUS,
)


def start(state: State, request: Request, account: Account, _: str) -> Answer:
    """Answer one start_job."""
    try:
        document = decode(request.body, schema.start(state.release)) or {}
    except GoError as error:
        return refusal(400, f"parsing request body failed: {error}")
    if None in document.get("resources", ()):
        return PANIC
    words = _refused(state, document)
    if words:
        return refusal(400, words)
    poisoned = state.poison.get(document.get("jobId", 0))
    return poisoned or _duplicate(state, document) or _stored(state, document, account)


def _refused(state: State, document: Row) -> str:
    """Return why a start is refused, or an empty text; fill in the subcluster."""
    name = document.get("cluster", "")
    known = [each["name"] for each in state.clusters] or [state.cluster]
    if name not in known:
        return f"no such cluster: {name}"
    words = _without_subcluster(state, document)
    if words:
        return f"ARCHIVE/CLUSTERCONFIG > {words}"
    return _state_refused(state.release, document) or _values_refused(document)


def _without_subcluster(state: State, document: Row) -> str:
    cluster, given = document["cluster"], document.get("subCluster", "")
    parts = state.subclusters(cluster)
    if given and parts:
        unknown = f"already assigned subcluster {given} unkown (cluster: {cluster})"
        return "" if given in parts else unknown
    if not document.get("resources"):
        return "job without any resources/hosts"
    host = document["resources"][0].get("hostname", "")
    for name, part in parts.items():
        if host in nodes_of(part["nodes"]):
            document["subCluster"] = name
            return ""
    is_free = not parts if state.hosts is None else host in state.hosts
    return "" if is_free else f"no subcluster found for cluster {cluster} and host {host}"


def _state_refused(release: Release, document: Row) -> str:
    given = document.get("jobState", "")
    if not release.takes_state_at_start or given in {"", *release.states}:
        return ""
    return f"not a valid job state: {given}"


def _values_refused(document: Row) -> str:
    resources, count = document["resources"], document.get("numNodes", 0)
    if not document.get("user"):
        return "'resources' and 'user' should not be empty"
    if count < 1 or document.get("numAcc", 0) < 0 or document.get("numHwthreads", 0) < 0:
        return "'numNodes', 'numAcc' or 'numHWThreads' invalid"
    if count != len(resources):
        return f"len(resources) does not equal numNodes ({len(resources)} vs {count})"
    return ""


def _duplicate(state: State, document: Row) -> Answer | None:
    """Refuse a start before a stored run of the job id, or less than a day after it."""
    job_id, cluster, begin = key_of(document)
    for key in state.job_table.runs(job_id, cluster):
        if begin - key[2] < DAY_SECONDS:
            number = state.job_table[key]["id"]
            words = "a job with that jobId, cluster and startTime already exists"
            return refusal(422, f"{words}: dbid: {number}, jobid: {job_id}")
    return None


def _stored(state: State, document: Row, account: Account) -> Answer:
    release = state.release
    row = _row(release, document)
    if release.queues_starts:
        state.enqueue(lambda: not _insert(state, row, account).startswith(_NOT_INSERTED))
        return as_json(201, {"msg": "Successfully triggered job start"})
    words = _insert(state, row, account)
    if words:
        stored = not words.startswith(_NOT_INSERTED)
        return _tag_failed(release, words) if stored else refusal(500, words)
    if release.names_id_in_201:
        return as_json(201, {"id": row["id"]})
    return as_json(201, {"msg": "success"})


def _row(release: Release, document: Row) -> Row:
    """Return the row that the tables store for a start."""
    sharing: Row = {"shared": "none"} if release.is_new else {"exclusive": 1}
    row = {"monitoringStatus": 1, **sharing, **document}
    row.pop("id", None)
    given = row.get("jobState") if release.takes_state_at_start else ""
    return row | {"jobState": given or "running"}


def _insert(state: State, row: Row, account: Account) -> str:
    """Store a row, then its tags; return the error, or an empty text."""
    tags = row.pop("tags", [])
    cached = state.is_new and not tags
    table = state.cache_table if cached else state.job_table
    key = key_of(row)
    words = _violated(row, _CHECKS_NEW if state.is_new else _CHECKS_OLD)
    if not words and key in table:
        columns = ("job_id", "cluster", "start_time")
        name = "job_cache" if cached else "job"
        words = "UNIQUE constraint failed: " + ", ".join(f"{name}.{each}" for each in columns)
    if words:
        return f"{_NOT_INSERTED}: {words}"
    table[key] = row
    try:
        for each in tags:
            add_tag(state, row["id"], each, account)
    except TagError as error:
        return f"adding tag to new job {row['id']} failed: {error}"
    return ""


def _violated(row: Row, checks: tuple[_Check, ...]) -> str:
    for name, allowed, text in checks:
        if row.get(name, 0 if name == "smt" else allowed[0]) not in allowed:
            return f"CHECK constraint failed: {text}"
    return ""


def _tag_failed(release: Release, words: str) -> Answer:
    """Return the error for a stored job's tag; up to 1.4.4 a line of text precedes the JSON."""
    answer = refusal(500, words)
    if release.is_new:
        return answer
    return Answer(500, words.partition(" failed: ")[2] + "\n" + answer.body, TEXT)
