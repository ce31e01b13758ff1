"""The hardware threads of a job on a node, from Slurm's core numbers and the server's topology."""

from __future__ import annotations

from dataclasses import dataclass

from ccbackend.facts import NodeFacts
from ccbackend.topology import NodeTopology


@dataclass(frozen=True, slots=True)
class HwThreads:
    """Hardware threads of a job on one node; None is left out, which means the whole node."""

    threads: tuple[int, ...] | None = None
    problem: str | None = None


def hwthreads(
    node: NodeFacts, topology: NodeTopology | None, *, assume_core_ids: bool
) -> HwThreads:
    """List all hardware threads of the cores that a job holds on a node, ascending.

    Without a topology, or with one of another size than Slurm's, nothing is listed (misleading for
    shared jobs, but better than wrong threads), unless `assume_core_ids` lets core numbers stand
    for thread ids and nothing hints at several threads a core.
    """
    if node.cores is None:
        return HwThreads(problem="cores are not known")
    # Equal numbers of cores are the only sign that both sides speak of the same hardware. A wrong
    # mapping would show another job's load.
    if topology is not None and node.core_count in (None, len(topology.cores)):
        if all(0 <= core < len(topology.cores) for core in node.cores):
            # All threads of a core: Slurm gives whole cores, also to jobs with
            # --hint=nomultithread. An empty list would mean the whole node, as an absent one does.
            threads = {thread for core in node.cores for thread in topology.cores[core]}
            return HwThreads(tuple(sorted(threads)) or None)
        return HwThreads(problem="the job has cores that cc-backend's topology does not have")
    threaded = topology is not None and topology.threaded
    # More CPUs than cores mean several threads a core, where a core number is no thread id.
    if assume_core_ids and not threaded and (node.cpus or 0) <= len(node.cores):
        return HwThreads(tuple(sorted(node.cores)) or None)
    ours = "unknown" if node.core_count is None else node.core_count
    theirs = "no topology" if topology is None else len(topology.cores)
    return HwThreads(problem=f"cores: {ours} in Slurm, {theirs} at cc-backend")
