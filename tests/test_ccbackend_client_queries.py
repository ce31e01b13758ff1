"""Running jobs and clusters as cc-backend lists them, complete or unknown."""

from __future__ import annotations

import pytest
from scripted_client import CREATED, EMPTY, START, T, backend, graphql, rest
from scripted_server import Action, answer, hang_up

from ccbackend.outcomes import Outcome, Reason
from ccbackend.replies import BackendRow
from ccbackend.version import Dialect, ServerInfo, Version, server_info

REFUSED = answer(401, '{"error":"unauthorized"}')
ABSENT = answer(404, "404 page not found\n", "Content-Type: text/plain\r\n")


def test_graphql_is_not_asked_before_rest_has_answered() -> None:
    """With a token that REST refuses, GraphQL shows an empty cluster."""
    with backend(REFUSED) as (there, peer):
        found = there.running_jobs("lab")

    assert (found.rows, found.reply.outcome) == (None, Outcome.HALT)
    assert [request.path.partition("?")[0] for request in peer.requests] == ["/api/jobs/"]


def test_running_jobs_are_listed_after_one_rest_answer() -> None:
    """Each row has five fields; times with the server's UTC offset become Unix seconds."""
    with backend(EMPTY, graphql((7, 0), (8, 1))) as (there, peer):
        found = there.running_jobs("lab")

    assert found.rows == (
        BackendRow(7, "lab", T, "running", 0),
        BackendRow(8, "lab", T + 3600, "running", 1),
    )
    assert peer.requests[1].json["variables"]["f"] == [
        {"cluster": {"eq": "lab"}, "state": ["running"]}
    ]


def test_every_listing_of_running_jobs_asks_rest_again() -> None:
    """An administrator may have removed the rights since the last sweep."""
    with backend(EMPTY, graphql(), REFUSED) as (there, _):
        found = [there.running_jobs("lab").rows, there.running_jobs("lab").rows]

    assert found == [(), None]


def test_a_look_up_after_a_delivery_needs_no_further_proof() -> None:
    """The delivery was a REST answer to the same token."""
    with backend(CREATED, graphql((7, 0), (7, 1), (8, 0))) as (there, peer):
        there.start(START)
        found = there.lookup(7, "lab", T)

    assert found.rows == (BackendRow(7, "lab", T, "running", 0),)
    assert len(peer.requests) == 2


def test_an_incomplete_list_is_asked_again_with_a_larger_page() -> None:
    """The client uses only a complete job list."""
    with backend(EMPTY, graphql((7, 0), count=200_000), graphql((7, 0))) as (there, peer):
        found = there.running_jobs("lab")

    assert len(found.rows or ()) == 1
    assert peer.requests[2].json["variables"]["p"]["itemsPerPage"] == 201_000


def test_a_count_that_never_fits_falls_back_to_rest() -> None:
    """After three attempts the client asks for the REST listing."""
    short = graphql((7, 0), count=2)
    with backend(EMPTY, short, short, short, rest((7, 0), (8, 0))) as (there, _):
        found = there.running_jobs("lab")

    assert [row.job_id for row in found.rows or ()] == [7, 8]


@pytest.mark.parametrize("last", [rest(items=25), answer(200, '{"jobs":[{}]}'), REFUSED])
def test_an_incomplete_rest_listing_is_unknown(last: Action) -> None:
    """Another page size, another shape or a refusal gives no rows."""
    with backend(EMPTY, answer(404, "404 page not found"), last) as (there, _):
        found = there.running_jobs("lab")

    assert found.rows is None
    assert found.reply.outcome is not Outcome.DELIVERED


def test_no_request_follows_an_outage_during_a_listing() -> None:
    """The REST listing would fail in the same way."""
    with backend(EMPTY, answer(502, "")) as (there, peer):
        found = there.running_jobs("lab")

    assert (found.rows, found.reply.outcome, len(peer.requests)) == (None, Outcome.RETRY, 2)


def test_clusters_are_read_or_unknown() -> None:
    """A server before 1.3.0 lacks the path; an answer of another shape is no list."""
    good = answer(200, '{"clusters":[{"name":"lab","subClusters":[]}]}')
    with backend(good, ABSENT, answer(200, '{"clusters":[{}]}')) as (there, _):
        found = [there.clusters() for _ in range(3)]

    assert [cluster.name for cluster in found[0].clusters or ()] == ["lab"]
    assert [one.clusters for one in found[1:]] == [None, None]
    assert found[1].reply.verdict.reason is Reason.UNEXPECTED
    assert found[2].reply.verdict.reason is Reason.QUERY_FAILED


@pytest.mark.parametrize(
    ("server", "clusters"),
    [
        (server_info(Version(1, 2, 2)), ()),
        (ServerInfo(None, Dialect.EXCLUSIVE), ()),
        (server_info(Version(1, 3, 0)), None),
        (ServerInfo(), None),
    ],
)
def test_a_server_without_the_call_has_no_topology(
    server: ServerInfo, clusters: tuple[()] | None
) -> None:
    """The same answer from a later server means unknown: a proxy may have sent it."""
    with backend(ABSENT, server=server) as (there, _):
        found = there.clusters()

    assert clusters == found.clusters


@pytest.mark.parametrize("failure", [answer(503, ""), answer(401, ""), hang_up])
def test_clusters_that_cannot_be_read_now_are_unknown(failure: Action) -> None:
    """The client asks again later, for any version of the server."""
    with backend(failure, failure, server=server_info(Version(1, 2, 2))) as (there, _):
        found = there.clusters()

    assert found.clusters is None
