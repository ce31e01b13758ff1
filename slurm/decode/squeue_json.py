"""Decodes one job record of `squeue --json` or `scontrol show job --json` into a `Job`.

Instants count as facts only where the state says so: `start_time` of a pending job is an estimate,
`end_time` of a running one start plus limit (`pack_job`, `src/slurmctld/job_mgr.c`, all releases).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from slurm.decode.fields.gres import parse_tres
from slurm.decode.fields.job_states import LIVE_STATES, split_state
from slurm.decode.fields.reader import FieldReader
from slurm.decode.fields.scalars import free_text, instant, number, positive, text
from slurm.decode.fields.sharing import sharing_from_json
from slurm.decode.fields.user_names import user_and_uid
from slurm.decode.job_resources import hosts, parse_job_resources
from slurm.decode.scontrol_nodes import NodeOf
from slurm.errors import FailureReason, SlurmError
from slurm.job import SCRONTAB_FLAG, Job, NodeAllocation, Sharing


def record_job_id(record: Mapping[str, Any]) -> int:
    """Return the job id of a record: a plain number or `{"set": true, "number": 4711}`.

    Raises:
        SlurmError: it is missing or unreadable, so that the record may be any of the wanted jobs.
    """
    try:
        found = positive(record.get("job_id"))
    except ValueError:
        found = None
    if found is None:
        message = f"expected a job id such as 4711 from squeue, got {record.get('job_id')!r}"
        raise SlurmError(message[:300], reason=FailureReason.MALFORMED)
    return found


def parse_job(record: Mapping[str, Any], *, node_of: NodeOf) -> Job:
    """Return the job of a record.

    `node_of` returns a node by its name; it is called for shapes without the node's size.

    Raises:
        FieldError: the named field has a shape that no known release prints.
    """
    field = FieldReader(record)
    state, flags = _state_and_flags(field, record.get("flags"))
    run = _run(field, record, state, node_of)
    array_job_id, het_job_id = (field.read(n, positive) for n in ("array_job_id", "het_job_id"))
    user, uid = _user_and_uid(field)
    return Job(
        job_id=field.required("job_id", positive),
        cluster=field.read("cluster", text),
        user=user,
        uid=uid,
        account=field.read("account", text),
        partition=field.read("partition", text),
        state=state,
        flags=flags,
        submit_time=field.read("submit_time", instant),
        start_time=run.start_time,
        end_time=run.end_time,
        time_limit_minutes=field.read("time_limit", positive),
        nodes=run.nodes,
        allocations=run.allocations,
        cpus=run.cpus,
        gpus=run.gpus,
        sharing=run.sharing,
        name=field.read("name", free_text),
        array_job_id=array_job_id,
        array_task_id=field.read("array_task_id", number) if array_job_id else None,
        het_job_id=het_job_id,
        het_job_offset=field.read("het_job_offset", number) if het_job_id else None,
        restart_count=field.read("restart_cnt", number),
        qos=field.read("qos", text),
        reservation=field.read("resv_name", text),
        constraints=field.read("features", text),
        requested_memory=_memory(field),
        admin_comment=field.read("admin_comment", text),
        comment=field.read("comment", text),
        sluid=field.part("step_id").read("sluid", text),
    )


class _Run(NamedTuple):
    """The fields of a job's run; those of a pending job are empty, except node sharing."""

    start_time: int | None
    end_time: int | None
    nodes: tuple[str, ...]
    allocations: tuple[NodeAllocation, ...]
    cpus: int | None
    gpus: int | None
    sharing: Sharing | None


def _run(field: FieldReader, record: Mapping[str, Any], state: str | None, node_of: NodeOf) -> _Run:
    has_run = state != "PENDING"
    is_live = state in LIVE_STATES
    is_over = state is not None and has_run and not is_live
    # A pending job has no run: whatever is left of an earlier one must not become its cores.
    document = record.get("job_resources") if has_run else None
    resources = parse_job_resources(document, record.get("gres_detail"), node_of, is_live=is_live)
    # The nodes of the resources are in the order of cores and GRES, and complete also while
    # COMPLETING.
    nodes = resources.nodes or field.read("nodes", hosts)
    cpus, gpus = field.read("tres_alloc_str", lambda value: parse_tres(text(value) or ""))
    return _Run(
        start_time=field.read("start_time", instant) if has_run else None,
        end_time=field.read("end_time", instant) if is_over else None,
        nodes=nodes if has_run else (),
        allocations=resources.allocations,
        cpus=(cpus or field.read("cpus", positive)) if has_run else None,
        gpus=gpus if has_run else None,
        sharing=field.read("shared", lambda value: _sharing(value, document)),
    )


def _state_and_flags(field: FieldReader, words: Any) -> tuple[str | None, tuple[str, ...]]:
    """Return base state and state flags; add SCRONTAB_FLAG if the field `flags` has it."""
    state, flags = field.read("job_state", split_state)
    is_scrontab = isinstance(words, list) and SCRONTAB_FLAG in words
    return state, (*flags, SCRONTAB_FLAG) if is_scrontab else flags


def _user_and_uid(field: FieldReader) -> tuple[str | None, int | None]:
    uid = field.read("user_id", number)
    return field.read("user_name", lambda name: user_and_uid(name, uid))


def _sharing(shared: Any, resources: Any) -> Sharing | None:
    """Return how the job shares its nodes; None if an empty list does not say it (Slurm 26.05).

    The parser of 26.05 (v0.0.45) always gives `[]`; then the key `whole` says whether the nodes
    are shared, but not with whom.
    """
    nodes = resources.get("nodes") if isinstance(resources, dict) else None
    if shared == [] and (
        not nodes or (isinstance(nodes, dict) and nodes.get("whole") is not False)
    ):
        return None
    return sharing_from_json(shared)


def _memory(field: FieldReader) -> str | None:
    """Return the requested memory as Slurm's own commands write it: MiB per node or per CPU."""
    for name, ending in (("memory_per_node", "M"), ("memory_per_cpu", "Mc")):
        found = field.read(name, positive)
        if found is not None:
            return f"{found}{ending}"
    return None
