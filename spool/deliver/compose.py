"""Compose requests from runs with the configuration's maps, at the time of sending.

So a corrected map, an upgraded server or a flag set in the meantime also applies to waiting runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ccbackend.errors import PayloadError
from ccbackend.facts import BackendRunKey
from ccbackend.job_filters import JobFilters, exclusion_reason
from ccbackend.metadata import (
    DESCRIPTION_KEY,
    END_KEY,
    SCRIPT_KEY,
    MetadataPolicy,
    end_summary,
    metadata_of,
    withholds_text,
)
from ccbackend.payload import (
    delete_payload,
    edit_meta_payload,
    needs_user_name,
    start_payload,
    stop_payload,
)
from ccbackend.resources import needs_newer_topology, needs_topology
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo
from spool.deliver.pending_run import RequestKind
from spool.escaping import escape
from spool.files.run import Run
from spool.resolve.final_description import final_description

_METADATA_NAMES = {"script": SCRIPT_KEY, "description": DESCRIPTION_KEY}
_log = logging.getLogger(__name__)


class UnsendableError(Exception):
    """A run from which no valid request can be made; the message says why."""


@dataclass
class PayloadComposer:
    """The composer of requests for one site; equal warnings are logged once."""

    site_of: Callable[[Iterable[Cluster] | None], SiteMap]
    metadata: MetadataPolicy
    filters: JobFilters

    def __post_init__(self) -> None:
        self._site = self.site_of(None)
        self._warned: set[str] = set()

    @property
    def has_several_clusters(self) -> bool:
        """Return whether partitions are reported as separate clusters."""
        return bool(self._site.partition_clusters)

    def update_clusters(self, clusters: Iterable[Cluster]) -> None:
        """Replace the clusters by those of cc-backend: hosts and their topology."""
        self._site = self.site_of(clusters)

    def cluster(self, run: Run) -> str:
        """Return the name of a run's cluster at cc-backend; fixed once its start was accepted."""
        return run.cluster or self._site.cluster_of(run.job.partition)

    def needs_user_name(self, run: Run, waited_seconds: float) -> bool:
        """Return whether a start must still wait for the name of its user."""
        return needs_user_name(run.job, self._site, waited_seconds=waited_seconds)

    def needs_topology(self, run: Run) -> bool:
        """Return whether a start needs the server's topology, which is not read yet."""
        return needs_topology(run.job, self._site)

    def needs_newer_topology(self, run: Run) -> bool:
        """Return whether the known topology of the server lacks a host of a run."""
        return needs_newer_topology(run.job, self._site)

    def exclusion_reason(self, run: Run) -> str | None:
        """Return why a run is excluded; None if it is reported."""
        return exclusion_reason(run.job, self.filters, cluster=self.cluster(run))

    def edit_document(self, run: Run, text: str) -> Mapping[str, Any] | None:
        """Return the body that adds a text of a run (`script` or `description`) to its row.

        None if the run has none, or the site withholds it.
        """
        return self._edit(run, _METADATA_NAMES[text])

    def wants_final_description(self, run: Run) -> bool:
        """Return whether the description of a run's end is sent before its stop."""
        policy = self.metadata
        return policy.end_summary and policy.slurm_info and not withholds_text(run.job, policy)

    def end_edits(
        self, run: Run, kind: RequestKind, server: ServerInfo
    ) -> tuple[Mapping[str, Any], ...]:
        """Return the changes of a row's metadata that are sent just before its stop.

        Afterwards the row is archived: a change would reach the database alone.
        """
        is_wanted = kind is RequestKind.STOP and self.metadata.end_summary
        if run.end is None or not is_wanted or not server.edits_metadata:
            return ()
        text = end_summary(
            run.end.state, exit_code=run.job.exit_code, restart_count=run.job.restart_count
        )
        summary = edit_meta_payload(self._key(run), END_KEY, text)
        description = final_description(run)
        if description is None:
            return (summary,)
        final = self._edit(replace(run, description=description), DESCRIPTION_KEY)
        return (summary,) if final is None else (summary, final)

    def document(
        self, run: Run, kind: RequestKind, server: ServerInfo, *, is_slim: bool = False
    ) -> Mapping[str, Any]:
        """Return the body of a start, stop or delete; `is_slim`: without script and description.

        Raises:
            UnsendableError: every server would refuse the request.
        """
        try:
            # the first of the earlier runs; the next one follows when its row is deleted
            if kind is RequestKind.DELETE:
                return delete_payload(replace(self._key(run), start_time=run.replaces[0]))
            if kind is RequestKind.STOP and run.end is not None:
                return stop_payload(
                    self._key(run),
                    end_time=run.end.time,
                    state=run.end.state,
                    dialect=server.dialect,
                    warn=self._warn,
                )
            return self._start(run, server, is_slim=is_slim)
        except PayloadError as error:
            raise UnsendableError("; ".join(error.problems)) from error

    def _edit(self, run: Run, name: str) -> Mapping[str, Any] | None:
        """Return the body that sets one metadata key of a row; None if the run has no value."""
        metadata = self._metadata(run)
        return edit_meta_payload(self._key(run), name, metadata[name]) if name in metadata else None

    def _start(self, run: Run, server: ServerInfo, *, is_slim: bool) -> Mapping[str, Any]:
        sent = replace(run, script=None, description=None) if is_slim else run
        document = start_payload(
            run.job,
            mapping=self._site,
            dialect=server.dialect,
            metadata=self._metadata(sent),
            cluster=self.cluster(run),
            warn=self._warn,
        )
        if run.monitoring_status is not None:
            document["monitoringStatus"] = run.monitoring_status
        return document

    def _key(self, run: Run) -> BackendRunKey:
        return BackendRunKey(run.job_id, self.cluster(run), run.start_time)

    def _metadata(self, run: Run) -> Mapping[str, str]:
        return metadata_of(
            run.job,
            script=run.script,
            description=run.description,
            policy=self.metadata,
            script_bytes_total=run.script_bytes_total,
        )

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            _log.warning("%s", escape(text))
