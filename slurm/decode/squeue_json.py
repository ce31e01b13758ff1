"""One job record of `squeue --json` or `scontrol show job --json` as a `Job`.

Instants count as facts only where the state says so: `start_time` of a pending job is an estimate,
`end_time` of a running one start plus limit (`pack_job`, `src/slurmctld/job_mgr.c`, all releases).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slurm.decode.fields.hostlist import expand_hosts
from slurm.decode.fields.scalars import LIVE_STATES, instant, number, positive, split_state, text
from slurm.decode.fields.sharing import sharing_from_json
from slurm.decode.fields.tres import parse_tres
from slurm.decode.job_resources import GeometryOf, parse_job_resources
from slurm.job import Job, Sharing


def parse_job(record: Mapping[str, Any], *, geometry_of: GeometryOf) -> Job:
    """Return the job of a record.

    Args:
        record: one member of `jobs`.
        geometry_of: a node; asked for shapes that do not tell it.

    Raises:
        ValueError: a field has a shape that no known release prints.
    """
    try:
        return _job(record, geometry_of)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not the shape of a job record: {error!r}") from error


def _job(record: Mapping[str, Any], geometry_of: GeometryOf) -> Job:
    state, flags = split_state(record.get("job_state"))
    has_run = state != "PENDING"
    document = record.get("job_resources") if has_run else None
    is_live = state in LIVE_STATES
    details = record.get("gres_detail")
    resources = parse_job_resources(document, details, geometry_of, is_live=is_live)
    is_over = state is not None and has_run and not is_live
    cpus, gpus = parse_tres(text(record.get("tres_alloc_str")) or "")
    array_job_id = positive(record.get("array_job_id"))
    het_job_id = positive(record.get("het_job_id"))
    nodes = resources.nodes or expand_hosts(text(record.get("nodes")) or "")
    return Job(
        job_id=_job_id(record),
        cluster=text(record.get("cluster")),
        user=text(record.get("user_name")),
        uid=number(record.get("user_id")),
        account=text(record.get("account")),
        partition=text(record.get("partition")),
        state=state,
        flags=flags,
        submit_time=instant(record.get("submit_time")),
        start_time=instant(record.get("start_time")) if has_run else None,
        end_time=instant(record.get("end_time")) if is_over else None,
        time_limit_minutes=positive(record.get("time_limit")),
        nodes=nodes if has_run else (),
        allocations=resources.allocations,
        cpus=(cpus or positive(record.get("cpus"))) if has_run else None,
        gpus=gpus if has_run else None,
        sharing=_sharing(record.get("shared"), document),
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


def _sharing(shared: Any, resources: Any) -> Sharing | None:
    """Return node sharing; None where an empty list does not tell it.

    The parser of 26.05 (v0.0.45) always gives `[]`; then `whole` says whether the nodes are shared,
    but not with whom they are not.
    """
    nodes = resources.get("nodes") if isinstance(resources, dict) else None
    if shared == [] and (
        not nodes or (isinstance(nodes, dict) and nodes.get("whole") is not False)
    ):
        return None
    return sharing_from_json(shared)


def _memory(record: Mapping[str, Any]) -> str | None:
    """Return the requested memory as Slurm's own commands write it: MiB a node or a CPU."""
    for field, ending in (("memory_per_node", "M"), ("memory_per_cpu", "Mc")):
        found = positive(record.get(field))
        if found is not None:
            return f"{found}{ending}"
    return None
