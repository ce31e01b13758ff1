"""Queries of a worker about cc-backend: probe, topology, job list."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_backend import CLUSTER, SERVER, Scripted

from ccbackend.outcomes import Reason, ReplyVerdict
from ccbackend.version import ServerInfo
from spool.deliver.senders import BackendSender, ServerQuery, ServerReply, Topic, own_failure


def ask(backend: Scripted, topic: Topic, **more: Any) -> ServerReply:
    """Send one query about the server; return the reply."""
    return BackendSender(backend).ask(ServerQuery(topic=topic, **more))


@pytest.mark.parametrize("topic", list(Topic))
def test_an_internal_error_in_a_query_is_answered(
    topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    """The reply is that of a request without an answer."""
    error = RuntimeError("a bug")

    reply = ask(Scripted(error), topic)

    assert (own_failure(error).verdict, SERVER) == (reply.verdict, reply.server)
    assert f"query of {topic} failed, internal error" in caplog.text


def test_a_probe_returns_the_server() -> None:
    """Version and dialect come with the verdict; the clusters need another query."""
    reply = ask(Scripted(Reason.LISTED), Topic.PROBE)

    assert (ReplyVerdict(Reason.LISTED), SERVER, None) == (
        reply.verdict,
        reply.server,
        reply.clusters,
    )


def test_a_refused_probe_returns_only_the_version() -> None:
    """The login page shows it without a token."""
    reply = ask(Scripted(Reason.TOKEN_REFUSED), Topic.PROBE)

    assert (Reason.TOKEN_REFUSED, SERVER) == (reply.verdict.reason, reply.server)


def test_a_failed_probe_returns_only_the_retry_time() -> None:
    """The server says when it may be asked again."""
    backend = Scripted(Reason.BUSY, wish=60.0)
    backend.known = ServerInfo()

    reply = ask(backend, Topic.PROBE)

    assert (ServerInfo(), 60.0) == (reply.server, reply.retry_after_seconds)


def test_the_topology_has_its_own_query() -> None:
    """Every start needs the topology."""
    assert (CLUSTER,) == ask(Scripted(Reason.LISTED), Topic.TOPOLOGY).clusters


def test_a_job_list_returns_ids_and_starts() -> None:
    """These release held stops."""
    backend = Scripted(Reason.LISTED)

    reply = ask(backend, Topic.JOBS, cluster="alex", job_ids=(7, 8))

    assert {(7, 100)} == reply.listed
    assert [{"cluster": "alex", "jobs": [7, 8]}] == backend.bodies


def test_a_job_list_that_failed_releases_nothing() -> None:
    """The result has no row, as if the list were empty."""
    backend = Scripted(Reason.QUERY_FAILED)
    backend.rows = None

    reply = ask(backend, Topic.JOBS, cluster="alex", job_ids=(7,))

    assert (Reason.QUERY_FAILED, frozenset()) == (reply.verdict.reason, reply.listed)
