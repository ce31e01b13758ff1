"""What an answer of cc-backend can mean: the outcomes, and the reasons with their hints.

Every outcome follows from the reason, and every reason has a hint for the administrator.
`ccbackend.answer_rules` decides which reason an answer has.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


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
    NATS_ON = Outcome.DELIVERED, "the server takes jobs by NATS"
    STORED_BEFORE = Outcome.ALREADY_THERE, "this run was stored before"
    STOPPED_BEFORE = Outcome.ALREADY_THERE, "the run was stopped before"
    NOTHING_TO_DELETE = Outcome.ALREADY_THERE, "there is no such run to delete"
    QUEUED = Outcome.CONFIRM, "cc-backend 1.4.0 and 1.4.1 only queue a start: look it up"
    PUBLISHED = Outcome.CONFIRM, "published by NATS; cc-backend does not list it yet"
    WRONG_DIALECT = (
        Outcome.AMEND,
        "the server expects the other sharing field (shared or exclusive)",
    )
    END_BEFORE_START = Outcome.AMEND, "the end must be after the start"
    STATE_UNKNOWN = Outcome.AMEND, "the server does not know this end state: send failed"
    METADATA_TOO_LARGE = Outcome.AMEND, "shorten jobScript, then slurmInfo"
    UNKNOWN_RUN = Outcome.NEEDS_START, "the server does not know this run: start it, then stop it"
    DUPLICATE = Outcome.CONFLICT, "a run of this job id is stored already: look up which"
    UNKNOWN_RUN_YET = Outcome.LATER, "the start may still be queued: repeat after some seconds"
    AFTER_FLUSH = Outcome.LATER, "the run is in the server's job cache: wait for its next flush"
    UNKNOWN_HOST = (
        Outcome.LATER,
        "add the host to cluster.json of cc-backend and restart cc-backend",
    )
    UNKNOWN_CLUSTER_ALONE = Outcome.LATER, "the server does not know this cluster, it knows others"
    SWALLOWED = (
        Outcome.LATER,
        "rejected without a message: see the server's log (unknown host or cluster, bad value)",
    )
    # An empty 500 may also come from a proxy. So PANIC and UNEXPECTED count as failures of unknown
    # cause (`spool.deliver.backend_health`), until other runs are accepted meanwhile.
    PANIC = Outcome.LATER, "the server crashed on this request: see its log"
    ARCHIVE_UNREADABLE = Outcome.LATER, "the job list failed: an archived job may be unreadable"
    QUERY_FAILED = Outcome.LATER, "the query failed, so there is no job list"
    UNEXPECTED = (
        Outcome.LATER,
        "no known cc-backend gives this answer: check what is in front of it",
    )
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
    BROKER_AWAY = (
        Outcome.RETRY,
        "cannot connect to the NATS broker: check nats.servers and that it is running",
    )
    BROKER_LOST = Outcome.RETRY, "the connection to the NATS broker broke: the outcome is unknown"
    NO_SUBSCRIBER = (
        Outcome.RETRY,
        "cc-backend does not subscribe to nats.subject and will not by itself: restart it",
    )
    BAD_VALUE = Outcome.REJECTED, "the database rejects a value of this request"
    BAD_REQUEST = Outcome.REJECTED, "the server rejects this request"
    PAYLOAD_TOO_LARGE = (
        Outcome.REJECTED,
        "too large for the NATS broker even without texts: raise the broker's max_payload",
    )
    FEATURE_ABSENT = Outcome.REJECTED, "this server does not have this call (it is too old)"
    TOKEN_EXPIRED = Outcome.HALT, "the token has expired: write a new one to the token file"
    TOKEN_EARLY = Outcome.HALT, "the token is not valid yet: compare the clocks"
    ADDRESS_REFUSED = Outcome.HALT, "add this host to the server's list of allowed addresses"
    ROLE_REFUSED = Outcome.HALT, "the token's account needs exactly the role api"
    TOKEN_REFUSED = Outcome.HALT, "the server refuses the token, or its account lacks the role api"
    TOKEN_UNREADABLE = Outcome.HALT, "the token file cannot be used"
    NO_TOKENS = Outcome.HALT, "the server fails on every token: check its JWT keys"
    REDIRECTED = Outcome.HALT, "the base URL is wrong: no redirect is followed"
    WRONG_URL = Outcome.HALT, "the base URL is wrong, or this server lacks the path"
    API_OFF = (
        Outcome.HALT,
        "the REST job API is off (NATS mode): set nats.mode to transport; or the base URL is wrong",
    )
    REST_MODE = (
        Outcome.HALT,
        "cc-backend takes jobs by REST: remove nats.mode transport, or set its main.api-subjects",
    )
    BROKER_REFUSED = (
        Outcome.HALT,
        "the NATS broker refuses user, password or credentials: correct them here or at the broker",
    )
    PUBLISH_REFUSED = (
        Outcome.HALT,
        "the NATS user needs the permission to publish nats.subject and to subscribe to _INBOX.>",
    )
    BROKER_TLS = (
        Outcome.HALT,
        "no TLS with the NATS broker: check nats.ca_file, cert_file, key_file and the host names",
    )
    NATS_FILE = Outcome.HALT, "a file named in the configuration's section nats cannot be used"
    # All runs have the same name. Where partitions are clusters of their own, it is adjusted to
    # UNKNOWN_CLUSTER_ALONE (`spool.deliver.request_builder`).
    UNKNOWN_CLUSTER = Outcome.HALT, "the cluster's name differs from that in the server's files"
    CERTIFICATE = (
        Outcome.HALT,
        "the server's certificate is not trusted: install its CA, or name it in ca_file",
    )
    NO_TLS = Outcome.HALT, "no TLS on this port: check scheme (https or http) and port of the URL"
    TLS_REFUSED = (
        Outcome.HALT,
        "no common TLS settings: compare versions, ciphers, client certificates",
    )
    CA_FILE = Outcome.HALT, "ca_file cannot be used: name a readable file of certificates (PEM)"

    def __init__(self, outcome: Outcome, hint: str) -> None:
        self.outcome = outcome
        self.hint = hint


NATS_FAILURES = frozenset(
    {
        *(Reason.REST_MODE, Reason.BROKER_AWAY, Reason.BROKER_LOST, Reason.NO_SUBSCRIBER),
        *(Reason.BROKER_REFUSED, Reason.PUBLISH_REFUSED, Reason.BROKER_TLS, Reason.NATS_FILE),
    }
)
"""Why no message reaches a server in NATS mode, whatever the run."""


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
