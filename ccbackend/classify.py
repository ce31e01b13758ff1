"""Decide what an answer of cc-backend means: one pure function over one closed table.

The first row that fits counts; texts are searched case-sensitively in the answer and in its decoded
error. Every outcome follows from the reason, and every reason has a hint for the administrator.
Source: cc-backend v1.0.0 ... v1.5.4, sources and recorded answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from ccbackend.errors import Fault, is_json, is_own_error, server_message
from ccbackend.version import FIRST_WITH_SHARED, QUEUEING_VERSIONS, Version


class ApiCall(StrEnum):
    """Which call of the API was made."""

    START = "start"
    STOP = "stop"
    DELETE = "delete"
    NODESTATE = "nodestate"
    LISTING = "listing"
    CLUSTERS = "clusters"
    GRAPHQL = "graphql"
    EDIT_META = "edit_meta"
    JOB_API = "job_api"


class Outcome(StrEnum):
    """What is to be done after an answer. This list is closed."""

    DELIVERED = "delivered"  # done
    ALREADY_THERE = "already_there"  # done before
    CONFIRM = "confirm"  # accepted, to be confirmed by a look-up
    AMEND = "amend"  # change the request as the reason says and resend, once
    NEEDS_START = "needs_start"  # the server does not know the run: start first
    CONFLICT = "conflict"  # another run of the job id is stored: look up, then `check_duplicate`
    LATER = "later"  # this run has to wait: try it again rarely
    RETRY = "retry"  # the server fails, or the outcome is unknown: back off, resend
    REJECTED = "rejected"  # never acceptable: a dead letter
    HALT = "halt"  # nothing can be delivered until an administrator acts


class Reason(Enum):
    """Why an answer means what it means: outcome and hint; one or more rows of the table each."""

    CREATED = Outcome.DELIVERED, "stored"
    TAGS_MISSING = Outcome.DELIVERED, "stored, but its tags were not"
    STOPPED = Outcome.DELIVERED, "stopped"
    DELETED = Outcome.DELIVERED, "deleted"
    NODES_TAKEN = Outcome.DELIVERED, "node states accepted, without guarantee"
    LISTED = Outcome.DELIVERED, "a listing"
    EDITED = Outcome.DELIVERED, "the metadata was changed"
    EDITED_UNARCHIVED = Outcome.DELIVERED, "the metadata was changed, but not in the job archive"
    JOB_API_ON = Outcome.DELIVERED, "the server takes jobs by REST"
    STORED_BEFORE = Outcome.ALREADY_THERE, "this very run was stored before"
    STOPPED_BEFORE = Outcome.ALREADY_THERE, "the run was stopped before"
    NOTHING_TO_DELETE = Outcome.ALREADY_THERE, "there is no such run to delete"
    QUEUED = Outcome.CONFIRM, "cc-backend 1.4.0 and 1.4.1 only queue a start: look it up"
    WRONG_DIALECT = Outcome.AMEND, "the server is of the other generation: use its sharing field"
    END_BEFORE_START = Outcome.AMEND, "the end must lie after the start"
    STATE_UNKNOWN = Outcome.AMEND, "the server does not know this end state: send failed"
    METADATA_TOO_LARGE = Outcome.AMEND, "shorten jobScript, then slurmInfo"
    UNKNOWN_RUN = Outcome.NEEDS_START, "the server does not know this run: start it, then stop it"
    DUPLICATE = Outcome.CONFLICT, "a run of this job id is stored already: look up which"
    UNKNOWN_RUN_YET = Outcome.LATER, "the start may still be queued: repeat after some seconds"
    AFTER_FLUSH = Outcome.LATER, "the run is in the server's job cache: wait for its next flush"
    UNKNOWN_HOST = Outcome.LATER, "add the host to cluster.json of the server, restart it"
    UNKNOWN_CLUSTER_ALONE = Outcome.LATER, "the server does not know this cluster, it knows others"
    PANIC = Outcome.LATER, "the server crashed on this request: see its log"
    ARCHIVE_UNREADABLE = Outcome.LATER, "the listing failed: an archived job may be unreadable"
    QUERY_FAILED = Outcome.LATER, "the query failed: never an empty listing"
    UNEXPECTED = Outcome.LATER, "no known cc-backend answers so: check what is in front of it"
    DATABASE = Outcome.RETRY, "the server's database is locked or failing"
    BUSY = Outcome.RETRY, "the server or a proxy in front of it is not ready"
    NOT_THE_API = (
        Outcome.RETRY,
        "not an answer of cc-backend: check the URL and what is in front of it",
    )
    UNREACHABLE = (
        Outcome.RETRY,
        "cannot connect to the server: check its address and that it is running",
    )
    TIMED_OUT = Outcome.RETRY, "no answer in time: the outcome is unknown"
    BROKEN = Outcome.RETRY, "the connection broke: the outcome is unknown"
    BAD_VALUE = Outcome.REJECTED, "the database refuses a value of this request"
    BAD_REQUEST = Outcome.REJECTED, "the server refuses this request"
    FEATURE_ABSENT = Outcome.REJECTED, "this server does not have this call (it is too old)"
    TOKEN_EXPIRED = Outcome.HALT, "the token has expired: put a new one into the token file"
    TOKEN_EARLY = Outcome.HALT, "the token is not valid yet: compare the clocks"
    ADDRESS_REFUSED = Outcome.HALT, "add this host to the server's list of allowed addresses"
    ROLE_REFUSED = Outcome.HALT, "the token's account needs exactly the role api"
    TOKEN_REFUSED = Outcome.HALT, "the server refuses the token, or its account lacks the role api"
    TOKEN_UNREADABLE = Outcome.HALT, "the token file cannot be used"
    NO_TOKENS = Outcome.HALT, "the server fails on every token: check its JWT keys"
    REDIRECTED = Outcome.HALT, "the base URL is wrong: no redirect is followed"
    WRONG_URL = Outcome.HALT, "the base URL is wrong, or this server lacks the path"
    API_OFF = Outcome.HALT, "the REST job API is off (NATS mode), or the base URL is wrong"
    UNKNOWN_CLUSTER = Outcome.HALT, "the cluster's name differs from that in the server's files"
    CERTIFICATE = Outcome.HALT, "the server's certificate is not trusted: check ca_file and URL"
    NO_TLS = Outcome.HALT, "no TLS on this port: check scheme (https or http) and port of the URL"
    TLS_REFUSED = Outcome.HALT, "no TLS in common: compare versions, ciphers, client certificates"
    CA_FILE = Outcome.HALT, "ca_file cannot be used: name a readable file of certificates (PEM)"

    def __init__(self, outcome: Outcome, hint: str) -> None:
        self.outcome = outcome
        self.hint = hint


@dataclass(frozen=True, slots=True)
class ReplyVerdict:
    """What an answer means. `message` holds the server's words, unescaped; may be empty."""

    reason: Reason
    message: str = ""

    @property
    def outcome(self) -> Outcome:
        """What is to be done: one of the closed list."""
        return self.reason.outcome

    @property
    def hint(self) -> str:
        """What an administrator should know or do."""
        return self.reason.hint

    @property
    def may_be_in_front(self) -> bool:
        """Whether a firewall or proxy in front of cc-backend may give this answer to one body.

        Such an answer says nothing about the server until another request gets the same one.
        """
        return self.reason in _MAY_BE_IN_FRONT


# What a web application firewall or a proxy can say to one request while others pass: statuses of
# 401, 403, 404, 405, 413 and 3xx, of an overload, an empty 500, pages, and statuses not known here.
# A connection that failed is none of these.
_MAY_BE_IN_FRONT = frozenset(
    {
        *(Reason.TOKEN_EXPIRED, Reason.TOKEN_EARLY, Reason.ADDRESS_REFUSED, Reason.ROLE_REFUSED),
        *(Reason.TOKEN_REFUSED, Reason.REDIRECTED, Reason.WRONG_URL, Reason.API_OFF),
        *(Reason.METADATA_TOO_LARGE, Reason.BUSY, Reason.PANIC),
        *(Reason.NOT_THE_API, Reason.UNEXPECTED),
    }
)


@dataclass(frozen=True, slots=True)
class _Row:
    """One row: calls (empty: any), statuses, then texts of which one, all, none must occur."""

    reason: Reason
    statuses: tuple[int, ...]
    calls: tuple[ApiCall, ...] = ()
    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()

    def fits(self, call: ApiCall, status: int, text: str) -> bool:
        return (
            status in self.statuses
            and (not self.calls or call in self.calls)
            and (not self.any_of or any(part in text for part in self.any_of))
            and all(part in text for part in self.all_of)
            and not any(part in text for part in self.none_of)
        )


_S, _P, _D = (ApiCall.START,), (ApiCall.STOP,), (ApiCall.DELETE,)
_N, _L, _C, _G = (ApiCall.NODESTATE,), (ApiCall.LISTING,), (ApiCall.CLUSTERS,), (ApiCall.GRAPHQL,)
_E, _J = (ApiCall.EDIT_META,), (ApiCall.JOB_API,)
_REDIRECT = tuple(range(300, 400))
_REFUSED = (401, 403)
_BUSY = (408, 429, 502, 503, 504)
_SUCCESS = tuple(range(200, 300))
_INSERT = "insert into database failed"
_TOO_LONG = ("Data too long", "Incorrect string value")  # MySQL, up to 1.4.4
_ABSENT = ("404 page not found",)
_RUNNING = "(state is: running)"
_ONLY_RUNNING = "only running jobs can be stopped"
_NO_ROLES = "no or unknown roles"

_ROWS = (
    _Row(Reason.JOB_API_ON, (405,), _J),
    _Row(Reason.API_OFF, (404,), _S + _P + _J, any_of=("endpoint does not exist",)),
    _Row(Reason.FEATURE_ABSENT, (404, 405), _E),
    _Row(Reason.FEATURE_ABSENT, (404,), _N + _C, any_of=_ABSENT),
    _Row(Reason.TOKEN_EXPIRED, _REFUSED, any_of=("expired",)),
    _Row(Reason.TOKEN_EARLY, _REFUSED, any_of=("before issued", "not valid yet")),
    _Row(Reason.ADDRESS_REFUSED, _REFUSED, any_of=("unknown ip", "ApiAllowedIPs")),
    _Row(Reason.ROLE_REFUSED, _REFUSED, any_of=("missing role",)),
    _Row(Reason.TOKEN_REFUSED, _REFUSED),
    _Row(Reason.REDIRECTED, _REDIRECT),
    _Row(Reason.WRONG_URL, (405,)),
    _Row(Reason.METADATA_TOO_LARGE, (413,), _S),
    _Row(Reason.BUSY, _BUSY),
    _Row(Reason.UNKNOWN_RUN, (404, 422), _P, any_of=("finding job failed",)),
    _Row(Reason.WRONG_URL, (404,)),
    _Row(Reason.CREATED, (201,), _S, any_of=('"id":', '"success"')),
    _Row(Reason.QUEUED, (201,), _S, any_of=("triggered",)),
    _Row(Reason.STOPPED, (200,), _P, any_of=('"jobState":',)),
    _Row(Reason.DELETED, (200,), _D, any_of=("Successfully deleted",)),
    _Row(Reason.LISTED, (200,), _L, any_of=('"jobs":',)),
    _Row(Reason.LISTED, (200,), _C, any_of=('"clusters":',)),
    _Row(Reason.NO_TOKENS, (200,), _G, any_of=('"errors":',), all_of=(_NO_ROLES,)),
    _Row(Reason.QUERY_FAILED, (200,), _G, any_of=('"errors":',)),
    _Row(Reason.LISTED, (200,), _G, any_of=('"data":',)),
    _Row(Reason.DUPLICATE, (422,), _S, any_of=("already exists",)),
    _Row(Reason.STOPPED_BEFORE, (422,), _P, any_of=("already been stopped",)),
    _Row(Reason.EDITED, (200,), _E, any_of=('"jobState":',)),
    _Row(Reason.AFTER_FLUSH, (422,), _D + _E, any_of=("finding job failed",)),
    _Row(Reason.BAD_REQUEST, (422,), _G, any_of=('"errors":',)),
    _Row(Reason.WRONG_URL, (400,), any_of=("integer expected in path",)),
    _Row(Reason.WRONG_DIALECT, (400,), _S, ('unknown field "shared"', 'unknown field "exclusive"')),
    _Row(Reason.UNKNOWN_CLUSTER, (400,), _S, any_of=("no such cluster",)),
    _Row(Reason.UNKNOWN_HOST, (400,), _S, ("no subcluster found", "already assigned subcluster")),
    _Row(Reason.STOPPED_BEFORE, (400,), _P, any_of=(_ONLY_RUNNING,), none_of=(_RUNNING,)),
    _Row(Reason.END_BEFORE_START, (400,), _P, any_of=(_RUNNING, "must be larger/equal")),
    _Row(Reason.STATE_UNKNOWN, (400,), _P, ("invalid job state", "invalid requested job state")),
    _Row(Reason.BAD_REQUEST, (400,)),
    _Row(Reason.STORED_BEFORE, (500,), _S, ("UNIQUE constraint", "Duplicate entry"), (_INSERT,)),
    _Row(Reason.BAD_VALUE, (500,), _S, all_of=(_INSERT, "CHECK constraint failed")),
    _Row(Reason.METADATA_TOO_LARGE, (500,), _S, any_of=_TOO_LONG),
    _Row(Reason.TAGS_MISSING, (500,), _S, any_of=("adding tag to new job",)),
    _Row(Reason.AFTER_FLUSH, (500,), _P, any_of=("transferring cached job failed",)),
    _Row(Reason.BAD_VALUE, (500,), _P, any_of=("CHECK constraint",)),
    _Row(Reason.DATABASE, (500,), _S + _P, any_of=('"error',)),
    _Row(Reason.NOT_THE_API, (500,), _S + _P),
    # In 1.5 the database is changed before the archive is found missing (repository/job.go).
    _Row(Reason.DATABASE, (500,), _E, any_of=("failed to fetch", "failed to update")),
    _Row(Reason.EDITED_UNARCHIVED, (500,), _E, any_of=("meta.json", "meta_data")),
    _Row(Reason.NO_TOKENS, (500,), _L, any_of=(_NO_ROLES,)),
    _Row(Reason.BAD_REQUEST, (500,), _L, any_of=("error iterating job rows",)),
    _Row(Reason.ARCHIVE_UNREADABLE, (500,), _L),
    _Row(Reason.UNEXPECTED, _SUCCESS, any_of=('"error',)),
    _Row(Reason.NOT_THE_API, _SUCCESS),
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
    """Return what an answer means.

    `text` is the whole answer, decoded with replacement; `version` None is taken for a new server.
    """
    words = server_message(text)
    reason = _reason(call, status, text, f"{text}\n{words}")
    if reason is Reason.UNKNOWN_RUN and version in QUEUEING_VERSIONS:
        reason = Reason.UNKNOWN_RUN_YET
    old = version is not None and version < FIRST_WITH_SHARED
    if reason is Reason.AFTER_FLUSH and call is ApiCall.DELETE and old:
        reason = Reason.NOTHING_TO_DELETE
    return ReplyVerdict(reason, words)


def classify_fault(fault: Fault, message: str = "") -> ReplyVerdict:
    """Return what a request without a complete answer means."""
    return ReplyVerdict(_FAULTS[fault], message)


def _reason(call: ApiCall, status: int, text: str, haystack: str) -> Reason:
    if not text.strip():
        reason = _reason_of_empty(call, status)
        if reason is not None:
            return reason
    if status in (200, 201) and not is_json(text):
        return Reason.NOT_THE_API  # cut, a login page, a proxy's page
    if status == 400 and not is_own_error(text):  # noqa: PLR2004 - the status itself is the question
        return Reason.UNEXPECTED if is_json(text) else Reason.NOT_THE_API
    fitting = (row.reason for row in _ROWS if row.fits(call, status, haystack))
    return next(fitting, Reason.UNEXPECTED)


def _reason_of_empty(call: ApiCall, status: int) -> Reason | None:
    """Return what an empty answer means; None if its status is enough."""
    if status == 500:  # noqa: PLR2004 - the status itself is the question
        return _PANICS.get(call, Reason.PANIC)
    if status == 200 and call is ApiCall.NODESTATE:  # noqa: PLR2004 - the same
        return Reason.NODES_TAKEN
    return None
