"""Checks of cc-backend and of the hosts in its cluster.json, with made-up values."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from check_world import LAB, Scripted, clusters
from command_site import CommandSite

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, Probe
from ccbackend.token import Token
from ccbackend.version import Dialect, ServerInfo
from slurm.decode.scontrol_nodes import Node
from spool.checks.result import CheckResult, CheckStatus
from spool.config import Config, load
from spool.config.backend_settings import site_map
from spool.preflight.hardware import abbreviated, check_hardware, check_patterns
from spool.preflight.server import check_server


def asked(server: Scripted, *others: str, token: Token | None = None) -> dict[str, CheckResult]:
    """Return the results by name; for several clusters that of the last one."""
    results, _ = check_server(server, token, ("lab", *others))
    return {result.name: result for result in results}


def test_a_server_that_accepts_everything_has_no_problem() -> None:
    """Version, token, API, job list and cluster are shown."""
    found = asked(Scripted(), token=Token("x", roles=("api",)))
    assert {CheckStatus.OK} == {result.status for result in found.values()}
    assert "cc-backend 1.5.4 (API field for node sharing: 'shared')" == found["server"].text
    assert "is accepted; roles of the token: api" == found["server token"].text
    assert "cc-backend lists 0 running jobs of lab" == found["server listing"].text
    assert "cc-backend has the cluster lab" == found["server cluster"].text


def test_a_refused_token_is_the_only_result() -> None:
    """Later requests would give no reliable results; the hint names the roles of the token."""
    results, known = check_server(
        Scripted(probe=Reason.ROLE_REFUSED), Token("x", roles=()), ("lab",)
    )
    (found,) = results
    assert (CheckStatus.CRITICAL, None) == (found.status, known)
    assert "cc-backend 1.5.4 (API field for node sharing: 'shared'): 400: its words" == found.text
    assert "with the role api alone" in found.hint
    assert found.hint.endswith("roles of the token: none")


def test_a_server_of_unknown_version_passes_the_check() -> None:
    """The result shows the API field for node sharing instead of the version."""
    server = Scripted()
    server.server = ServerInfo(None, Dialect.EXCLUSIVE)
    found = asked(server)
    assert (
        "cc-backend of unknown version (API field for node sharing: 'exclusive')"
        == found["server"].text
    )
    assert "is accepted" == found["server token"].text


@pytest.mark.parametrize(
    ("reason", "words"),
    [(Reason.API_OFF, "NATS mode"), (Reason.WRONG_URL, "its words")],
)
def test_a_disabled_job_api_is_critical(reason: Reason, words: str) -> None:
    """A server in NATS mode accepts no jobs by REST; a wrong URL gives UNKNOWN."""
    found = asked(Scripted(jobs=reason))["server job API"]
    assert words in found.text
    assert found.status is (
        CheckStatus.CRITICAL if reason is Reason.API_OFF else CheckStatus.UNKNOWN
    )


def test_a_failed_job_list_is_a_warning() -> None:
    """Only the sweep needs the list."""
    server = Scripted(running=Reason.QUERY_FAILED)
    server.rows = None
    found = asked(server)["server listing"]
    assert (CheckStatus.WARNING, True) == (found.status, "the sweep needs this list" in found.hint)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("LAB", "did you mean lab? "), ("zeppelin", "correct clustername")],
)
def test_an_unknown_cluster_is_critical(name: str, hint: str) -> None:
    """The hint names a similar cluster, if any; starts for the unknown one would be refused."""
    found = asked(Scripted(), name)["server cluster"]
    assert CheckStatus.CRITICAL is found.status
    assert found.hint.startswith(hint)
    assert f"does not have the cluster {name}; it has lab" in found.text


def test_an_empty_list_of_clusters_is_shown() -> None:
    """The text ends with `it has no clusters`: an empty list is a valid answer."""
    server = Scripted()
    server.known = ()
    assert asked(server)["server cluster"].text.endswith("it has no clusters")


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [(Reason.FEATURE_ABSENT, CheckStatus.WARNING), (Reason.BUSY, CheckStatus.UNKNOWN)],
)
def test_a_missing_list_of_clusters_is_a_problem(reason: Reason, verdict: CheckStatus) -> None:
    """Releases up to 1.2 cannot list clusters, which is a warning; a busy server is UNKNOWN."""
    server = Scripted(clusters=reason)
    server.known = None
    server.server = ServerInfo(None, Dialect.EXCLUSIVE)
    results, known = check_server(server, None, ("lab",))
    assert known is None
    assert verdict is results[-1].status


def test_a_failed_connection_says_what_to_check() -> None:
    """Without an HTTP status the text names cc-backend.host and a stopped cc-backend as causes."""
    server = Scripted()
    lost = ApiReply(call=ApiCall.LISTING, verdict=ReplyVerdict(Reason.UNREACHABLE), sent=False)
    server.probe = lambda: Probe(server.server, lost)  # type: ignore[method-assign]
    assert asked(server)["server"].text.endswith(
        "shared'): cannot connect to cc-backend: check cc-backend.host, and that cc-backend"
        " is running"
    )


# ---- hardware


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return a plain configuration."""
    return load(CommandSite(tmp_path).config)


def node(name: str, **fields: Any) -> Node:
    """Return a node of two sockets with two cores each, of partition p."""
    usual: dict[str, Any] = {"sockets": 2, "cores_per_socket": 2, "partitions": ("p",)}
    return Node(name=name, **{**usual, **fields})


def compared(config: Config, *nodes: Node) -> list[CheckResult]:
    """Return the results of comparing the nodes with the server's."""
    return [*check_hardware(config, site_map(config, clusters(LAB)), nodes)]


def test_nodes_that_match_have_no_problem(config: Config) -> None:
    """Names, cores and accelerators of Slurm's nodes agree with cc-backend's cluster.json."""
    found = compared(config, node("n1"), node("n2.site"))
    assert [
        ("hosts", CheckStatus.OK),
        ("cores", CheckStatus.OK),
        ("accelerators", CheckStatus.OK),
    ] == [(result.name, result.status) for result in found]


@pytest.mark.parametrize(
    ("names", "pattern", "same"),
    [
        (("n1.rack1", "n1.rack2", "n2.rack1"), "^$", "n1.rack1, n1.rack2 have"),
        (("n1", "n1.rack2"), "^$", "n1, n1.rack2 have"),
        (("a1", "b1", "n2"), "^[ab]", "a1, b1 have"),
        (("n1.rack1", "n1.rack2"), "[.]", None),
    ],
)
def test_nodes_that_become_one_host_are_named(
    config: Config, names: tuple[str, ...], pattern: str, same: str | None
) -> None:
    """Jobs on these nodes would be reported with the same host name; the hint names host_map."""
    config = dataclasses.replace(config, host_map=((re.compile(pattern), "n"),))
    found = [
        result
        for result in compared(config, *map(node, names))
        if "have the same host name" in result.text
    ]
    assert [(CheckStatus.WARNING, True, True)] * bool(same) == [
        (result.status, result.text.startswith(f"{same} "), "host_map" in result.hint)
        for result in found
    ]


def test_hosts_unknown_to_cc_backend_are_named(config: Config) -> None:
    """Some unknown hosts are a warning; if all hosts are unknown, the result is critical."""
    some, *_ = compared(config, node("n1"), *(node(f"x{i}") for i in range(7)))
    assert CheckStatus.WARNING is some.status
    assert (
        "cc-backend does not have x0, x1, x2, x3, x4 and 2 more: jobs on them are not delivered"
        == some.text
    )
    alone, *rest = compared(config, node("x1"))
    assert CheckStatus.CRITICAL is alone.status
    assert ["accelerators"] == [result.name for result in rest]


def test_ignored_hosts_are_not_checked(config: Config) -> None:
    """Jobs on hosts that match `ignore_hosts` are not reported."""
    ignoring = dataclasses.replace(config, ignore_hosts=re.compile("^login"))
    assert "cc-backend has all nodes (1)" == compared(ignoring, node("login1"), node("n1"))[0].text


def test_a_node_is_looked_up_in_the_clusters_of_its_partitions(config: Config) -> None:
    """partition_clusters names the cluster of a partition; one cluster with the node is enough."""
    other = dataclasses.replace(config, partition_clusters={"p": "other"})
    assert CheckStatus.CRITICAL is compared(other, node("n1"))[0].status
    assert CheckStatus.OK is compared(other, node("n1", partitions=("p", "q")))[0].status


def test_core_counts_must_agree(config: Config) -> None:
    """With other core counts, hardware threads cannot be mapped; each difference is a warning."""
    found = compared(config, node("n1", cores_per_socket=4), node("n2"), node("b1"))
    not_sent = "hardware threads are not sent, or are wrong with assume_core_ids"
    assert [
        f"cc-backend has 4 cores, Slurm 8 for n1: {not_sent}",
        f"cc-backend has no topology for b1: {not_sent}",
    ] == [result.text for result in found if result.name == "cores"]
    assert {CheckStatus.WARNING} == {result.status for result in found if result.name == "cores"}


def test_accelerators_must_be_those_of_the_server(config: Config) -> None:
    """An address only in the configuration or only in cc-backend's cluster.json is named."""
    gpus = (("gpu", "", 1),)
    wrong = dataclasses.replace(config, gpu_pci_addrs={"^n[12]$": ("00000000:0B:00.0",)})
    results = compared(wrong, node("n1", devices=gpus), node("x9", devices=gpus))
    assert [
        "accelerator 00000000:0B:00.0 of hosts ^n[12]$ is not in cc-backend's cluster.json",
        (
            "accelerator 00000000:0A:00.0 of hosts named nN (N: a number) is in cc-backend's"
            " cluster.json, but not in the configuration"
        ),
    ] == [result.text for result in results if result.name == "accelerators"]
    right = dataclasses.replace(config, gpu_pci_addrs={"^n[12]$": ("00000000:0A:00.0",)})
    assert "the accelerators' addresses match cc-backend's cluster.json (nodes: 2)" == (
        compared(right, node("n1", devices=gpus), node("n2", devices=gpus))[-1].text
    )


def test_two_patterns_for_one_node_are_a_warning(config: Config) -> None:
    """Only the first pattern of gpuPciAddrs that matches is used, which may be unintended."""
    both = dataclasses.replace(config, gpu_pci_addrs={"^n.*$": ("a",), "^.*1$": ("b",)})
    (found,) = check_patterns(both, [node("n1")])
    assert (CheckStatus.WARNING, True) == (found.status, '"^.*1$"' in found.text)
    assert [] == [*check_patterns(config, [node("n1")])]


def test_at_most_five_names_are_shown() -> None:
    """The other names are only counted: `a, b, c, d, e and 1 more`."""
    assert "a, b, c, d, e" == abbreviated("abcde")
    assert "a, b, c, d, e and 1 more" == abbreviated("abcdef")
