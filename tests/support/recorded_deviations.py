"""The permitted differences between the stub server and the recorded servers, with reasons.

Two sides are compared without the parts that always differ: the time, durations of running jobs,
and the framing of the body. A remaining difference must disappear when exactly one deviation in
scope is applied to both sides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from recorded_backend import RecordedAnswer
from recorded_replay import Played, Rows, Seen

_KEPT = re.compile("<title>.*?</title>|<li.*?</li>")
_LONG_RUN = re.compile("x{1000,}")
_EXACT_FROM = 201  # texts of refusals and of accepted starts are compared exactly
_RUNNING = "running"


@dataclass(frozen=True)
class Deviation:
    """One permitted difference: its place (patterns of scenario, note and release) and its form."""

    name: str
    reason: str
    scenario: str
    note: str
    releases: str
    without: Callable[[Any], Any]

    def covers(self, each: Played | Seen) -> bool:
        """Return whether the deviation applies to this place."""
        scenario, note, release = _place(each)
        return bool(
            re.fullmatch(self.scenario, scenario)
            and re.fullmatch(self.note, note)
            and re.fullmatch(self.releases, release)
        )


def explained(each: Played | Seen) -> str | None:
    """Return the deviation that explains a difference; "": no difference, None: unexplained."""
    sides = _sides(each)
    if sides[0] == sides[1]:
        return ""
    for deviation in DEVIATIONS:
        if deviation.covers(each):
            recorded, found = (deviation.without(side) for side in sides)
            if recorded == found:
                return deviation.name
    return None


def shown(each: Played | Seen) -> str:
    """Return a readable description of a difference."""
    recorded, found = (json.dumps(side, sort_keys=True)[:600] for side in _sides(each))
    return f"{_place(each)}\n  recorded {recorded}\n  stub     {found}"


def _place(each: Played | Seen) -> tuple[str, str, str]:
    if isinstance(each, Seen):
        return each.scenario, each.note, each.release.partition("+")[0]
    return each.recorded.scenario, each.recorded.note, each.recorded.version


def _sides(each: Played | Seen) -> tuple[Any, Any]:
    if isinstance(each, Seen):
        return _tables(each.recorded, each.recorded), _tables(each.rows, each.recorded)
    recorded = each.recorded.answer
    kept = _KEPT.findall(recorded.body) if recorded.filtered else []
    return _answer(recorded, kept), _answer(each.answer, kept)


def _tables(rows: Rows, recorded: Rows) -> dict[str, list[dict[str, Any]]]:
    """Return rows with only the columns that were recorded for this scenario."""
    return {
        table: [
            {
                column: row.get(column)
                for column in (recorded[table] or [row])[0]
                if column not in NOT_COMPARED
            }
            | ({"duration": 0} if row.get("job_state") == _RUNNING else {})
            for row in rows[table]
        ]
        for table in recorded
    }


def _answer(answer: RecordedAnswer, kept: list[str]) -> dict[str, Any]:
    headers = answer.headers
    return {
        "status": answer.status,
        "kind": headers.get("Content-Type", "").partition(",")[0],
        "location": headers.get("Location"),
        "allow": sorted(headers.get("Allow", "").split(", ")),
        "hardened": headers.get("X-Frame-Options"),
        "packed": headers.get("Content-Encoding"),
        "body": [part for part in kept if part in answer.body] if kept else _body(answer),
    }


def _body(answer: RecordedAnswer) -> Any:
    text = _LONG_RUN.sub(lambda run: f"{{{{x*{len(run[0])}}}}}", answer.body)
    if answer.status >= _EXACT_FROM:
        return text
    try:
        return _without_running_times(json.loads(text))
    except ValueError:
        return text


def _without_running_times(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_running_times(item) for item in value]
    if not isinstance(value, dict):
        return value
    runs = value.get("jobState", value.get("state")) == _RUNNING
    return {
        name: None if runs and name == "duration" else _without_running_times(item)
        for name, item in value.items()
    }


def _jobs(side: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the listed jobs of an answer by REST or GraphQL."""
    body = side["body"]
    found: list[dict[str, Any]] = body["jobs"] if "jobs" in body else body["data"]["jobs"]["items"]
    return found


def _in_any_order(side: dict[str, Any]) -> Any:
    """Return the side with the listed jobs sorted and all else unchanged."""
    body = side["body"]
    outer = body if "jobs" in body else body["data"]["jobs"]
    name = "jobs" if "jobs" in body else "items"
    jobs = sorted(outer[name], key=lambda job: json.dumps(job, sort_keys=True))
    return side | {"body": outer | {name: jobs}}


def _before_archiving(side: dict[str, Any]) -> Any:
    """Return the jobs without the columns that the archiver changes in a stopped job."""
    rows = _jobs(side) if "body" in side else [row for table in side.values() for row in table]
    return [dict(_settled(row)) for row in rows]


def _settled(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    archived = {"monitoring_status", "monitoringStatus", "footprint", "statistics"}
    stopped = row.get("job_state", row.get("jobState")) != _RUNNING
    return ((name, value) for name, value in row.items() if not (stopped and name in archived))


def _only_which_jobs(side: dict[str, Any]) -> Any:
    if "body" in side:
        return sorted(job["jobId"] for job in _jobs(side))
    return sorted(row["job_id"] for name in ("job", "job_cache") for row in side[name])


DEVIATIONS = (
    Deviation(
        "order",
        "of equal start times, and on 1.4.0 and 1.4.1 of all, SQL promises no order",
        "list-filters",
        r"filter \?(cluster=lab|state=running&state=failed)",
        ".*",
        _in_any_order,
    ),
    Deviation(
        "order by GraphQL",
        "the query asks for none",
        "graphql-(by-id|running|items-minus-one)",
        ".*",
        ".*",
        _in_any_order,
    ),
    Deviation(
        "archiver",
        "the recorded server had not yet archived a job that was stopped a moment before",
        "start-full|start-twice|start-requeue-within-24h|stop-without-starttime|stop-before-start",
        ".*",
        ".*",
        _before_archiving,
    ),
    Deviation(
        "parallel NATS workers",
        "from 1.5.2 a stop published right behind its start may overtake it and is lost",
        "nats-mode",
        "list|the end|after 20 pairs of start and stop",
        r"1\.5\.[234]",
        _only_which_jobs,
    ),
)
# The health columns of `node_state` are not compared: their values come from the metric store,
# which the stub does not have.
NOT_COMPARED = frozenset({"health_state", "health_metrics"})
