"""Translation of Slurm's end states and node sharing for cc-backend, and job filters."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ccbackend.dialects import (
    end_state,
    is_known_state,
    sharing_field,
    sharing_problem,
    translate_sharing,
)
from ccbackend.job_filters import JobFilters, NameFilter, comment_flags, exclusion_reason
from ccbackend.version import Dialect
from slurm.job import Job, NodeAllocation, Sharing

OLD_NAMES = {"completed", "failed", "cancelled", "timeout", "preempted", "out_of_memory"}
NEW_NAMES = OLD_NAMES | {"node_fail", "boot_fail", "deadline"}


@pytest.mark.parametrize(
    ("word", "old", "new"),
    [
        ("COMPLETED", "completed", "completed"),
        ("FAILED", "failed", "failed"),
        ("CANCELLED", "cancelled", "cancelled"),
        ("CANCELLED by 1000", "cancelled", "cancelled"),
        ("TIMEOUT", "timeout", "timeout"),
        ("PREEMPTED", "preempted", "preempted"),
        ("OUT_OF_MEMORY", "out_of_memory", "out_of_memory"),
        ("NODE_FAIL", "failed", "node_fail"),
        ("BOOT_FAIL", "failed", "boot_fail"),
        ("DEADLINE", "timeout", "deadline"),
        ("REQUEUED", "cancelled", "cancelled"),
        ("REQUEUE_HOLD", "cancelled", "cancelled"),
        ("REQUEUE_FED", "cancelled", "cancelled"),
        ("RESV_DEL_HOLD", "cancelled", "cancelled"),
        ("EXPEDITING", "cancelled", "cancelled"),
        ("SPECIAL_EXIT", "failed", "failed"),
        ("LAUNCH_FAILED", "failed", "failed"),
        ("RECONFIG_FAIL", "failed", "failed"),
        ("GETENV_FAILED", "failed", "failed"),
        ("completed", "completed", "completed"),
        ("NEVER_SEEN", "failed", "failed"),
        ("", "failed", "failed"),
    ],
)
def test_every_end_state_has_a_name_that_the_server_knows(word: str, old: str, new: str) -> None:
    """Each dialect has its own list of names; no other name is sent."""
    names = end_state(word, Dialect.EXCLUSIVE), end_state(word, Dialect.SHARED)

    assert names == (old, new)
    assert old in OLD_NAMES
    assert new in NEW_NAMES


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    "word",
    ["RUNNING", "PENDING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT",
     "COMPLETING", "CONFIGURING", "POWER_UP_NODE", "UPDATE_DB", "REVOKED"],
)  # fmt: skip
def test_no_stop_is_sent_for_states_that_are_no_end(word: str, dialect: Dialect) -> None:
    """Slurm's base states such as RUNNING and flags such as COMPLETING are no end states."""
    assert end_state(word, dialect) is None


def test_unknown_slurm_states_are_detected() -> None:
    """An unknown end state is sent as failed, and an administrator should see a warning."""
    assert [is_known_state(word) for word in ("COMPLETED", "RUNNING", "NEVER_SEEN", "")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("sharing", "old", "new"),
    [
        (Sharing.NODE, 1, "none"),
        (Sharing.USER, 2, "single_user"),
        (Sharing.GROUP, 0, "multi_user"),
        (Sharing.SHARED, 0, "multi_user"),
    ],
)
def test_both_dialects_have_all_kinds_of_node_sharing(sharing: Sharing, old: int, new: str) -> None:
    """`exclusive` is 0, 1 or 2, `shared` one of three words; cc-backend answers 500 to others."""
    job = Job(job_id=1, sharing=sharing)

    assert sharing_field(job, Dialect.EXCLUSIVE) == {"exclusive": old}
    assert sharing_field(job, Dialect.SHARED) == {"shared": new}
    assert sharing_problem(job) is None


def test_an_unknown_value_of_sharing_is_sent_as_shared_with_a_warning() -> None:
    """A later release of Slurm may have other values."""
    job = Job(job_id=1)
    object.__setattr__(job, "sharing", "topo2")

    assert sharing_field(job, Dialect.SHARED) == {"shared": "multi_user"}
    assert (
        sharing_problem(job)
        == "node sharing 'topo2' is unknown to this program: reported as multi_user"
    )


def part(cores: tuple[int, ...] | None, count: int | None = 2) -> NodeAllocation:
    """Return an allocation of cores on a node with two cores."""
    return NodeAllocation(name="n", cores=cores, core_count=count)


@pytest.mark.parametrize(
    ("nodes", "allocations", "field"),
    [
        (("a",), (part((0, 1)),), {"shared": "none"}),
        (("a", "b"), (part((0, 1)), part((0,))), {"shared": "multi_user"}),
        (("a", "b"), (part((0, 1)),), {}),
        (("a",), (part(None),), {}),
        (("a",), (part((0,), None),), {}),
        ((), (), {}),
    ],
)
def test_unknown_sharing_is_derived_from_the_cores(
    nodes: tuple[str, ...], allocations: tuple[NodeAllocation, ...], field: dict[str, str]
) -> None:
    """All cores of all nodes mean whole nodes; unknown cores omit the field, with a warning."""
    job = Job(job_id=1, nodes=nodes, allocations=allocations)

    assert sharing_field(job, Dialect.SHARED) == field
    assert (sharing_problem(job) is None) == bool(field)


@pytest.mark.parametrize(
    ("given", "dialect", "found"),
    [
        ({"a": 1, "exclusive": 2}, Dialect.SHARED, {"a": 1, "shared": "single_user"}),
        ({"shared": "none"}, Dialect.EXCLUSIVE, {"exclusive": 1}),
    ],
)
def test_a_request_is_translated_into_the_other_dialect(
    given: dict[str, Any], dialect: Dialect, found: dict[str, Any]
) -> None:
    """`exclusive` and `shared` replace each other; the rest of the request stays."""
    assert translate_sharing(given, dialect) == found


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, None),
        ({"partition": "debug"}, "partition debug is excluded by filters.partitions"),
        ({"account": "staff"}, "account staff is excluded by filters.accounts"),
        ({"account": None}, "account (none) is excluded by filters.accounts"),
        ({"user": "eve"}, "user eve is excluded by filters.users"),
        ({"user": None}, None),
        ({"qos": "test"}, "qos test is excluded by filters.qos"),
        ({"qos": None}, "qos (none) is excluded by filters.qos"),
        ({"nodes": ("t1", "t2")}, "all hosts match ignoreHosts"),
        ({"nodes": ("t1", "n2")}, None),
        ({"nodes": ()}, None),
        ({"admin_comment": "x, disable_cc_submission ,y"}, "opted out by disable_cc_submission"),
        ({"admin_comment": "disable_cc_submissions"}, None),
        ({"admin_comment": "spot\ndisable_cc_submission"}, "opted out by disable_cc_submission"),
        ({"comment": "disable_cc_submission\r\nmine"}, "opted out by disable_cc_submission"),
        ({"comment": "my run,disable_cc_submission"}, "opted out by disable_cc_submission"),
        ({"comment": "my disable_cc_submission"}, None),
    ],
)
def test_an_excluded_job_has_a_reason(facts: dict[str, Any], reason: str | None) -> None:
    """The reason names the filter or flag; `ignoreHosts` applies only if all hosts match it."""
    filters = JobFilters(
        partitions=NameFilter(deny=frozenset({"debug"})),
        accounts=NameFilter(allow=frozenset({"p1"})),
        users=NameFilter(deny=frozenset({"eve"})),
        qos=NameFilter(allow=frozenset({"normal", "long"}), deny=frozenset({"long"})),
        ignore_hosts=re.compile("^t"),
    )
    job = Job(**{"job_id": 1, "account": "p1", "qos": "normal", **facts})

    assert exclusion_reason(job, filters, cluster="lab") == reason


def test_no_filter_excludes_jobs_by_default() -> None:
    """Without filters the job is reported; `filters.clusters` can exclude all jobs of a cluster."""
    job = Job(job_id=1, nodes=("t1",))
    denied = JobFilters(clusters=NameFilter(deny=frozenset({"lab"})))

    assert exclusion_reason(job, JobFilters(), cluster="lab") is None
    assert (
        exclusion_reason(job, denied, cluster="lab")
        == "cluster lab is excluded by filters.clusters"
    )
    assert comment_flags(Job(job_id=1, admin_comment=" a ,,b", comment="c")) == {"a", "b", "c"}
