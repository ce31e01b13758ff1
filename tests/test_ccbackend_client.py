"""Telling and asking a server: requests as they go out, replies as they come back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from backend_version import parse_version
from scripted_server import Action, ScriptedServer, answer, hang_up, raw, stall

from ccbackend.api_requests import encoded
from ccbackend.client import BackendClient
from ccbackend.errors import ExpiredTokenError, TokenError
from ccbackend.facts import BackendRunKey
from ccbackend.outcomes import ApiCall, Outcome, Reason
from ccbackend.payload import edit_meta_payload
from ccbackend.replies import BackendRow
from ccbackend.version import Dialect, ServerInfo, SharedServerInfo, Version, server_info
from ccbackend.wire.transport import ExchangeLimits, Transport

T = 1767225600
OLD = server_info(Version(1, 4, 4))
NEW = server_info(Version(1, 5, 4))
CREATED = answer(201, '{"msg":"success"}\n')
STOPPED = answer(200, '{"jobState":"completed"}\n')
EMPTY = answer(200, '{"jobs":[],"items":1,"page":1}\n')
ABSENT = answer(404, "404 page not found\n", "Content-Type: text/plain\r\n")
REFUSED = answer(401, '{"error":"unauthorized"}')
START = {"jobId": 7, "cluster": "lab", "startTime": T, "shared": "none"}
STOP = {"jobId": 7, "cluster": "lab", "startTime": T, "stopTime": T + 9, "jobState": "node_fail"}


@contextmanager
def backend(
    *actions: Action, server: ServerInfo = NEW, limits: ExchangeLimits | None = None
) -> Iterator[tuple[BackendClient, ScriptedServer]]:
    """A backend that speaks to a server with this script."""
    limits = limits or ExchangeLimits()
    with ScriptedServer(actions) as peer, requests.Session() as session:
        transport = Transport(session, peer.url, token=lambda: "secret-token", limits=limits)
        yield BackendClient(transport, SharedServerInfo(server)), peer


def error(status: int, text: str) -> Action:
    """An answer of the API that carries an error."""
    return answer(status, json.dumps({"status": "x", "error": text}))


def graphql(*rows: tuple[int, int], count: int | None = None, cluster: str = "lab") -> Action:
    """A GraphQL listing of (job id, start) rows."""
    items = [
        {
            "id": index,
            "jobId": job_id,
            "cluster": cluster,
            "startTime": f"2026-01-01T0{start}:00:00Z",
            "state": "running",
        }
        for index, (job_id, start) in enumerate(rows)
    ]
    jobs = {"count": len(items) if count is None else count, "items": items}
    return answer(200, json.dumps({"data": {"jobs": jobs}}))


def rest(*rows: tuple[int, int], items: int = 100_000) -> Action:
    """A REST listing of (job id, start) rows."""
    jobs = [
        {
            "id": index,
            "jobId": job_id,
            "cluster": "lab",
            "startTime": T + 3600 * start,
            "jobState": "running",
        }
        for index, (job_id, start) in enumerate(rows)
    ]
    return answer(200, json.dumps({"jobs": jobs, "items": items, "page": 1}))


def test_a_start_is_posted_with_the_token_and_nothing_else() -> None:
    """The path ends in a slash, the token has its own header, no cookie is sent."""
    with backend(CREATED) as (there, peer):
        reply = there.start(START)

    assert (reply.outcome, reply.status, reply.document) == (Outcome.DELIVERED, 201, START)
    (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/api/jobs/start_job/")
    assert request.headers["x-auth-token"] == "secret-token"
    assert request.headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie"} & set(request.headers)
    assert request.json == START


def test_stop_and_delete_have_their_own_paths() -> None:
    """Delete is the one that is not posted."""
    with backend(STOPPED, answer(200, '{"msg":"Successfully deleted job 7"}')) as (there, peer):
        outcomes = [there.stop(STOP).outcome, there.delete(START).outcome]

    assert outcomes == [Outcome.DELIVERED, Outcome.DELIVERED]
    assert [(request.method, request.path) for request in peer.requests] == [
        ("POST", "/api/jobs/stop_job/"),
        ("DELETE", "/api/jobs/delete_job/"),
    ]


@pytest.mark.parametrize(
    ("server", "given", "sent"),
    [
        (NEW, {"shared": "single_user"}, {"exclusive": 2}),
        (OLD, {"exclusive": 0}, {"shared": "multi_user"}),
    ],
)
def test_a_refused_dialect_is_switched_and_remembered(
    server: ServerInfo, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    """The telling 400 turns the dialect; the version known before was wrong."""
    field = next(iter(given))
    refusal = error(400, f'parsing request body failed: json: unknown field "{field}"')
    with backend(refusal, CREATED, server=server) as (there, peer):
        reply = there.start({"jobId": 7, **given})
        after = there.server

    assert reply.outcome is Outcome.DELIVERED
    assert reply.amended == (Reason.WRONG_DIALECT,)
    assert peer.requests[1].json == {"jobId": 7, **sent}
    assert after == ServerInfo(None, server.dialect.other)


def test_a_dialect_that_another_sender_has_found_stays() -> None:
    """Two senders refused at once do not turn it back and forth."""
    refusal = error(400, 'unknown field "shared"')
    with backend(refusal, CREATED, server=OLD) as (there, _):
        there.start({"jobId": 7, "shared": "none"})
        after = there.server

    assert after == OLD


def test_a_server_that_refuses_both_dialects_rejects() -> None:
    """Each amendment is made once."""
    first, second = error(400, 'unknown field "shared"'), error(400, 'unknown field "exclusive"')
    with backend(first, second) as (there, peer):
        reply = there.start(START)

    assert (reply.outcome, len(peer.requests)) == (Outcome.REJECTED, 2)
    assert reply.verdict.message == 'unknown field "exclusive"'


def test_a_dialect_refused_without_the_field_rejects() -> None:
    """There is nothing to switch in a body that names no sharing."""
    with backend(error(400, 'unknown field "shared"')) as (there, peer):
        reply = there.start({"jobId": 7})

    assert (reply.outcome, len(peer.requests)) == (Outcome.REJECTED, 1)


def test_too_large_bodies_lose_script_then_description() -> None:
    """413 shrinks in two steps, the name stays; a proxy may say that to everything."""
    metadata = {"jobName": "n", "jobScript": "s", "slurmInfo": "i"}
    big = answer(413, "<html>too large</html>", "Content-Type: text/html\r\n")
    with backend(big, big, big) as (there, peer):
        reply = there.start({**START, "metaData": metadata})

    assert (Outcome.LATER, True) == (reply.outcome, reply.verdict.may_be_in_front)
    assert [list(request.json["metaData"]) for request in peer.requests] == [
        ["jobName", "jobScript", "slurmInfo"],
        ["jobName", "slurmInfo"],
        ["jobName"],
    ]


def test_a_refused_state_is_sent_as_failed() -> None:
    """The original is noted by the reason."""
    refusal = error(400, 'jobId 7 (id 1) on lab : invalid requested job state: "node_fail"')
    with backend(refusal, STOPPED) as (there, peer):
        reply = there.stop(STOP)

    assert (reply.outcome, reply.amended) == (Outcome.DELIVERED, (Reason.STATE_UNKNOWN,))
    assert peer.requests[1].json == {**STOP, "jobState": "failed"}


EARLY_OR_STOPPED = "stopTime must be larger than startTime and only running jobs can be stopped"


@pytest.mark.parametrize(
    ("refusal", "outcome"),
    [
        (EARLY_OR_STOPPED, Outcome.ALREADY_THERE),
        (f"jobId 7 (id 1) on lab : {EARLY_OR_STOPPED} (state is: running)", Outcome.REJECTED),
    ],
)
def test_an_end_equal_to_the_start_is_moved_only_where_it_is_refused(
    refusal: str, outcome: Outcome
) -> None:
    """Up to 1.4.2; up to 1.3.1 the answer may as well mean that the run is stopped."""
    equal = {**STOP, "stopTime": T}
    with backend(STOPPED, error(400, refusal), STOPPED, *[error(400, refusal)] * 2) as (there, _):
        replies = [there.stop(equal) for _ in range(3)]

    assert [(Outcome.DELIVERED, T), (Outcome.DELIVERED, T + 1), (outcome, T + 1)] == [
        (reply.outcome, (reply.document or {})["stopTime"]) for reply in replies
    ]


def test_an_end_before_the_start_is_clamped_once() -> None:
    """A body that is clamped already is not sent again."""
    refusal = error(400, "stopTime 5 must be larger/equal than startTime 9")
    with backend(refusal, STOPPED, refusal) as (there, peer):
        fixed = there.stop({**STOP, "stopTime": T - 5})
        stuck = there.stop(STOP)

    assert fixed.document == {**STOP, "stopTime": T + 1}
    assert (stuck.outcome, len(peer.requests)) == (Outcome.REJECTED, 3)


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
def test_a_duplicate_is_looked_up(rows: tuple[tuple[int, int], ...], outcome: Outcome) -> None:
    """The rows of the job id decide whether it is this run or another one."""
    with backend(DUPLICATE, EMPTY, graphql(*rows)) as (there, _):
        reply = there.start(START)

    assert reply.outcome is outcome
    assert reply.document == START
    assert reply.rows is not None


@pytest.mark.parametrize(("server", "outcome"), [(NEW, Outcome.LATER), (OLD, Outcome.CONFLICT)])
def test_a_start_sent_before_may_be_cached_on_new_servers(
    server: ServerInfo, outcome: Outcome
) -> None:
    """Only then another run's row is no proof of a conflict."""
    with backend(DUPLICATE, EMPTY, graphql((7, 1)), server=server) as (there, _):
        reply = there.start(START, maybe_sent=True)

    assert reply.outcome is outcome


UPGRADED = answer(200, "<li>Version 1.5.4</li>")


@pytest.mark.parametrize(
    ("state", "told"),
    [("NODE_FAIL", "node_fail"), ("DEADLINE", "deadline"), ("TIMEOUT", "timeout")],
)
def test_an_end_has_the_name_of_the_server_that_takes_it(state: str, told: str) -> None:
    """It may have been upgraded since the request was made."""
    actions = (STOPPED,) if state == "TIMEOUT" else (UPGRADED, STOPPED)
    old = {**STOP, "jobState": "timeout" if state != "NODE_FAIL" else "failed"}
    with backend(*actions, server=OLD) as (there, peer):
        there.stop(old, state=state)

    stops = [request for request in peer.requests if "stop_job" in request.path]
    assert told == json.loads(stops[-1].body)["jobState"]


QUEUEING_VERSIONS = server_info(Version(1, 4, 1))


def test_a_start_sent_before_is_looked_up_first_where_starts_are_queued() -> None:
    """cc-backend 1.4.0 and 1.4.1 would stall for 5 s over a second one."""
    with backend(EMPTY, graphql((7, 0)), server=QUEUEING_VERSIONS) as (there, peer):
        reply = there.start(START, maybe_sent=True)

    assert (Reason.STORED_BEFORE, False) == (reply.verdict.reason, reply.sent)
    assert not [request for request in peer.requests if "start_job" in request.path]


def test_a_queued_start_that_was_dropped_is_sent_again() -> None:
    """The look-up shows other runs alone."""
    promise = answer(201, '{"msg":"Successfully triggered job start"}')
    with backend(EMPTY, graphql((7, 1)), promise, server=QUEUEING_VERSIONS) as (there, _):
        reply = there.start(START, maybe_sent=True)

    assert Outcome.CONFIRM is reply.outcome


def test_a_queued_start_that_cannot_be_looked_up_is_not_sent() -> None:
    """The look-up's answer counts."""
    with backend(EMPTY, answer(503, ""), answer(503, ""), server=QUEUEING_VERSIONS) as (there, _):
        reply = there.start(START, maybe_sent=True)

    assert (Outcome.RETRY, START) == (reply.outcome, reply.document)


def test_a_duplicate_is_looked_up_by_rest_where_graphql_fails() -> None:
    """This run is found by its start second; other runs remain unknown."""
    failed = answer(200, '{"errors":[{"message":"x"}],"data":null}')
    with backend(DUPLICATE, EMPTY, failed, failed, rest((9, 0), (7, 0))) as (there, peer):
        reply = there.start(START)

    assert (reply.outcome, len(reply.rows or ())) == (Outcome.ALREADY_THERE, 1)
    assert f"start-time={T}-{T}" in peer.requests[-1].path


def test_a_duplicate_that_cannot_be_looked_up_is_what_the_look_up_is() -> None:
    """An outage between the two requests is an outage."""
    with backend(DUPLICATE, EMPTY, answer(503, ""), answer(503, "")) as (there, _):
        reply = there.start(START)

    assert (reply.outcome, reply.document) == (Outcome.RETRY, START)


def test_graphql_is_not_believed_before_rest_has_answered() -> None:
    """A token that REST refuses makes GraphQL show an empty cluster."""
    with backend(REFUSED) as (there, peer):
        found = there.running_jobs("lab")

    assert (found.rows, found.reply.outcome) == (None, Outcome.HALT)
    assert [request.path.partition("?")[0] for request in peer.requests] == ["/api/jobs/"]


def test_running_jobs_are_listed_after_one_rest_answer() -> None:
    """Five fields; times with the server's offset become Unix seconds."""
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
    """Rights may have been taken away since the last sweep."""
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


def test_a_count_that_moves_is_asked_again_with_a_larger_page() -> None:
    """A listing is whole or it is none."""
    with backend(EMPTY, graphql((7, 0), count=200_000), graphql((7, 0))) as (there, peer):
        found = there.running_jobs("lab")

    assert len(found.rows or ()) == 1
    assert peer.requests[2].json["variables"]["p"]["itemsPerPage"] == 201_000


def test_a_count_that_never_fits_falls_back_to_rest() -> None:
    """After three tries the other listing is asked."""
    short = graphql((7, 0), count=2)
    with backend(EMPTY, short, short, short, rest((7, 0), (8, 0))) as (there, _):
        found = there.running_jobs("lab")

    assert [row.job_id for row in found.rows or ()] == [7, 8]


@pytest.mark.parametrize("last", [rest(items=25), answer(200, '{"jobs":[{}]}'), REFUSED])
def test_a_rest_listing_that_is_not_whole_is_unknown(last: Action) -> None:
    """Another page size, another shape or a refusal gives no rows."""
    with backend(EMPTY, answer(404, "404 page not found"), last) as (there, _):
        found = there.running_jobs("lab")

    assert found.rows is None
    assert found.reply.outcome is not Outcome.DELIVERED


def test_an_outage_during_a_listing_asks_nothing_more() -> None:
    """REST would fail the same way."""
    with backend(EMPTY, answer(502, "")) as (there, peer):
        found = there.running_jobs("lab")

    assert (found.rows, found.reply.outcome, len(peer.requests)) == (None, Outcome.RETRY, 2)


def test_clusters_are_read_or_unknown() -> None:
    """A server before 1.3.0 lacks the path; a strange shape is no list."""
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
    """A later one that answers so cannot be read now: a proxy may say the same words."""
    with backend(ABSENT, server=server) as (there, _):
        found = there.clusters()

    assert clusters == found.clusters


@pytest.mark.parametrize("failure", [answer(503, ""), answer(401, ""), hang_up])
def test_clusters_that_cannot_be_read_now_are_unknown(failure: Action) -> None:
    """Whatever the server's version: to be asked again."""
    with backend(failure, failure, server=server_info(Version(1, 2, 2))) as (there, _):
        found = there.clusters()

    assert found.clusters is None


LOGIN = answer(200, '<li class="build-list-item">Version 1.4.4</li>')
PLAIN = answer(200, "<html>login</html>")


@pytest.mark.parametrize(
    ("actions", "server"),
    [
        ((LOGIN,), OLD),
        ((PLAIN, error(404, "the requested endpoint does not exist")), ServerInfo()),
        ((PLAIN, answer(404, "404 page not found")), ServerInfo(None, Dialect.EXCLUSIVE)),
        ((PLAIN, answer(200, "<html>")), NEW),
        ((PLAIN, hang_up, hang_up), NEW),
        ((hang_up,), NEW),
        ((answer(503, "404 page not found"),), NEW),
    ],
)
def test_the_server_is_detected_without_token(
    actions: tuple[Action, ...], server: ServerInfo
) -> None:
    """By the login page, else by an unknown path; what was known stays if neither shows it."""
    with backend(*actions) as (there, peer):
        found = there.detect_server()

    assert found == server
    assert not any("x-auth-token" in request.headers for request in peer.requests)


def test_a_probe_tells_version_and_whether_the_token_is_taken() -> None:
    """Detection, then one row of a listing."""
    with backend(LOGIN, EMPTY) as (there, _):
        found = there.probe()

    assert (found.server, found.reply.call, found.reply.outcome) == (
        OLD,
        ApiCall.LISTING,
        Outcome.DELIVERED,
    )


def test_a_probe_of_a_silent_server_ends_after_the_first_question() -> None:
    """Each further question would wait as long."""
    with backend(stall, EMPTY, limits=ExchangeLimits(read_seconds=0.1)) as (there, peer):
        found = there.probe()
        paths = [request.path for request in peer.requests]

    assert found.reply.verdict.reason is Reason.TIMED_OUT
    assert paths == ["/login"]


def test_the_path_for_starts_shows_whether_jobs_are_taken() -> None:
    """A GET that no handler takes; in NATS mode (>= 1.5.0) the path is not there."""
    absent = error(404, "the requested endpoint does not exist")
    with backend(answer(405, ""), absent) as (there, peer):
        reasons = [there.check_job_api().verdict.reason for _ in range(2)]

    assert reasons == [Reason.JOB_API_ON, Reason.API_OFF]
    assert {("GET", "/api/jobs/start_job/", b"")} == {
        (each.method, each.path, each.body) for each in peer.requests
    }


def test_an_old_server_is_not_asked_for_its_job_api() -> None:
    """It has no NATS mode."""
    with backend(server=OLD) as (there, peer):
        found = there.check_job_api()

    assert (Reason.JOB_API_ON, False, []) == (found.verdict.reason, found.sent, peer.requests)


def test_an_answer_about_the_job_api_proves_no_token() -> None:
    """The router gives it to everybody, so a GraphQL listing still needs REST."""
    with backend(answer(405, ""), error(401, "unauthorized")) as (there, _):
        there.check_job_api()
        found = there.running_jobs("lab")

    assert (None, Outcome.HALT) == (found.rows, found.reply.outcome)


KEY = BackendRunKey(7, "lab", 100)


def test_metadata_of_a_stored_run_is_edited_by_its_whole_tuple() -> None:
    """Or another run of the job id would be changed."""
    with backend(answer(200, '{"jobState":"running","metaData":{}}')) as (there, peer):
        found = there.edit_meta(edit_meta_payload(KEY, "jobScript", "#!/bin/sh"))

    (request,) = peer.requests
    assert Reason.EDITED is found.verdict.reason
    assert ("PATCH", "/api/jobs/edit_meta/") == (request.method, request.path)
    assert json.loads(request.body) == {
        "jobId": 7,
        "cluster": "lab",
        "startTime": 100,
        "payload": {"key": "jobScript", "value": "#!/bin/sh"},
    }


@pytest.mark.parametrize(
    ("version", "edits"), [("1.3.0", False), ("1.4.4", False), ("1.5.0", True), ("1.5.4", True)]
)
def test_the_version_tells_whether_metadata_can_be_edited(version: str, *, edits: bool) -> None:
    """By tuple from 1.5.0 on."""
    assert edits is server_info(parse_version(version)).edits_metadata


def test_an_unreachable_server_is_a_reply() -> None:
    """Nothing was sent, so nothing can have happened."""
    with ScriptedServer([]) as peer:
        url = peer.url
    with requests.Session() as session:
        there = BackendClient(Transport(session, url, token=lambda: "t"))
        reply = there.start(START)
        there.close()

    assert (reply.verdict.reason, reply.sent, reply.status) == (Reason.UNREACHABLE, False, None)
    assert there.server == ServerInfo()


def test_an_unreadable_token_halts_without_a_request() -> None:
    """Sending, looking up and listing alike say so."""

    def token() -> str:
        raise TokenError("/t", "gone", "put it back")

    with ScriptedServer([]) as peer, requests.Session() as session:
        there = BackendClient(Transport(session, peer.url, token=token))
        replies = [there.start(START), there.lookup(7, "lab").reply]

    assert [reply.verdict.reason for reply in replies] == [Reason.TOKEN_UNREADABLE] * 2
    assert peer.requests == []


def test_a_token_that_has_expired_here_gets_the_server_s_reason() -> None:
    """No request is needed to know it; the reason names the cause, not the file."""

    def token() -> str:
        raise ExpiredTokenError("/t")

    with ScriptedServer([]) as peer, requests.Session() as session:
        reply = BackendClient(Transport(session, peer.url, token=token)).start(START)

    assert (reply.verdict.reason, reply.sent) == (Reason.TOKEN_EXPIRED, False)
    assert "/t" == reply.verdict.message


def test_a_token_that_vanishes_after_a_delivery_is_noticed() -> None:
    """The proof of an earlier token does not count."""
    tokens = ["a", "a"]

    def token() -> str:
        if not tokens:
            raise TokenError("/t", "gone", "put it back")
        return tokens.pop()

    with ScriptedServer([CREATED]) as peer, requests.Session() as session:
        there = BackendClient(Transport(session, peer.url, token=token))
        there.start(START)
        found = there.lookup(7, "lab")

    assert found.reply.verdict.reason is Reason.TOKEN_UNREADABLE


def test_a_cut_answer_is_an_unknown_outcome() -> None:
    """The status line alone proves nothing."""
    with backend(raw(b"HTTP/1.1 201 Created\r\nContent-Length: 40\r\n\r\n{")) as (there, _):
        reply = there.start(START)

    assert (reply.verdict.reason, reply.sent) == (Reason.BROKEN, True)


def test_bodies_are_utf8_whatever_they_hold() -> None:
    """A lone surrogate cannot stop a request."""
    assert encoded({"a": "\ud800ä"}) == '{"a":"?ä"}'.encode()


def test_replies_show_no_text_of_users() -> None:
    """The representation lacks the document."""
    with backend(CREATED) as (there, _):
        reply = there.start({**START, "user": "ada-hidden"})

    assert "ada-hidden" not in repr(reply)
