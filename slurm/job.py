"""One Slurm job record as plain frozen data, the same for every command and release.

Code outside this package sees only these values; only this package knows how Slurm prints them.
`None` always means *not known from this source*, never *empty*.
"""

from __future__ import annotations

from enum import StrEnum

from slurm.light_dataclass import slotted_dataclass

REQUEUED = "REQUEUED"
"""Accounting's state of a run after which the job was queued again, whether it ended or not."""
NO_ERROR = "0:0"
"""The exit code of success, and of a run that was interrupted and queued again."""
SCRONTAB_FLAG = "CRON_JOB"
"""Slurm's word for a job made by scrontab; it is requeued under the same id after every run."""


class Sharing(StrEnum):
    """How the job shares its nodes; the values cover the spellings of every release.

    Source: `shared`/`exclusive` of squeue JSON, `OverSubscribe=`/`Exclusive=` of scontrol text
    (Slurm 21.08 ... 26.05, `src/slurmctld/job_mgr.c`).
    """

    NODE = "node"  # exclusive nodes
    USER = "user"  # only jobs of the same user
    GROUP = "group"  # mcs, topo: only a group of users
    SHARED = "shared"  # nodes may be shared (cores too where oversubscribed)


@slotted_dataclass
class Gres:
    """One generic resource on one node; `indices` are positions in the node's GRES bitmap."""

    name: str
    type: str | None = None
    count: int
    indices: tuple[int, ...] | None = None


@slotted_dataclass
class NodeAllocation:
    """What a job holds on one node.

    `cores` are flat core indices, socket * cores per socket + core, ascending.
    `core_count` is the number of cores Slurm counts on the node.
    """

    name: str
    cores: tuple[int, ...] | None = None
    core_count: int | None = None
    cpus: int | None = None
    gres: tuple[Gres, ...] | None = None


@slotted_dataclass
class Job:
    """One record of one job: a run of it, or the job waiting to run.

    Instants are Unix seconds. `state` is Slurm's base state (`RUNNING`, `COMPLETED`, ...), None
    where the source shows only a flag; `flags` are the other state words (`COMPLETING`, ...), and
    SCRONTAB_FLAG of a job that scrontab made.
    `start_time` and `end_time` hold facts only: expected times are None.
    `time_limit_minutes` is None when unlimited or unknown. `nodes` keep Slurm's order. `gpus` is a
    lower bound where Slurm counts only shares of GPUs. `comment` is the user's own text.
    """

    job_id: int
    cluster: str | None = None
    user: str | None = None
    uid: int | None = None
    account: str | None = None
    partition: str | None = None
    state: str | None = None
    flags: tuple[str, ...] = ()
    submit_time: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    time_limit_minutes: int | None = None
    nodes: tuple[str, ...] = ()
    allocations: tuple[NodeAllocation, ...] = ()
    cpus: int | None = None
    gpus: int | None = None
    sharing: Sharing | None = None
    name: str | None = None
    array_job_id: int | None = None
    array_task_id: int | None = None
    het_job_id: int | None = None
    het_job_offset: int | None = None
    restart_count: int | None = None
    qos: str | None = None
    reservation: str | None = None
    constraints: str | None = None
    requested_memory: str | None = None
    admin_comment: str | None = None
    comment: str | None = None
    exit_code: str | None = None
    sluid: str | None = None
