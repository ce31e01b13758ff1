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
    TAGS_MISSING = Outcome.DELIVERED, "the job was stored, but without its tags"
    STOPPED = Outcome.DELIVERED, "stopped"
    DELETED = Outcome.DELIVERED, "deleted"
    NODES_TAKEN = Outcome.DELIVERED, "accepted; cc-backend does not say whether it stored all nodes"
    LISTED = Outcome.DELIVERED, "a listing"
    EDITED = Outcome.DELIVERED, "the metadata was changed"
    EDITED_UNARCHIVED = Outcome.DELIVERED, "the metadata was changed, but not in the job archive"
    JOB_API_ON = Outcome.DELIVERED, "the server accepts jobs by REST"
    NATS_ON = Outcome.DELIVERED, "the server accepts jobs by NATS"
    STORED_BEFORE = Outcome.ALREADY_THERE, "the server already has this run"
    STOPPED_BEFORE = Outcome.ALREADY_THERE, "this run is already stopped at the server"
    NOTHING_TO_DELETE = Outcome.ALREADY_THERE, "the server has no such run, so none is deleted"
    QUEUED = Outcome.CONFIRM, "queued by cc-backend 1.4; the drain waits until it lists the job"
    PUBLISHED = Outcome.CONFIRM, "published by NATS; the drain waits until cc-backend lists the job"
    WRONG_DIALECT = (
        Outcome.AMEND,
        "the server expects the other field for node sharing; it is sent again with that one",
    )
    END_BEFORE_START = Outcome.AMEND, "the end time must be after the start time"
    STATE_UNKNOWN = Outcome.AMEND, "the server does not know this end state; failed is sent instead"
    METADATA_TOO_LARGE = Outcome.AMEND, "the request is too large; it is sent again, shortened"
    UNKNOWN_RUN = Outcome.NEEDS_START, "the server does not have this run; its start is sent first"
    DUPLICATE = Outcome.CONFLICT, "the server has a run of this job id; the drain checks which one"
    UNKNOWN_RUN_YET = Outcome.LATER, "the server may not have stored the start yet; retried soon"
    AFTER_FLUSH = Outcome.LATER, "the run is still in the server's job cache; retried later"
    UNKNOWN_HOST = (
        Outcome.LATER,
        "add the host to cluster.json of cc-backend and restart cc-backend",
    )
    UNKNOWN_CLUSTER_ALONE = Outcome.LATER, "the server does not have this cluster, but has others"
    SWALLOWED = (
        Outcome.LATER,
        "rejected without a reason: see the server's log (unknown host or cluster, invalid value)",
    )
    # An empty 500 may also come from a proxy. So PANIC and UNEXPECTED count as failures of unknown
    # cause (`spool.deliver.backend_health`), until other runs are accepted meanwhile.
    PANIC = Outcome.LATER, "the server crashed on this request: see its log"
    ARCHIVE_UNREADABLE = (
        Outcome.LATER,
        "the server cannot list its jobs (an archived job may be unreadable): see its log",
    )
    QUERY_FAILED = Outcome.LATER, "the server cannot list its jobs: see its log"
    UNEXPECTED = (
        Outcome.LATER,
        "no known version of cc-backend gives this answer: check proxies in front of it",
    )
    DATABASE = Outcome.RETRY, "the server's database is locked or fails: see the server's log"
    BUSY = Outcome.RETRY, "the server or a proxy in front of it is not ready; it is retried"
    NOT_THE_API = (
        Outcome.RETRY,
        "not an answer of cc-backend: check the URL, and proxies in front of cc-backend",
    )
    UNREACHABLE = (
        Outcome.RETRY,
        "cannot connect to the server: check its address and that it is running",
    )
    TIMED_OUT = Outcome.RETRY, "the request timed out; it is retried"
    BROKEN = Outcome.RETRY, "the connection broke during the request; it is retried"
    BROKER_AWAY = (
        Outcome.RETRY,
        "cannot connect to the NATS broker: check nats.servers and that it is running",
    )
    BROKER_LOST = Outcome.RETRY, "the connection to the NATS broker broke; the message is retried"
    NO_SUBSCRIBER = (
        Outcome.RETRY,
        "cc-backend does not subscribe to nats.subject: restart cc-backend",
    )
    BAD_VALUE = Outcome.REJECTED, "the server's database rejects a value: see the server's log"
    BAD_REQUEST = Outcome.REJECTED, "the server rejects this request"
    PAYLOAD_TOO_LARGE = (
        Outcome.REJECTED,
        "too large for the NATS broker, even without script: raise the broker's max_payload",
    )
    FEATURE_ABSENT = Outcome.REJECTED, "this version of cc-backend does not support this request"
    TOKEN_EXPIRED = Outcome.HALT, "the token has expired: write a new one to the token file"
    TOKEN_EARLY = Outcome.HALT, "the token is not valid yet: compare the clocks of both hosts"
    ADDRESS_REFUSED = (
        Outcome.HALT,
        "the server refuses this host: add it to the server's list of allowed addresses",
    )
    ROLE_REFUSED = Outcome.HALT, "the token's account must have the role api, and no other role"
    TOKEN_REFUSED = (
        Outcome.HALT,
        "the server refuses the token: create a new one for an account with the role api",
    )
    TOKEN_UNREADABLE = Outcome.HALT, "the token file cannot be used"
    NO_TOKENS = Outcome.HALT, "the server cannot verify any token: check its JWT keys"
    REDIRECTED = Outcome.HALT, "the server redirects to another URL: correct cc-backend.host"
    WRONG_URL = Outcome.HALT, "there is no cc-backend at this URL: correct cc-backend.host"
    API_OFF = (
        Outcome.HALT,
        "cc-backend accepts jobs only by NATS: set nats.mode to transport, or correct the URL",
    )
    REST_MODE = (
        Outcome.HALT,
        "cc-backend accepts jobs by REST: remove nats.mode here, or set main.api-subjects there",
    )
    BROKER_REFUSED = (
        Outcome.HALT,
        "the NATS broker refuses user, password or credentials: correct them here or at the broker",
    )
    PUBLISH_REFUSED = (
        Outcome.HALT,
        "the NATS user must be allowed to publish to nats.subject and to subscribe to _INBOX.>",
    )
    BROKER_TLS = (
        Outcome.HALT,
        "TLS with the NATS broker failed: check nats.ca_file, cert_file, key_file, the host names",
    )
    NATS_FILE = Outcome.HALT, "a file in section nats of the configuration cannot be used"
    # All runs have the same name. Where partitions are clusters of their own, it is adjusted to
    # UNKNOWN_CLUSTER_ALONE (`spool.deliver.request_builder`).
    UNKNOWN_CLUSTER = (
        Outcome.HALT,
        "the server does not have this cluster: correct clustername, or add it to cc-backend",
    )
    CERTIFICATE = (
        Outcome.HALT,
        "the server's certificate is not trusted: install its CA, or set cc-backend.ca_file",
    )
    NO_TLS = Outcome.HALT, "the server's port has no TLS: check scheme and port of cc-backend.host"
    TLS_REFUSED = (
        Outcome.HALT,
        "the TLS handshake failed: compare versions, ciphers and client certificates",
    )
    CA_FILE = (
        Outcome.HALT,
        "cc-backend.ca_file cannot be used: set it to a readable PEM file of certificates",
    )

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
