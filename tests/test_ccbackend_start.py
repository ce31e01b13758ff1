"""Start requests made from facts of Slurm: the document, refusals, the cluster and the user."""

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
