"""Queries about the cluster: nodes, releases, JSON support, rights. Texts as Slurm prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from check_world import DBD, NODE_21, NODE_26

from slurm.cluster_survey import ClusterSurvey, Rights
from slurm.commands import CommandPaths
from slurm.decode.scontrol_config import (
    parse_admin_level,
    parse_private_accounting,
    private_data_of,
    slurm_user_of,
)
from slurm.decode.scontrol_nodes import Node, parse_nodes
from slurm.errors import FailureReason, SlurmError
from slurm.process import CommandResult, Sink
from slurm.release import Release


class Answers:
    """A runner that answers by the command's name and records what it ran."""

    def __init__(self, **answers: tuple[int, bytes, bytes] | SlurmError) -> None:
        self.answers = answers
        self.ran: list[list[str]] = []
        self.environment: Mapping[str, str] = {}

    def __call__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout_seconds: float,
        limit_bytes: int,
        sink: Sink | None = None,
    ) -> CommandResult:
        """Return the configured answer of the command, or raise it."""
        assert timeout_seconds > 0
        assert limit_bytes > 0
        assert sink is None
        self.ran.append(list(argv))
        self.environment = environment
        answer = self.answers[Path(argv[0]).name]
        if isinstance(answer, SlurmError):
            raise answer
        return CommandResult(tuple(argv), *answer)


def survey(answers: Answers, conf: Path | None = None) -> ClusterSurvey:
    """Return a survey that gets these answers."""
    commands = CommandPaths(
        squeue=Path("/s/squeue"), sacct=Path("/s/sacct"), scontrol=Path("/s/scontrol"), conf=conf
    )
    return ClusterSurvey(commands, Path("/s/sacctmgr"), answers)


def test_nodes_of_old_and_new_releases_are_read() -> None:
    """`scontrol show node` of 21.08 and 26.05 has sockets, cores, GRES and allocated CPUs."""
    old, new = parse_nodes(NODE_21 + NODE_26)
    assert old == Node(
        name="n2cn001",
        sockets=2,
        cores_per_socket=4,
        threads_per_core=2,
        cpus=16,
        partitions=("cpu", "low"),
        arch="x86_64",
    )
    assert (8, 6) == (new.cores, new.allocated_cpus)
    assert (("gpu", "a100", 4),) == new.devices


def test_node_without_partition_or_with_odd_gres_is_read() -> None:
    """Fields that a check does not need may be missing or malformed."""
    (node,) = parse_nodes(b"NodeName=a Gres=(( \n   CoresPerSocket=1 Sockets=2 ThreadsPerCore=1\n")
    assert (("",), ()) == (node.partitions, node.devices)


def test_a_cluster_without_nodes_has_an_empty_node_list() -> None:
    """Slurm prints `No nodes in the system` instead of records."""
    assert () == parse_nodes(b"No nodes in the system\n")


def test_node_without_its_size_is_omitted(caplog: pytest.LogCaptureFixture) -> None:
    """Nodes without sockets, cores and threads cause one warning; other nodes are read."""
    odd = NODE_26.replace(b"ThreadsPerCore=2", b"").replace(b"n2gpu01", b"future%d")
    nodes = parse_nodes(odd % 1 + odd % 2 + NODE_21)

    assert ["n2cn001"] == [node.name for node in nodes]
    assert 1 == caplog.text.count("nodes named futureN (N: a number) are ignored")


def test_a_node_with_an_odd_gres_keeps_its_other_gres() -> None:
    """The unreadable GRES `@` is skipped; the CPUs of the node are those of CPUEfctv."""
    gres = b"gpu:1g.10gb+me:4(S:0-1),bandwidth:lustre:4G,scratch:ssd/raid:1,@"
    text = NODE_26.replace(b"gpu:a100:4(S:0-1)", gres).replace(b"CPUEfctv=16", b"CPUEfctv=14")
    (node,) = parse_nodes(text)

    kinds = [(kind, count) for kind, _, count in node.devices]
    assert [("gpu", 4), ("bandwidth", 4 << 30), ("scratch", 1)] == kinds
    assert (14, 2) == (node.cpus, node.threads_per_core)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"", FailureReason.MALFORMED),
        (b"slurm_load_node: Socket timed out\n", FailureReason.MALFORMED),
        (b"NodeName=a Arch=x86_64 CoresPerSocket=4 \n   CPUAlloc=0", FailureReason.INCOMPLETE),
    ],
)
def test_a_truncated_node_list_is_refused(text: bytes, kind: FailureReason) -> None:
    """An empty, invalid or truncated answer of `scontrol show node` is an error."""
    with pytest.raises(SlurmError) as raised:
        parse_nodes(text)
    assert kind is raised.value.reason


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (DBD, frozenset({"jobs", "usage"})),
        (DBD.replace(b"jobs,usage", b"none"), frozenset()),
        (b"Configuration data\nPrivateData = jobs\n", None),
    ],
)
def test_private_data_of_slurmdbd_is_read(text: bytes, hidden: frozenset[str] | None) -> None:
    """`sacctmgr show configuration` has PrivateData of slurm.conf above that of slurmdbd."""
    assert hidden == parse_private_accounting(text)


def test_slurm_user_and_private_data_are_read_from_the_settings() -> None:
    """The settings are those of `scontrol show config`."""
    config = {"SlurmUser": ("slurm(64030)",), "PrivateData": ("jobs,users",)}
    assert "slurm" == slurm_user_of(config)
    assert frozenset({"jobs", "users"}) == private_data_of(config)
    assert ("root", frozenset()) == (slurm_user_of({}), private_data_of({"PrivateData": ()}))
    assert "odd" == slurm_user_of({"SlurmUser": ("odd",)})


@pytest.mark.parametrize(
    ("text", "level"), [(b"bob|Operator\n", "Operator"), (b"", None), (b"bobby|Operator\n", None)]
)
def test_the_admin_level_is_that_of_the_exact_user_name(text: bytes, level: str | None) -> None:
    """The record of `bobby` is not used for `bob`; a user without a record has no level."""
    assert level == parse_admin_level(text, "bob")


@pytest.mark.parametrize(
    ("fields", "jobs", "accounting"),
    [
        ({}, False, False),
        ({"hidden": frozenset()}, True, False),
        ({"hidden_accounting": None}, False, True),
        ({"admin_level": "Operator"}, True, True),
        ({"admin_level": "Administrator"}, True, True),
        ({"admin_level": "None"}, False, False),
        ({"uid": 0}, True, True),
        ({"slurm_user": "bob"}, True, True),
    ],
)
def test_rights_follow_from_user_and_private_data(
    fields: dict[str, object],
    *,
    jobs: bool,
    accounting: bool,
) -> None:
    """Root, SlurmUser, Operators and Administrators see all; others what is not private."""
    usual: dict[str, Any] = {
        "user": "bob",
        "uid": 20002,
        "slurm_user": "slurm",
        "admin_level": None,
        "hidden": frozenset({"jobs"}),
        "hidden_accounting": frozenset({"jobs"}),
    }
    rights = Rights(**{**usual, **fields})
    assert (jobs, accounting) == (rights.sees_jobs, rights.sees_accounting)


def test_each_query_of_the_cluster_is_one_command() -> None:
    """The commands are read-only and run with an environment that the program sets."""
    answers = Answers(
        squeue=(0, b"slurm-wlm 22.05.8\n", b""),
        scontrol=(0, NODE_26, b""),
        sacctmgr=(0, b"bob|Operator\n", b""),
        sacct=(0, b"alice\n", b""),
    )
    asked = survey(answers, Path("/etc/slurm/other.conf"))
    assert Release(22, 5, 8) == asked.version("squeue")
    assert ["n2gpu01"] == [node.name for node in asked.nodes()]
    assert "Operator" == asked.admin_level("bob")
    assert asked.private_accounting() is None
    assert frozenset({"alice"}) == asked.users_of_job(7)
    assert [
        ["/s/squeue", "--version"],
        ["/s/scontrol", "-a", "show", "node"],
        ["/s/sacctmgr", "-n", "-P", "show", "user", "bob", "format=User,AdminLevel"],
        ["/s/sacctmgr", "show", "configuration"],
        ["/s/sacct", "-a", "-X", "-n", "-P", "-o", "User", "-j", "7"],
    ] == answers.ran
    assert "/etc/slurm/other.conf" == answers.environment["SLURM_CONF"]
    assert "HOME" not in answers.environment


@pytest.mark.parametrize(
    "answer", [(1, b"", b"sacctmgr: error: gone\n"), (0, b"", b"sacctmgr: error: gone\n")]
)
def test_failed_command_is_an_error(answer: tuple[int, bytes, bytes]) -> None:
    """A command that prints an error and exits with 0 has failed, too."""
    with pytest.raises(SlurmError, match="gone"):
        survey(Answers(sacctmgr=answer)).admin_level("bob")


NO_JSON = b"squeue: fatal: Unable to find plugin: serializer/json\n"


@pytest.mark.parametrize(
    ("answer", "works"),
    [
        ((0, b'\n{"meta": {}', b""), True),
        (SlurmError("much", reason=FailureReason.TOO_LARGE), True),
        ((1, b"", NO_JSON), False),
    ],
)
def test_a_missing_json_plugin_is_detected(
    answer: tuple[int, bytes, bytes] | SlurmError,
    *,
    works: bool,
) -> None:
    """Squeue without json-c reports it; the beginning of an answer proves that JSON works."""
    answers = Answers(squeue=answer)
    assert works is survey(answers).supports_json(Release(24, 11, 5), "bob")
    assert [["/s/squeue", "--local", "--json=v0.0.42", "-u", "bob"]] == answers.ran


@pytest.mark.parametrize(
    "answer",
    [
        (1, b"", b"Unable to contact slurm controller"),
        (0, b"", b""),
        SlurmError("", reason=FailureReason.TIMEOUT),
    ],
)
def test_json_support_is_unknown_without_an_answer(
    answer: tuple[int, bytes, bytes] | SlurmError,
) -> None:
    """A controller that does not answer proves nothing about squeue's JSON plugin."""
    with pytest.raises(SlurmError):
        survey(Answers(squeue=answer)).supports_json(Release(22, 5), "bob")


def test_a_reconfiguration_is_detected_from_the_nodes() -> None:
    """The only slurmd started at the same time as slurmctld; its node had booted long before."""
    times = b"NodeName=n1 Arch=x\n   BootTime=1795000000 SlurmdStartTime=1795832000\n"
    answers = Answers(scontrol=(0, times, b""))

    assert survey(answers).was_reconfigured(1_795_832_000)
    assert answers.ran == [["/s/scontrol", "-a", "show", "node"]]


def test_a_failed_node_query_is_an_error() -> None:
    """The query for a reconfiguration raises the error of `scontrol show node`."""
    gone = SlurmError("away", reason=FailureReason.UNREACHABLE)

    with pytest.raises(SlurmError, match="away"):
        survey(Answers(scontrol=gone)).was_reconfigured(1_795_832_000)
