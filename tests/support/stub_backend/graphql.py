"""POST /query: listings of jobs by GraphQL, in the schema of each release."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from stub_backend.auth import Account
from stub_backend.release import Release
from stub_backend.render import duration, rfc3339, scoped_tags, sharing
from stub_backend.state import State
from stub_backend.tables import Key, Row
from stub_backend.wire.answers import JSON, TEXT, Answer, Request, encode
from stub_backend.wire.gojson import GoError
from stub_backend.wire.gojson import parse as parse_json
from stub_backend.wire.query import Field, GraphqlError, Variable, parse

_CODE = "GRAPHQL_VALIDATION_FAILED"
_ITEMS = 50
_FILTERS = frozenset(
    {
        *("jobId", "arrayJobId", "user", "project", "jobName", "cluster", "subCluster"),
        *("partition", "startTime", "state", "duration", "numNodes", "dbId", "tags"),
    }
)
_RESOURCE = ("hostname", "hwthreads", "accelerators", "configuration")
_Fits = Callable[[Key, Row], bool]


_SIMPLE: Mapping[str, Callable[[Key, Row], Any]] = {
    "id": lambda _, row: row["id"],
    "jobId": lambda key, _: key[0],
    "cluster": lambda key, _: key[1],
    "startTime": lambda key, _: rfc3339(key[2]),
    "state": lambda _, row: row["jobState"],
}


class QueryError(Exception):
    """A query that is valid but fails; `path` names the field, `data` is the data of the answer."""

    def __init__(self, words: str, path: list[Any], column: int = 0, data: Any = None) -> None:
        super().__init__(words)
        self.path = path
        self.column = column
        self.data = data


class VariableError(Exception):
    """A variable that does not fit; `path` leads to it."""

    def __init__(self, words: str, path: list[Any]) -> None:
        super().__init__(words)
        self.path = path


def answer(state: State, request: Request, account: Account) -> Answer:
    """Answer one request to /query."""
    asked = _asked(state.release, request)
    if isinstance(asked, Answer):
        return asked
    document, variables = asked
    try:
        data = {each.name: _resolve(state, each, variables, account) for each in parse(document)}
    except GraphqlError as error:
        place = {"line": 1, "column": error.column}
        found = {"message": str(error), "locations": [place], "extensions": {"code": error.code}}
        return _failed(422, found)
    except VariableError as error:
        found = {"message": str(error), "path": error.path, "extensions": {"code": _CODE}}
        return _failed(422, found)
    except QueryError as error:
        return _failed(200, _failure(state.release, error), error.data)
    return Answer(200, encode({"data": data}), JSON)


def _asked(release: Release, request: Request) -> tuple[str, Mapping[str, Any]] | Answer:
    """Return the document and its variables, or the refusal."""
    if request.method == "GET" and not release.since(1, 4, 4):
        query = dict(request.query).get("query", "")
        if not query:
            words = "no operation provided"
            return _failed(422, {"message": words, "extensions": {"code": _CODE}})
        return query, {}
    is_json = request.headers.get("content-type", "").startswith(JSON)
    if request.method != "POST" or not is_json or not request.body:
        return _failed(400, {"message": "transport not supported"})._replace(kind=TEXT)
    text = request.body.decode("utf-8", "replace")
    try:
        parse_json(text)
        body = json.loads(text)
    except (GoError, ValueError) as error:
        words = f"json request body could not be decoded: {error} body:{text}"
        return _failed(400, {"message": words})
    return str(body.get("query", "")), body.get("variables") or {}


def _failed(status: int, error: Row, data: Any = None) -> Answer:
    return Answer(status, encode({"errors": [error], "data": data}), JSON)


def _failure(release: Release, error: QueryError) -> Row:
    found: Row = {"message": str(error), "path": error.path}
    if error.column and release.since(1, 5, 4):
        found["locations"] = [{"line": 1, "column": error.column}]
    return found


def _resolve(state: State, asked: Field, variables: Mapping[str, Any], account: Account) -> Any:
    if asked.name == "jobs":
        return _Jobs(state, asked, variables, account).result()
    if asked.name == "job":
        return _job(state, asked, account)
    if asked.name == "__schema" and state.release.since(1, 4, 4):
        data = {"__schema": None}
        raise QueryError("introspection disabled", ["__schema"], asked.column, data)
    if asked.name == "__schema":
        return {"queryType": {"name": "Query"}}
    raise _no_field(asked, "Query")


def _no_field(asked: Field, kind: str) -> GraphqlError:
    words = f'Cannot query field "{asked.name}" on type "{kind}".'
    return GraphqlError(words, asked.column, _CODE)


def _job(state: State, asked: Field, account: Account) -> Row:
    """Return one job by its database id; an account with the api role alone may not see it."""
    found = state.job_table.row(int(asked.arguments.get("id") or 0))
    if found is None:
        raise QueryError("sql: no rows in result set", ["job"], asked.column, {"job": None})
    if not (account.is_admin or account.name == found[1].get("user")):
        words = "you are not allowed to see this job"
        raise QueryError(words, ["job"], asked.column, {"job": None})
    return _item(state, found[0], found[1], asked.fields, account)


class _Jobs:
    """One listing of jobs: its filters, its page and its fields."""

    def __init__(
        self, state: State, asked: Field, variables: Mapping[str, Any], account: Account
    ) -> None:
        self._state, self._asked, self._account = state, asked, account
        self._check_fields()
        given = {name: _given(value, variables) for name, value in asked.arguments.items()}
        self._check_order(given.get("order"))
        page = given.get("page") or {}
        self._page, self._items = _whole(page, "page", 1), _whole(page, "itemsPerPage", _ITEMS)
        filters = given.get("filter") or []
        self._filters = [self._filter(place, each) for place, each in enumerate(filters)]

    def result(self) -> Row:
        """Return the selected fields of the listing."""
        state, account = self._state, self._account
        if not state.gate.has_role(account):
            raise QueryError("user has no or unknown roles", ["jobs"], self._asked.column)
        if self._items == 0 and state.release.refuses_bad_pages:
            raise QueryError("invalid items-per-page value: 0", ["jobs"], self._asked.column)
        everybody = state.gate.sees_all(account)
        table = state.job_table
        keys = [
            key
            for key, row in table.items()
            if all(fits(key, row) for fits in self._filters)
            and (everybody or row.get("user") == account.name)
        ]
        # The API promises no order; these are the ones that the indices of the releases gave.
        if state.is_new:
            keys.sort(key=lambda key: (key[2], table[key]["id"]))
        else:
            keys.sort(key=lambda key: int(table[key]["id"]))
        return {each.name: self._selected(each, keys) for each in self._asked.fields}

    def _selected(self, asked: Field, keys: list[Key]) -> Any:
        begin = (self._page - 1) * self._items
        page = keys if self._items == -1 else keys[begin : begin + self._items]
        if asked.name == "count":
            return len(keys)
        if asked.name == "hasNextPage":
            more = self._items != -1 and begin + self._items < len(keys)
            return more if self._state.release.since(1, 4, 0) else None
        table = self._state.job_table
        return [_item(self._state, key, table[key], asked.fields, self._account) for key in page]

    def _check_fields(self) -> None:
        known = {"count", "items"} | (
            {"hasNextPage"} if self._state.release.since(1, 3, 0) else set()
        )
        for each in self._asked.fields:
            if each.name not in known:
                raise _no_field(each, "JobResultList")

    def _check_order(self, order: Any) -> None:
        if order and "type" not in order and self._state.release.has_scopes:
            words = 'Field "OrderByInput.type" of required type "String!" was not provided.'
            raise GraphqlError(words, self._asked.columns["order"], _CODE)

    def _filter(self, place: int, given: Mapping[str, Any]) -> _Fits:
        tests: list[_Fits] = []
        for name, value in given.items():
            if name not in _FILTERS:
                raise VariableError("unknown field", ["variable", "f", place, name])
            tests.append(self._test(place, name, value))
        return lambda key, row: all(test(key, row) for test in tests)

    def _test(self, place: int, name: str, value: Any) -> _Fits:
        if name == "state":
            return self._state_test(place, value)
        if name == "startTime":
            first, last = (_instant(value.get(end)) for end in ("from", "to"))
            return lambda key, _: (first or 0) <= key[2] and (last is None or key[2] <= last)
        if name == "cluster":
            matches = _text_test(value)
            return lambda key, _: matches(key[1])
        if name == "jobId":
            matches = _text_test(value)
            return lambda key, _: matches(str(key[0]))
        matches = _text_test(value)
        return lambda _, row: matches(str(row.get(name, "")))

    def _state_test(self, place: int, value: Any) -> _Fits:
        states = value if isinstance(value, list) else [value]
        for at, each in enumerate(states):
            if each not in self._state.release.states:
                data = None if self._state.release.since(1, 2, 0) else {"jobs": None}
                path = ["jobs", "filter", place, "state", at]
                raise QueryError("SCHEMA/JOB > invalid job state", path, data=data)
        return lambda _, row: row["jobState"] in states


def _given(value: Any, variables: Mapping[str, Any]) -> Any:
    if isinstance(value, Variable):
        return variables.get(value)
    return value


def _whole(page: Mapping[str, Any], name: str, default: int) -> int:
    value = page.get(name, default)
    if not isinstance(value, int):
        raise VariableError("cannot use string as Int", ["variable", "p", name])
    return value


def _instant(value: str | None) -> int | None:
    return None if value is None else int(datetime.fromisoformat(value).timestamp())


def _text_test(value: Mapping[str, Any]) -> Callable[[str], bool]:
    """Return a test by eq, in, contains, startsWith or endsWith; numbers count as texts."""
    tests: dict[str, Callable[[Any], Callable[[str], bool]]] = {
        "eq": lambda wanted: lambda text: text == str(wanted),
        "neq": lambda wanted: lambda text: text != str(wanted),
        "in": lambda wanted: {str(each) for each in wanted}.__contains__,
        "contains": lambda wanted: lambda text: str(wanted) in text,
        "startsWith": lambda wanted: lambda text: text.startswith(str(wanted)),
        "endsWith": lambda wanted: lambda text: text.endswith(str(wanted)),
    }
    chosen = [tests[name](wanted) for name, wanted in value.items()]
    return lambda text: all(test(text) for test in chosen)


def _item(state: State, key: Key, row: Row, asked: list[Field], account: Account) -> Row:
    return {each.name: _value(state, key, row, each, account) for each in asked}


def _value(state: State, key: Key, row: Row, asked: Field, account: Account) -> Any:
    name = asked.name
    simple = _SIMPLE.get(name)
    if simple is not None:
        return simple(key, row)
    if name == "duration":
        return duration(state, key, row)
    if name in {"exclusive", "shared"}:
        return _sharing(state, row, asked)
    if name == "tags":
        return scoped_tags(state, row["id"], account)
    if name == "resources":
        return [{each: part.get(each) for each in _RESOURCE} for part in row.get(name, [])]
    return row.get({"numHWThreads": "numHwthreads"}.get(name, name))


def _sharing(state: State, row: Row, asked: Field) -> Any:
    found = sharing(state.release, row)
    if asked.name not in found:
        raise _no_field(asked, "Job")
    return found[asked.name]
