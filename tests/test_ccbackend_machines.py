"""Hardware threads of machines that sites have: from Slurm's flat core index to the OS's numbers.

A machine is described as in cluster.json; the cores of a job are given in Slurm's numbers.
"""

from __future__ import annotations

from typing import Any

import pytest

from ccbackend.accelerators import accelerator_map
from ccbackend.payload import start_payload
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster, clusters_of_json
from ccbackend.version import Dialect
from slurm.job import Gres, Job, NodeAllocation, Sharing

GRACE_GPUS = [f"{domain:08X}:01:00.0" for domain in (0x9, 0x19, 0x29, 0x39)]


def machine(sockets: list[list[list[int]]], gpus: list[str] | None = None) -> Cluster:
    """Return a cluster of one host `m1`: the threads of each core of each socket."""
    cores = [core for socket in sockets for core in socket]
    topology: dict[str, Any] = {
        "node": sorted(thread for core in cores for thread in core),
        "socket": [sorted(thread for core in socket for thread in core) for socket in sockets],
        "core": sorted(cores),
        "accelerators": [{"id": gpu, "type": "GPU", "model": "x"} for gpu in gpus or ()],
    }
    sub = {"name": "m", "nodes": "m1", "topology": topology}
    return clusters_of_json({"clusters": [{"name": "c", "subClusters": [sub]}]})[0]


def interleaved() -> Cluster:
    """Return two sockets of 20 cores, numbered alternately; second threads from 40 on."""
    return machine([[[n, n + 40] for n in range(first, 40, 2)] for first in (0, 1)])


def contiguous() -> Cluster:
    """Return two sockets of 64 cores with four NUMA domains each; second threads from 128 on."""
    return machine([[[n, n + 128] for n in range(first, first + 64)] for first in (0, 64)])


def without_smt() -> Cluster:
    """Return two sockets of 24 cores with one thread each, numbered alternately."""
    return machine([[[n] for n in range(first, 48, 2)] for first in (0, 1)])


def adjacent() -> Cluster:
    """Return one socket of 16 cores whose threads have adjacent numbers."""
    return machine([[[2 * n, 2 * n + 1] for n in range(16)]])


def grace() -> Cluster:
    """Return one socket of 72 cores with four GPUs."""
    return machine([[[n] for n in range(72)]], GRACE_GPUS)


def reported(cluster: Cluster, cores: tuple[int, ...], count: int, *gpus: int) -> dict[str, Any]:
    """Return the resources of a job that holds some cores and GPUs of the host."""
    gres = (Gres(name="gpu", count=len(gpus), indices=gpus),) if gpus else ()
    node = NodeAllocation(name="m1", cores=cores, core_count=count, gres=gres)
    job = Job(
        job_id=1, user="ada", start_time=1, nodes=("m1",), allocations=(node,),
        sharing=Sharing.SHARED,
    )  # fmt: skip
    site = SiteMap(
        cluster="c",
        clusters={"c": cluster},
        accelerators=accelerator_map({}, {"^m1$": GRACE_GPUS}),
    )
    document = start_payload(job, mapping=site, dialect=Dialect.SHARED, metadata={})
    (host,) = document["resources"]
    return dict(host)


@pytest.mark.parametrize(
    ("cluster", "count", "cores", "threads"),
    [
        (interleaved(), 40, (0, 1, 19), [0, 2, 38, 40, 42, 78]),
        (interleaved(), 40, (20, 39), [1, 39, 41, 79]),
        (contiguous(), 128, (0, 15, 16, 64, 127), [0, 15, 16, 64, 127, 128, 143, 144, 192, 255]),
        (without_smt(), 48, (0, 1, 24, 47), [0, 1, 2, 47]),
        (adjacent(), 16, (0, 3, 15), [0, 1, 6, 7, 30, 31]),
        (grace(), 72, (0, 17, 71), [0, 17, 71]),
    ],
    ids=["interleaved-0", "interleaved-1", "8-numa", "no-smt", "adjacent", "grace"],
)
def test_slurms_core_numbers_become_the_machines_threads(
    cluster: Cluster, count: int, cores: tuple[int, ...], threads: list[int]
) -> None:
    """All threads of each core are reported, in ascending order."""
    assert threads == reported(cluster, cores, count)["hwthreads"]


@pytest.mark.parametrize("cores", [(112,), (16, 112)])
def test_numa_domains_as_sockets_in_slurm_give_the_same_threads(cores: tuple[int, ...]) -> None:
    """Slurm has 8 sockets of 16 cores, cluster.json 2 of 64: the core numbers are the same."""
    expected = sorted(thread for core in cores for thread in (core, core + 128))

    assert expected == reported(contiguous(), cores, 8 * 16)["hwthreads"]


def test_a_job_on_all_cores_has_all_hardware_threads() -> None:
    """A job on all 40 cores is reported with threads 0 to 79, each once."""
    assert list(range(80)) == reported(interleaved(), tuple(range(40)), 40)["hwthreads"]


def test_a_machine_of_another_size_has_no_hardware_threads() -> None:
    """Slurm has 36 cores where the server has 40, so no thread is reported."""
    assert "hwthreads" not in reported(interleaved(), (0, 1), 36)


def test_slurms_gpu_indices_become_pci_addresses() -> None:
    """GPUs 1 and 3 of a job get the second and the fourth configured address."""
    host = reported(grace(), (0, 1), 72, 1, 3)

    assert [GRACE_GPUS[1], GRACE_GPUS[3]] == host["accelerators"]
