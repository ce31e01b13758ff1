"""stop_job and delete_job: which row they select, what is refused, what the archiver sets."""

from __future__ import annotations

from stub_backend import schema
from stub_backend.auth import Account
from stub_backend.render import as_job
from stub_backend.state import State
from stub_backend.tables import Key, Row, Table
from stub_backend.wire.answers import Answer, Request, as_json, refusal
from stub_backend.wire.gojson import GoError, decode

NOT_FOUND = "finding job failed: sql: no rows in result set"
_NO_ID = "the field 'jobId' is required"
_TO_ARCHIVE, _ARCHIVED, _ARCHIVING_FAILED = 1, 3, 2


def stop(state: State, request: Request, _account: Account, _: str) -> Answer:
    """Answer one stop_job; from 1.5.0 a cached run is moved into the main table first."""
    try:
        document = decode(request.body, schema.stop(state.release)) or {}
    except GoError as error:
        return refusal(400, f"parsing request body failed: {error}")
    if "jobId" not in document:
        return refusal(400, _NO_ID)
    for table in (state.cache_table, state.job_table):
        key = _find_key(state, table, document)
        if key is not None:
            return _stop_row(state, table, key, document)
    return refusal(404 if state.is_new else 422, NOT_FOUND)


def stop_by_id(state: State, request: Request, _account: Account, argument: str) -> Answer:
    """Answer stop_job/{database id} (up to 1.3.1)."""
    number = database_id(argument)
    if isinstance(number, Answer):
        return number
    found = state.job_table.row(number)
    if found is None:
        return refusal(422, NOT_FOUND)
    try:
        document = decode(request.body, schema.stop(state.release)) or {}
    except GoError as error:
        return refusal(400, f"parsing request body failed: {error}")
    return _stop_row(state, state.job_table, found[0], document)


def delete(state: State, request: Request, _account: Account, _: str) -> Answer:
    """Answer one delete_job, which does not find cached runs."""
    try:
        document = decode(request.body, schema.delete(state.release)) or {}
    except GoError as error:
        return refusal(400, f"parsing request body failed: {error}")
    if "jobId" not in document:
        return refusal(400, _NO_ID)
    key = _find_key(state, state.job_table, document)
    if key is None:
        return refusal(422, NOT_FOUND)
    return _deleted(state, int(state.job_table[key]["id"]))


def delete_by_id(state: State, _request: Request, _account: Account, argument: str) -> Answer:
    """Answer delete_job/{database id}: it succeeds even if there is no such row."""
    number = database_id(argument)
    return number if isinstance(number, Answer) else _deleted(state, number)


def database_id(argument: str) -> int | Answer:
    """Return the number in a path, or the refusal."""
    if argument.removeprefix("-").isdecimal():
        return int(argument)
    words = f'strconv.ParseInt: parsing "{argument}": invalid syntax'
    return refusal(400, f"integer expected in path for id: {words}")


def archive(state: State, row: Row) -> None:
    """Set what the archiver sets in a row; up to 1.4.4 it finds no metric store and fails."""
    status = row.get("monitoringStatus", _TO_ARCHIVE)
    if status == 0:
        return
    is_first = status == _TO_ARCHIVE and row["stopTime"] - row["startTime"] in range(2**31)
    row["archived"] = state.is_new and (is_first or row.get("archived", False))
    row["monitoringStatus"] = _ARCHIVED if row["archived"] else _ARCHIVING_FAILED


def _deleted(state: State, number: int) -> Answer:
    found = state.job_table.row(number)
    if found is not None:
        del state.job_table[found[0]]
        state.tagged.pop(number, None)
    return as_json(200, {"msg": f"Successfully deleted job {number}"})


def _find_key(state: State, table: Table, document: Row) -> Key | None:
    """Return the key of a tuple's run; of several rows the oldest (up to 1.3.1) or the newest."""
    wanted = (document["jobId"], document.get("cluster"), document.get("startTime"))
    keys = table.runs(*wanted)
    if not keys:
        return None
    return keys[-1] if state.release.picks_newest else keys[0]


def _stop_row(state: State, table: Table, key: Key, document: Row) -> Answer:
    row = table[key]
    refused = _stop_refused(state, key, row, document)
    if refused is not None:
        return refused
    if table is state.cache_table and state.is_new:
        if key in state.job_table:
            columns = "UNIQUE constraint failed: job.job_id, job.cluster, job.start_time"
            return refusal(500, f"transferring cached job failed: {columns}")
        del table[key]
        del row["id"]
        state.job_table[key] = row
    row |= {"jobState": document.get("jobState") or "completed", "stopTime": document["stopTime"]}
    row.setdefault("startTime", key[2])
    answer = as_json(200, as_job(state, key, row))
    if state.archives:
        archive(state, row)
    return answer


def _stop_refused(state: State, key: Key, row: Row, document: Row) -> Answer | None:
    name = f"jobId {key[0]} (id {row['id']}) on {key[1]} : " if state.release.has_scopes else ""
    end, has = document.get("stopTime", 0), row["jobState"]
    if state.release.names_stopped_runs:
        if has != "running":
            return refusal(422, f"{name}job has already been stopped (state is: {has})")
        if end < key[2]:
            words = f"stopTime {end} must be larger/equal than startTime {key[2]}"
            return refusal(400, name + words)
    elif has != "running" or end <= key[2]:
        return refusal(400, _either(state, key, row, end))
    wanted = document.get("jobState", "")
    if wanted in {"", *state.release.states}:
        return None
    requested = "invalid requested job state" if name else "invalid job state"
    return refusal(400, f'{name}{requested}: "{wanted}"')


def _either(state: State, key: Key, row: Row, end: int) -> str:
    """Return the one text for two causes (up to 1.4.2), from 1.4.0 on with values."""
    rule = "and only running jobs can be stopped"
    if not state.release.has_scopes:
        return f"stopTime must be larger than startTime {rule}"
    name = f"jobId {key[0]} (id {row['id']}) on {key[1]} : "
    words = f"stopTime {end} must be larger than startTime {key[2]} {rule}"
    return f"{name}{words} (state is: {row['jobState']})"
