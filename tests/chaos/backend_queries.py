"""The job lists of the small server: `GET /api/jobs/` and the GraphQL query for jobs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from chaos.backend_rules import Answered, Row, Rules

_SELECTION = re.compile(r"items\s*\{([^{}]*)\}")
_PARAMETERS = frozenset(
    {"state", "cluster", "start-time", "page", "items-per-page", "with-metadata", "project"}
)


def listing(rules: Rules, query: Mapping[str, Sequence[str]]) -> Answered:
    """Answer `GET /api/jobs/`; reject parameters that the real server does not know."""
    unknown = sorted(set(query) - _PARAMETERS)
    if unknown:
        text = f"invalid query parameter: {unknown[0]}"
        return 400, {"status": "Bad Request", "error": text}
    items = int(query.get("items-per-page", ["25"])[0])
    page = int(query.get("page", ["1"])[0])
    first, last = (int(part) for part in query.get("start-time", ["0-99999999999"])[0].split("-"))
    rows = [
        row
        for row in rules.listed()
        if row.state in query.get("state", [row.state])
        and row.document["cluster"] in query.get("cluster", [row.document["cluster"]])
        and first <= row.document["startTime"] <= last
    ]
    shown = [rules.shown(row) for row in rows[(page - 1) * items : page * items]]
    if "with-metadata" in query:
        for each, row in zip(shown, rows[(page - 1) * items :], strict=False):
            each["metaData"] = row.document.get("metaData")
    return 200, {"jobs": shown, "items": items, "page": page}


def graphql(rules: Rules, document: Mapping[str, Any]) -> Answered:
    """Answer the query for jobs, by its variables; the fields are those in `items { ... }`."""
    found = _SELECTION.search(document.get("query", ""))
    variables = document.get("variables") or {}
    fields = found[1].split() if found else []
    if not set(fields) <= set(_FIELDS):
        return 422, {"errors": [{"message": "Cannot query field"}], "data": None}
    rows = [row for row in rules.listed() if _is_wanted(row, variables.get("f") or [])]
    page = variables.get("p") or {"itemsPerPage": len(rows), "page": 1}
    first = (page["page"] - 1) * page["itemsPerPage"]
    shown = [
        {name: _FIELDS[name](row) for name in fields}
        for row in rows[first : first + page["itemsPerPage"]]
    ]
    return 200, {"data": {"jobs": {"count": len(rows), "items": shown}}}


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_FIELDS: dict[str, Callable[[Row], Any]] = {
    "id": lambda row: row.row_id,
    "jobId": lambda row: row.document["jobId"],
    "cluster": lambda row: row.document["cluster"],
    "subCluster": lambda row: row.subcluster,
    "startTime": lambda row: _instant(row.document["startTime"]),
    "state": lambda row: row.state,
    "user": lambda row: row.document["user"],
    "project": lambda row: row.document.get("project", ""),
    "partition": lambda row: row.document.get("partition", ""),
    "metaData": lambda row: row.document.get("metaData"),
    "numNodes": lambda row: row.document["numNodes"],
}


def _is_wanted(row: Row, filters: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a row matches all filter objects."""
    return all(_holds(row, name, wanted) for each in filters for name, wanted in each.items())


def _holds(row: Row, name: str, wanted: Any) -> bool:
    match name:
        case "state":
            return row.state in wanted
        case "jobId":
            ids = wanted["in"] if "in" in wanted else [wanted["eq"]]
            return row.document["jobId"] in {int(each) for each in ids}
        case "startTime":
            start = _instant(row.document["startTime"])
            return bool(wanted["from"] <= start <= wanted["to"])
        case _:
            value = row.document.get(name, "")
            return bool(value == wanted.get("eq", value))
