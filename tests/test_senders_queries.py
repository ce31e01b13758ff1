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
    """The worker logs the exception, and returns the reply of a failed request."""
    error = RuntimeError("a bug")

    reply = ask(Scripted(error), topic)

    assert (own_failure(error).verdict, SERVER) == (reply.verdict, reply.server)
    assert f"query of {topic} failed, internal error" in caplog.text


def test_a_probe_returns_the_server_version() -> None:
    """The reply also has the verdict; the clusters need a query of their own."""
    reply = ask(Scripted(Reason.LISTED), Topic.PROBE)

    assert (ReplyVerdict(Reason.LISTED), SERVER, None) == (
        reply.verdict,
        reply.server,
        reply.clusters,
    )


def test_a_refused_probe_returns_only_the_version() -> None:
    """The token is refused; the login page shows the version without a token."""
    reply = ask(Scripted(Reason.TOKEN_REFUSED), Topic.PROBE)

    assert (Reason.TOKEN_REFUSED, SERVER) == (reply.verdict.reason, reply.server)


def test_a_failed_probe_returns_only_the_retry_time() -> None:
    """A busy server says that it may be asked again after 60 s; its version stays unknown."""
    backend = Scripted(Reason.BUSY, wish=60.0)
    backend.known = ServerInfo()

    reply = ask(backend, Topic.PROBE)

    assert (ServerInfo(), 60.0) == (reply.server, reply.retry_after_seconds)


def test_the_topology_has_its_own_query() -> None:
    """The query returns cc-backend's clusters, which every start needs."""
    assert (CLUSTER,) == ask(Scripted(Reason.LISTED), Topic.TOPOLOGY).clusters


def test_a_job_list_returns_job_ids_and_start_times() -> None:
    """The stop of a run that is in cc-backend's job list is no longer held back."""
    backend = Scripted(Reason.LISTED)

    reply = ask(backend, Topic.JOBS, cluster="alex", job_ids=(7, 8))

    assert {(7, 100)} == reply.listed
    assert [{"cluster": "alex", "jobs": [7, 8]}] == backend.bodies


def test_a_failed_job_list_releases_no_held_stop() -> None:
    """The reply has no run, as if cc-backend's job list were empty."""
    backend = Scripted(Reason.QUERY_FAILED)
    backend.rows = None

    reply = ask(backend, Topic.JOBS, cluster="alex", job_ids=(7,))

    assert (Reason.QUERY_FAILED, frozenset()) == (reply.verdict.reason, reply.listed)
