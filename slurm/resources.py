"""Cores and nodes of a job from the `job_resources` of every release's JSON.

Three shapes (Slurm `src/plugins/openapi/v0.0.37`, `v0.0.38`, `data_parser/v0.0.41`): 21.08 numbers
nodes and merges the cores of all sockets; 22.05 ... 23.11 name nodes and list allocated cores below
their socket; 24.05 on lists all cores of the node with a status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slurm.config import Geometry
from slurm.gres import GresError, parse_gres
from slurm.hostlist import expand
from slurm.job import Gres, NodeAllocation

GeometryOf = Callable[[str], Geometry | None]
"""The geometry of a node, by name; None: not known."""


@dataclass(frozen=True, slots=True)
class Resources:
    """The nodes of a job in Slurm's order, and what it holds on each."""

    nodes: tuple[str, ...] = ()
    allocations: tuple[NodeAllocation, ...] = ()


def resources_of(document: Any, gres_detail: Any, geometry_of: GeometryOf) -> Resources:
    """Return what `job_resources` and `gres_detail` of a job tell.

    Raises:
        ValueError: a shape that no known release prints.
    """
    if not isinstance(document, dict) or not document:
        return Resources()
    listed = document.get("nodes")
    if isinstance(listed, dict):
        nodes = expand(listed.get("list") or "")
        found = {item["name"]: _cores_of_list(item) for item in listed.get("allocation") or []}
    else:
        nodes = expand(listed or "")
        allocated = document.get("allocated_nodes") or []
        if isinstance(allocated, dict):
            return Resources(nodes, _with_gres(nodes, {}, gres_detail))
        found = {item["nodename"]: _cores_of_sockets(item, geometry_of) for item in allocated}
    return Resources(nodes, _with_gres(nodes, found, gres_detail))


def _with_gres(
    nodes: tuple[str, ...], cores: Mapping[str, NodeAllocation], gres_detail: Any
) -> tuple[NodeAllocation, ...]:
    """Return one allocation a node; `gres_detail[i]` belongs to the i-th node."""
    details = gres_detail if isinstance(gres_detail, list) else []
    allocations = []
    for position, name in enumerate(nodes):
        known = cores.get(name, NodeAllocation(name=name))
        gres = _gres(details[position]) if len(details) == len(nodes) else None
        allocations.append(
            NodeAllocation(name=name, cores=known.cores, core_count=known.core_count, gres=gres)
        )
    return tuple(allocations)


def _gres(detail: Any) -> tuple[Gres, ...] | None:
    try:
        return parse_gres(detail)
    except GresError:
        return None


def _cores_of_list(item: Mapping[str, Any]) -> NodeAllocation:
    """Return the cores of a node whose every core is listed with its status."""
    cores: list[int] = []
    count = 0
    for socket in sorted(item.get("sockets") or [], key=lambda socket: int(socket["index"])):
        for core in sorted(socket["cores"], key=lambda core: int(core["index"])):
            if "ALLOCATED" in core["status"]:
                cores.append(count)
            count += 1
    return NodeAllocation(name=item["name"], cores=tuple(cores), core_count=count)


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
    count = geometry.sockets * per_socket if geometry else None
    return NodeAllocation(name=item["nodename"], cores=tuple(sorted(cores)), core_count=count)
