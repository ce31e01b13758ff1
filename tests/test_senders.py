"""The threads that speak to cc-backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from queue import Queue
from typing import Any

import pytest

from ccbackend.classify import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow, ClusterList, JobList, Probe
from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo, Version, server_info
from spool.deliver.schedule import RequestKind
from spool.deliver.senders import Sender, SendRequest, SendResult

SERVER = server_info(Version(1, 5, 4))
OLD = server_info(Version(1, 4, 4))
CLUSTER = Cluster("alex", ())
ROW = BackendRow(7, "alex", 100, "running", 1)


class Scripted:
    """A backend that gives the answers it was told, then says yes."""

    def __init__(self, *reasons: Reason | Exception, wish: float | None = None) -> None:
        self.reasons = list(reasons)
        self.wish = wish
        self.known = SERVER
        self.bodies: list[dict[str, Any]] = []
        self.maybe_sent: list[bool] = []
        self.states: list[str | None] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    @property
    def server(self) -> ServerInfo:
        """Return what is known of the server."""
        return self.known

    def _answer(self, call: ApiCall, document: dict[str, Any]) -> ApiReply:
        self.bodies.append(document)
        self.entered.set()
        self.gate.wait()
        reason = self.reasons.pop(0) if self.reasons else Reason.CREATED
        if isinstance(reason, Exception):
            raise reason
        rows = (ROW,) if reason is Reason.DUPLICATE else None
        return ApiReply(
            call=call,
            verdict=ReplyVerdict(reason),
            document=document,
            rows=rows,
            retry_after_seconds=self.wish,
        )

    def start(self, document: dict[str, Any], *, maybe_sent: bool = False) -> ApiReply:
        """Answer a start."""
        self.maybe_sent.append(maybe_sent)
        return self._answer(ApiCall.START, document)

    def stop(self, document: dict[str, Any], *, state: str | None = None) -> ApiReply:
        """Answer a stop."""
        self.states.append(state)
        return self._answer(ApiCall.STOP, document)

    def delete(self, document: dict[str, Any]) -> ApiReply:
        """Answer a delete."""
        return self._answer(ApiCall.DELETE, document)

    def list_runs(self, job_ids: Iterable[int], cluster: str) -> JobList:
        """Answer a listing."""
        answer = self._answer(ApiCall.GRAPHQL, {"cluster": cluster, "jobs": list(job_ids)})
        return JobList(answer, (ROW,))

    def clusters(self) -> ClusterList:
        """Answer the question for clusters."""
        return ClusterList(self._answer(ApiCall.CLUSTERS, {}), (CLUSTER,))

    def probe(self) -> Probe:
        """Answer a probe."""
        return Probe(self.known, self._answer(ApiCall.LISTING, {}))


class Sending:
    """A sender with its replies; ends its thread."""

    def __init__(self, backend: Scripted, naps: list[float]) -> None:
        self.results: Queue[SendResult] = Queue()
        self.sender = Sender("test", backend, self.results, sleep=naps.append)
        self.sender.start()

    def ask(self, call: RequestKind, **more: Any) -> SendResult:
        """Send one request and wait for its reply."""
        self.sender.send(request(call, **more))
        return self.results.get(timeout=10)


def request(call: RequestKind, **more: Any) -> SendRequest:
    """Return a request for job 7."""
    return SendRequest(call=call, job_id=7, start_time=100, cluster="alex", **more)


@pytest.fixture
def naps() -> list[float]:
    """Return where the seconds slept are written."""
    return []


@pytest.fixture
def sending(naps: list[float], request: pytest.FixtureRequest) -> Callable[[Scripted], Sending]:
    """Return a maker of senders that are ended after the test."""

    def make(backend: Scripted) -> Sending:
        made = Sending(backend, naps)

        def end() -> None:
            backend.gate.set()
            made.sender.close()
            assert made.sender.join(10)

        request.addfinalizer(end)
        return made

    return make


@pytest.mark.parametrize("call", [RequestKind.START, RequestKind.STOP, RequestKind.DELETE])
def test_a_request_is_answered(sending: Callable[[Scripted], Sending], call: RequestKind) -> None:
    """The verdict and the body as sent come back."""
    reply = sending(Scripted()).ask(call, document={"jobId": 7})

    assert (ReplyVerdict(Reason.CREATED), {"jobId": 7}) == (reply.verdict, reply.document)


def test_a_refused_start_tells_which_runs_there_are(
    sending: Callable[[Scripted], Sending],
) -> None:
    """Start times of the job id's rows come with the refusal."""
    assert (100,) == sending(Scripted(Reason.DUPLICATE)).ask(RequestKind.START).starts


def test_a_probe_tells_the_server(sending: Callable[[Scripted], Sending]) -> None:
    """Version, dialect and clusters come with the verdict."""
    reply = sending(Scripted(Reason.LISTED, Reason.LISTED)).ask(RequestKind.PROBE)

    assert (SERVER, (CLUSTER,)) == (reply.server, reply.clusters)


def test_a_refused_probe_tells_the_version_alone(sending: Callable[[Scripted], Sending]) -> None:
    """The login page names it to everybody; clusters are not asked for."""
    reply = sending(Scripted(Reason.TOKEN_REFUSED)).ask(RequestKind.PROBE)

    assert (SERVER, None) == (reply.server, reply.clusters)


def test_a_failed_probe_tells_nothing(sending: Callable[[Scripted], Sending]) -> None:
    """What was known of the server stays."""
    backend = Scripted(Reason.UNREACHABLE)
    backend.known = ServerInfo()
    reply = sending(backend).ask(RequestKind.PROBE)

    assert (None, None) == (reply.server, reply.clusters)


def test_every_answer_tells_which_server_gave_it(sending: Callable[[Scripted], Sending]) -> None:
    """It may have been upgraded since the last probe."""
    backend = Scripted()
    asked = sending(backend)
    backend.known = OLD
    results = [
        asked.ask(call)
        for call in (RequestKind.START, RequestKind.STOP, RequestKind.DELETE, RequestKind.LIST)
    ]

    assert [OLD] * 4 == [reply.server for reply in results]


def test_a_listing_tells_ids_and_starts(sending: Callable[[Scripted], Sending]) -> None:
    """That is what releases held stops."""
    assert {(7, 100)} == sending(Scripted()).ask(RequestKind.LIST).listed


def test_a_broken_connection_is_bridged(
    sending: Callable[[Scripted], Sending], naps: list[float]
) -> None:
    """A second try within a second is made without being an outage."""
    reply = sending(Scripted(Reason.BROKEN)).ask(RequestKind.START)

    assert ReplyVerdict(Reason.CREATED) == reply.verdict
    assert 1 == len(naps)


def test_a_probe_is_one_request(sending: Callable[[Scripted], Sending], naps: list[float]) -> None:
    """While cc-backend is believed down nothing is repeated."""
    reply = sending(Scripted(Reason.BROKEN)).ask(RequestKind.START, is_probe=True)

    assert (ReplyVerdict(Reason.BROKEN), []) == (reply.verdict, naps)


def test_a_second_failure_is_the_answer(sending: Callable[[Scripted], Sending]) -> None:
    """Hours are not bridged here."""
    reply = sending(Scripted(Reason.BUSY, Reason.BUSY)).ask(RequestKind.START)

    assert ReplyVerdict(Reason.BUSY) == reply.verdict


def test_a_long_wish_is_not_bridged(
    sending: Callable[[Scripted], Sending], naps: list[float]
) -> None:
    """A Retry-After of minutes is for the drain."""
    reply = sending(Scripted(Reason.BUSY, wish=60.0)).ask(RequestKind.START)

    assert (60.0, []) == (reply.retry_after_seconds, naps)


def test_requests_of_a_failed_wave_come_back_unsent(
    sending: Callable[[Scripted], Sending],
) -> None:
    """What was queued behind a failure does not knock at a closed door."""
    backend = Scripted(Reason.TIMED_OUT)
    made = sending(backend)
    made.ask(RequestKind.START)

    assert None is made.ask(RequestKind.STOP).verdict
    assert 1 == len(backend.bodies)


def test_the_next_wave_is_sent(sending: Callable[[Scripted], Sending]) -> None:
    """The drain decides when to go on."""
    made = sending(Scripted(Reason.TOKEN_REFUSED))
    made.ask(RequestKind.START)

    assert ReplyVerdict(Reason.CREATED) == made.ask(RequestKind.START, generation=1).verdict


def test_an_error_of_our_own_concerns_one_request(
    sending: Callable[[Scripted], Sending],
) -> None:
    """The thread goes on, the run is charged."""
    made = sending(Scripted(RuntimeError("a bug")))

    first = made.ask(RequestKind.START)

    assert first.verdict is not None
    assert Reason.UNEXPECTED is first.verdict.reason
    assert ReplyVerdict(Reason.CREATED) == made.ask(RequestKind.START).verdict


def test_a_request_under_way_can_outlast_the_end(
    sending: Callable[[Scripted], Sending],
) -> None:
    """`join` says that it was abandoned."""
    backend = Scripted()
    backend.gate.clear()
    made = sending(backend)
    made.sender.send(request(RequestKind.START))
    assert backend.entered.wait(10)
    made.sender.close()

    assert not made.sender.join(0.01)


def test_outstanding_counts_requests_without_a_reply(
    sending: Callable[[Scripted], Sending],
) -> None:
    """The drain keeps a sender busy, not flooded."""
    made = sending(Scripted())
    made.ask(RequestKind.START)
    before = made.sender.outstanding
    made.sender.acknowledge()

    assert (1, 0) == (before, made.sender.outstanding)
