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
    """What to do after an answer; every answer has exactly one of these outcomes."""

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
    """The meaning of an answer, with outcome and hint; `answer_rules` decides which one it is."""

    CREATED = Outcome.DELIVERED, "stored"
    TAGS_MISSING = Outcome.DELIVERED, "the job was stored, but without its tags"
    STOPPED = Outcome.DELIVERED, "stopped"
    DELETED = Outcome.DELIVERED, "deleted"
    NODES_TAKEN = Outcome.DELIVERED, "accepted; cc-backend does not say whether it stored all nodes"
    LISTED = Outcome.DELIVERED, "the answer is a job list"
    EDITED = Outcome.DELIVERED, "the metadata was changed"
    EDITED_UNARCHIVED = Outcome.DELIVERED, "the metadata was changed, but not in the job archive"
    JOB_API_ON = Outcome.DELIVERED, "cc-backend accepts jobs by REST"
    NATS_ON = Outcome.DELIVERED, "cc-backend accepts jobs by NATS"
    STORED_BEFORE = Outcome.ALREADY_THERE, "cc-backend already has this run"
    STOPPED_BEFORE = Outcome.ALREADY_THERE, "cc-backend already shows this run as ended"
    NOTHING_TO_DELETE = (
        Outcome.ALREADY_THERE,
        "cc-backend does not have this run, so there is nothing to delete",
    )
    QUEUED = (
        Outcome.CONFIRM,
        "accepted by cc-backend 1.4; the drain waits until cc-backend's job list shows the job",
    )
    PUBLISHED = (
        Outcome.CONFIRM,
        "published over NATS; the drain waits until cc-backend's job list shows the job",
    )
    WRONG_DIALECT = (
        Outcome.AMEND,
        "cc-backend's field for node sharing differs; the start is sent again with the other one",
    )
    END_BEFORE_START = (
        Outcome.AMEND,
        "cc-backend rejects this stop: the end time must be after the run's start time",
    )
    STATE_UNKNOWN = (
        Outcome.AMEND,
        "cc-backend does not know this end state; the stop is sent again with state failed",
    )
    METADATA_TOO_LARGE = (
        Outcome.AMEND,
        "the request is too large; it is sent again with a shorter script and description",
    )
    UNKNOWN_RUN = (
        Outcome.NEEDS_START,
        "cc-backend does not have this run; the start is sent before the stop",
    )
    DUPLICATE = (
        Outcome.CONFLICT,
        "cc-backend has a run of this job id; the drain checks whether it is the same one",
    )
    UNKNOWN_RUN_YET = (
        Outcome.LATER,
        "cc-backend may not have stored the start yet; the stop is retried soon",
    )
    AFTER_FLUSH = (
        Outcome.LATER,
        "the run is still in cc-backend's job cache; the request is retried later",
    )
    UNKNOWN_HOST = (
        Outcome.LATER,
        "add the host to cluster.json of cc-backend and restart cc-backend",
    )
    UNKNOWN_CLUSTER_ALONE = (
        Outcome.LATER,
        "cc-backend does not have this cluster: add it there, or correct partition_clusters",
    )
    SWALLOWED = (
        Outcome.LATER,
        (
            "rejected, and cc-backend gave no reason; often it does not know the host or cluster,"
            " or a value is invalid: see cc-backend's log"
        ),
    )
    # An empty 500 may also come from a proxy. So PANIC and UNEXPECTED count as failures of unknown
    # cause (`spool.deliver.health_rules`), until other runs are accepted meanwhile.
    PANIC = Outcome.LATER, "cc-backend crashed on this request: see cc-backend's log"
    ARCHIVE_UNREADABLE = (
        Outcome.LATER,
        "cc-backend cannot list its jobs (an archived job may be unreadable): see its log",
    )
    QUERY_FAILED = Outcome.LATER, "cc-backend cannot list its jobs: see its log"
    UNEXPECTED = (
        Outcome.LATER,
        "no known version of cc-backend answers like this: check proxies in front of cc-backend",
    )
    DATABASE = Outcome.RETRY, "cc-backend's database is locked or failing: see cc-backend's log"
    BUSY = (
        Outcome.RETRY,
        "cc-backend or a proxy in front of it is not ready; the request is retried",
    )
    NOT_THE_API = (
        Outcome.RETRY,
        "the answer is not from cc-backend: check cc-backend.host, and proxies in front of it",
    )
    UNREACHABLE = (
        Outcome.RETRY,
        "cannot connect to cc-backend: check cc-backend.host, and that cc-backend is running",
    )
    TIMED_OUT = Outcome.RETRY, "the request to cc-backend timed out; it is retried"
    BROKEN = Outcome.RETRY, "the connection to cc-backend broke during the request; it is retried"
    BROKER_AWAY = (
        Outcome.RETRY,
        "cannot connect to the NATS broker: check nats.servers, and that the broker is running",
    )
    BROKER_LOST = (
        Outcome.RETRY,
        "the connection to the NATS broker broke; the message is sent again",
    )
    NO_SUBSCRIBER = (
        Outcome.RETRY,
        "cc-backend is not subscribed to nats.subject: restart cc-backend",
    )
    BAD_VALUE = (
        Outcome.REJECTED,
        "cc-backend's database rejects a value of the job: see cc-backend's log",
    )
    BAD_REQUEST = Outcome.REJECTED, "cc-backend rejects this request"
    PAYLOAD_TOO_LARGE = (
        Outcome.REJECTED,
        (
            "the job is too large for the NATS broker, even without its script: raise the"
            " broker's max_payload"
        ),
    )
    FEATURE_ABSENT = (
        Outcome.REJECTED,
        (
            "this version of cc-backend does not support this request: update cc-backend if you"
            " need it"
        ),
    )
    TOKEN_EXPIRED = Outcome.HALT, "the token has expired: write a new one to the token file"
    TOKEN_EARLY = Outcome.HALT, "the token is not valid yet: compare the clocks of both hosts"
    ADDRESS_REFUSED = (
        Outcome.HALT,
        (
            "cc-backend refuses this host's address: add it to its list api-allowed-ips (up to"
            " cc-backend 1.4: apiAllowedIPs)"
        ),
    )
    ROLE_REFUSED = (
        Outcome.HALT,
        "create a token for an account with the role api alone, and write it to the token file",
    )
    TOKEN_REFUSED = (
        Outcome.HALT,
        "cc-backend refuses the token: create a new one for an account with the role api",
    )
    TOKEN_UNREADABLE = Outcome.HALT, "the token file cannot be used"
    NO_TOKENS = Outcome.HALT, "cc-backend cannot verify any token: check cc-backend's JWT keys"
    REDIRECTED = Outcome.HALT, "cc-backend redirects to another URL: correct cc-backend.host"
    WRONG_URL = Outcome.HALT, "there is no cc-backend at this URL: correct cc-backend.host"
    API_OFF = (
        Outcome.HALT,
        "cc-backend accepts jobs only by NATS: set nats.mode to transport, or correct the URL",
    )
    REST_MODE = (
        Outcome.HALT,
        (
            "cc-backend accepts jobs only by REST: remove nats.mode here, or set"
            " main.api-subjects there"
        ),
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
        (
            "TLS with the NATS broker failed: check nats.ca_file, nats.cert_file, nats.key_file"
            " and the host names"
        ),
    )
    NATS_FILE = (
        Outcome.HALT,
        (
            "a file named in section nats of the configuration cannot be used: correct its path"
            " or contents"
        ),
    )
    # All runs have the same name. Where partitions are clusters of their own, it is adjusted to
    # UNKNOWN_CLUSTER_ALONE (`spool.deliver.request_builder`).
    UNKNOWN_CLUSTER = (
        Outcome.HALT,
        "cc-backend does not have this cluster: correct clustername, or add the cluster there",
    )
    CERTIFICATE = (
        Outcome.HALT,
        "cc-backend's certificate is not trusted: install its CA, or set cc-backend.ca_file",
    )
    NO_TLS = Outcome.HALT, "cc-backend's port has no TLS: check scheme and port of cc-backend.host"
    TLS_REFUSED = (
        Outcome.HALT,
        "TLS with cc-backend failed: compare TLS versions, ciphers and client certificates",
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
        """What to do after this answer."""
        return self.reason.outcome

    @property
    def hint(self) -> str:
        """What an administrator should know or do."""
        return self.reason.hint

    @property
    def may_be_in_front(self) -> bool:
        """Whether a firewall or proxy may have given this answer because of one request body.

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
