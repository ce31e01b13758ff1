"""Classified replies, and lists of runs with the queries that ask for them.

A listing is either whole or not known, never short: the count is compared, a wrong shape or a
failed query gives no rows at all. GraphQL has no role check, so its answers are worth something
only after a REST call with the same token succeeded; `ccbackend.client` sees to that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import quote

from ccbackend.answer_rules import classify, classify_fault
from ccbackend.errors import Fault
from ccbackend.long_list import split_items
from ccbackend.outcomes import ApiCall, Outcome, Reason, ReplyVerdict
from ccbackend.payload import Document
from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo, Version
from ccbackend.wire.transport import HttpAnswer

# One page for all: the server pages by LIMIT and OFFSET, so that rows move between two pages while
# jobs start and end. It has no upper limit.
PAGE_ITEMS = 100_000
_PAGE = f"items-per-page={PAGE_ITEMS}&page=1"
# Valid against the schema of every server from 1.0.0 to 1.5.4: no order, no sharing, no next page.
_QUERY = (
    "query($f:[JobFilter!],$p:PageRequest)"
    "{ jobs(filter:$f,page:$p){ count items{ id jobId cluster startTime state } } }"
)


class BackendRow(NamedTuple):
    """A run as cc-backend lists it; `start_time` in Unix seconds, `db_id` the id of its row.

    A tuple: a frozen dataclass takes three times as long to make, and a listing has 100 000.
    """

    job_id: int
    cluster: str
    start_time: int
    state: str
    db_id: int


_FIELDS = ("jobId", "cluster", "startTime", "state", "id")
_MAX_KNOWN_TIMES = 1 << 14
_make_row = partial(tuple.__new__, BackendRow)  # `BackendRow()` takes four times as long


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiReply:
    """The result of one API call: the classified answer, or the failure to get one.

    `sent` says whether the server may have seen the request; `document` is the body as last sent,
    perhaps amended; `rows` the runs of the job id where a start was settled by looking them up.
    """

    call: ApiCall
    verdict: ReplyVerdict
    status: int | None = None
    sent: bool = True
    retry_after_seconds: float | None = None
    document: Document | None = field(default=None, repr=False)  # holds users' text
    rows: tuple[BackendRow, ...] | None = None

    @property
    def outcome(self) -> Outcome:
        """What to do after this reply."""
        return self.verdict.outcome


@dataclass(frozen=True, slots=True)
class JobList:
    """Runs that cc-backend listed; `rows` is None if the list failed or is incomplete."""

    reply: ApiReply
    rows: tuple[BackendRow, ...] | None = None


@dataclass(frozen=True, slots=True)
class ClusterList:
    """Clusters of the server.

    `clusters` is None if they could not be read now: ask again. Empty: the server has no such call
    (before 1.3.0): there is no topology.
    """

    reply: ApiReply
    clusters: tuple[Cluster, ...] | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether the server answers, which one it is, and whether it accepts our token."""

    server: ServerInfo
    reply: ApiReply


def reply_to(call: ApiCall, answer: HttpAnswer, version: Version | None) -> ApiReply:
    """Return the classified reply for an answer, or for a request that failed without one."""
    if answer.status is None:
        verdict = classify_fault(answer.fault or Fault.BROKEN, answer.text)
    else:
        verdict = classify(call, answer.status, answer.text, version)
    return ApiReply(
        call=call,
        verdict=verdict,
        status=answer.status,
        sent=answer.sent,
        retry_after_seconds=answer.retry_after_seconds,
    )


def unsent_reply(call: ApiCall, reason: Reason, document: Document | None = None) -> ApiReply:
    """Return the reply to a request that need not be sent, or must not."""
    return ApiReply(call=call, verdict=ReplyVerdict(reason), sent=False, document=document)


def incomplete(reply: ApiReply, text: str) -> ApiReply:
    """Return the reply as `QUERY_FAILED`, because its text is not a complete list."""
    return replace(reply, verdict=ReplyVerdict(Reason.QUERY_FAILED, text))


def needs_rest(reply: ApiReply) -> bool:
    """Return whether to list by REST instead: GraphQL failed, but token and server work."""
    return (
        reply.call is ApiCall.GRAPHQL
        and reply.status is not None
        and reply.outcome is not Outcome.RETRY
    )


def matching_rows(listing: JobList, job_id: int, cluster: str, start_time: int | None) -> JobList:
    """Return the list with only the runs of a job id, a cluster and a start time (None: any)."""
    if listing.rows is None:
        return listing
    rows = (row for row in listing.rows if (row.job_id, row.cluster) == (job_id, cluster))
    return JobList(
        listing.reply, tuple(row for row in rows if start_time in (None, row.start_time))
    )


def check_duplicate(
    verdict: ReplyVerdict, starts: Iterable[int], start_time: int, *, maybe_cached: bool = False
) -> ReplyVerdict:
    """Decide a `DUPLICATE` by the start times of all listed runs of the job id.

    This run among them: it was stored before. None listed, or this run may be in the cache of a
    server >= 1.5.0 because its start was sent minutes ago: later, after the flush. Else the
    conflict stands (a requeue, or history out of order).
    """
    found = set(starts)
    if start_time in found:
        return ReplyVerdict(Reason.STORED_BEFORE, verdict.message)
    if maybe_cached or not found:
        return ReplyVerdict(Reason.AFTER_FLUSH, verdict.message)
    return verdict


class JobListError(ValueError):
    """An answer that is no whole listing; the text says why. `count` is the server's, if given."""

    def __init__(self, text: str, count: int | None = None) -> None:
        super().__init__(text)
        self.count = count


def graphql_running(cluster: str, items: int) -> dict[str, Any]:
    """Return the query for all running jobs of a cluster."""
    return _graphql({"cluster": {"eq": cluster}, "state": ["running"]}, items)


def graphql_jobs(job_ids: Iterable[int], cluster: str, items: int) -> dict[str, Any]:
    """Return the query for all runs of some job ids, in whatever state."""
    wanted = [str(job_id) for job_id in job_ids]
    return _graphql({"cluster": {"eq": cluster}, "jobId": {"in": wanted}}, items)


def rest_running(cluster: str) -> str:
    """Return the REST path for all running jobs of a cluster on one page."""
    return f"/api/jobs/?state=running&cluster={quote(cluster, safe='')}&{_PAGE}"


def rest_window(cluster: str, start_time: int) -> str:
    """Return the REST path for all runs of a cluster that started in one second."""
    window = f"start-time={start_time}-{start_time}"
    return f"/api/jobs/?cluster={quote(cluster, safe='')}&{window}&{_PAGE}"


def graphql_rows(text: str) -> tuple[BackendRow, ...]:
    """Read `{"data":{"jobs":{"count":n,"items":[{"id","jobId","cluster","startTime","state"}]}}}`.

    Raises:
        JobListError: errors beside the data, another shape, or a count that differs.
    """
    try:
        rest, parts = split_items(text, _FIELDS)
        count = _count_of_jobs(json.loads(rest))
        instant = lru_cache(_MAX_KNOWN_TIMES, typed=True)(_instant)
        rows = tuple(chain.from_iterable(_rows_of_items(items, instant) for items in parts))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _list_error(error) from error
    if count != len(rows):
        raise JobListError(f"the list has only {len(rows)} of {count} jobs", count)
    return rows


def rest_rows(text: str, items: int = PAGE_ITEMS) -> tuple[BackendRow, ...]:
    """Read `{"jobs":[{"id","jobId","cluster","startTime","jobState",...}],"items":n,"page":1}`.

    There is no total: a full page counts as cut.

    Raises:
        JobListError: another shape, another page than asked for, or a full page.
    """
    try:
        answer = json.loads(text)
        rows = tuple(_row(item, "jobState") for item in answer["jobs"])
        page = (answer["items"], answer["page"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _list_error(error) from error
    if page != (items, 1):
        raise JobListError(
            f"asked for page 1 with {items} jobs per page, cc-backend answered with page"
            f" {page[1]} and {page[0]} jobs per page: check whether a proxy changes the query"
        )
    # REST gives no total: only a page that is not full is known to be the last.
    if len(rows) >= items:
        raise JobListError(f"the list has the maximum of {items} jobs, so there may be more")
    return rows


def _graphql(filters: Mapping[str, Any], items: int) -> dict[str, Any]:
    page = {"itemsPerPage": items, "page": 1}
    return {"query": _QUERY, "variables": {"f": [filters], "p": page}}


def _count_of_jobs(answer: Any) -> int:
    """Return the server's count of jobs in an answer without its items."""
    # With status 200; `data` is null then (1.0: `data.jobs`).
    if answer.get("errors"):
        raise JobListError("the answer contains errors")
    jobs = answer["data"]["jobs"]
    if jobs["items"] != []:
        raise TypeError("the answer contains no list of jobs")
    return int(jobs["count"])


def _rows_of_items(items: list[object], instant: Callable[[object], int]) -> Iterable[BackendRow]:
    if {*map(type, items)} - {tuple}:
        raise TypeError("an item of the list is not a job")
    job_ids, clusters, starts, words, db_ids = zip(*items, strict=True) if items else ((),) * 5
    if {*map(type, job_ids), *map(type, db_ids)} - {int}:  # a bool is no number here
        raise TypeError("an id in the list is not a number")
    names, states = map(sys.intern, clusters), map(sys.intern, words)
    return map(_make_row, zip(job_ids, names, map(instant, starts), states, db_ids, strict=True))


def _row(item: Mapping[str, Any], state: str) -> BackendRow:
    job_id, cluster, start, word = item["jobId"], item["cluster"], item["startTime"], item[state]
    db_id = item["id"]
    if type(job_id) is int and type(db_id) is int and type(cluster) is type(word) is str:
        return BackendRow(job_id, sys.intern(cluster), _instant(start), sys.intern(word), db_id)
    raise TypeError(f"not a row of cc-backend's job list: {item!r}")


def _instant(value: object) -> int:
    """Return Unix seconds from a number (REST) or RFC 3339 with the server's offset (GraphQL)."""
    if type(value) is int:
        return value
    if not isinstance(value, str):
        raise TypeError(f"not a start time: {value!r}")
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError(f"start time without UTC offset: {value!r}")
    return int(instant.timestamp())


def _list_error(error: Exception) -> JobListError:
    if isinstance(error, JobListError):
        return error
    return JobListError(f"not a job list: {error!r}"[:300])
