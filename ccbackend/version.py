"""The version of a cc-backend, and the dialect that follows from it.

There is no version endpoint. The footer of the public login page names the version; where it does
not, the shape of the 404 for an unknown path shows the generation (cc-backend v1.0.0 ... v1.5.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_NOT_FOUND = 404
_FOOTER = re.compile(r"\bVersion\s+v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


class Dialect(StrEnum):
    """How a server wants node sharing and end states spelled; nothing else differs."""

    EXCLUSIVE = "exclusive"  # up to 1.4.4: integer field `exclusive`, 8 state names
    SHARED = "shared"  # from 1.5.0: string field `shared`, 12 state names

    @property
    def other(self) -> Dialect:
        """The dialect to try when the server does not know this one."""
        return Dialect.SHARED if self is Dialect.EXCLUSIVE else Dialect.EXCLUSIVE


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A cc-backend release; compares as releases do."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST_WITH_CLUSTERS = Version(1, 3, 0)
FIRST_WITH_SHARED = Version(1, 5, 0)
QUEUEING_VERSIONS = (Version(1, 4, 0), Version(1, 4, 1))


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What is known of the server: its version, None where it does not show it, and its dialect."""

    version: Version | None = None
    dialect: Dialect = Dialect.SHARED

    @property
    def caches_starts(self) -> bool:
        """Whether a stop has to wait for the server's cache to be flushed.

        From 1.5.0, and of an unknown server assumed: a stop that races with the flush can stop
        the wrong job (cc-backend v1.5.4 internal/repository/jobCreate.go:143-172).
        """
        return not (self.version and self.version < FIRST_WITH_SHARED)

    @property
    def has_clusters(self) -> bool:
        """Whether the server can list its clusters (>= 1.3.0); assumed of an unknown new server."""
        if self.version is None:
            return self.dialect is Dialect.SHARED
        return self.version >= FIRST_WITH_CLUSTERS

    @property
    def edits_metadata(self) -> bool:
        """Whether metadata can be added to a run given by id, cluster and start time (>= 1.5.0)."""
        return self.dialect is Dialect.SHARED

    @property
    def takes_node_states(self) -> bool:
        """Whether the server accepts node states (>= 1.5.0); assumed of an unknown new server."""
        return self.dialect is Dialect.SHARED

    @property
    def may_lack_job_api(self) -> bool:
        """Whether the server's REST job API may be off because it takes jobs by NATS (>= 1.5.0)."""
        return self.dialect is Dialect.SHARED

    @property
    def queues_starts(self) -> bool:
        """Whether the server queues a start and refuses a stop right after it (1.4.0, 1.4.1)."""
        return self.version in QUEUEING_VERSIONS


class SharedServerInfo:
    """What is known of the server, shared by all its clients; assignment is atomic."""

    def __init__(self, server: ServerInfo | None = None) -> None:
        self.server = server or ServerInfo()


def server_info(version: Version | None) -> ServerInfo:
    """Return version and dialect of a server; an unknown version counts as >= 1.5.0."""
    old = version is not None and version < FIRST_WITH_SHARED
    return ServerInfo(version, Dialect.EXCLUSIVE if old else Dialect.SHARED)


def version_of_login_page(text: str) -> Version | None:
    """Return the version in the footer of `GET /login`; None if it shows no version."""
    found = _FOOTER.search(text)
    return None if found is None else Version(*map(int, found.groups()))


def dialect_of_404(status: int, text: str) -> Dialect | None:
    """Return the dialect of a server by its 404 for an unknown /api path; None if it shows none.

    From 1.5.0 on the 404 is JSON, without authentication; before, it is text.
    """
    if status != _NOT_FOUND:
        return None
    if "endpoint does not exist" in text:
        return Dialect.SHARED
    return Dialect.EXCLUSIVE if "404 page not found" in text else None
