"""One round of node states: ask Slurm once, send each cluster all of its nodes.

A round blocks for a minute or two at most and raises nothing; it is made by a worker of the drain,
or by `cc-sweep nodes`. A failed or incomplete answer of Slurm sends nothing: a controller that is
silent says nothing about its nodes. Nothing is kept for later: the next round sends what is true
then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from ccbackend.job_filters import JobFilters
from ccbackend.node_states import KNOWN_WORDS, nodestate_payload
from ccbackend.outcomes import Outcome, Reason
from ccbackend.replies import ApiReply, ClusterList
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster
from ccbackend.version import FIRST_WITH_SHARED, ServerInfo
from slurm.decode.node_states import NodeListing
from slurm.decode.scontrol_config import active_elsewhere
from slurm.errors import SlurmError
from slurm.light_dataclass import light_dataclass
from spool.errors import internal_error
from spool.escaping import escape
from spool.files.node_round import EXPECTED, REASONS, NodeRound, left_out_texts
from spool.nodes.report import NodeReport, node_report

CLUSTERS_SECONDS = 3600.0
MAX_NAMED = 5
_log = logging.getLogger(__name__)


class NodeSlurm(Protocol):
    """The queries to Slurm; `slurm.client.Slurm` implements them."""

    def node_listing(self) -> NodeListing:
        """Return all nodes; raise `SlurmError` if the answer is not complete."""

    def ping(self) -> tuple[tuple[str, str, bool], ...]:
        """Return role, host and whether it is up of each controller."""


class NodeBackend(Protocol):
    """The calls to cc-backend; `ccbackend.client.BackendClient` implements them."""

    @property
    def server(self) -> ServerInfo:
        """Return the known version and dialect of cc-backend."""

    def clusters(self) -> ClusterList:
        """Request the clusters of cc-backend with their hosts."""

    def node_states(self, document: dict[str, Any]) -> ApiReply:
        """Report the states of all nodes of a cluster."""


@light_dataclass
class NodeSite:
    """What a round needs from the site: names, filters, and the number of jobs on each node.

    `site_of` returns the map to cc-backend's names, `jobs` how many jobs run on each node
    (None: not known).
    """

    site_of: Callable[[Iterable[Cluster] | None], SiteMap]
    filters: JobFilters
    jobs: Callable[[], Mapping[str, int] | None] = lambda: None


class NodeStatesError(Exception):
    """A failed round; `is_unsupported`: this cc-backend does not accept node states."""

    def __init__(
        self, text: str, *, is_refused: bool = False, is_unsupported: bool = False
    ) -> None:
        self.is_refused = is_refused
        self.is_unsupported = is_unsupported
        super().__init__(text)


class NodeReporter:
    """The reporter of one site's node states; used only in one thread."""

    def __init__(
        self,
        slurm: NodeSlurm,
        backend: NodeBackend,
        site: NodeSite,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slurm = slurm
        self._backend = backend
        self._site = site
        self._clock = clock
        self._steady = steady
        self._map: SiteMap | None = None
        self._map_until = float("-inf")
        self._has_several_controllers = False
        self._warned: set[str] = set()

    def run(self, last: NodeRound) -> NodeRound:
        """Run one round; return its result, also that of a failed round; raise nothing."""
        tried, began = self._clock(), self._steady()
        try:
            report = self.look(last)
            self._send(report)
        except NodeStatesError as error:
            return self._failed(last, tried, error)
        except Exception as error:  # noqa: BLE001 - a border: one round; the worker goes on
            text = internal_error(error)
            _log.exception("node states: %s", text)
            refusal = NodeStatesError(text, is_refused=True)
            return self._failed(last, tried, refusal)
        return NodeRound(
            tried=tried,
            accepted=tried,
            seconds=self._steady() - began,
            states=report.state_counts(),
            left_out=report.left_out_counts(),
            hosts=report.hosts,
        )

    def look(self, last: NodeRound) -> NodeReport:
        """Return what a round would send now, after the round `last`.

        Raises:
            NodeStatesError: nothing can be sent.
        """
        server = self._backend.server
        if not server.takes_node_states:
            raise _unsupported(server)
        try:
            site = self._site_map()
            self._check_controller()
            listing = self._slurm.node_listing()
        except SlurmError as error:
            raise NodeStatesError(f"Slurm did not answer: {escape(str(error))}") from error
        self._warn_words(listing)
        report = node_report(
            listing,
            site,
            self._site.filters,
            jobs=self._site.jobs(),
            sent_before=last.hosts,
        )
        self._warn_left_out(report)
        if not report.clusters:
            counts = ", ".join(left_out_texts(report.left_out_counts()))
            raise NodeStatesError(f"there is no node to report ({counts})")
        return report

    def _site_map(self) -> SiteMap:
        """Return the map to cc-backend's names; its clusters are requested again every hour."""
        if self._map is not None and self._steady() < self._map_until:
            return self._map
        found = self._backend.clusters()
        if found.clusters is None:
            raise NodeStatesError(f"cc-backend cannot list its clusters: {_said(found.reply)}")
        self._map = self._site.site_of(found.clusters)
        self._map_until = self._steady() + CLUSTERS_SECONDS
        self._has_several_controllers = len(self._slurm.ping()) > 1
        return self._map

    def _check_controller(self) -> None:
        """Raise `NodeStatesError` if another host has the active slurmctld, whose drain reports."""
        if not self._has_several_controllers:
            return
        other = active_elsewhere(self._slurm.ping())
        if other is not None:
            raise NodeStatesError(
                f"slurmctld is active on {other}; the drain there reports the nodes"
            )

    def _send(self, report: NodeReport) -> None:
        for name, nodes in report.clusters.items():
            reply = self._backend.node_states(nodestate_payload(name, nodes))
            reason = reply.verdict.reason
            if reason is Reason.FEATURE_ABSENT:
                raise _unsupported(self._backend.server)
            if reply.outcome is not Outcome.DELIVERED:
                is_refused = reply.outcome is Outcome.REJECTED
                raise NodeStatesError(f"cluster {name}: {_said(reply)}", is_refused=is_refused)

    def _failed(self, last: NodeRound, tried: float, error: NodeStatesError) -> NodeRound:
        if error.is_unsupported:
            version = str(self._backend.server.version or "?")
            return NodeRound(tried=tried, unsupported=version, problem=str(error))
        return replace(
            last,
            tried=tried,
            failures=last.failures + 1,
            problem=str(error),
            is_refused=error.is_refused,
            unsupported="",
        )

    def _warn_words(self, listing: NodeListing) -> None:
        """Warn once of each node state that no Slurm release up to 26.05 has."""
        for word in sorted({word for node in listing.nodes for word in node.words} - KNOWN_WORDS):
            text = f"node state {word} of Slurm is unknown to this program and is ignored"
            self._warn(text)

    def _warn_left_out(self, report: NodeReport) -> None:
        """Warn once of nodes that are left out but should be reported."""
        for reason, names in report.left_out.items():
            if reason not in EXPECTED:
                more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
                shown = ", ".join(names[:MAX_NAMED])
                self._warn(f"not reported ({REASONS[reason]}): {shown}{more}")

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            _log.warning("node states: %s", escape(text))


def _unsupported(server: ServerInfo) -> NodeStatesError:
    version = server.version or "of unknown version"
    text = f"cc-backend {version} does not accept node states; {FIRST_WITH_SHARED} or later does"
    return NodeStatesError(text, is_unsupported=True)


def _said(reply: ApiReply) -> str:
    words = escape(reply.verdict.message)
    return f"{reply.verdict.hint}{f' ({words})' if words else ''}"
