"""What a payload is made from, as read-only views of values that others own.

This package does not know Slurm's reader; any value with these properties will do. A test with
mypy checks that `slurm.job.Job` has them. None means *not known*, never *empty*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class GresFacts(Protocol):
    """One generic resource on one node; `indices` are positions in Slurm's own device order."""

    @property
    def name(self) -> str:
        """Kind: `gpu`, `shard`, ..."""

    @property
    def count(self) -> int:
        """Number of devices; for `shard` and `mps` number of shares."""

    @property
    def indices(self) -> tuple[int, ...] | None:
        """Indices of the devices that the job holds."""


class NodeFacts(Protocol):
    """What the job holds on one node."""

    @property
    def name(self) -> str:
        """Slurm's node name."""

    @property
    def cores(self) -> tuple[int, ...] | None:
        """Flat core indices: socket * cores per socket + core."""

    @property
    def core_count(self) -> int | None:
        """Number of cores of the node, as Slurm counts them."""

    @property
    def cpus(self) -> int | None:
        """Allocated CPUs as Slurm counts them: cores or hardware threads."""

    @property
    def gres(self) -> Sequence[GresFacts] | None:
        """Generic resources held on the node."""


class FilterFacts(Protocol):
    """The facts of a job that decide whether it is reported."""

    @property
    def user(self) -> str | None:
        """User name."""

    @property
    def account(self) -> str | None:
        """Account."""

    @property
    def partition(self) -> str | None:
        """The partition it runs in."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Node names in Slurm's order."""

    @property
    def qos(self) -> str | None:
        """Quality of service."""

    @property
    def admin_comment(self) -> str | None:
        """The administrators' comment: opt-out flags stand here."""

    @property
    def comment(self) -> str | None:
        """The user's own comment: opt-out flags may stand here too."""


class JobFacts(FilterFacts, Protocol):
    """One run of a job. Instants are Unix seconds."""

    @property
    def job_id(self) -> int:
        """The job's own numeric id, also for array tasks and components of heterogeneous jobs."""

    @property
    def uid(self) -> int | None:
        """Numeric user id, known even while no name service knows the user name."""

    @property
    def submit_time(self) -> int | None:
        """Submit time; a requeue resets it."""

    @property
    def start_time(self) -> int | None:
        """Start of this run."""

    @property
    def time_limit_minutes(self) -> int | None:
        """Time limit; None if unlimited or unknown."""

    @property
    def allocations(self) -> Sequence[NodeFacts]:
        """What the job holds on each node; some or all nodes may be missing."""

    @property
    def cpus(self) -> int | None:
        """Allocated CPUs in total."""

    @property
    def gpus(self) -> int | None:
        """Allocated GPUs in total."""

    @property
    def sharing(self) -> str | None:
        """How the job shares its nodes: `node`, `user`, `group` or `shared`."""

    @property
    def name(self) -> str | None:
        """Job name, free text of the user."""

    @property
    def array_job_id(self) -> int | None:
        """Id of the array."""

    @property
    def array_task_id(self) -> int | None:
        """Number of the task."""

    @property
    def het_job_id(self) -> int | None:
        """Id of the heterogeneous job's leader."""

    @property
    def het_job_offset(self) -> int | None:
        """Number of the component in the heterogeneous job."""

    @property
    def restart_count(self) -> int | None:
        """How often it was requeued."""

    @property
    def reservation(self) -> str | None:
        """Reservation it runs in."""

    @property
    def constraints(self) -> str | None:
        """Features asked for."""

    @property
    def requested_memory(self) -> str | None:
        """Memory asked for, as Slurm writes it."""


@dataclass(frozen=True, slots=True, order=True)
class BackendRunKey:
    """The identity of a run at cc-backend; start and stop use the same one."""

    job_id: int
    cluster: str
    start_time: int
