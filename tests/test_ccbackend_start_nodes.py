"""Nodes, hardware threads and accelerators in start requests."""

from __future__ import annotations

import re
from typing import Any

import pytest
from payload_values import job_of, node, server, site, start

from ccbackend.accelerators import accelerator_map
from ccbackend.facts import JobFacts
from ccbackend.site_map import SiteMap
from slurm.job import Gres, Sharing


def warned(job: JobFacts, mapping: SiteMap) -> tuple[dict[str, Any], list[str]]:
    """Return a start request and its warnings."""
    warnings: list[str] = []
    return start(job, mapping, warn=warnings.append), warnings


def test_host_names_are_shortened_and_rewritten_by_the_first_match() -> None:
    """The metric collector may use other names than Slurm."""
    hosts = (
        (re.compile("^x"), "never"),
        (re.compile("^n(.)$"), r"node0\1"),
        (re.compile("n"), "z"),
    )
    job = job_of(nodes=("n1.cluster.example", "m2"))

    found = [resource["hostname"] for resource in start(job, site(hosts=hosts))["resources"]]

    assert found == ["node01", "m2"]


def test_a_host_that_the_server_knows_is_sent_first() -> None:
    """The server derives the subcluster from the first host alone."""
    job = job_of(nodes=("x1", "n2", "x3", "n4"))

    document, warnings = warned(job, site(clusters=server()))

    assert [host["hostname"] for host in document["resources"]] == ["n2", "x1", "x3", "n4"]
    assert warnings[0] == "host x1 is not in cc-backend's cluster.json for cluster lab"


@pytest.mark.parametrize("nodes", [("n1", "x2"), ("x1", "x2")])
def test_hosts_are_not_reordered_without_need(nodes: tuple[str, ...]) -> None:
    """The order changes only if the first host is unknown to cc-backend and another is known."""
    document, _ = warned(job_of(nodes=nodes), site(clusters=server()))

    assert [host["hostname"] for host in document["resources"]] == list(nodes)


def test_nodes_and_allocations_are_paired_by_name() -> None:
    """Slurm's list of nodes and its allocations may differ in order and length."""
    job = job_of(nodes=("n1", "n2"), allocations=(node("n2", (1,)),))

    document, warnings = warned(job, site(clusters=server()))

    assert document["resources"] == [{"hostname": "n1"}, {"hostname": "n2", "hwthreads": [1, 9]}]
    assert (
        warnings[0]
        == "hardware threads are not sent for hosts named nN (N: a number): cores are not known"
    )


def test_threads_of_whole_nodes_are_omitted_in_wide_jobs_only() -> None:
    """A missing list means the whole node, and a wide job would list thousands of threads."""
    whole, part = node("n1", range(8)), node("n2", (0,))
    job = job_of(nodes=("n1", "n2"), allocations=(whole, part))

    narrow = start(job, site(clusters=server()))["resources"]
    wide = start(job, site(clusters=server(), listed_nodes=1))["resources"]

    assert narrow[0]["hwthreads"] == list(range(16))
    assert [resource.get("hwthreads") for resource in wide] == [None, [0, 8]]


def test_core_numbers_are_sent_as_threads_only_if_configured() -> None:
    """Without a topology no threads are listed by default."""
    job = job_of(allocations=(node("n1", (3, 1)),))

    document, warnings = warned(job, site())
    assumed = start(job, site(assume_core_ids=True))

    assert document["resources"] == [{"hostname": "n1"}]
    assert warnings[0].startswith(
        "hardware threads are not sent for hosts named nN (N: a number): cores: 8 in Slurm,"
        " no topology"
    )
    assert assumed["resources"] == [{"hostname": "n1", "hwthreads": [1, 3]}]


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
def test_accelerators_without_address_are_counted_too(
    gpus: int | None, gres: tuple[Gres, ...] | None, number: int | None
) -> None:
    """A count of 0 would hide all accelerator metrics."""
    job = job_of(gpus=gpus, allocations=(node("n1", gres=gres),))

    document, _ = warned(job, site(accelerators=accelerator_map({"n": {"0": "x"}}, {})))

    assert document.get("numAcc") == number


def test_devices_without_address_give_a_warning() -> None:
    """The start request has the addresses of the other devices."""
    gres = (Gres(name="gpu", count=2, indices=(0, 5)),)
    job = job_of(allocations=(node("n1", gres=gres),), sharing=Sharing.NODE)

    document, warnings = warned(job, site(accelerators=accelerator_map({"n": {"0": "x"}}, {})))

    assert document["resources"][0]["accelerators"] == ["x"]
    assert document["numAcc"] == 2
    assert "gpuPciAddrs has no address for device 5 of hosts n" in warnings
