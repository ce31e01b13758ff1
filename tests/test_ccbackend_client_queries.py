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


def test_running_jobs_are_listed_by_graphql_after_a_rest_answer() -> None:
    """A REST answer proves first that the token is accepted; times become Unix seconds."""
    with backend(EMPTY, graphql((7, 0), (8, 1))) as (there, peer):
        found = there.running_jobs("lab")

    assert found.rows == (
        BackendRow(7, "lab", T, "running", 0),
        BackendRow(8, "lab", T + 3600, "running", 1),
    )
    assert peer.requests[1].json["variables"]["f"] == [
        {"cluster": {"eq": "lab"}, "state": ["running"]}
    ]


def test_each_job_list_checks_the_token_by_rest_again() -> None:
    """An administrator may have removed the token's rights since the last sweep."""
    with backend(EMPTY, graphql(), REFUSED) as (there, _):
        found = [there.running_jobs("lab").rows, there.running_jobs("lab").rows]

    assert found == [(), None]


def test_a_look_up_after_a_delivery_needs_no_more_rest_requests() -> None:
    """The delivery was a REST answer to the same token, so GraphQL is asked at once."""
    with backend(CREATED, graphql((7, 0), (7, 1), (8, 0))) as (there, peer):
        there.start(START)
        found = there.lookup(7, "lab", T)

    assert found.rows == (BackendRow(7, "lab", T, "running", 0),)
    assert len(peer.requests) == 2


def test_an_incomplete_job_list_is_requested_with_a_larger_page() -> None:
    """cc-backend counts 200000 jobs and lists one: the next query asks for 201000."""
    with backend(EMPTY, graphql((7, 0), count=200_000), graphql((7, 0))) as (there, peer):
        found = there.running_jobs("lab")

    assert len(found.rows or ()) == 1
    assert peer.requests[2].json["variables"]["p"]["itemsPerPage"] == 201_000


def test_after_three_incomplete_graphql_lists_rest_is_used() -> None:
    """Three times cc-backend counts two jobs and lists one; the REST job list has both."""
    short = graphql((7, 0), count=2)
    with backend(EMPTY, short, short, short, rest((7, 0), (8, 0))) as (there, _):
        found = there.running_jobs("lab")

    assert [row.job_id for row in found.rows or ()] == [7, 8]


@pytest.mark.parametrize("last", [rest(items=25), answer(200, '{"jobs":[{}]}'), REFUSED])
def test_an_invalid_rest_job_list_gives_no_rows(last: Action) -> None:
    """GraphQL answers 404; the REST list has another page size or shape, or is refused."""
    with backend(EMPTY, answer(404, "404 page not found"), last) as (there, _):
        found = there.running_jobs("lab")

    assert found.rows is None
    assert found.reply.outcome is not Outcome.DELIVERED


def test_no_rest_job_list_after_a_graphql_outage() -> None:
    """After a 502 to the GraphQL query the REST job list is not requested: it would fail too."""
    with backend(EMPTY, answer(502, "")) as (there, peer):
        found = there.running_jobs("lab")

    assert (found.rows, found.reply.outcome, len(peer.requests)) == (None, Outcome.RETRY, 2)


def test_a_missing_or_malformed_cluster_list_is_unknown() -> None:
    """A valid list has the names; a 404 (before 1.3.0) or a malformed answer gives no list."""
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
def test_a_404_means_no_clusters_only_on_old_servers(
    server: ServerInfo, clusters: tuple[()] | None
) -> None:
    """From 1.3.0 on a 404 leaves the cluster list unknown: a proxy may have sent it."""
    with backend(ABSENT, server=server) as (there, _):
        found = there.clusters()

    assert clusters == found.clusters


@pytest.mark.parametrize("failure", [answer(503, ""), answer(401, ""), hang_up])
def test_clusters_that_cannot_be_read_now_are_unknown(failure: Action) -> None:
    """Even for 1.2.2, a 503, a 401 or a broken connection does not mean an empty list."""
    with backend(failure, failure, server=server_info(Version(1, 2, 2))) as (there, _):
        found = there.clusters()

    assert found.clusters is None
