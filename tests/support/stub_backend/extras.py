"""Additions to jobs and nodes: tags, metaData by edit_meta, node states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stub_backend import schema
from stub_backend.auth import Account
from stub_backend.render import as_job, path_in_archive, scoped_tags
from stub_backend.state import State, Tag, nodes_of
from stub_backend.tables import Key, Row
from stub_backend.wire.answers import PANIC, Answer, Request, as_json, refusal, text
from stub_backend.wire.gojson import GoError, Shape, decode

_NOT_FOUND = "sql: no rows in result set"
_UNIQUE = "UNIQUE constraint failed: jobtag.job_id, jobtag.tag_id"
_NODE_STATES = ("allocated", "reserved", "idle", "down", "mixed")


class TagError(Exception):
    """Why a tag was not added, in the server's words."""


def add_tag(state: State, number: int, document: Row, account: Account) -> Row:
    """Add a tag to the row with this id; return what the answer shows of the tag."""
    scope = document.get("scope") or "global"
    allowed = {"global", "admin", account.name}
    if scope not in allowed:
        raise TagError("cannot write tag scope with current authorization")
    wanted = (document.get("type", ""), document.get("name", ""), scope)
    tag = next((t for t in state.tags if (t.type, t.name, t.scope) == wanted), None)
    if tag is None:
        tag = Tag(len(state.tags) + 1, *wanted)
        state.tags.append(tag)
    tags = state.tagged.setdefault(number, [])
    if tag.id in tags:
        raise TagError(_UNIQUE)
    tags.append(tag.id)
    shown = {"type": tag.type, "name": tag.name, "id": tag.id}
    return shown | ({"scope": document.get("scope", "")} if state.release.has_scopes else {})


def _remove_tag(state: State, number: int, document: Row, _account: Account) -> None:
    """Remove a tag from a row; type, name and scope must be equal."""
    wanted = (document.get("type", ""), document.get("name", ""), document.get("scope", ""))
    tags = state.tagged.get(number, [])
    for tag in state.tags:
        if (tag.type, tag.name, tag.scope) == wanted and tag.id in tags:
            tags.remove(tag.id)


def tag(state: State, request: Request, account: Account, argument: str) -> Answer:
    """Answer POST and PATCH tag_job/{database id}."""
    return _tagging(state, request, account, argument, change=add_tag)


def untag(state: State, request: Request, account: Account, argument: str) -> Answer:
    """Answer DELETE tag_job/{database id}."""
    return _tagging(state, request, account, argument, change=_remove_tag)


def _tagging(
    state: State,
    request: Request,
    account: Account,
    argument: str,
    *,
    change: Callable[[State, int, Row, Account], Row | None],
) -> Answer:
    found = _found(state, argument, request, schema.tags(state.release))
    if isinstance(found, Answer):
        return found
    key, row, documents = found
    shown = scoped_tags(state, row["id"], account)
    try:
        for document in documents:
            added = change(state, row["id"], document, account)
            shown += [added] if added is not None else []
    except TagError as error:
        return _error(state, 500, "adding tag failed", str(error))
    if _is_stopped(row) and not state.is_new:
        return text(500, f"open {path_in_archive(key)}: no such file or directory")
    return as_json(200, as_job(state, key, row, tags=shown))


def edit_meta(state: State, request: Request, _account: Account, argument: str) -> Answer:
    """Answer edit_meta/{database id}."""
    found = _found(state, argument, request, schema.EDIT_META)
    if isinstance(found, Answer):
        return found
    key, row, document = found
    return _edited(state, key, row, document)


def edit_meta_by_tuple(state: State, request: Request, _account: Account, _: str) -> Answer:
    """Answer edit_meta/ (from 1.5.0)."""
    try:
        document = decode(request.body, schema.EDIT_META_BY_TUPLE) or {}
    except GoError as error:
        return refusal(400, f"parsing request body failed: {error}")
    wanted = (document.get("jobId", 0), document.get("cluster"), document.get("startTime"))
    keys = state.job_table.runs(*wanted)
    if not keys:
        return refusal(422, f"finding job failed: {_NOT_FOUND}")
    row = state.job_table[keys[-1]]
    return _edited(state, keys[-1], row, document.get("payload", {}))


def _edited(state: State, key: Key, row: Row, document: Row) -> Answer:
    had = row.get("metaData")
    changed = {**(had or {}), document.get("key", ""): document.get("value", "")}
    row["metaData"] = dict(sorted(changed.items()))
    if _is_stopped(row):
        if not state.is_new:
            return text(500, f"open {path_in_archive(key)}: no such file or directory")
        if had is None:
            return PANIC
    return as_json(200, as_job(state, key, row, with_metadata=True))


def _found(
    state: State, argument: str, request: Request, shape: Shape
) -> tuple[Key, Row, Any] | Answer:
    """Return the row of a database id in a path and the decoded body, or the refusal."""
    if not argument.isdecimal():
        words = f'strconv.ParseInt: parsing "{argument}": invalid syntax'
        return _error(state, 400, "parsing job ID failed", words)
    found = state.job_table.row(int(argument))
    if found is None:
        return _error(state, 404, "finding job failed", _NOT_FOUND)
    try:
        return *found, decode(request.body, shape) or {}
    except GoError as error:
        return _error(state, 400, "decoding request failed", str(error))


def _error(state: State, status: int, what: str, words: str) -> Answer:
    """Return an error of these handlers: plain text up to 1.4.4."""
    return refusal(status, f"{what}: {words}") if state.is_new else text(status, words)


def _is_stopped(row: Row) -> bool:
    return bool(row["jobState"] != "running" and row.get("monitoringStatus", 1) != 0)


def node_state(state: State, request: Request, _account: Account, _: str) -> Answer:
    """Answer nodestate: 200 with an empty body, even for unknown hosts."""
    try:
        document = decode(request.body, schema.NODE_STATE) or {}
    except GoError as error:
        return refusal(400, f"parsing request body failed: {error}")
    cluster = document.get("cluster", "")
    for payload in document.get("nodes", []):
        known = _node(state, cluster, payload.get("hostname", ""))
        if known is not None:
            state.node_states.append(_node_row(state, known, payload))
    return Answer(200, "", "")


def _node(state: State, cluster: str, host: str) -> Row | None:
    """Return the row of a configured node; add it if this is its first report."""
    for name, part in state.subclusters(cluster).items():
        if host in nodes_of(part["nodes"]):
            row = {"id": len(state.nodes) + 1, "hostname": host, "cluster": cluster}
            return state.nodes.setdefault((cluster, host), row | {"subcluster": name})
    return None


def _node_row(state: State, known: Row, payload: Row) -> Row:
    given = [each.lower() for each in payload.get("states", [])]
    found = _node_condition(given, by_priority=state.release.since(1, 5, 2))
    return {
        "id": len(state.node_states) + 1,
        "jobs_running": payload.get("jobsRunning", 0),
        "cpus_allocated": payload.get("cpusAllocated", 0),
        "memory_allocated": payload.get("memoryAllocated", 0),
        "gpus_allocated": payload.get("gpusAllocated", 0),
        "node_state": found,
        "node_id": known["id"],
    }


def _node_condition(given: list[str], *, by_priority: bool) -> str:
    if not by_priority:
        return next((each for each in given if each in _NODE_STATES), "unknown")
    if {"idle", "down"} <= set(given):
        return "down"
    return next((each for each in _NODE_STATES if each in given), "unknown")
