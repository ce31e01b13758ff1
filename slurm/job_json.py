"""One job record of `squeue --json` or `scontrol show job --json` as a `Job`.

Instants count as facts only where the state says so: `start_time` of a pending job is an estimate,
`end_time` of a running one start plus limit (`pack_job`, `src/slurmctld/job_mgr.c`, all releases).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from slurm.hostlist import expand
from slurm.job import Job, Sharing
from slurm.resources import GeometryOf, resources_of
from slurm.scalars import number, positive, state_words, text

_NOT_STARTED = frozenset({"PENDING"})
_LIVE = frozenset({"RUNNING", "SUSPENDED"})
_GPUS = re.compile(r"(?:^|,)gres/gpu=([0-9]+)")
_CPUS = re.compile(r"(?:^|,)cpu=([0-9]+)")
_SHARING = {
    "none": Sharing.NODE,
    "user": Sharing.USER,
    "mcs": Sharing.GROUP,
    "topo": Sharing.GROUP,
}


def job_of_json(
    record: Mapping[str, Any], *, geometry_of: GeometryOf, sharing_is_told: bool = True
) -> Job:
    """Return the job of a record.

    Args:
        record: one member of `jobs`.
        geometry_of: a node; asked for shapes that do not tell it.
        sharing_is_told: False for the parser of 26.05, whose `shared` is always empty.

    Raises:
        ValueError: a field has a shape that no known release prints.
    """
    state, flags = state_words(record.get("job_state"))
    resources = resources_of(record.get("job_resources"), record.get("gres_detail"), geometry_of)
    has_run = state not in _NOT_STARTED
    is_over = state is not None and state not in _LIVE and has_run
    tres = text(record.get("tres_alloc_str")) or ""
    array_job_id = positive(record.get("array_job_id"))
    het_job_id = positive(record.get("het_job_id"))
    return Job(
        job_id=_job_id(record),
        cluster=text(record.get("cluster")),
        user=text(record.get("user_name")),
        uid=number(record.get("user_id")),
        account=text(record.get("account")),
        partition=text(record.get("partition")),
        state=state,
        flags=flags,
        submit_time=positive(record.get("submit_time")),
        start_time=positive(record.get("start_time")) if has_run else None,
        end_time=positive(record.get("end_time")) if is_over else None,
        time_limit_minutes=positive(record.get("time_limit")),
        nodes=(resources.nodes or expand(text(record.get("nodes")) or "")) if has_run else (),
        allocations=resources.allocations if has_run else (),
        cpus=_counted(_CPUS, tres) or positive(record.get("cpus")),
        gpus=_counted(_GPUS, tres),
        sharing=_sharing(record.get("shared")) if sharing_is_told else None,
        name=text(record.get("name")),
        array_job_id=array_job_id,
        array_task_id=number(record.get("array_task_id")) if array_job_id else None,
        het_job_id=het_job_id,
        het_job_offset=number(record.get("het_job_offset")) if het_job_id else None,
        restart_count=number(record.get("restart_cnt")),
        qos=text(record.get("qos")),
        reservation=text(record.get("resv_name")),
        constraints=text(record.get("features")),
        requested_memory=_memory(record),
        admin_comment=text(record.get("admin_comment")),
        sluid=text((record.get("step_id") or {}).get("sluid")),
    )


def _job_id(record: Mapping[str, Any]) -> int:
    found = positive(record.get("job_id"))
    if found is None:
        raise ValueError("a record without job_id")
    return found


def _counted(pattern: re.Pattern[str], tres: str) -> int | None:
    found = pattern.search(tres)
    return int(found[1]) if found else None


def _sharing(value: Any) -> Sharing:
    """Return node sharing; null and [] mean that nodes may be shared (Slurm's default)."""
    words = [value] if isinstance(value, str) else value or []
    return next((_SHARING[word] for word in words if word in _SHARING), Sharing.SHARED)


def _memory(record: Mapping[str, Any]) -> str | None:
    """Return the requested memory as Slurm's own commands write it: MiB a node or a CPU."""
    for field, ending in (("memory_per_node", "M"), ("memory_per_cpu", "Mc")):
        found = positive(record.get(field))
        if found is not None:
            return f"{found}{ending}"
    return None
