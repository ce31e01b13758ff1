"""Requests of a run as a worker sends them: one quick repetition, and internal errors."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_backend import ROW, Scripted, request

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply
from ccbackend.version import Version, server_info
from spool.deliver.pending_run import RequestKind
from spool.deliver.senders import BackendSender, ServerQuery, Topic

OLD = server_info(Version(1, 4, 4))


@pytest.fixture
def naps() -> list[float]:
    """Return the list that collects the seconds slept."""
    return []


def send(
    backend: Scripted, naps: list[float], kind: RequestKind = RequestKind.START, **more: Any
) -> ApiReply:
    """Send one request; return the reply."""
    return BackendSender(backend, sleep=naps.append).send(request(kind, **more)).reply


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (RequestKind.START, ApiCall.START),
        (RequestKind.STOP, ApiCall.STOP),
        (RequestKind.DELETE, ApiCall.DELETE),
        (RequestKind.EDIT_META, ApiCall.EDIT_META),
    ],
)
def test_a_request_is_answered(naps: list[float], kind: RequestKind, call: ApiCall) -> None:
    """The reply has the call (start, stop, delete, edit), the verdict and the body sent."""
    reply = send(Scripted(), naps, kind, document={"jobId": 7})

    assert (call, ReplyVerdict(Reason.CREATED), {"jobId": 7}) == (
        reply.call,
        reply.verdict,
        reply.document,
    )


def test_a_stop_has_the_state_of_slurm(naps: list[float]) -> None:
    """The client for cc-backend gets Slurm's state, which an old server may not know."""
    backend = Scripted()
    send(backend, naps, RequestKind.STOP, state="OUT_OF_MEMORY")

    assert ["OUT_OF_MEMORY"] == backend.states


@pytest.mark.parametrize("maybe_sent", [False, True])
def test_a_start_shows_the_client_if_an_earlier_try_can_have_arrived(
    naps: list[float], *, maybe_sent: bool
) -> None:
    """If an earlier try can have arrived, a duplicate at cc-backend can be the start itself."""
    backend = Scripted()
    send(backend, naps, maybe_sent=maybe_sent)

    assert [maybe_sent] == backend.maybe_sent


def test_the_client_gets_a_copy_of_the_body(naps: list[float]) -> None:
    """The client may change its copy; the body of a repeated request is unchanged."""
    backend, document = Scripted(), {"jobId": 7}
    send(backend, naps, document=document)
    backend.bodies[0]["jobId"] = 8

    assert {"jobId": 7} == document


def test_a_refused_start_returns_the_rows_of_its_job(naps: list[float]) -> None:
    """cc-backend refuses the start as a duplicate, and shows the rows of the job."""
    assert (ROW,) == send(Scripted(Reason.DUPLICATE), naps).rows


def test_every_reply_has_the_server_version(naps: list[float]) -> None:
    """The server may have been upgraded since the last probe."""
    backend = Scripted()
    sender = BackendSender(backend, sleep=naps.append)
    backend.known = OLD

    assert [OLD] * 4 == [sender.send(request(kind)).server for kind in RequestKind]
    assert [OLD] * 3 == [sender.ask(ServerQuery(topic=topic)).server for topic in Topic]


@pytest.mark.parametrize("reason", [Reason.BROKEN, Reason.UNREACHABLE, Reason.BUSY])
def test_a_short_failure_is_retried_at_once(naps: list[float], reason: Reason) -> None:
    """The request is sent again after 0.2 to 1 s and succeeds, so that no outage is recorded."""
    reply = send(Scripted(reason), naps)

    assert (ReplyVerdict(Reason.CREATED), 1) == (reply.verdict, len(naps))
    assert 0.2 <= naps[0] <= 1.0


def test_a_trial_is_not_repeated(naps: list[float]) -> None:
    """A trial is a request that is sent while cc-backend is considered down."""
    reply = send(Scripted(Reason.BROKEN), naps, is_trial=True)

    assert (ReplyVerdict(Reason.BROKEN), []) == (reply.verdict, naps)


def test_a_second_failure_is_returned(naps: list[float]) -> None:
    """The worker sends a request twice at most; later retries are made by the drain."""
    backend = Scripted(Reason.BUSY, Reason.BUSY)

    assert ReplyVerdict(Reason.BUSY) == send(backend, naps).verdict
    assert 2 == len(backend.bodies)


@pytest.mark.parametrize("reason", [Reason.TIMED_OUT, Reason.DATABASE, Reason.TOKEN_REFUSED])
def test_a_timeout_database_or_token_error_is_not_retried_at_once(
    naps: list[float], reason: Reason
) -> None:
    """A timeout, for example, has taken a minute already."""
    assert (ReplyVerdict(reason), []) == (send(Scripted(reason), naps).verdict, naps)


@pytest.mark.parametrize(("wish", "requests"), [(1.0, 2), (1.1, 1), (60.0, 1)])
def test_a_long_retry_after_is_not_awaited(naps: list[float], wish: float, requests: int) -> None:
    """The worker waits for 1 s at most; the drain handles a Retry-After of minutes."""
    backend = Scripted(Reason.BUSY, wish=wish)
    send(backend, naps)

    assert requests == len(backend.bodies)


def test_an_internal_error_in_a_request_is_answered(
    naps: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """The reply has only the type of the exception, and the worker sends the next request."""
    backend = Scripted(RuntimeError("secret"))

    reply = send(backend, naps)

    assert (
        ReplyVerdict(
            Reason.UNEXPECTED,
            "internal error of cc-slurm-sync (RuntimeError); please report it with the log",
        )
        == reply.verdict
    )
    assert not reply.sent
    assert "job=7 request start failed, internal error" in caplog.text
    assert ReplyVerdict(Reason.CREATED) == send(backend, naps).verdict
