"""Read access by REST: the listing, single jobs, clusters, used nodes, users."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from stub_backend.auth import Account
from stub_backend.ends import NOT_FOUND, database_id
from stub_backend.render import as_item, as_job
from stub_backend.state import State
from stub_backend.tables import Key, Row
from stub_backend.wire.answers import TEXT, Answer, Request, as_json, refusal, text

_ITEMS = 25
_ALL = -1


class ParameterError(Exception):
    """A query parameter is wrong; the text is the server's."""


class Wanted:
    """The filters and the page of a listing, from its parameters."""

    def __init__(self, state: State, request: Request) -> None:
        self.states: list[str] = []
        self.cluster: str | None = None
        self.project: str | None = None
        self.window: tuple[int, int] | None = None
        self.page, self.items = 1, _ITEMS
        self.with_metadata = False
        self._release = state.release
        for name, value in request.query:
            self._take(name, value)

    def _take(self, name: str, value: str) -> None:
        if name == "state":
            if value not in self._release.states:
                raise ParameterError("invalid query parameter value: state")
            self.states.append(value)
        elif name == "cluster":
            self.cluster = value
        elif name == "project" and self._release.is_new:
            self.project = value
        elif name == "start-time":
            self.window = _window(value)
        elif name == "with-metadata":
            self.with_metadata = True
        elif name in {"page", "items-per-page"}:
            self._take_page(name, value)
        else:
            raise ParameterError(f"invalid query parameter: {name}")

    def _take_page(self, name: str, value: str) -> None:
        number = _number(value, "Atoi")
        if number < 1 and self._release.refuses_bad_pages:
            raise ParameterError(f"{name} must be >= 1")
        if name == "page":
            self.page = number
        else:
            self.items = number

    def fits(self, key: Key, row: Row) -> bool:
        """Return whether a row passes the filters."""
        return (
            (not self.states or row["jobState"] in self.states)
            and self.cluster in (None, key[1])
            and self.project in (None, row.get("project", ""))
            and (self.window is None or self.window[0] <= key[2] <= self.window[1])
        )

    def paged(self, keys: list[Key]) -> list[Key]:
        """Return the keys of the requested page."""
        if self.items == _ALL:
            return keys
        begin = (self.page - 1) * self.items
        return keys[begin : begin + self.items] if begin >= 0 else []


def listing(state: State, request: Request, account: Account, _: str) -> Answer:
    """Answer GET /api/jobs/."""
    try:
        wanted = Wanted(state, request)
    except ParameterError as error:
        return refusal(400, str(error))
    if wanted.page < 1 and state.is_new:
        return refusal(500, "error iterating job rows: datatype mismatch")
    if not state.gate.has_role(account):
        return refusal(500, "user has no or unknown roles")
    table, everybody = state.job_table, state.gate.sees_all(account)
    keys = [
        key
        for key, row in table.items()
        if wanted.fits(key, row) and (everybody or row.get("user") == account.name)
    ]
    _sort(state, keys, by_state=bool(wanted.states))
    jobs = [
        as_item(state, key, table[key], with_metadata=wanted.with_metadata, account=account)
        for key in wanted.paged(keys)
    ]
    return as_json(200, {"jobs": jobs, "items": wanted.items, "page": wanted.page})


def _sort(state: State, keys: list[Key], *, by_state: bool) -> None:
    """Sort keys by newest start; 1.4.0 and 1.4.1 do not sort, so an index decides."""
    table = state.job_table
    if not state.release.queues_starts:
        keys.sort(key=lambda key: (-key[2], -table[key]["id"]))
    elif by_state:
        keys.sort(key=lambda key: (table[key]["jobState"], table[key]["id"]))
    else:
        keys.sort(key=lambda key: int(table[key]["id"]))


def job_by_id(state: State, request: Request, _account: Account, argument: str) -> Answer:
    """Answer /api/jobs/{database id}; up to 1.4.4 a request for metrics gets an empty body."""
    number = database_id(argument)
    if isinstance(number, Answer):
        return number
    found = state.job_table.row(number)
    if found is None:
        named = f"finding job with db id {number} failed: {NOT_FOUND.partition(': ')[2]}"
        return refusal(422, named if state.release.has_scopes else NOT_FOUND)
    wants_metrics = request.method == "POST" or ("all-metrics", "true") in request.query
    if wants_metrics and not state.is_new:
        return Answer(200, "", "")
    data: Any = None
    if wants_metrics:
        data = [] if request.method == "POST" else {}
    return as_json(200, {"Meta": as_job(state, *found, with_metadata=True), "Data": data})


def clusters(state: State, request: Request, _account: Account, _: str) -> Answer:
    """Answer GET /api/clusters/ with what was configured."""
    wanted = dict(request.query).get("cluster")
    found = [each for each in state.clusters if wanted in (None, each["name"])]
    if wanted is not None and not found:
        return refusal(400, f"unknown cluster: {wanted}")
    return as_json(200, {"clusters": found})


def used_nodes(state: State, request: Request, _account: Account, _: str) -> Answer:
    """Answer GET /api/jobs/used_nodes (from 1.5.0)."""
    given = dict(request.query).get("ts", "")
    if not given:
        return refusal(400, "missing required query parameter: ts")
    try:
        before = _number(given, "ParseInt")
    except ParameterError as error:
        return refusal(400, f"invalid timestamp format: {error}")
    nodes: dict[str, set[str]] = defaultdict(set)
    for key, row in state.job_table.items():
        if row["jobState"] == "running" and key[2] < before:
            nodes[key[1]] |= {each["hostname"] for each in row.get("resources", [])}
    found = {name: sorted(hosts) for name, hosts in sorted(nodes.items())}
    return as_json(200, {"usedNodes": found})


def users(state: State, _request: Request, account: Account, _: str) -> Answer:
    """Answer GET /api/users/, for admins."""
    if not account.is_admin:
        return text(403, "Only admins are allowed to fetch a list of users")
    kind = "" if state.is_new else TEXT
    answer = as_json(200, [_user(state, *each) for each in state.users.items()])
    return answer if state.is_new else answer._replace(kind=kind)


def _user(state: State, name: str, roles: tuple[str, ...]) -> Row:
    shown: Row = {"username": name, "name": "", "email": "", "roles": list(roles), "projects": []}
    if state.release.since(1, 2, 0):
        return shown | {"authType": 0, "authSource": 0}
    return shown | {"via": 0, "Expiration": "0001-01-01T00:00:00Z"}


def _window(value: str) -> tuple[int, int]:
    first, dash, last = value.partition("-")
    if not dash or "-" in last:
        raise ParameterError("invalid query parameter value: startTime")
    return _number(first, "ParseInt"), _number(last, "ParseInt")


def _number(value: str, function: str) -> int:
    if value.removeprefix("-").isdecimal():
        return int(value)
    raise ParameterError(f'strconv.{function}: parsing "{value}": invalid syntax')
