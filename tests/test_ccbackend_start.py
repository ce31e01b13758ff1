"""Start requests from Slurm's data: the document, refusals, the cluster and the user."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from payload_values import T, job_of, node, server, site, start

from ccbackend.accelerators import accelerator_map
from ccbackend.errors import PayloadError
from ccbackend.facts import JobFacts
from ccbackend.payload import (
    needs_user_name,
)
from ccbackend.version import Dialect
from slurm.job import Gres, Job, Sharing

GPU = {
    "g01": {"0": "00000000:03:00.0", "2": "0000:84:00.0"},
    "g02": {"0": "00000000:03:00.0"},
}


def test_a_start_has_all_values_of_a_gpu_job_on_shared_nodes() -> None:
    """The job shares two nodes, with its hardware threads and one GPU on each."""
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


def test_unknown_values_are_omitted_from_a_start() -> None:
    """An empty account is sent, because the server always has the field."""
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
def test_values_that_no_server_accepts_are_refused(facts: dict[str, Any], problem: str) -> None:
    """The run becomes a dead letter with the reason and is never sent."""
    with pytest.raises(PayloadError) as caught:
        start(job_of(**facts))

    assert caught.value.problems == (problem,)


def test_all_problems_of_a_start_are_reported_together() -> None:
    """The dead letter shows everything that is wrong."""
    with pytest.raises(
        PayloadError, match="the job id is not positive; the user name is not known"
    ):
        start(job_of(job_id=-1, user=""))


def test_a_partition_can_have_its_own_cluster_name() -> None:
    """Jobs of `gpu` are reported as `alex`; a started run keeps the cluster of its start."""
    mapping = site(partition_clusters={"gpu": "alex"})
    job = job_of(partition="gpu")

    names = [start(job, mapping)["cluster"], start(job, mapping, cluster="fritz")["cluster"]]

    assert names == ["alex", "fritz"]
    assert mapping.cluster_of(None) == "lab"


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
    """`numHwthreads` is the job's total or the sum over nodes, not the length of a list."""
    assert start(job_of(**facts)).get("numHwthreads") == number


def test_a_job_of_slurm_has_all_facts_that_a_request_needs() -> None:
    """The type checker verifies this: `Job` has every property of the protocol."""
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
    """A start with only a UID waits without limit, or as long as the configuration says."""
    mapping = site(user_from_uid_after_seconds=after)

    assert needs is needs_user_name(job_of(**facts), mapping, waited_seconds=waited)


def test_the_uid_replaces_an_unknown_user_name_if_configured() -> None:
    """A known name is preferred to the uid."""
    mapping = site(user_from_uid_after_seconds=600)

    users = [start(job_of(user=name, uid=20001), mapping)["user"] for name in (None, "ada")]

    assert ["20001", "ada"] == users
    with pytest.raises(PayloadError, match="the user name is not known"):
        start(job_of(user=None, uid=20001))
