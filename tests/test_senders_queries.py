"""Queries of a worker about cc-backend: probe, topology, job list."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_backend import CLUSTER, SERVER, Scripted

from ccbackend.outcomes import Reason, ReplyVerdict
from ccbackend.version import ServerInfo
from spool.deliver.senders import BackendSender, ServerQuery, ServerReply, Topic, own_failure


def ask(backend: Scripted, topic: Topic, **more: Any) -> ServerReply:
    """Ask about the server."""
    return BackendSender(backend).ask(ServerQuery(topic=topic, **more))


@pytest.mark.parametrize("topic", list(Topic))
def test_a_question_with_an_error_of_our_own_is_answered(
    topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that nobody answered."""
    error = RuntimeError("a bug")

    reply = ask(Scripted(error), topic)

    assert (own_failure(error).verdict, SERVER) == (reply.verdict, reply.server)
    assert f"query of {topic} failed, internal error" in caplog.text


def test_a_probe_shows_the_server() -> None:
    """Its version and dialect come with the verdict; clusters are another question."""
    reply = ask(Scripted(Reason.LISTED), Topic.PROBE)

    assert (ReplyVerdict(Reason.LISTED), SERVER, None) == (
        reply.verdict,
        reply.server,
        reply.clusters,
    )


def test_a_refused_probe_shows_the_version_alone() -> None:
    """The login page names it to everybody."""
    reply = ask(Scripted(Reason.TOKEN_REFUSED), Topic.PROBE)

    assert (Reason.TOKEN_REFUSED, SERVER) == (reply.verdict.reason, reply.server)


def test_a_failed_probe_shows_nothing() -> None:
    """But for when the server wants to be asked again."""
    backend = Scripted(Reason.BUSY, wish=60.0)
    backend.known = ServerInfo()

    reply = ask(backend, Topic.PROBE)

    assert (ServerInfo(), 60.0) == (reply.server, reply.retry_after_seconds)


def test_the_topology_is_a_question_of_its_own() -> None:
    """Every start needs it."""
    assert (CLUSTER,) == ask(Scripted(Reason.LISTED), Topic.TOPOLOGY).clusters


def test_a_job_list_shows_ids_and_starts() -> None:
    """That is what releases held stops."""
    backend = Scripted(Reason.LISTED)

    reply = ask(backend, Topic.JOBS, cluster="alex", job_ids=(7, 8))

    assert {(7, 100)} == reply.listed
    assert [{"cluster": "alex", "jobs": [7, 8]}] == backend.bodies


def test_a_job_list_that_failed_releases_nothing() -> None:
    """It is no empty list, but as good as one here."""
    backend = Scripted(Reason.QUERY_FAILED)
    backend.rows = None

    reply = ask(backend, Topic.JOBS, cluster="alex", job_ids=(7,))

    assert (Reason.QUERY_FAILED, frozenset()) == (reply.verdict.reason, reply.listed)
