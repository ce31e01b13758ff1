"""Cores and nodes of a job from the `job_resources` of every release's JSON.

Three shapes (Slurm `src/plugins/openapi/v0.0.37`, `v0.0.38`, `data_parser/v0.0.41`): 21.08 numbers
nodes and merges the cores of all sockets; 22.05 ... 23.11 name nodes and list allocated cores below
their socket; 24.05 on lists all cores of the node with a status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from slurm.decode.fields.gres import NO_GRES, parse_gres
from slurm.decode.fields.hostlist import expand_hosts
from slurm.decode.fields.reader import FieldError, FieldReader
from slurm.decode.fields.scalars import number, positive, text, unexpected
from slurm.decode.scontrol_nodes import Node, NodeOf
from slurm.job import Gres, NodeAllocation


@dataclass(frozen=True, slots=True)
class JobResources:
    """The nodes of a job in Slurm's order, and its resources on each."""

    nodes: tuple[str, ...] = ()
    allocations: tuple[NodeAllocation, ...] = ()


def parse_job_resources(
    document: Any, gres_detail: Any, node_of: NodeOf, *, is_live: bool
) -> JobResources:
    """Return the resources from `job_resources` and `gres_detail` of a job.

    `gres_detail` is one text per node, or empty. Empty means that a running job (`is_live`) has no
    GRES, and that the GRES of any other job are not known.

    Raises:
        FieldError: no known release prints this shape.
    """
    if document in (None, [], ""):
        return JobResources()
    resources = FieldReader({"job_resources": document}).part("job_resources")
    # The shape decides, not the release: `squeue` may be a wrapper that runs another one.
    if isinstance(document.get("nodes"), dict):
        listed = resources.part("nodes")
        nodes = listed.read("list", hosts)
        found = [_cores_of_list(item) for item in listed.parts("allocation")]
    else:
        nodes = resources.read("nodes", hosts)
        if isinstance(document.get("allocated_nodes"), dict):
            found = _numbered_nodes(resources.part("allocated_nodes"), nodes, node_of)
        else:
            items = resources.parts("allocated_nodes")
            found = [_cores_of_sockets(item, node_of) for item in items]
    details = FieldReader({"gres_detail": gres_detail}).read("gres_detail", _details)
    by_name = {allocation.name: allocation for allocation in found}
    return JobResources(nodes, _allocations_with_gres(nodes, by_name, details, is_live=is_live))


def hosts(value: Any) -> tuple[str, ...]:
    """Return the hosts of a node list.

    Raises:
        ValueError: it is not text, or outside the grammar.
    """
    return expand_hosts(text(value) or "")


def _details(value: Any) -> list[Any]:
    if value is None or isinstance(value, str):
        return [value] if value else []
    if not isinstance(value, list):
        raise unexpected("a list", value)
    return value


def _allocations_with_gres(
    nodes: tuple[str, ...],
    found: Mapping[str, NodeAllocation],
    details: list[Any],
    *,
    is_live: bool,
) -> tuple[NodeAllocation, ...]:
    """Return one allocation per node; `details[i]` belongs to the i-th node."""
    allocations = []
    for position, name in enumerate(nodes):
        # Slurm sends gres_detail only while the base state is RUNNING or SUSPENDED
        # (`_pack_job_gres`): later its absence does not mean that the job had no GPU.
        gres: tuple[Gres, ...] | None = () if is_live and not details else None
        # GRES details have no node names. If their number differs, it is unknown which belongs
        # to which.
        if len(details) == len(nodes):
            gres = parse_node_gres(details[position], is_live=is_live)
        allocations.append(replace(found.get(name, NodeAllocation(name=name)), gres=gres))
    return tuple(allocations)


def parse_node_gres(detail: Any, *, is_live: bool) -> tuple[Gres, ...] | None:
    """Return the GRES of one node; None if they cannot be read or Slurm may no longer show them."""
    if detail is not None and not isinstance(detail, str):
        return None
    found = parse_gres(detail)
    is_empty = detail is None or detail.strip() in NO_GRES
    return found if found or (is_live and is_empty) else None


def _cores_of_list(item: FieldReader) -> NodeAllocation:
    """Return the cores of a node from the list of all its cores with their status."""
    name = item.required("name", text)
    cores: list[int] = []
    count = 0
    for socket in _by_index(item.parts("sockets")):
        for core in _by_index(socket.parts("cores", is_required=True)):
            if "ALLOCATED" in core.required("status", _words):
                cores.append(count)
            # Counted over all sockets: cc-backend's topology has one list of cores for the node.
            count += 1
    cpus = item.part("cpus").read("count", positive)
    return NodeAllocation(name=name, cores=tuple(cores), core_count=count, cpus=cpus)


def _by_index(records: list[FieldReader]) -> list[FieldReader]:
    return sorted(records, key=lambda record: record.required("index", number))


def _words(value: Any) -> list[str] | None:
    found = [value] if isinstance(value, str) else value
    if found is not None and not (
        isinstance(found, list) and all(isinstance(word, str) for word in found)
    ):
        raise unexpected("a list of strings", value)
    return found


def _cores_of_sockets(item: FieldReader, node_of: NodeOf) -> NodeAllocation:
    """Return the cores of a node from the allocated cores listed below each socket."""
    name = item.required("nodename", text)
    numbered = item.part("sockets").numbered()
    sockets = [(index, socket.part("cores").indices()) for index, socket in numbered]
    node = node_of(name) if sockets else None
    if not sockets or (node is None and any(index for index, _ in sockets)):
        return NodeAllocation(name=name)
    per_socket = node.cores_per_socket if node else 0
    cores = [index * per_socket + core for index, numbers in sockets for core in numbers]
    count = node.cores if node else None
    return NodeAllocation(name=name, cores=tuple(sorted(cores)), core_count=count)


def _numbered_nodes(
    allocated: FieldReader, nodes: tuple[str, ...], node_of: NodeOf
) -> list[NodeAllocation]:
    """Return the allocations on nodes that are numbered, not named (21.08).

    If the nodes differ in size, Slurm reads some with the size of others: then no cores are
    returned.
    """
    known = [node_of(name) for name in nodes]
    sizes = {
        node and (node.sockets, node.cores_per_socket, node.threads_per_core) for node in known
    }
    found = []
    for place, item in allocated.numbered():
        if place >= len(nodes):
            problem = f"the job has only {len(nodes)} nodes"
            raise FieldError(f"job_resources.allocated_nodes.{place}", problem)
        found.append(
            _cores_of_merged_sockets(item, nodes[place], known[place], one_size=len(sizes) == 1)
        )
    return found


def _cores_of_merged_sockets(
    item: FieldReader, name: str, node: Node | None, *, one_size: bool
) -> NodeAllocation:
    """Return the cores of a node from its merged sockets (21.08).

    As released, Slurm numbers a core within its socket, so cores of several sockets get the same
    number; with the site patch (`patches/`) it numbers them within the node. A number beyond the
    first socket proves the patch. Without the patch the cores are certain only for one socket, or
    if the CPUs are so many that every socket must hold every core listed.
    """
    sockets, numbers = item.part("sockets").indices(), item.part("cores").indices()
    cpus = item.read("cpus", positive)
    known = NodeAllocation(name=name, cpus=cpus, core_count=node.cores if node else None)
    if node is None or not one_size:
        return replace(known, cores=numbers if sockets == (0,) and one_size else None)
    per_socket = node.cores_per_socket
    if numbers and numbers[-1] >= per_socket:
        return replace(known, cores=numbers)
    most = len(sockets) * len(numbers) * node.threads_per_core
    if len(sockets) > 1 and cpus != most:
        return known
    cores = tuple(socket * per_socket + number for socket in sockets for number in numbers)
    return replace(known, cores=cores)
