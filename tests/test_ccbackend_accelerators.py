"""Accelerator addresses: how they are written, mapped, warned about and checked."""

from __future__ import annotations

from typing import Any

import pytest

from ccbackend.accelerators import (
    NodeAccelerators,
    accelerator_map,
    accelerators_of,
    map_problems,
    normal_address,
)
from ccbackend.topology import clusters_of_json
from slurm.job import Gres, NodeAllocation


def cluster(topology: object, nodes: object = "n[1-2]") -> object:
    """Return the server's answer with one subcluster."""
    subs = [{"name": "main", "nodes": nodes, "topology": topology}]
    return {"clusters": [{"name": "lab", "subClusters": subs}]}


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("0000:0e:00.0", "00000000:0E:00.0"),
        ("00000000:0E:00.0", "00000000:0E:00.0"),
        ("0e:00.0", "00000000:0E:00.0"),
        ("MIG-b0c5f9a6", "MIG-b0c5f9a6"),
        ("3", "3"),
        ("0000:0e:00.9", "0000:0e:00.9"),
    ],
)
def test_pci_addresses_are_written_as_cc_backend_compares_them(address: str, normal: str) -> None:
    """Short and long forms become 00000000:0E:00.0; MIG names and numbers stay unchanged."""
    assert normal_address(address) == normal


def test_host_patterns_come_before_prefixes_in_the_address_map() -> None:
    """The first pattern that matches any part of the host name counts, else the longest prefix."""
    site = accelerator_map(
        {"g": {"0": "short"}, "gpu": {"0": "long", "12": "twelve"}},
        {"x1$": ["first"], "x": ["second", "third"]},
    )
    tables = {host: site.table(host) for host in ("gpux1", "gpux2", "gpu3", "g4", "n1")}

    assert {host: table and table.addresses for host, table in tables.items()} == {
        "gpux1": {0: "first"},
        "gpux2": {0: "second", 1: "third"},
        "gpu3": {0: "long", 12: "twelve"},
        "g4": {0: "short"},
        "n1": None,
    }


def held(*gres: Gres, name: str = "g1", kinds: tuple[str, ...] = ("gpu",)) -> NodeAccelerators:
    """Return the accelerators that a job has on a node with four addresses."""
    site = accelerator_map({"g": {str(i): f"A{i}" for i in range(4)}}, {}, kinds)
    return accelerators_of(NodeAllocation(name=name, gres=gres), site)


@pytest.mark.parametrize(
    ("gres", "addresses", "allocated"),
    [
        ([{"name": "gpu", "count": 3, "indices": (3, 0, 2)}], ("A0", "A2", "A3"), 3),
        (
            [
                {"name": "gpu", "type": "a", "count": 1, "indices": (1,)},
                {"name": "gpu", "type": "b", "count": 1, "indices": (0,)},
            ],
            ("A0", "A1"),
            2,
        ),
        ([{"name": "shard", "count": 4, "indices": (1,)}], ("A1",), 1),
        ([{"name": "mps", "count": 100}], (), 1),
        ([{"name": "shard", "count": 0}], (), 0),
        ([{"name": "gpu", "count": 4}], (), 4),
        ([{"name": "gpu", "count": 4, "indices": (0, 1)}], (), 4),
        ([{"name": "fpga", "count": 1, "indices": (0,)}], ("A0",), 1),
        ([{"name": "nvme", "count": 1, "indices": (0,)}], (), 0),
        ([{"name": "gpu", "count": 0, "indices": ()}], (), 0),
    ],
)
def test_gres_indices_become_addresses_in_order(
    gres: list[dict[str, Any]], addresses: tuple[str, ...], allocated: int
) -> None:
    """An incomplete index list gives no address; 100 shares (mps) of a GPU count as one device."""
    found = held(*(Gres(**one) for one in gres))

    assert (found.addresses, found.allocated) == (addresses, allocated)


def test_gres_kinds_other_than_gpu_count_if_configured() -> None:
    """Only `fpga` is configured: an FPGA counts, and the shards of a GPU do not."""
    fpga, shard = Gres(name="fpga", count=1, indices=(0,)), Gres(name="shard", count=1)

    found = held(fpga, shard, kinds=("fpga",))

    assert found == NodeAccelerators(("A0",), 1)


def test_missing_addresses_give_the_same_text_for_similar_hosts() -> None:
    """The problem names host `n12` as `nN`, so that hosts with the same problem share one text."""
    node = Gres(name="gpu", count=2, indices=(1, 7))

    assert held(node).problems == ("gpuPciAddrs has no address for device 7 of hosts g",)
    assert held(node, name="n12").problems == (
        "gpuPciAddrs has no addresses for hosts named nN (N: a number)",
    )
    assert held(Gres(name="gpu", count=2)).problems == (
        "accelerators whose device index Slurm does not show: 2",
    )


def test_a_node_with_unknown_gres_has_no_accelerators() -> None:
    """GRES that Slurm does not show give the same result as a node without accelerators."""
    site = accelerator_map({}, {})

    assert accelerators_of(NodeAllocation(name="n1"), site) == NodeAccelerators()


TWO = {"socket": [[0]], "core": [[0]], "accelerators": [{"id": f"A{i}"} for i in range(2)]}


@pytest.mark.parametrize(
    ("prefixes", "patterns", "problems"),
    [
        ({"n": {"0": "A0", "1": "A1"}}, {}, ()),
        ({}, {"^n.$": ["A0", "A1"]}, ()),
        (
            {},
            {"n": ["A0", "A1"]},
            (
                (
                    "pattern n also matches a part of a host name; write ^...$ to match only"
                    " whole names"
                ),
            ),
        ),
        (
            {},
            {"^n1$": ["A0", "A1"], "^n.$": ["A0", "A1"]},
            ("patterns ^n1$ and ^n.$ match the same host; the first is used",),
        ),
        (
            {"n": {"0": "A0", "1": "B1"}},
            {},
            (
                "accelerator B1 of hosts n is not in cc-backend's cluster.json",
                (
                    "accelerator A1 of hosts named nN (N: a number) is in cc-backend's"
                    " cluster.json, but not in the configuration"
                ),
            ),
        ),
        ({}, {}, ("gpuPciAddrs has no addresses for hosts named nN (N: a number)",)),
    ],
)
def test_the_address_map_is_compared_with_cluster_json(
    prefixes: dict[str, dict[str, str]], patterns: dict[str, list[str]], problems: tuple[str, ...]
) -> None:
    """Each problem is reported once for all hosts; hosts that cc-backend lacks are skipped."""
    (there,) = clusters_of_json(cluster(TWO))

    found = map_problems(
        accelerator_map(prefixes, patterns), {name: name for name in ("n1", "n2", "x9")}, there
    )

    assert found == problems


@pytest.mark.parametrize("topology", [None, {"socket": [[0]], "core": [[0]]}])
def test_a_host_without_accelerators_at_the_server_is_no_problem(topology: object) -> None:
    """The server may have no topology of the host, or a topology without accelerators."""
    (there,) = clusters_of_json(cluster(topology))

    assert map_problems(accelerator_map({}, {}), {"n1": "n1"}, there) == ()
