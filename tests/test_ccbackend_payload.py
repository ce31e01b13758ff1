"""Bodies of start, stop and delete requests, made from Slurm's facts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ccbackend.accelerators import accelerator_map
from ccbackend.errors import PayloadError
from ccbackend.facts import BackendRunKey, JobFacts
from ccbackend.outcomes import Reason
from ccbackend.payload import (
    amend,
    clamp_end_time,
    delete_payload,
    key_of,
    needs_user_name,
    start_payload,
    stop_payload,
)
from ccbackend.site_map import SiteMap
from ccbackend.topology import clusters_of_json
from ccbackend.version import Dialect
from slurm.job import Gres, Job, NodeAllocation, Sharing

T = 1767225600
KEY = BackendRunKey(7, "lab", T)
SMT = {
    "socket": [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]],
    "core": [[0, 8], [1, 9], [2, 10], [3, 11], [4, 12], [5, 13], [6, 14], [7, 15]],
}


def job_of(**facts: Any) -> Job:
    """A small job with some facts of its own."""
    small: dict[str, Any] = {"job_id": 7, "user": "ada", "start_time": T, "nodes": ("n1",)}
    return Job(**small | facts)


def site(**settings: Any) -> SiteMap:
    """A site without peculiarities but these."""
    return SiteMap(**{"cluster": "lab", **settings})


def server(nodes: str = "n[1-9]", name: str = "lab") -> dict[str, Any]:
    """The server's view of one cluster with threaded nodes."""
    sub = {"name": "main", "nodes": nodes, "topology": SMT}
    clusters = clusters_of_json({"clusters": [{"name": name, "subClusters": [sub]}]})
    return {cluster.name: cluster for cluster in clusters}


def start(job: JobFacts, mapping: SiteMap | None = None, **options: Any) -> dict[str, Any]:
    """A start for a new server."""
    given: dict[str, Any] = {"dialect": Dialect.SHARED, "metadata": {}} | options
    return start_payload(job, mapping=mapping or site(), **given)


def warned(job: JobFacts, mapping: SiteMap) -> tuple[dict[str, Any], list[str]]:
    """A start and the warnings it gave."""
    warnings: list[str] = []
    return start(job, mapping, warn=warnings.append), warnings


def node(name: str, cores: Sequence[int] | None = None, **facts: Any) -> NodeAllocation:
    """What a job holds on a node of eight cores."""
    held = None if cores is None else tuple(cores)
    return NodeAllocation(**{"name": name, "cores": held, "core_count": 8, **facts})


GPU = {
    "g01": {"0": "00000000:03:00.0", "2": "0000:84:00.0"},
    "g02": {"0": "00000000:03:00.0"},
}


def test_the_job_of_the_mapping_page_gives_its_document() -> None:
    """Two threaded nodes, shared, one GPU each."""
    job = Job(
        job_id=815,
        user="ada",
        account="p1",
        partition="a100",
        start_time=T,
        time_limit_minutes=90,
        nodes=("g01", "g02"),
        allocations=(
            node("g01", (0, 1), gres=(Gres(name="gpu", type="a100", count=1, indices=(2,)),)),
            node("g02", (4,), gres=(Gres(name="gpu", type="a100", count=1, indices=(0,)),)),
        ),
        cpus=6,
        gpus=2,
        sharing=Sharing.SHARED,
        array_job_id=812,
    )
    mapping = site(
        cluster="alex",
        clusters=server("g[01-02]", "alex"),
        accelerators=accelerator_map(GPU, {}),
    )
    expected = {
        "jobId": 815,
        "cluster": "alex",
        "user": "ada",
        "project": "p1",
        "partition": "a100",
        "arrayJobId": 812,
        "numNodes": 2,
        "numHwthreads": 6,
        "numAcc": 2,
        "shared": "multi_user",
        "walltime": 5400,
        "startTime": T,
        "resources": [
            {"hostname": "g01", "hwthreads": [0, 1, 8, 9], "accelerators": ["00000000:84:00.0"]},
            {"hostname": "g02", "hwthreads": [4, 12], "accelerators": ["00000000:03:00.0"]},
        ],
        "metaData": {"jobName": "train"},
    }

    assert start(job, mapping, metadata={"jobName": "train"}) == expected
    old = start(job, mapping, metadata={"jobName": "train"}, dialect=Dialect.EXCLUSIVE)
    del expected["shared"]
    assert old == expected | {"exclusive": 0}


def test_what_is_not_known_is_left_out() -> None:
    """An empty account stays, because the server has the field always."""
    assert start(job_of()) == {
        "jobId": 7,
        "cluster": "lab",
        "user": "ada",
        "project": "",
        "numNodes": 1,
        "startTime": T,
        "resources": [{"hostname": "n1"}],
    }


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"job_id": 0}, "the job id is not positive"),
        ({"start_time": None}, "the start time is not known"),
        ({"user": None}, "the user name is not known"),
        ({"user": "\0"}, "the user name is not known"),
        ({"nodes": ()}, "the job has no hosts"),
        ({"nodes": (".x",)}, "a host name is empty"),
        ({"nodes": ("n1", "n1")}, "a host occurs twice"),
        ({"cpus": -1}, "numHwthreads is negative"),
        ({"time_limit_minutes": -1}, "walltime is negative"),
    ],
)
def test_facts_that_no_server_takes_are_refused(facts: dict[str, Any], problem: str) -> None:
    """They are set aside with the reason, never sent."""
    with pytest.raises(PayloadError) as caught:
        start(job_of(**facts))

    assert caught.value.problems == (problem,)


def test_all_problems_are_named_at_once() -> None:
    """The dead letter shows everything that is wrong."""
    with pytest.raises(
        PayloadError, match="the job id is not positive; the user name is not known"
    ):
        start(job_of(job_id=-1, user=""))


def test_the_cluster_follows_the_partition_unless_it_was_reported() -> None:
    """A run keeps the name under which its start was accepted."""
    mapping = site(partition_clusters={"gpu": "alex"})
    job = job_of(partition="gpu")

    names = [start(job, mapping)["cluster"], start(job, mapping, cluster="fritz")["cluster"]]

    assert names == ["alex", "fritz"]
    assert mapping.cluster_of(None) == "lab"


def test_host_names_are_short_and_rewritten_by_the_first_match() -> None:
    """The metric collector may use other names than Slurm."""
    hosts = (
        (re.compile("^x"), "never"),
        (re.compile("^n(.)$"), r"node0\1"),
        (re.compile("n"), "z"),
    )
    job = job_of(nodes=("n1.cluster.example", "m2"))

    found = [resource["hostname"] for resource in start(job, site(hosts=hosts))["resources"]]

    assert found == ["node01", "m2"]


def test_a_host_that_the_server_knows_comes_first() -> None:
    """The server derives the subcluster from the first host alone."""
    job = job_of(nodes=("x1", "n2", "x3", "n4"))

    document, warnings = warned(job, site(clusters=server()))

    assert [host["hostname"] for host in document["resources"]] == ["n2", "x1", "x3", "n4"]
    assert warnings[0] == "host x1 is not in cc-backend's cluster.json of cluster lab"


@pytest.mark.parametrize("nodes", [("n1", "x2"), ("x1", "x2")])
def test_the_order_of_hosts_stays_otherwise(nodes: tuple[str, ...]) -> None:
    """Known first already, or none known at all."""
    document, _ = warned(job_of(nodes=nodes), site(clusters=server()))

    assert [host["hostname"] for host in document["resources"]] == list(nodes)


def test_nodes_are_paired_by_name_not_by_position() -> None:
    """Slurm's lists may differ in order and length."""
    job = job_of(nodes=("n1", "n2"), allocations=(node("n2", (1,)),))

    document, warnings = warned(job, site(clusters=server()))

    assert document["resources"] == [{"hostname": "n1"}, {"hostname": "n2", "hwthreads": [1, 9]}]
    assert warnings[0] == "hardware threads are not sent for hosts like nN: cores are not known"


def test_threads_of_whole_nodes_are_left_out_in_wide_jobs_only() -> None:
    """Absent means the whole node; listing thousands of threads helps nobody."""
    whole, part = node("n1", range(8)), node("n2", (0,))
    job = job_of(nodes=("n1", "n2"), allocations=(whole, part))

    narrow = start(job, site(clusters=server()))["resources"]
    wide = start(job, site(clusters=server(), listed_nodes=1))["resources"]

    assert narrow[0]["hwthreads"] == list(range(16))
    assert [resource.get("hwthreads") for resource in wide] == [None, [0, 8]]


def test_core_numbers_stand_for_threads_only_where_the_site_says_so() -> None:
    """Without topology nothing is listed by default."""
    job = job_of(allocations=(node("n1", (3, 1)),))

    document, warnings = warned(job, site())
    assumed = start(job, site(assume_core_ids=True))

    assert document["resources"] == [{"hostname": "n1"}]
    assert warnings[0].startswith(
        "hardware threads are not sent for hosts like nN: cores: 8 in Slurm, no topology"
    )
    assert assumed["resources"] == [{"hostname": "n1", "hwthreads": [1, 3]}]


@pytest.mark.parametrize(
    ("facts", "number"),
    [
        ({"cpus": 6}, 6),
        ({"allocations": (node("n1", cpus=4), node("n2", cpus=2))}, 6),
        ({"allocations": (node("n1", cpus=4), node("n2"))}, None),
        ({}, None),
    ],
)
def test_the_number_of_threads_is_slurms_number_of_cpus(
    facts: dict[str, Any], number: int | None
) -> None:
    """In total, else the sum over the nodes; never the mapped list."""
    assert start(job_of(**facts)).get("numHwthreads") == number


@pytest.mark.parametrize(
    ("gpus", "gres", "number"),
    [
        (4, None, 4),
        (None, (Gres(name="gpu", count=2, indices=(0, 2)),), 2),
        (1, (Gres(name="gpu", count=3),), 3),
        (None, (Gres(name="fpga", count=1, indices=(1,)),), 1),
        (None, (Gres(name="nvme", count=1, indices=(0,)),), None),
        (None, (), None),
    ],
)
def test_accelerators_are_counted_also_where_they_cannot_be_named(
    gpus: int | None, gres: tuple[Gres, ...] | None, number: int | None
) -> None:
    """0 would hide all accelerator metrics."""
    job = job_of(gpus=gpus, allocations=(node("n1", gres=gres),))

    document, _ = warned(job, site(accelerators=accelerator_map({"n": {"0": "x"}}, {})))

    assert document.get("numAcc") == number


def test_devices_without_address_are_warned_about() -> None:
    """The job is reported with those that have one."""
    gres = (Gres(name="gpu", count=2, indices=(0, 5)),)
    job = job_of(allocations=(node("n1", gres=gres),), sharing=Sharing.NODE)

    document, warnings = warned(job, site(accelerators=accelerator_map({"n": {"0": "x"}}, {})))

    assert document["resources"][0]["accelerators"] == ["x"]
    assert document["numAcc"] == 2
    assert "gpuPciAddrs has no address for device 5 of hosts n" in warnings


@pytest.mark.parametrize(
    ("end", "sent", "warnings"),
    [
        (T + 60, T + 60, 0),
        (T, T, 0),
        (T - 1, T, 0),
        (T - 9, T, 1),
        (T + 2**31, T + 2**31 - 1, 0),
        (T + 2**33, T + 2**31 - 1, 1),
    ],
)
def test_the_end_is_not_before_the_start_and_within_32_bits(
    end: int, sent: int, warnings: int
) -> None:
    """A correction by more than a second is logged."""
    told: list[str] = []
    document = stop_payload(
        KEY, end_time=end, state="COMPLETED", dialect=Dialect.SHARED, warn=told.append
    )

    assert document == {
        "jobId": 7,
        "cluster": "lab",
        "startTime": T,
        "stopTime": sent,
        "jobState": "completed",
    }
    assert len(told) == warnings
    assert clamp_end_time(end, T) == sent


def test_a_new_end_state_is_sent_as_failed_with_a_warning() -> None:
    """The word itself stands in the warning."""
    told: list[str] = []
    document = stop_payload(
        KEY, end_time=T + 1, state="EXPLODED", dialect=Dialect.SHARED, warn=told.append
    )

    assert document["jobState"] == "failed"
    assert told == ["end state 'EXPLODED' is unknown to this program: sent as failed"]


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "SUSPENDED", "COMPLETING", "REVOKED"])
def test_a_state_that_is_no_end_is_never_sent(state: str) -> None:
    """The server would take it and the row could never be closed."""
    with pytest.raises(PayloadError, match="is not an end state"):
        stop_payload(KEY, end_time=T + 1, state=state, dialect=Dialect.SHARED)


def test_a_delete_names_the_whole_run() -> None:
    """By job id alone another run would go."""
    document = delete_payload(KEY)

    assert document == {"jobId": 7, "cluster": "lab", "startTime": T}
    assert key_of(document) == KEY


@pytest.mark.parametrize(
    ("document", "reason", "changed"),
    [
        ({"stopTime": 5, "startTime": 9}, Reason.END_BEFORE_START,
         {"stopTime": 10, "startTime": 9}),
        ({"stopTime": 10, "startTime": 9}, Reason.END_BEFORE_START, None),
        ({"jobState": "x"}, Reason.STATE_UNKNOWN, {"jobState": "failed"}),
        ({"jobState": "failed"}, Reason.STATE_UNKNOWN, None),
        ({"metaData": {"jobScript": "x"}}, Reason.METADATA_TOO_LARGE, {"metaData": {}}),
        ({}, Reason.METADATA_TOO_LARGE, None),
    ],
)  # fmt: skip
def test_an_amendment_changes_something_or_is_none(
    document: dict[str, Any], reason: Reason, changed: dict[str, Any] | None
) -> None:
    """The same request is not sent twice in vain."""
    assert amend(document, reason) == changed


def test_a_job_of_slurm_is_a_job_of_ours() -> None:
    """Held by the type checker: every property of the protocol is there."""
    facts: JobFacts = replace(job_of(), name="x")

    assert facts.name == "x"


@pytest.mark.parametrize(
    ("facts", "after", "waited", "needs"),
    [
        ({"user": "ada"}, None, 0, False),
        ({"user": None, "uid": 20001}, None, 10**6, True),
        ({"user": None, "uid": 20001}, 600, 599, True),
        ({"user": "", "uid": 20001}, 600, 600, False),
        ({"user": "\0", "uid": 0}, 0, 0, False),
        ({"user": None, "uid": None}, 600, 10**6, True),
    ],
)
def test_a_start_waits_for_the_name_of_its_user(
    facts: dict[str, Any], after: float | None, waited: float, *, needs: bool
) -> None:
    """As long as it takes, or as the site has set."""
    mapping = site(user_from_uid_after_seconds=after)

    assert needs is needs_user_name(job_of(**facts), mapping, waited_seconds=waited)


def test_the_number_of_a_user_stands_for_an_unknown_name_if_the_site_says_so() -> None:
    """A name that is known counts more."""
    mapping = site(user_from_uid_after_seconds=600)

    users = [start(job_of(user=name, uid=20001), mapping)["user"] for name in (None, "ada")]

    assert ["20001", "ada"] == users
    with pytest.raises(PayloadError, match="the user name is not known"):
        start(job_of(user=None, uid=20001))
