"""The interface of the composer, which makes requests from runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo
from spool.deliver.pending_run import RequestKind
from spool.files.run import Run


class UnsendableError(Exception):
    """A run from which no valid request can be made; the message says why."""


class Composer(Protocol):
    """The composer of requests from runs, with the maps of the configuration; pure."""

    @property
    def has_several_clusters(self) -> bool:
        """Return whether partitions are reported as separate clusters."""

    def update_clusters(self, clusters: Iterable[Cluster]) -> None:
        """Replace the clusters by those of cc-backend."""

    def cluster(self, run: Run) -> str:
        """Return the cluster's name at cc-backend."""

    def needs_user_name(self, run: Run, waited_seconds: float) -> bool:
        """Return whether a start must still wait for the name of its user."""

    def needs_topology(self, run: Run) -> bool:
        """Return whether a start needs the server's topology, which is not read yet."""

    def needs_newer_topology(self, run: Run) -> bool:
        """Return whether the known topology of the server lacks a host of a run."""

    def exclusion_reason(self, run: Run) -> str | None:
        """Return why a run is excluded; None if it is reported."""

    def edit_document(self, run: Run, text: str) -> Mapping[str, Any] | None:
        """Return the body that adds a text of a run (`script` or `description`) to its row.

        None if the run has none, or the site withholds it.
        """

    def wants_final_description(self, run: Run) -> bool:
        """Return whether the description of a run's end is sent before its stop."""

    def end_edits(
        self, run: Run, kind: RequestKind, server: ServerInfo
    ) -> tuple[Mapping[str, Any], ...]:
        """Return the changes of a row's metadata that are sent just before its stop."""

    def document(
        self, run: Run, kind: RequestKind, server: ServerInfo, *, is_slim: bool = False
    ) -> Mapping[str, Any]:
        """Return the body of a start, stop or delete; `is_slim`: without script and description.

        Raises:
            UnsendableError: the run lacks a fact that every server requires.
        """
