"""Many jobs are looked up together: all of them or none."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ccbackend.lookups import IDS_PER_QUERY, lookup_runs
from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow, JobList

T = 1_767_225_600


def reply(reason: Reason, call: ApiCall = ApiCall.GRAPHQL) -> ApiReply:
    """Return an answer with this reason."""
    return ApiReply(call=call, verdict=ReplyVerdict(reason))


class Server:
    """A server with a row for each even job id; GraphQL may fail, or REST from the n-th time on."""

    def __init__(self, graphql: Reason | None = None, rest_from: int | None = None) -> None:
        self.graphql = graphql
        self.rest_from = rest_from
        self.queries: list[int] = []
        self.lookups = 0

    def list_runs(self, job_ids: Iterable[int], cluster: str) -> JobList:
        """List by GraphQL."""
        ids = list(job_ids)
        self.queries.append(len(ids))
        if self.graphql is not None:
            return JobList(reply(self.graphql))
        rows = tuple(BackendRow(i, cluster, T, "running", i) for i in ids if i % 2 == 0)
        return JobList(reply(Reason.LISTED), rows)

    def lookup(self, job_id: int, cluster: str, start_time: int | None = None) -> JobList:
        """List by REST."""
        self.lookups += 1
        if self.rest_from is not None and self.lookups >= self.rest_from:
            return JobList(reply(Reason.BUSY, ApiCall.LISTING))
        row = BackendRow(job_id, cluster, start_time or 0, "running", job_id)
        return JobList(reply(Reason.LISTED, ApiCall.LISTING), (row,) if job_id % 2 == 0 else ())


def keys(count: int) -> list[tuple[int, int]]:
    """Return this number of jobs, all with the same start time."""
    return [(job_id, T) for job_id in range(count)]


@pytest.mark.parametrize("count", [1, IDS_PER_QUERY, IDS_PER_QUERY + 1, 2 * IDS_PER_QUERY + 7])
def test_many_jobs_are_looked_up_by_few_queries(count: int) -> None:
    """No query asks for more job ids than a database accepts."""
    server = Server()
    found = lookup_runs(server, keys(count), "lab")

    assert (count + 1) // 2 == len(found.rows or ())
    assert (count, True) == (sum(server.queries), max(server.queries) <= IDS_PER_QUERY)


def test_jobs_are_looked_up_by_rest_if_graphql_fails() -> None:
    """One request for each job, by its start time: REST has no filter for job ids."""
    server = Server(graphql=Reason.QUERY_FAILED)
    found = lookup_runs(server, keys(4), "lab")

    assert [0, 2] == [row.job_id for row in found.rows or ()]
    assert 4 == server.lookups


@pytest.mark.parametrize("reason", [Reason.TOKEN_REFUSED, Reason.UNREACHABLE])
def test_a_refused_token_or_an_outage_ends_the_look_up(reason: Reason) -> None:
    """The first query fails: no other query is sent, and no rows are returned."""
    server = Server(graphql=reason)
    found = lookup_runs(server, keys(IDS_PER_QUERY + 1), "lab")

    assert (None, reason) == (found.rows, found.reply.verdict.reason)
    assert ([IDS_PER_QUERY], 0) == (server.queries, server.lookups)


def test_a_look_up_that_breaks_off_returns_no_rows() -> None:
    """REST fails for the second job; some of the rows would look like a complete list."""
    found = lookup_runs(Server(graphql=Reason.QUERY_FAILED, rest_from=2), keys(4), "lab")

    assert (None, Reason.BUSY) == (found.rows, found.reply.verdict.reason)
