"""One round of node states: queries, requests, the stored result, and failures."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from stub_server import Answer, Model, Request, StubServer, refusal

from ccbackend.client import BackendClient
from ccbackend.job_filters import JobFilters
from ccbackend.site_map import SiteMap
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import Transport
from slurm.decode.node_states import NodeListing, NodeRecord
from slurm.errors import FailureReason, SlurmError
from spool.files.node_round import NodeRound
from spool.nodes.reporter import CLUSTERS_SECONDS, NodeReporter, NodeSite, NodeStatesError

CLUSTERS: list[dict[str, Any]] = [
    {"name": name, "metricConfig": [], "subClusters": [{"name": "a", "nodes": nodes}]}
    for name, nodes in (("lab", "n[1-4]"), ("fat", "g1"))
]
ONE = (("primary", "ctl", True),)
TWO = (("primary", "ctl", False), ("backup", "other-host", True))


@dataclass
class Nodes:
    """A Slurm that lists its nodes; with `silent` it does not answer."""

    records: list[NodeRecord] = field(default_factory=list)
    machines: tuple[tuple[str, str, bool], ...] = ONE
    silent: bool = False
    asked: int = 0

    def node_listing(self) -> NodeListing:
        """Return all nodes."""
        self.asked += 1
        if self.silent:
            raise SlurmError("scontrol timed out", reason=FailureReason.TIMEOUT)
        return NodeListing(nodes=tuple(self.records))

    def ping(self) -> tuple[tuple[str, str, bool], ...]:
        """Return the controllers."""
        return self.machines


class Faulty(Model):
    """A server that answers node states with `wrong`, if that is set."""

    wrong: Answer | None = None

    def respond(self, request: Request) -> Answer:
        """Return `wrong` for a report of node states, else the usual answer."""
        if self.wrong is not None and request.path == "/api/nodestate/":
            return self.wrong
        return super().respond(request)


class Site:
    """A server, a Slurm and the reporter between them."""

    def __init__(self, server: StubServer, model: Faulty) -> None:
        self.server, self.model, self.slurm = server, model, Nodes()
        self.now = 1000.0
        self.steady = 0.0
        self.partitions: dict[str, str] = {}
        transport = Transport(requests.Session(), server.url, token=lambda: "TOKEN:api")
        self.backend = BackendClient(transport, SharedServerInfo())
        self.backend.detect_server()
        site = NodeSite(
            site_of=lambda clusters: SiteMap(
                cluster="lab",
                partition_clusters=self.partitions,
                clusters={each.name: each for each in clusters or ()},
            ),
            filters=JobFilters(),
            jobs=lambda: {"n1": 5},
        )
        self.reporter = NodeReporter(
            self.slurm,
            self.backend,
            site,
            clock=lambda: self.now,
            steady=lambda: self.steady,
        )

    def put(self, *names: str, words: str = "IDLE", partition: str = "main") -> None:
        """Add some nodes to Slurm."""
        found = frozenset(words.split("+"))
        self.slurm.records += [
            NodeRecord(name=name, words=found, partitions=(partition,)) for name in names
        ]

    def sent(self) -> list[dict[str, Any]]:
        """Return the bodies of all reports."""
        return [json.loads(each.body) for each in self.calls("/api/nodestate/")]

    def calls(self, path: str) -> list[Any]:
        """Return the requests to a path."""
        return [each for each in self.server.log if each.path == path]


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Any:
    """A site with the server 1.5.4, or that of the parameter."""
    model = Faulty(version=getattr(request, "param", "1.5.4"), clusters=CLUSTERS)
    with StubServer(model) as server:
        made = Site(server, model)
        yield made
        made.backend.close()


def test_all_nodes_are_sent_in_one_request(site: Site) -> None:
    """cc-backend stores the state of each node; the result has the states and the hosts."""
    site.put("n1", words="MIXED")
    site.put("n2", "n3")
    found = site.reporter.run(NodeRound())

    (body,) = site.sent()
    assert ("lab", ["n1", "n2", "n3"]) == (body["cluster"], [n["hostname"] for n in body["nodes"]])
    assert ["mixed", "idle", "idle"] == [row["node_state"] for row in site.model.node_states]
    assert [5, 0, 0] == [row["jobs_running"] for row in site.model.node_states]
    assert (
        NodeRound(
            tried=1000.0,
            accepted=1000.0,
            states={"idle": 2, "mixed": 1},
            hosts={"lab": ("n1", "n2", "n3")},
        )
        == found
    )


def test_each_cluster_gets_a_request_of_its_own(site: Site) -> None:
    """`partition_clusters` assigns the nodes of a partition to one of cc-backend's clusters."""
    site.partitions = {"gpu": "fat"}
    site.put("n1")
    site.put("g1", partition="gpu")
    found = site.reporter.run(NodeRound())

    assert ["lab", "fat"] == [body["cluster"] for body in site.sent()]
    assert {"lab": ("n1",), "fat": ("g1",)} == found.hosts


def test_cc_backends_clusters_are_requested_once_an_hour(site: Site) -> None:
    """Slurm's nodes are queried once in every round of node states."""
    site.put("n1")
    for site.steady in (0.0, 300.0, CLUSTERS_SECONDS - 1, CLUSTERS_SECONDS):
        site.reporter.run(NodeRound())

    assert (2, 4) == (len(site.calls("/api/clusters/")), site.slurm.asked)


def test_a_removed_host_is_reported_once_more_as_unknown(site: Site) -> None:
    """A host that Slurm no longer has is in one more report, and not in the next one."""
    site.put("n1")
    first = site.reporter.run(NodeRound(hosts={"lab": ("n1", "n4")}))
    site.reporter.run(first)
    second = site.reporter.run(site.reporter.run(first))

    assert [["mixed", "unknown"], ["mixed"]] == [
        [node["states"][0] for node in body["nodes"]] for body in (site.sent()[0], site.sent()[-1])
    ]
    assert {"lab": ("n1",)} == second.hosts


def test_no_report_is_sent_if_slurm_does_not_answer(site: Site) -> None:
    """The result keeps the last states, counts the failure and names the problem."""
    site.slurm.silent = True
    before = NodeRound(tried=700.0, accepted=700.0, states={"idle": 1}, failures=1)
    found = site.reporter.run(before)

    assert [] == site.sent()
    assert (1000.0, 700.0, 2, {"idle": 1}) == (
        found.tried, found.accepted, found.failures, found.states
    )  # fmt: skip
    assert "Slurm did not answer: scontrol timed out" in found.problem


def test_no_node_to_report_is_a_failure(site: Site) -> None:
    """All nodes of Slurm are unknown to cc-backend: the problem of the round says so."""
    site.put("x1", "x2")

    assert "there is no node to report (2 unknown to cc-backend)" == (
        site.reporter.run(NodeRound()).problem
    )


@pytest.mark.parametrize(
    ("answer", "words", "is_refused"),
    [
        (refusal(400, "parsing request body failed: x"), "rejects this request", True),
        (refusal(401, "token is expired"), "token has expired", False),
        (Answer(500, "", ""), "crashed on this request", False),
        (Answer(503, "", ""), "not ready", False),
    ],
)
def test_a_refused_report_is_a_problem_of_the_round(
    site: Site,
    answer: Answer,
    words: str,
    *,
    is_refused: bool,
) -> None:
    """The result has one failure and its cause; the round does not repeat the request."""
    site.put("n1")
    site.model.wrong = answer
    found = site.reporter.run(NodeRound())

    assert words in found.problem
    assert (is_refused, 1, 1) == (found.is_refused, found.failures, len(site.sent()))


@pytest.mark.parametrize("site", ["1.4.4"], indirect=True)
def test_no_report_is_sent_to_a_server_without_node_states(site: Site) -> None:
    """With cc-backend 1.4.4 the result counts no failure, and Slurm is not queried."""
    found = site.reporter.run(NodeRound(failures=3))

    assert ("1.4.4", 0, [], 0) == (found.unsupported, found.failures, site.sent(), site.slurm.asked)


def test_a_404_means_that_the_server_accepts_no_node_states(site: Site) -> None:
    """A server that seemed to be recent answers a report with 404: the problem says so."""
    site.put("n1")
    site.model.wrong = Answer(404, "404 page not found\n", "text/plain")

    assert "does not accept node states" in site.reporter.run(NodeRound()).problem


def test_a_missing_cluster_list_is_a_problem_of_the_round(site: Site) -> None:
    """If cc-backend does not answer, the problem says that it cannot list its clusters."""
    site.put("n1")
    site.server.close()

    assert "cc-backend cannot list its clusters" in site.reporter.run(NodeRound()).problem


def test_only_the_active_controller_reports_node_states(site: Site) -> None:
    """While slurmctld is active on another host, the drain of that host reports the nodes."""
    site.put("n1")
    site.slurm.machines = TWO

    assert "slurmctld is active on other-host; the drain there reports the nodes" == (
        site.reporter.run(NodeRound()).problem
    )
    assert [] == site.sent()


def test_a_controller_reports_if_no_other_one_is_up(site: Site) -> None:
    """`scontrol ping` shows both controllers as down: the drain reports the nodes."""
    site.put("n1")
    site.slurm.machines = (("primary", "ctl", False), ("backup", "other-host", False))

    assert "" == site.reporter.run(NodeRound()).problem


def test_an_internal_error_ends_only_the_round(site: Site) -> None:
    """An exception in this program is stored as the problem of the round, like a refusal."""
    site.slurm.machines = None  # type: ignore[assignment]  # makes our code fail
    found = site.reporter.run(NodeRound())

    assert ("internal error of cc-slurm-sync (TypeError); please report it with the log", True) == (
        found.problem,
        found.is_refused,
    )


def test_excluded_nodes_are_logged_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The log has at most five names, and the state words that are unknown."""
    site.put("n1", words="IDLE+NEW_FLAG")
    site.put(*(f"x{i}" for i in range(7)))
    site.put("n2", words="FUTURE")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            site.reporter.run(NodeRound())

    assert [
        "node states: node state NEW_FLAG of Slurm is unknown to this program and is ignored",
        "node states: not reported (unknown to cc-backend): x0, x1, x2, x3, x4 and 2 more",
    ] == caplog.messages


def test_look_sends_no_report(site: Site) -> None:
    """`look`, which `cc-sweep nodes --plan` uses, raises the error that a round would store."""
    site.put("n1")

    assert ["lab"] == list(site.reporter.look(NodeRound()).clusters)
    site.slurm.silent = True
    with pytest.raises(NodeStatesError, match="Slurm did not answer"):
        site.reporter.look(NodeRound())
    assert [] == site.sent()
