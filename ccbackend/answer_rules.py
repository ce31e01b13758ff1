"""Decide what an answer of cc-backend means: one pure function over one closed table.

The first rule that fits counts; texts are searched case-sensitively, in the answer and in its
decoded error. Source: cc-backend v1.0.0 ... v1.5.4, sources and recorded answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ccbackend.errors import Fault, is_json, is_own_error, server_message
from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.version import FIRST_WITH_SHARED, QUEUEING_VERSIONS, Version


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule of the table: calls (empty: any), statuses, and texts (any, all, none must occur)."""

    reason: Reason
    statuses: tuple[int, ...]
    calls: tuple[ApiCall, ...] = ()
    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()

    def fits(self, call: ApiCall, status: int, contains: Callable[[str], bool]) -> bool:
        return (
            status in self.statuses
            and (not self.calls or call in self.calls)
            and (not self.any_of or any(map(contains, self.any_of)))
            and all(map(contains, self.all_of))
            and not any(map(contains, self.none_of))
        )


_S, _P, _D = (ApiCall.START,), (ApiCall.STOP,), (ApiCall.DELETE,)
_N, _L, _C, _G = (ApiCall.NODESTATE,), (ApiCall.LISTING,), (ApiCall.CLUSTERS,), (ApiCall.GRAPHQL,)
_E, _J = (ApiCall.EDIT_META,), (ApiCall.JOB_API,)
_OK, _BAD_REQUEST, _SERVER_ERROR = 200, 400, 500
_REDIRECT = tuple(range(300, 400))
_REFUSED = (401, 403)
_BUSY = (408, 429, 502, 503, 504)
_SUCCESS = tuple(range(200, 300))
_INSERT = "insert into database failed"
_TOO_LONG = ("Data too long", "Incorrect string value")  # MySQL, up to 1.4.4
_ABSENT = ("404 page not found",)
_SHARING_FIELDS = ('unknown field "shared"', 'unknown field "exclusive"')
_RUNNING = "(state is: running)"
_ONLY_RUNNING = "only running jobs can be stopped"
_NO_ROLES = "no or unknown roles"

# A text is only as long as all versions write it: what follows differs in blanks, quotes and names
# of tables.
_RULES = (
    # The router alone answers these: in NATS mode (>= 1.5.0) start_job and stop_job do not exist.
    # Before the other 404s, because the job is not unknown.
    _Rule(Reason.JOB_API_ON, (405,), _J),
    _Rule(Reason.API_OFF, (404,), _S + _P + _J, any_of=("endpoint does not exist",)),
    # Calls that came later: clusters 1.3.0, node states and edit_meta by tuple 1.5.0.
    _Rule(Reason.FEATURE_ABSENT, (404, 405), _E),
    _Rule(Reason.FEATURE_ABSENT, (404,), _N + _C, any_of=_ABSENT),
    # Expired and early tokens are refused in the words of the JWT library. Up to 1.2.2 a token of a
    # host whose clock is ahead is early (`iat`). The list of addresses guards the job API from
    # 1.4.4 on.
    _Rule(Reason.TOKEN_EXPIRED, _REFUSED, any_of=("expired",)),
    _Rule(Reason.TOKEN_EARLY, _REFUSED, any_of=("before issued", "not valid yet")),
    _Rule(Reason.ADDRESS_REFUSED, _REFUSED, any_of=("unknown ip", "ApiAllowedIPs")),
    _Rule(Reason.ROLE_REFUSED, _REFUSED, any_of=("missing role",)),
    _Rule(Reason.TOKEN_REFUSED, _REFUSED),
    _Rule(Reason.REDIRECTED, _REDIRECT),
    _Rule(Reason.WRONG_URL, (405,)),
    # From a proxy, as all of the next rule: cc-backend limits neither size nor rate.
    _Rule(Reason.METADATA_TOO_LARGE, (413,), _S),
    _Rule(Reason.BUSY, _BUSY),
    # 422 up to 1.4.4, 404 from 1.5.0. Before the 404 of a wrong URL.
    _Rule(Reason.UNKNOWN_RUN, (404, 422), _P, any_of=("finding job failed",)),
    _Rule(Reason.WRONG_URL, (404,)),
    _Rule(Reason.CREATED, (201,), _S, any_of=('"id":', '"success"')),
    _Rule(Reason.QUEUED, (201,), _S, any_of=("triggered",)),
    _Rule(Reason.STOPPED, (200,), _P, any_of=('"jobState":',)),
    _Rule(Reason.DELETED, (200,), _D, any_of=("Successfully deleted",)),
    _Rule(Reason.LISTED, (200,), _L, any_of=('"jobs":',)),
    _Rule(Reason.LISTED, (200,), _C, any_of=('"clusters":',)),
    # GraphQL reports errors with status 200: such an answer is never an empty list.
    _Rule(Reason.NO_TOKENS, (200,), _G, any_of=('"errors":',), all_of=(_NO_ROLES,)),
    _Rule(Reason.QUERY_FAILED, (200,), _G, any_of=('"errors":',)),
    _Rule(Reason.LISTED, (200,), _G, any_of=('"data":',)),
    # 422 does not say which run is stored: this one, one that began less than a day before it, or
    # any later one.
    _Rule(Reason.DUPLICATE, (422,), _S, any_of=("already exists",)),
    _Rule(Reason.STOPPED_BEFORE, (422,), _P, any_of=("already been stopped",)),
    _Rule(Reason.EDITED, (200,), _E, any_of=('"jobState":',)),
    # A row in the job cache (>= 1.5.0) is invisible to these two calls.
    _Rule(Reason.AFTER_FLUSH, (422,), _D + _E, any_of=("finding job failed",)),
    _Rule(Reason.BAD_REQUEST, (422,), _G, any_of=('"errors":',)),
    _Rule(Reason.WRONG_URL, (400,), any_of=("integer expected in path",)),
    _Rule(Reason.WRONG_DIALECT, (400,), _S, any_of=_SHARING_FIELDS),
    _Rule(Reason.UNKNOWN_CLUSTER, (400,), _S, any_of=("no such cluster",)),
    _Rule(Reason.UNKNOWN_HOST, (400,), _S, ("no subcluster found", "already assigned subcluster")),
    # Up to 1.4.2 one text says both: not running any more, or an end before the start. From 1.4.0
    # on it names the state.
    _Rule(Reason.STOPPED_BEFORE, (400,), _P, any_of=(_ONLY_RUNNING,), none_of=(_RUNNING,)),
    _Rule(Reason.END_BEFORE_START, (400,), _P, any_of=(_RUNNING, "must be larger/equal")),
    _Rule(Reason.STATE_UNKNOWN, (400,), _P, ("invalid job state", "invalid requested job state")),
    _Rule(Reason.BAD_REQUEST, (400,)),
    # The same start once more, while the first one is in the job cache (>= 1.5.0): it is stored.
    _Rule(Reason.STORED_BEFORE, (500,), _S, ("UNIQUE constraint", "Duplicate entry"), (_INSERT,)),
    _Rule(Reason.BAD_VALUE, (500,), _S, all_of=(_INSERT, "CHECK constraint failed")),
    _Rule(Reason.METADATA_TOO_LARGE, (500,), _S, any_of=_TOO_LONG),
    # Tags are added after the insert: the job exists. Sent again it would be a duplicate.
    _Rule(Reason.TAGS_MISSING, (500,), _S, any_of=("adding tag to new job",)),
    # A row both in the cache and in the table blocks its stop until the next flush.
    _Rule(Reason.AFTER_FLUSH, (500,), _P, any_of=("transferring cached job failed",)),
    _Rule(Reason.BAD_VALUE, (500,), _P, any_of=("CHECK constraint",)),
    _Rule(Reason.DATABASE, (500,), _S + _P, any_of=('"error',)),
    _Rule(Reason.NOT_THE_API, (500,), _S + _P),
    # In 1.5 the database is changed before the archive is found missing (repository/job.go).
    _Rule(Reason.DATABASE, (500,), _E, any_of=("failed to fetch", "failed to update")),
    _Rule(Reason.EDITED_UNARCHIVED, (500,), _E, any_of=("meta.json", "meta_data")),
    _Rule(Reason.NO_TOKENS, (500,), _L, any_of=(_NO_ROLES,)),
    _Rule(Reason.BAD_REQUEST, (500,), _L, any_of=("error iterating job rows",)),
    # For each archived job a list by REST reads a file; a missing one fails the whole list.
    _Rule(Reason.ARCHIVE_UNREADABLE, (500,), _L),
    _Rule(Reason.UNEXPECTED, _SUCCESS, any_of=('"error',)),
    _Rule(Reason.NOT_THE_API, _SUCCESS),
)

# A handler that panics answers 500 with an empty body.
_PANICS = {ApiCall.LISTING: Reason.NO_TOKENS, ApiCall.EDIT_META: Reason.EDITED_UNARCHIVED}
_FAULTS = {
    Fault.UNREACHABLE: Reason.UNREACHABLE,
    Fault.TIMED_OUT: Reason.TIMED_OUT,
    Fault.BROKEN: Reason.BROKEN,
    Fault.TOO_LARGE: Reason.NOT_THE_API,
    Fault.CERTIFICATE: Reason.CERTIFICATE,
    Fault.NO_TLS: Reason.NO_TLS,
    Fault.TLS: Reason.TLS_REFUSED,
    Fault.CA_FILE: Reason.CA_FILE,
}


def classify(call: ApiCall, status: int, text: str, version: Version | None = None) -> ReplyVerdict:
    """Return the verdict on an answer: its reason and cc-backend's message.

    `text` is the whole answer, decoded with replacement; `version` None counts as a new server.
    """
    words = server_message(text)
    reason = _reason(call, status, text, words)
    # Their 201 means *queued*: a stop right behind its start finds no row yet (cc-backend issue
    # 316).
    if reason is Reason.UNKNOWN_RUN and version in QUEUEING_VERSIONS:
        reason = Reason.UNKNOWN_RUN_YET
    old = version is not None and version < FIRST_WITH_SHARED
    if reason is Reason.AFTER_FLUSH and call is ApiCall.DELETE and old:
        reason = Reason.NOTHING_TO_DELETE
    return ReplyVerdict(reason, words)


def classify_fault(fault: Fault, message: str = "") -> ReplyVerdict:
    """Return the verdict on a request that got no complete answer."""
    return ReplyVerdict(_FAULTS[fault], message)


def _reason(call: ApiCall, status: int, text: str, words: str) -> Reason:
    if not text.strip():
        reason = _reason_of_empty(call, status)
        if reason is not None:
            return reason
    # `requests` returns an answer that was cut after its status line as a 201 without an error.
    if status in (200, 201) and not _is_whole(call, text):
        return Reason.NOT_THE_API  # cut, a login page, a proxy's page
    # A TLS port asked without TLS says 400, and so does many a proxy: nothing about the run.
    if status == _BAD_REQUEST and not is_own_error(text):
        return Reason.UNEXPECTED if is_json(text) else Reason.NOT_THE_API
    fitting = (
        rule.reason
        for rule in _RULES
        if rule.fits(call, status, lambda part: part in text or part in words)
    )
    return next(fitting, Reason.UNEXPECTED)


def _is_whole(call: ApiCall, text: str) -> bool:
    """Return whether an answer is one JSON document; for GraphQL only whether it may be one.

    A GraphQL answer may be a list of 100 000 jobs. It is decoded only once, by `graphql_rows`,
    which refuses an incomplete one; here only its first and last characters are checked.
    """
    if call is ApiCall.GRAPHQL:
        return text.lstrip().startswith("{") and text.rstrip().endswith("}")
    return is_json(text)


def _reason_of_empty(call: ApiCall, status: int) -> Reason | None:
    """Return what an empty answer means; None: the table decides by the status."""
    if status == _SERVER_ERROR:
        return _PANICS.get(call, Reason.PANIC)
    if status == _OK and call is ApiCall.NODESTATE:
        return Reason.NODES_TAKEN
    return None
