"""A run of a job as the small Slurm knows it, and what cc-backend must have of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chaos.site_facts import CLUSTER, CORES, GPUS, THREADS_PER_CORE, threads_of

ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"})
_OLD_STATES = {"NODE_FAIL": "failed"}
_OLD_SHARING = {"none": 1, "user": 2, "ok": 0}
_NEW_SHARING = {"none": "none", "user": "single_user", "ok": "multi_user"}


@dataclass(kw_only=True)
class Run:
    """One run. `cores` are flat core numbers by node, in node order; `gpus` device numbers.

    `sharing` is `none` (whole nodes), `user` (one user's nodes) or `ok` (shared nodes).
    `purge_at` is when slurmctld forgets the run (Unix seconds).
    """

    job_id: int
    name: str
    user: str
    uid: int
    account: str
    partition: str
    cores: dict[str, tuple[int, ...]]
    gpus: dict[str, tuple[int, ...]] = field(default_factory=dict)
    sharing: str = "ok"
    limit_minutes: int = 60
    submit: int
    start: int
    end: int | None = None
    state: str = "RUNNING"
    script: str | None = None
    array: tuple[int, int] | None = None
    purge_at: float | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the nodes in Slurm's order."""
        return tuple(self.cores)

    @property
    def cpus(self) -> int:
        """Return the number of CPUs, which are hardware threads here."""
        return THREADS_PER_CORE * sum(len(cores) for cores in self.cores.values())

    @property
    def gpu_count(self) -> int:
        """Return the number of GPUs on all nodes."""
        return sum(len(gpus) for gpus in self.gpus.values())

    @property
    def key(self) -> tuple[int, int]:
        """Return job id and start time, which identify a run."""
        return self.job_id, self.start

    @property
    def stop_time(self) -> int | None:
        """Return the stop time that cc-backend must have: never before the start."""
        return None if self.end is None else max(self.end, self.start)

    def state_at(self, *, is_old: bool) -> str:
        """Return the job state as the server's generation names it."""
        if self.state == "RUNNING":
            return "running"
        return _OLD_STATES.get(self.state, self.state.lower()) if is_old else self.state.lower()

    def sharing_at(self, *, is_old: bool) -> dict[str, Any]:
        """Return the field for node sharing of the server's generation."""
        if is_old:
            return {"exclusive": _OLD_SHARING[self.sharing]}
        return {"shared": _NEW_SHARING[self.sharing]}

    def resources(self) -> list[dict[str, Any]]:
        """Return the resources with every hardware thread and every accelerator named."""
        found = []
        for node, cores in self.cores.items():
            threads = sorted(thread for core in cores for thread in threads_of(core))
            accelerators = [GPUS[index] for index in self.gpus.get(node, ())]
            found.append({"hostname": node, "hwthreads": threads, "accelerators": accelerators})
        return found

    def facts(self, *, is_old: bool) -> dict[str, Any]:
        """Return the fields of a start that cc-backend must have with exactly these values."""
        array = {"arrayJobId": self.array[0]} if self.array else {}
        return {
            "jobId": self.job_id,
            "cluster": CLUSTER,
            "startTime": self.start,
            "user": self.user,
            "project": self.account,
            "partition": self.partition,
            "walltime": self.limit_minutes * 60,
            "numNodes": len(self.cores),
            "numHwthreads": self.cpus,
            **({"numAcc": self.gpu_count} if self.gpus else {}),
            **array,
            **self.sharing_at(is_old=is_old),
        }


def holds_whole_node(cores: tuple[int, ...]) -> bool:
    """Return whether these are all cores of a node: then a start may omit the threads."""
    return len(cores) == CORES
