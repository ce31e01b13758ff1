"""JSON of `squeue --json`: the nested form of 22.05 and the list form of 24.11."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from chaos import site_facts
from chaos.job import Run
from chaos.slurm_text import gres_of, planned_end, tres

_SHARED_OLD = {"none": "none", "user": "user", "ok": None}
_SHARED_NEW = {"none": ["none"], "user": ["user"], "ok": []}


def document(runs: Iterable[Run], release: str) -> bytes:
    """Return what `squeue --json` prints."""
    is_old = release.startswith("22")
    major, minor, micro = release.split(".")
    version = {"major": major, "minor": minor, "micro": micro}
    slurm = {"version": version, "release": release, "cluster": site_facts.SLURM_CLUSTER}
    meta: dict[str, Any] = (
        {"plugin": {"type": "openapi/v0.0.38", "name": "Slurm OpenAPI v0.0.38"}, "Slurm": slurm}
        if is_old
        else {"plugin": {"data_parser": "data_parser/v0.0.42"}, "slurm": slurm}
    )
    jobs = [_old(run) if is_old else _new(run) for run in runs]
    return json.dumps({"meta": meta, "errors": [], "jobs": jobs, "warnings": []}).encode()


def _number(value: int | None) -> dict[str, Any]:
    return {"set": value is not None, "infinite": False, "number": value or 0}


def _common(run: Run) -> dict[str, Any]:
    return {
        "account": run.account,
        "admin_comment": "",
        "cluster": site_facts.SLURM_CLUSTER,
        "features": "",
        "job_id": run.job_id,
        "name": run.name,
        "nodes": ",".join(run.nodes),
        "partition": run.partition,
        "qos": "normal",
        "resv_name": "",
        "restart_cnt": 0,
        "state_reason": "None",
        "tres_alloc_str": tres(run),
        "user_id": run.uid,
        "user_name": run.user,
        "gres_detail": _gres(run),
    }


def _gres(run: Run) -> list[str]:
    return [gres_of(run, node) for node in run.nodes] if run.state == "RUNNING" else []


def _old(run: Run) -> dict[str, Any]:
    array_id, task = run.array or (0, None)
    nodes = [
        {
            "nodename": node,
            "sockets": {
                str(socket): {"cores": found}
                for socket in range(site_facts.SOCKETS)
                if (found := _old_cores(cores, socket))
            },
        }
        for node, cores in run.cores.items()
    ]
    return _common(run) | {
        "array_job_id": array_id,
        "array_task_id": task,
        "cpus": run.cpus,
        "end_time": planned_end(run),
        "het_job_id": 0,
        "het_job_offset": 0,
        "job_resources": {
            "nodes": ",".join(run.nodes),
            "allocated_cpus": run.cpus,
            "allocated_hosts": len(run.nodes),
            "allocated_nodes": nodes,
        },
        "job_state": run.state,
        "memory_per_cpu": 1000,
        "memory_per_node": None,
        "node_count": len(run.nodes),
        "shared": _SHARED_OLD[run.sharing],
        "start_time": run.start,
        "submit_time": run.submit,
        "time_limit": run.limit_minutes,
    }


def _old_cores(cores: tuple[int, ...], socket: int) -> dict[str, str]:
    first = socket * site_facts.CORES_PER_SOCKET
    own = range(first, first + site_facts.CORES_PER_SOCKET)
    return {str(core - first): "allocated" for core in own if core in cores}


def _new(run: Run) -> dict[str, Any]:
    array_id, task = run.array or (0, None)
    allocation = [
        {
            "index": index,
            "name": node,
            "cpus": {"count": 2 * len(cores)},
            "sockets": _new_sockets(cores),
        }
        for index, (node, cores) in enumerate(run.cores.items())
    ]
    return _common(run) | {
        "array_job_id": _number(array_id),
        "array_task_id": _number(task),
        "cpus": _number(run.cpus),
        "end_time": _number(planned_end(run)),
        "het_job_id": _number(0),
        "het_job_offset": _number(0),
        "job_resources": {
            "select_type": ["CORE"],
            "nodes": {
                "count": len(run.nodes),
                "list": ",".join(run.nodes),
                "whole": run.sharing == "none",
                "allocation": allocation,
            },
            "cpus": run.cpus,
            "threads_per_core": _number(None),
        },
        "job_state": [run.state],
        "memory_per_cpu": _number(1000),
        "memory_per_node": _number(None),
        "node_count": _number(len(run.nodes)),
        "shared": _SHARED_NEW[run.sharing],
        "start_time": _number(run.start),
        "submit_time": _number(run.submit),
        "time_limit": _number(run.limit_minutes),
    }


def _new_sockets(cores: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return all cores of a node, each allocated or not."""
    size = site_facts.CORES_PER_SOCKET
    return [
        {
            "index": socket,
            "cores": [
                {
                    "index": core,
                    "status": ["ALLOCATED"] if socket * size + core in cores else ["UNALLOCATED"],
                }
                for core in range(size)
            ],
        }
        for socket in range(site_facts.SOCKETS)
    ]
