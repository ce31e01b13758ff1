"""Classification of cc-backend's answers: faults, cut answers, duplicates."""

from __future__ import annotations

import json

import pytest

from ccbackend.answer_rules import classify, classify_fault
from ccbackend.errors import Fault, is_own_error, server_message
from ccbackend.outcomes import ApiCall, Outcome, Reason, ReplyVerdict
from ccbackend.replies import check_duplicate
from ccbackend.version import Version

UNKNOWN = '{"status":"Unprocessable Entity","error":"finding job failed: sql: no rows"}'


@pytest.mark.parametrize("text", ["", "<html>login</html>", '{"id":', "[" * 100_000])
def test_an_answer_that_is_not_json_never_counts_as_stored(text: str) -> None:
    """After 201 without a complete JSON document the outcome is unknown."""
    assert classify(ApiCall.START, 201, text).reason is Reason.NOT_THE_API


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
@pytest.mark.parametrize("call", list(ApiCall))
def test_busy_statuses_are_retried_for_every_call(call: ApiCall, status: int) -> None:
    """A request with 408, 429, 502, 503 or 504 is retried, whatever text a proxy sends."""
    assert classify(call, status, "<h1>Bad Gateway</h1>").outcome is Outcome.RETRY


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 405])
@pytest.mark.parametrize(
    "call", [call for call in ApiCall if call not in (ApiCall.EDIT_META, ApiCall.JOB_API)]
)
def test_configuration_errors_halt_deliveries(call: ApiCall, status: int) -> None:
    """A redirect, 401, 403 or 405 is a halt for every call except EDIT_META and JOB_API."""
    assert classify(call, status, "").outcome is Outcome.HALT


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault.UNREACHABLE, Outcome.RETRY),
        (Fault.TIMED_OUT, Outcome.RETRY),
        (Fault.BROKEN, Outcome.RETRY),
        (Fault.TOO_LARGE, Outcome.RETRY),
        (Fault.CERTIFICATE, Outcome.HALT),
        (Fault.NO_TLS, Outcome.HALT),
        (Fault.TLS, Outcome.HALT),
        (Fault.CA_FILE, Outcome.HALT),
    ],
)
def test_connection_faults_are_retried_except_tls_faults(fault: Fault, outcome: Outcome) -> None:
    """A TLS fault halts deliveries until an administrator acts."""
    assert classify_fault(fault, "words") == ReplyVerdict(classify_fault(fault).reason, "words")
    assert classify_fault(fault).outcome is outcome


@pytest.mark.parametrize(
    ("call", "status", "text", "reason"),
    [
        (ApiCall.START, 413, "", Reason.METADATA_TOO_LARGE),
        (ApiCall.STOP, 413, "", Reason.UNEXPECTED),
        (ApiCall.GRAPHQL, 413, "<h1>413</h1>", Reason.UNEXPECTED),
        (ApiCall.START, 500, "", Reason.PANIC),
        (ApiCall.LISTING, 500, "\n", Reason.NO_TOKENS),
        (ApiCall.LISTING, 500, '{"error":"open meta.json: none"}', Reason.ARCHIVE_UNREADABLE),
        (ApiCall.START, 500, '{"error":"insert into database failed: Data too long"}',
         Reason.METADATA_TOO_LARGE),
        (ApiCall.START, 500, '{"error":"insert into database failed: Duplicate entry"}',
         Reason.STORED_BEFORE),
        (ApiCall.START, 500, '{"error":"database is locked"}', Reason.DATABASE),
        (ApiCall.STOP, 500, '{"error":"database is locked"}', Reason.DATABASE),
        (ApiCall.STOP, 500, '{"error":"CHECK constraint failed: job"}', Reason.BAD_VALUE),
        (ApiCall.STOP, 500, '{"error":"transferring cached job failed: UNIQUE constraint"}',
         Reason.AFTER_FLUSH),
        (ApiCall.LISTING, 500, '{"error":"user has no or unknown roles"}', Reason.NO_TOKENS),
        (ApiCall.GRAPHQL, 200, '{"errors":[{"message":"user has no or unknown roles"}]}',
         Reason.NO_TOKENS),
        (ApiCall.START, 418, "teapot", Reason.UNEXPECTED),
        (ApiCall.DELETE, 500, '{"error":"database is locked"}', Reason.UNEXPECTED),
        (ApiCall.STOP, 200, '{"error":"?"}', Reason.UNEXPECTED),
        (ApiCall.STOP, 202, "", Reason.NOT_THE_API),
        (ApiCall.NODESTATE, 200, "", Reason.NODES_TAKEN),
        (ApiCall.START, 400, "400 The plain HTTP request was sent to HTTPS port",
         Reason.NOT_THE_API),
        (ApiCall.START, 400, '{"error":"blocked"}', Reason.UNEXPECTED),
        (ApiCall.STOP, 400, '{"error":{"code":7},"status":"x"}', Reason.UNEXPECTED),
        (ApiCall.START, 400, '["error"]', Reason.UNEXPECTED),
        (ApiCall.START, 400, '<p class="error">no such cluster</p>', Reason.NOT_THE_API),
        (ApiCall.GRAPHQL, 400, '{"errors":[{"message":"?"}],"data":null}', Reason.BAD_REQUEST),
        (ApiCall.GRAPHQL, 400, '{"errors":"?"}', Reason.UNEXPECTED),
        (ApiCall.START, 500, "<html>Internal Server Error</html>", Reason.NOT_THE_API),
        (ApiCall.EDIT_META, 500, "", Reason.EDITED_UNARCHIVED),
        (ApiCall.EDIT_META, 500, "open var/job-archive/lab/6/003/1/meta.json: no such file",
         Reason.EDITED_UNARCHIVED),
        (ApiCall.EDIT_META, 500, "failed to update metadata in database for job 1: locked",
         Reason.DATABASE),
        (ApiCall.EDIT_META, 500, "<html>", Reason.UNEXPECTED),
        (ApiCall.EDIT_META, 405, "", Reason.FEATURE_ABSENT),
        (ApiCall.JOB_API, 405, "", Reason.JOB_API_ON),
        (ApiCall.JOB_API, 404, '{"error":"the requested endpoint does not exist"}',
         Reason.API_OFF),
    ],
)  # fmt: skip
def test_answers_without_a_recording_get_the_expected_reason(
    call: ApiCall, status: int, text: str, reason: Reason
) -> None:
    """The answers are known only from cc-backend's source code or from proxies."""
    assert classify(call, status, text).reason is reason


@pytest.mark.parametrize(
    ("status", "words", "reason"),
    [
        (401, "Token is expired", Reason.TOKEN_EXPIRED),
        (401, "token has invalid claims: token is expired", Reason.TOKEN_EXPIRED),
        (401, "Token used before issued", Reason.TOKEN_EARLY),
        (401, "token has invalid claims: token is not valid yet", Reason.TOKEN_EARLY),
        (401, "unknown ip: 192.0.2.7", Reason.ADDRESS_REFUSED),
        (401, "missing configuration key ApiAllowedIPs", Reason.ADDRESS_REFUSED),
        (403, "missing role: api", Reason.ROLE_REFUSED),
        (401, "unauthorized", Reason.TOKEN_REFUSED),
        (404, "the requested endpoint does not exist", Reason.API_OFF),
        (404, "404 page not found", Reason.WRONG_URL),
    ],
)
def test_a_halt_says_what_an_administrator_must_do(status: int, words: str, reason: Reason) -> None:
    """The text of a 401, 403 or 404 decides the reason, such as TOKEN_EXPIRED, and its hint."""
    verdict = classify(ApiCall.START, status, json.dumps({"status": "x", "error": words}))

    assert verdict == ReplyVerdict(reason, words)


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (None, Reason.UNKNOWN_RUN),
        (Version(1, 3, 1), Reason.UNKNOWN_RUN),
        (Version(1, 4, 0), Reason.UNKNOWN_RUN_YET),
        (Version(1, 4, 1), Reason.UNKNOWN_RUN_YET),
        (Version(1, 4, 2), Reason.UNKNOWN_RUN),
    ],
)
def test_a_stop_can_be_too_early_for_a_server_that_queues_starts(
    version: Version | None, reason: Reason
) -> None:
    """cc-backend 1.4.0 and 1.4.1 refuse a stop while the start is queued: UNKNOWN_RUN_YET."""
    assert classify(ApiCall.STOP, 422, UNKNOWN, version).reason is reason


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (None, Reason.AFTER_FLUSH),
        (Version(1, 4, 4), Reason.NOTHING_TO_DELETE),
        (Version(1, 5, 0), Reason.AFTER_FLUSH),
    ],
)
def test_a_row_to_delete_can_be_cached(version: Version | None, reason: Reason) -> None:
    """A delete that finds no row gives AFTER_FLUSH from 1.5.0 on, and NOTHING_TO_DELETE before."""
    assert classify(ApiCall.DELETE, 422, UNKNOWN, version).reason is reason


@pytest.mark.parametrize(
    ("starts", "reason"),
    [
        ([100], Reason.STORED_BEFORE),
        ([50, 100], Reason.STORED_BEFORE),
        ([50], Reason.DUPLICATE),
        ([], Reason.AFTER_FLUSH),
    ],
)
def test_the_listed_starts_decide_what_a_duplicate_means(starts: list[int], reason: Reason) -> None:
    """The reason is STORED_BEFORE for this start, DUPLICATE for another, AFTER_FLUSH for none."""
    verdict = ReplyVerdict(Reason.DUPLICATE, "words")

    assert check_duplicate(verdict, starts, 100) == ReplyVerdict(reason, "words")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"status":"x","error":"a \\u003e \\"b\\""}', 'a > "b"'),
        ('{"error":"first"}{"error":"second"}', "first"),
        ('text in front\n{"error":"late"}', "late"),
        ('{"error":"bad \\x"}', '"bad \\x"'),
        ("plain\n", "plain"),
        ("x" * 5000, "x" * 2000),
        ('{"error":"' + "y" * 5000 + '"}', "y" * 2000),
    ],
)
def test_the_servers_message_is_found_in_malformed_answers(text: str, words: str) -> None:
    """Two documents, text in front, bad escapes, too long text: the first message is used."""
    assert server_message(text) == words


@pytest.mark.parametrize(
    ("starts", "reason"),
    [([100], Reason.STORED_BEFORE), ([50], Reason.AFTER_FLUSH), ([], Reason.AFTER_FLUSH)],
)
def test_a_start_that_can_be_cached_is_no_conflict(starts: list[int], reason: Reason) -> None:
    """While the server's cache can have this start, another run in the list proves no conflict."""
    verdict = ReplyVerdict(Reason.DUPLICATE)

    assert check_duplicate(verdict, starts, 100, maybe_cached=True).reason is reason


def test_every_reason_has_an_outcome_and_a_hint() -> None:
    """No two reasons are aliases of each other, and each hint is different."""
    assert len({reason.hint for reason in Reason}) == len(list(Reason.__members__))
    assert {reason.outcome for reason in Reason} == set(Outcome)
    assert ReplyVerdict(Reason.CREATED).hint == "stored"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        *((status, "") for status in (301, 401, 402, 403, 404, 405, 406, 410, 413, 418, 451)),
        *((status, "<h1>no</h1>") for status in (200, 400, 422, 429, 500, 501, 503, 507, 521)),
        (500, ""),
        (404, '{"error":"the requested endpoint does not exist","status":"x"}'),
    ],
)
def test_an_answer_that_a_proxy_can_send_is_recognised(status: int, text: str) -> None:
    """An empty 404, an HTML page or an unknown path can come from a proxy."""
    assert classify(ApiCall.START, status, text).may_be_in_front


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.TIMED_OUT, Fault.BROKEN])
def test_a_connection_fault_is_not_taken_for_a_proxys_answer(fault: Fault) -> None:
    """`may_be_in_front` is false if cc-backend is unreachable, times out or hangs up."""
    assert not classify_fault(fault).may_be_in_front


@pytest.mark.parametrize(
    ("call", "status", "words"),
    [
        (ApiCall.START, 400, "no such cluster: x"),
        (ApiCall.START, 400, "parsing request body failed"),
        (ApiCall.STOP, 422, "job has already been stopped"),
        (ApiCall.STOP, 500, "database is locked"),
    ],
)
def test_an_error_of_cc_backend_is_not_taken_for_a_proxys_answer(
    call: ApiCall, status: int, words: str
) -> None:
    """No proxy writes an error such as `no such cluster: x`."""
    assert not classify(call, status, json.dumps({"status": "x", "error": words})).may_be_in_front


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ('{"status":"Bad Request","error":"x"}', True),
        ('text in front\n{"status":"x","error":"y"}', True),
        ('{"status":"x","error":"y"}{"status":"x","error":"y"}', True),
        ('{"data":null,"errors":[]}', True),
        ("", False),
        ("null", False),
        ('{"error":"y"}', False),
        ('{"status":400,"error":"y"}', False),
        ('{"errors":[]}', False),
        ("{" * 100_000, False),
        ("[" * 100_000, False),
    ],
)
def test_an_error_of_cc_backend_is_recognised_by_its_fields(text: str, *, own: bool) -> None:
    """REST: `status` and `error`, both text. GraphQL: `errors` beside `data`."""
    assert own is is_own_error(text)
