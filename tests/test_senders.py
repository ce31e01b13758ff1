"""What the workers do that speak to cc-backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow, ClusterList, JobList, Probe
from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo, Version, server_info
from spool.deliver.pending_run import RequestKind
from spool.deliver.senders import (
    BackendSender,
    SendRequest,
    ServerQuery,
    ServerReply,
    Topic,
    own_failure,
)

SERVER = server_info(Version(1, 5, 4))
OLD = server_info(Version(1, 4, 4))
CLUSTER = Cluster("alex", ())
ROW = BackendRow(7, "alex", 100, "running", 1)


class Scripted:
    """A backend that gives the answers it was given, then accepts all."""

    def __init__(self, *reasons: Reason | Exception, wish: float | None = None) -> None:
        self.reasons = list(reasons)
        self.wish = wish
        self.known = SERVER
        self.bodies: list[dict[str, Any]] = []
        self.maybe_sent: list[bool] = []
        self.states: list[str | None] = []
        self.rows: tuple[BackendRow, ...] | None = (ROW,)

    @property
    def server(self) -> ServerInfo:
        """Return what is known of the server."""
        return self.known

    def _answer(self, call: ApiCall, document: dict[str, Any]) -> ApiReply:
        self.bodies.append(document)
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

    def edit_meta(self, document: dict[str, Any]) -> ApiReply:
        """Answer a change of metaData."""
        return self._answer(ApiCall.EDIT_META, document)

    def list_runs(self, job_ids: Iterable[int], cluster: str) -> JobList:
        """Answer a listing."""
        answer = self._answer(ApiCall.GRAPHQL, {"cluster": cluster, "jobs": list(job_ids)})
        return JobList(answer, self.rows)

    def clusters(self) -> ClusterList:
        """Answer the question for clusters."""
        return ClusterList(self._answer(ApiCall.CLUSTERS, {}), (CLUSTER,))

    def probe(self) -> Probe:
        """Answer a probe."""
        return Probe(self.known, self._answer(ApiCall.LISTING, {}))


def request(kind: RequestKind, **more: Any) -> SendRequest:
    """Return a request for job 7."""
    return SendRequest(kind=kind, job_id=7, start_time=100, cluster="alex", **more)


@pytest.fixture
def naps() -> list[float]:
    """Return where the seconds slept are written."""
    return []


def send(
    backend: Scripted, naps: list[float], kind: RequestKind = RequestKind.START, **more: Any
) -> ApiReply:
    """Send one request; return the reply."""
    return BackendSender(backend, sleep=naps.append).send(request(kind, **more)).reply


def ask(backend: Scripted, topic: Topic, **more: Any) -> ServerReply:
    """Ask about the server."""
    return BackendSender(backend).ask(ServerQuery(topic=topic, **more))


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
    """By the call of its kind; the verdict and the body as sent come back."""
    reply = send(Scripted(), naps, kind, document={"jobId": 7})

    assert (call, ReplyVerdict(Reason.CREATED), {"jobId": 7}) == (
        reply.call,
        reply.verdict,
        reply.document,
    )


def test_a_stop_carries_the_word_of_slurm(naps: list[float]) -> None:
    """An old server may not know it."""
    backend = Scripted()
    send(backend, naps, RequestKind.STOP, state="OUT_OF_MEMORY")

    assert ["OUT_OF_MEMORY"] == backend.states


@pytest.mark.parametrize("maybe_sent", [False, True])
def test_a_start_says_whether_it_may_have_arrived(naps: list[float], *, maybe_sent: bool) -> None:
    """Then a duplicate may be itself."""
    backend = Scripted()
    send(backend, naps, maybe_sent=maybe_sent)

    assert [maybe_sent] == backend.maybe_sent


def test_the_body_is_a_copy(naps: list[float]) -> None:
    """A client may change it; the request is sent again as it was."""
    backend, document = Scripted(), {"jobId": 7}
    send(backend, naps, document=document)
    backend.bodies[0]["jobId"] = 8

    assert {"jobId": 7} == document


def test_a_refused_start_shows_which_runs_there_are(naps: list[float]) -> None:
    """The rows of the job id come with the refusal."""
    assert (ROW,) == send(Scripted(Reason.DUPLICATE), naps).rows


def test_every_answer_says_which_server_gave_it(naps: list[float]) -> None:
    """It may have been upgraded since the last probe."""
    backend = Scripted()
    sender = BackendSender(backend, sleep=naps.append)
    backend.known = OLD

    assert [OLD] * 4 == [sender.send(request(kind)).server for kind in RequestKind]
    assert [OLD] * 3 == [sender.ask(ServerQuery(topic=topic)).server for topic in Topic]


@pytest.mark.parametrize("reason", [Reason.BROKEN, Reason.UNREACHABLE, Reason.BUSY])
def test_a_moment_without_answer_is_bridged(naps: list[float], reason: Reason) -> None:
    """A second try within a second is made without being an outage."""
    reply = send(Scripted(reason), naps)

    assert (ReplyVerdict(Reason.CREATED), 1) == (reply.verdict, len(naps))
    assert 0.2 <= naps[0] <= 1.0


def test_a_trial_is_one_request(naps: list[float]) -> None:
    """While cc-backend is believed down nothing is repeated."""
    reply = send(Scripted(Reason.BROKEN), naps, is_trial=True)

    assert (ReplyVerdict(Reason.BROKEN), []) == (reply.verdict, naps)


def test_a_second_failure_is_the_answer(naps: list[float]) -> None:
    """Hours are not bridged here."""
    backend = Scripted(Reason.BUSY, Reason.BUSY)

    assert ReplyVerdict(Reason.BUSY) == send(backend, naps).verdict
    assert 2 == len(backend.bodies)


@pytest.mark.parametrize("reason", [Reason.TIMED_OUT, Reason.DATABASE, Reason.TOKEN_REFUSED])
def test_what_seconds_do_not_repair_is_not_repeated(naps: list[float], reason: Reason) -> None:
    """A timeout has taken its minute already."""
    assert (ReplyVerdict(reason), []) == (send(Scripted(reason), naps).verdict, naps)


@pytest.mark.parametrize(("wish", "requests"), [(1.0, 2), (1.1, 1), (60.0, 1)])
def test_a_long_wish_is_not_bridged(naps: list[float], wish: float, requests: int) -> None:
    """A Retry-After of minutes is for the drain."""
    backend = Scripted(Reason.BUSY, wish=wish)
    send(backend, naps)

    assert requests == len(backend.bodies)


def test_a_request_with_an_error_of_our_own_is_answered(
    naps: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """The worker goes on; nothing of the error's words reaches a file."""
    backend = Scripted(RuntimeError("secret"))

    reply = send(backend, naps)

    assert (
        ReplyVerdict(
            Reason.UNEXPECTED, "internal error (RuntimeError); please report it with the log"
        )
        == reply.verdict
    )
    assert not reply.sent
    assert "job=7 start, internal error" in caplog.text
    assert ReplyVerdict(Reason.CREATED) == send(backend, naps).verdict


@pytest.mark.parametrize("topic", list(Topic))
def test_a_question_with_an_error_of_our_own_is_answered(
    topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that nobody answered."""
    error = RuntimeError("a bug")

    reply = ask(Scripted(error), topic)

    assert (own_failure(error).verdict, SERVER) == (reply.verdict, reply.server)
    assert f"query of {topic}, internal error" in caplog.text


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


# ---- changes before a stop

EDIT = {"jobId": 7, "payload": {"key": "endSummary"}}


def stop(backend: Scripted, editor: Scripted, **more: Any) -> list[dict[str, Any]]:
    """Send a stop with a change before it; return what the editor sent."""
    BackendSender(backend, new_editor=lambda: editor).send(
        request(RequestKind.STOP, document={"stop": 1}, edits=(EDIT,), **more)
    )
    assert backend.bodies == [{"stop": 1}]
    return editor.bodies


@pytest.mark.parametrize(
    "answer", [Reason.EDITED, Reason.AFTER_FLUSH, Reason.TIMED_OUT, ValueError("a bug")]
)
def test_a_change_precedes_the_stop_whatever_comes_of_it(answer: Reason | Exception) -> None:
    """It is tried once; the stop is sent in any case."""
    assert [EDIT] == stop(Scripted(), Scripted(answer))


def test_a_trial_of_a_stop_is_made_without_the_change() -> None:
    """The server may be down: nothing but the stop is sent."""
    assert [] == stop(Scripted(), Scripted(), is_trial=True)


def test_after_a_change_without_answer_there_is_none_for_a_minute() -> None:
    """Each could cost seconds."""
    now, made = [0.0], []
    editor = Scripted(Reason.TIMED_OUT)
    sender = BackendSender(
        Scripted(),
        new_editor=lambda: made.append(1) or editor,  # type: ignore[func-returns-value]
        steady=lambda: now[0],
    )
    for now[0] in (0.0, 59.0, 60.0):
        sender.send(request(RequestKind.STOP, edits=(EDIT,)))

    assert ([EDIT, EDIT], [1]) == (editor.bodies, made)


def test_without_an_editor_the_client_of_the_stop_makes_the_change() -> None:
    """In this order."""
    backend = Scripted()
    BackendSender(backend).send(request(RequestKind.STOP, document={"stop": 1}, edits=(EDIT,)))

    assert [EDIT, {"stop": 1}] == backend.bodies
