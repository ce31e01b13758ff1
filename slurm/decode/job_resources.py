"""Cores and nodes of a job from the `job_resources` of every release's JSON.

Three shapes (Slurm `src/plugins/openapi/v0.0.37`, `v0.0.38`, `data_parser/v0.0.41`): 21.08 numbers
nodes and merges the cores of all sockets; 22.05 ... 23.11 name nodes and list allocated cores below
their socket; 24.05 on lists all cores of the node with a status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from slurm.decode.fields.gres import GresError, parse_gres
from slurm.decode.fields.hostlist import expand_hosts
from slurm.decode.fields.scalars import positive
from slurm.decode.scontrol_config import Geometry
from slurm.job import Gres, NodeAllocation

GeometryOf = Callable[[str], Geometry | None]
"""The geometry of a node, by name; None: not known."""


@dataclass(frozen=True, slots=True)
class JobResources:
    """The nodes of a job in Slurm's order, and what it holds on each."""

    nodes: tuple[str, ...] = ()
    allocations: tuple[NodeAllocation, ...] = ()


def parse_job_resources(
    document: Any, gres_detail: Any, geometry_of: GeometryOf, *, is_live: bool
) -> JobResources:
    """Return what `job_resources` and `gres_detail` of a job tell.

    Args:
        document: `job_resources`.
        gres_detail: one text a node, or nothing.
        geometry_of: a node.
        is_live: the job runs, so that an empty `gres_detail` means *none* and not *forgotten*.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: a shape that no known release prints.
    """
    if not isinstance(document, dict) or not document:
        return JobResources()
    listed = document.get("nodes")
    if isinstance(listed, dict):
        nodes = expand_hosts(listed.get("list") or "")
        found = {item["name"]: _cores_of_list(item) for item in listed.get("allocation") or []}
    else:
        nodes = expand_hosts(listed or "")
        allocated = document.get("allocated_nodes") or []
        if isinstance(allocated, dict):
            found = _numbered_nodes(allocated, nodes, geometry_of)
        else:
            found = {item["nodename"]: _cores_of_sockets(item, geometry_of) for item in allocated}
    return JobResources(nodes, _allocations_with_gres(nodes, found, gres_detail, is_live=is_live))


def _allocations_with_gres(
    nodes: tuple[str, ...],
    found: Mapping[str, NodeAllocation],
    gres_detail: Any,
    *,
    is_live: bool,
) -> tuple[NodeAllocation, ...]:
    """Return one allocation a node; `gres_detail[i]` belongs to the i-th node."""
    details = gres_detail if isinstance(gres_detail, list) else []
    allocations = []
    for position, name in enumerate(nodes):
        gres: tuple[Gres, ...] | None = () if is_live and not details else None
        if len(details) == len(nodes):
            gres = parse_node_gres(details[position], is_live=is_live)
        allocations.append(replace(found.get(name, NodeAllocation(name=name)), gres=gres))
    return tuple(allocations)


def parse_node_gres(detail: Any, *, is_live: bool) -> tuple[Gres, ...] | None:
    """Return the GRES of one node; None where they cannot be read or may be forgotten."""
    try:
        found = parse_gres(detail)
    except (GresError, AttributeError):
        return None
    return found if found or is_live else None


def _cores_of_list(item: Mapping[str, Any]) -> NodeAllocation:
    """Return the cores of a node whose every core is listed with its status."""
    cores: list[int] = []
    count = 0
    for socket in sorted(item.get("sockets") or [], key=lambda socket: int(socket["index"])):
        for core in sorted(socket["cores"], key=lambda core: int(core["index"])):
            if "ALLOCATED" in core["status"]:
                cores.append(count)
            count += 1
    cpus = positive((item.get("cpus") or {}).get("count"))
    return NodeAllocation(name=item["name"], cores=tuple(cores), core_count=count, cpus=cpus)


def _cores_of_sockets(item: Mapping[str, Any], geometry_of: GeometryOf) -> NodeAllocation:
    """Return the cores of a node whose allocated cores stand below their sockets."""
    sockets = {int(key): value for key, value in (item.get("sockets") or {}).items()}
    geometry = geometry_of(item["nodename"])
    if geometry is None and set(sockets) - {0}:
        return NodeAllocation(name=item["nodename"])
    per_socket = geometry.cores_per_socket if geometry else 0
    cores = [
        socket * per_socket + int(core)
        for socket, value in sockets.items()
        for core in value.get("cores") or {}
    ]
    return NodeAllocation(
        name=item["nodename"], cores=tuple(sorted(cores)), core_count=core_count(geometry)
    )


def _numbered_nodes(
    allocated: Mapping[str, Any], nodes: tuple[str, ...], geometry_of: GeometryOf
) -> dict[str, NodeAllocation]:
    """Return what a job holds on nodes known by their places (21.08).

    Where the nodes are not all of one size, Slurm reads some with the size of others: then no cores
    are told.
    """
    sizes = {geometry_of(name) for name in nodes}
    return {
        nodes[int(place)]: _cores_of_merged_sockets(
            item, nodes[int(place)], geometry_of(nodes[int(place)]), one_size=len(sizes) == 1
        )
        for place, item in allocated.items()
    }


def _cores_of_merged_sockets(
    item: Mapping[str, Any], name: str, geometry: Geometry | None, *, one_size: bool
) -> NodeAllocation:
    """Return the cores of a node whose sockets and cores stand side by side (21.08).

    As released, a core is numbered within its socket, so cores of several sockets fall together;
    with the site patch (`patches/`) it is numbered within the node. A number beyond the first
    socket proves the patch. Without it the cores are certain for one socket alone, or where the
    CPUs are so many that every socket must hold every core listed.
    """
    sockets = sorted(int(key) for key in item.get("sockets") or {})
    numbers = sorted(int(key) for key in item.get("cores") or {})
    cpus = positive(item.get("cpus"))
    known = NodeAllocation(name=name, cpus=cpus, core_count=core_count(geometry))
    if geometry is None or not one_size:
        cores = tuple(numbers) if sockets == [0] and one_size else None
        return replace(known, cores=cores)
    per_socket = geometry.cores_per_socket
    if numbers and numbers[-1] >= per_socket:
        return replace(known, cores=tuple(numbers))
    most = len(sockets) * len(numbers) * geometry.threads_per_core
    if len(sockets) > 1 and cpus != most:
        return known
    cores = tuple(socket * per_socket + number for socket in sockets for number in numbers)
    return replace(known, cores=cores)


def core_count(geometry: Geometry | None) -> int | None:
    """Return the cores of a node."""
    return geometry.sockets * geometry.cores_per_socket if geometry else None
