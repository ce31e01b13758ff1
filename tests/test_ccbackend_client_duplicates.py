"""The client looks up a start that cc-backend may have stored already."""

from __future__ import annotations

import pytest
from scripted_client import EMPTY, NEW, OLD, START, T, backend, error, graphql, rest
from scripted_server import answer

from ccbackend.outcomes import Outcome, Reason
from ccbackend.version import ServerInfo, Version, server_info

DUPLICATE = error(422, "a job with that jobId, cluster and startTime already exists: dbid: 1")


@pytest.mark.parametrize(
    ("rows", "outcome"),
    [
        (((7, 0),), Outcome.ALREADY_THERE),
        (((7, 1), (7, 0)), Outcome.ALREADY_THERE),
        (((7, 1),), Outcome.CONFLICT),
        ((), Outcome.LATER),
        (((8, 0),), Outcome.LATER),
    ],
)
def test_a_start_refused_as_duplicate_is_looked_up(
    rows: tuple[tuple[int, int], ...], outcome: Outcome
) -> None:
    """This run's row means stored; only another run's row means conflict; no row means retry."""
    with backend(DUPLICATE, EMPTY, graphql(*rows)) as (there, _):
        reply = there.start(START)

    assert reply.outcome is outcome
    assert reply.document == START
    assert reply.rows is not None


@pytest.mark.parametrize(("server", "outcome"), [(NEW, Outcome.LATER), (OLD, Outcome.CONFLICT)])
def test_a_start_sent_before_is_a_conflict_on_old_servers_only(
    server: ServerInfo, outcome: Outcome
) -> None:
    """cc-backend 1.5 can have the first start in its cache, so the start is retried later."""
    with backend(DUPLICATE, EMPTY, graphql((7, 1)), server=server) as (there, _):
        reply = there.start(START, maybe_sent=True)

    assert reply.outcome is outcome


QUEUEING_VERSIONS = server_info(Version(1, 4, 1))


def test_a_start_sent_before_is_looked_up_if_the_server_queues_starts() -> None:
    """cc-backend 1.4.0 and 1.4.1 queue starts, and a second start would block them for 5 s."""
    with backend(EMPTY, graphql((7, 0)), server=QUEUEING_VERSIONS) as (there, peer):
        reply = there.start(START, maybe_sent=True)

    assert (Reason.STORED_BEFORE, False) == (reply.verdict.reason, reply.sent)
    assert not [request for request in peer.requests if "start_job" in request.path]


def test_a_queued_start_that_was_dropped_is_sent_again() -> None:
    """cc-backend 1.4.1 lists only another run of the job id, so the start is sent again."""
    promise = answer(201, '{"msg":"Successfully triggered job start"}')
    with backend(EMPTY, graphql((7, 1)), promise, server=QUEUEING_VERSIONS) as (there, _):
        reply = there.start(START, maybe_sent=True)

    assert Outcome.CONFIRM is reply.outcome


def test_a_queued_start_that_cannot_be_looked_up_is_not_sent() -> None:
    """cc-backend 1.4.1 answers 503 to the look-up; the start is retried later."""
    with backend(EMPTY, answer(503, ""), answer(503, ""), server=QUEUEING_VERSIONS) as (there, _):
        reply = there.start(START, maybe_sent=True)

    assert (Outcome.RETRY, START) == (reply.outcome, reply.document)


def test_a_duplicate_is_looked_up_by_rest_if_graphql_fails() -> None:
    """The REST job list is filtered by the start time, so only the row of this run is found."""
    failed = answer(200, '{"errors":[{"message":"x"}],"data":null}')
    with backend(DUPLICATE, EMPTY, failed, failed, rest((9, 0), (7, 0))) as (there, peer):
        reply = there.start(START)

    assert (reply.outcome, len(reply.rows or ())) == (Outcome.ALREADY_THERE, 1)
    assert f"start-time={T}-{T}" in peer.requests[-1].path


def test_a_failed_look_up_of_a_duplicate_leads_to_a_retry() -> None:
    """An outage between the start and the look-up does not prove a conflict."""
    with backend(DUPLICATE, EMPTY, answer(503, ""), answer(503, "")) as (there, _):
        reply = there.start(START)

    assert (reply.outcome, reply.document) == (Outcome.RETRY, START)
