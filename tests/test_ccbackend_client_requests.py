"""Starts, stops and deletes as sent: dialects, amended bodies, metadata, an unusable token."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from backend_version import parse_version
from scripted_client import CREATED, NEW, OLD, START, T, backend, error
from scripted_server import ScriptedServer, answer, raw

from ccbackend.api_requests import encoded
from ccbackend.client import BackendClient
from ccbackend.errors import ExpiredTokenError, TokenError
from ccbackend.facts import BackendRunKey
from ccbackend.outcomes import Outcome, Reason
from ccbackend.payload import edit_meta_payload
from ccbackend.version import ServerInfo, server_info
from ccbackend.wire.transport import Transport

STOPPED = answer(200, '{"jobState":"completed"}\n')
STOP = {"jobId": 7, "cluster": "lab", "startTime": T, "stopTime": T + 9, "jobState": "node_fail"}


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
    """A stop is sent by POST, a delete by DELETE."""
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
def test_a_refused_sharing_field_is_replaced_and_remembered(
    server: ServerInfo, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    """A 400 names the unknown field: `shared` is replaced by `exclusive`, or the reverse."""
    field = next(iter(given))
    refusal = error(400, f'parsing request body failed: json: unknown field "{field}"')
    with backend(refusal, CREATED, server=server) as (there, peer):
        reply = there.start({"jobId": 7, **given})
        after = there.server

    assert reply.outcome is Outcome.DELIVERED
    assert peer.requests[1].json == {"jobId": 7, **sent}
    assert after == ServerInfo(None, server.dialect.other)


def test_a_sharing_field_found_by_another_sender_stays() -> None:
    """A start with `shared` is refused after another sender found `exclusive`: no switch back."""
    refusal = error(400, 'unknown field "shared"')
    with backend(refusal, CREATED, server=OLD) as (there, _):
        there.start({"jobId": 7, "shared": "none"})
        after = there.server

    assert after == OLD


def test_a_start_is_rejected_if_both_sharing_fields_are_refused() -> None:
    """`shared` and then `exclusive` are refused; the client sends no third request."""
    first, second = error(400, 'unknown field "shared"'), error(400, 'unknown field "exclusive"')
    with backend(first, second) as (there, peer):
        reply = there.start(START)

    assert (reply.outcome, len(peer.requests)) == (Outcome.REJECTED, 2)
    assert reply.verdict.message == 'unknown field "exclusive"'


def test_a_start_without_sharing_is_not_resent_for_its_field() -> None:
    """The server refuses `shared`, which the body does not have: the start is rejected."""
    with backend(error(400, 'unknown field "shared"')) as (there, peer):
        reply = there.start({"jobId": 7})

    assert (reply.outcome, len(peer.requests)) == (Outcome.REJECTED, 1)


def test_too_large_bodies_lose_script_then_description() -> None:
    """After each 413 less is sent: no script, then no description. A third 413 is retried later."""
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


def test_an_end_state_that_the_server_refuses_is_sent_as_failed() -> None:
    """An ended run must not stay running at a server that does not know its end state."""
    refusal = error(400, 'jobId 7 (id 1) on lab : invalid requested job state: "node_fail"')
    with backend(refusal, STOPPED) as (there, peer):
        reply = there.stop(STOP)

    assert reply.outcome is Outcome.DELIVERED
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
    """cc-backend up to 1.4.2 refuses equal times: the stop is then sent with an end 1 s later."""
    equal = {**STOP, "stopTime": T}
    with backend(STOPPED, error(400, refusal), STOPPED, *[error(400, refusal)] * 2) as (there, _):
        replies = [there.stop(equal) for _ in range(3)]

    assert [(Outcome.DELIVERED, T), (Outcome.DELIVERED, T + 1), (outcome, T + 1)] == [
        (reply.outcome, (reply.document or {})["stopTime"]) for reply in replies
    ]


def test_a_stop_refused_for_its_end_time_is_corrected_once() -> None:
    """The end becomes start + 1 s; a stop with an end after its start is rejected instead."""
    refusal = error(400, "stopTime 5 must be larger/equal than startTime 9")
    with backend(refusal, STOPPED, refusal) as (there, peer):
        fixed = there.stop({**STOP, "stopTime": T - 5})
        stuck = there.stop(STOP)

    assert fixed.document == {**STOP, "stopTime": T + 1}
    assert (stuck.outcome, len(peer.requests)) == (Outcome.REJECTED, 3)


UPGRADED = answer(200, "<li>Version 1.5.4</li>")


@pytest.mark.parametrize(
    ("state", "reported"),
    [("NODE_FAIL", "node_fail"), ("DEADLINE", "deadline"), ("TIMEOUT", "timeout")],
)
def test_an_end_state_has_the_name_of_the_current_server(state: str, reported: str) -> None:
    """A stop made for 1.4.4 is sent with `node_fail` if the server is 1.5.4 by now."""
    actions = (STOPPED,) if state == "TIMEOUT" else (UPGRADED, STOPPED)
    old = {**STOP, "jobState": "timeout" if state != "NODE_FAIL" else "failed"}
    with backend(*actions, server=OLD) as (there, peer):
        there.stop(old, state=state)

    stops = [request for request in peer.requests if "stop_job" in request.path]
    assert reported == json.loads(stops[-1].body)["jobState"]


KEY = BackendRunKey(7, "lab", 100)


def test_metadata_is_edited_by_job_id_cluster_and_start_time() -> None:
    """With the job id alone, the metadata of another run could be changed."""
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
def test_the_version_shows_whether_metadata_can_be_edited(version: str, *, edits: bool) -> None:
    """cc-backend edits metadata by job id, cluster and start time from 1.5.0 on."""
    assert edits is server_info(parse_version(version)).edits_metadata


def test_a_start_to_an_unreachable_server_is_reported_as_not_sent() -> None:
    """The reply has no status; the server cannot have stored anything."""
    with ScriptedServer([]) as peer:
        url = peer.url
    with requests.Session() as session:
        there = BackendClient(Transport(session, url, token=lambda: "t"))
        reply = there.start(START)
        there.close()

    assert (reply.verdict.reason, reply.sent, reply.status) == (Reason.UNREACHABLE, False, None)
    assert there.server == ServerInfo()


def test_an_unreadable_token_file_halts_without_a_request() -> None:
    """A start and a look-up end with the same reason; the server gets no request."""

    def token() -> str:
        raise TokenError("/t", "gone", "put it back")

    with ScriptedServer([]) as peer, requests.Session() as session:
        there = BackendClient(Transport(session, peer.url, token=token))
        replies = [there.start(START), there.lookup(7, "lab").reply]

    assert [reply.verdict.reason for reply in replies] == [Reason.TOKEN_UNREADABLE] * 2
    assert peer.requests == []


def test_an_expired_token_is_not_sent() -> None:
    """The reason is the same as after a refusal; the message is the path of the token file."""

    def token() -> str:
        raise ExpiredTokenError("/t")

    with ScriptedServer([]) as peer, requests.Session() as session:
        reply = BackendClient(Transport(session, peer.url, token=token)).start(START)

    assert (reply.verdict.reason, reply.sent) == (Reason.TOKEN_EXPIRED, False)
    assert "/t" == reply.verdict.message


def test_a_token_file_removed_after_a_delivery_is_reported() -> None:
    """The next look-up fails with TOKEN_UNREADABLE, although the delivery had a token."""
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
    """The status line alone does not prove that the run is stored."""
    with backend(raw(b"HTTP/1.1 201 Created\r\nContent-Length: 40\r\n\r\n{")) as (there, _):
        reply = there.start(START)

    assert (reply.verdict.reason, reply.sent) == (Reason.BROKEN, True)


def test_request_bodies_are_always_utf8() -> None:
    """A character without a UTF-8 form (a lone surrogate) is sent as `?`."""
    assert encoded({"a": "\ud800ä"}) == '{"a":"?ä"}'.encode()


def test_replies_show_no_text_of_users() -> None:
    """The `repr` of a reply omits the document."""
    with backend(CREATED) as (there, _):
        reply = there.start({**START, "user": "ada-hidden"})

    assert "ada-hidden" not in repr(reply)
