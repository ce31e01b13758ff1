"""Job records as JSON: a recorded record of the release, with the values of a job put in."""

from __future__ import annotations

from typing import Any

from standin_slurm.model import (
    CORES,
    MEMORY,
    SOCKETS,
    Job,
    cpus,
    cpus_on,
    end_of,
    exit_words,
    fold,
    gres_of,
    has_run,
    is_live,
    tres,
    word,
)

Record = dict[str, Any]
SIGNALS = {9: "KILL", 15: "TERM"}


def record_of(template: Record, job: Job) -> Record:
    """Return the record of a job in the shape of a recorded one.

    A key that the release does not have is omitted; numbers are wrapped as in the recording.
    """
    record = dict(template)
    for key, value in values_of(job).items():
        if key in record:
            record[key] = _shaped(record[key], value)
    if job["limit"] is None:
        record["time_limit"] = _unlimited(record["time_limit"])
    record["job_state"] = _state(record["job_state"], job)
    record["shared"] = _shared(record["shared"], job)
    record["exit_code"] = _exit_code(record["exit_code"], job)
    if "step_id" in record:
        record["step_id"] = {**record["step_id"], "sluid": job["sluid"]}
        record["step_id"]["job_id"] = _shaped(record["step_id"]["job_id"], job["job_id"])
    if has_run(job):
        record["job_resources"] = _resources(template["job_resources"], job)
    return record


def values_of(job: Job) -> dict[str, Any]:
    """Return the values that are equal in all releases, except for the wrapping of numbers."""
    array, het = job["array"] or (0, None), job["het"] or (0, 0)
    completing = "COMPLETING" in job["flags"]
    nodes = [] if completing else job["nodes"]
    return {
        "account": job["account"],
        "admin_comment": job["admin_comment"],
        "array_job_id": array[0],
        "array_task_id": array[1],
        "batch_host": job["nodes"][0] if job["nodes"] else "",
        "batch_flag": job["script"] is not None,
        "comment": job["comment"],
        "cpus": cpus(job) or 1,
        "current_working_directory": job["work_dir"],
        "command": f"{job['work_dir']}/job.sh",
        "eligible_time": job["submit"],
        "end_time": end_of(job) or (job["start"] or 0) + (31536000 if has_run(job) else 0),
        "gres_detail": [gres_of(job, n) for n in job["nodes"]]
        if job["gpus"] and is_live(job)
        else [],
        "group_id": job["gid"],
        "group_name": job["group"],
        "het_job_id": het[0],
        "het_job_offset": het[1],
        "job_id": job["job_id"],
        "name": job["name"],
        "node_count": len(nodes) or (0 if completing else 1),
        "nodes": fold(nodes),
        "partition": job["partition"],
        "qos": job["qos"],
        "restart_cnt": job["restarts"],
        "start_time": job["start"] or 0,
        "submit_time": job["submit"],
        "time_limit": job["limit"],
        "tres_alloc_str": tres(job) if job["nodes"] else "",
        "user_id": job["uid"],
        "user_name": job["user"],
    }


def _shaped(old: Any, value: Any) -> Any:
    """Return a value wrapped as the recorded one is."""
    if not (isinstance(old, dict) and "set" in old):
        return value
    return {"set": value is not None, "infinite": False, "number": value or 0}


def _unlimited(old: Any) -> Any:
    return {"set": False, "infinite": True, "number": 0} if isinstance(old, dict) else None


def _state(old: Any, job: Job) -> Any:
    return [job["state"], *job["flags"]] if isinstance(old, list) else word(job)


def _shared(old: Any, job: Job) -> Any:
    """Return node sharing: a list of words from 23.02 on, one word or null before."""
    found = {"NODE": "none", "USER": "user"}.get(job["sharing"])
    if isinstance(old, list):
        return [found] if found else []
    return found


def _exit_code(old: Any, job: Job) -> Any:
    status = job["exit_code"]
    if not isinstance(old, dict) or "status" not in old:
        return _shaped(old, status)
    code, signal = map(int, exit_words(status).split(":"))
    words = ["SIGNALED"] if signal else ["ERROR"] if code else ["SUCCESS"]
    number = {"set": not signal, "infinite": False, "number": code}
    of_signal = {"set": bool(signal), "infinite": False, "number": signal}
    named = {"id": of_signal, "name": SIGNALS.get(signal, "")}
    return {**old, "status": words, "return_code": number, "signal": named}


def _resources(old: Record, job: Job) -> Record:
    """Return `job_resources` in the form of the release, one of three."""
    if "allocation" in (old["nodes"] if isinstance(old["nodes"], dict) else ()):
        return _with_every_core(old, job)
    own: Record = {**old, "nodes": fold(job["nodes"]), "allocated_hosts": len(job["nodes"])}
    for key in ("allocated_cpus", "allocated_cores"):
        if old.get(key):
            own[key] = cpus(job)
    if isinstance(old["allocated_nodes"], dict):
        own["allocated_nodes"] = {
            str(place): _merged(job, node) for place, node in enumerate(job["nodes"])
        }
    else:
        own["allocated_nodes"] = [
            {**old["allocated_nodes"][0], **_nested(job, node)} for node in job["nodes"]
        ]
    return own


def _merged(job: Job, node: str) -> Record:
    """Return the form of 21.08, which merges the cores of different sockets."""
    places = [divmod(core, CORES) for core in job["cores"][node]]
    return {
        "sockets": {str(socket): "unassigned" for socket, _ in places},
        "cores": {str(core): "unassigned" for core in sorted({core for _, core in places})},
        "memory": MEMORY * cpus_on(job, node),
        "cpus": cpus_on(job, node),
    }


def _nested(job: Job, node: str) -> Record:
    """Return the form of 22.05 to 23.11: only allocated cores, below their sockets."""
    sockets: dict[str, Record] = {}
    for core in job["cores"][node]:
        socket, index = divmod(core, CORES)
        sockets.setdefault(str(socket), {"cores": {}})["cores"][str(index)] = "allocated"
    memory = MEMORY * cpus_on(job, node)
    return {"sockets": sockets, "nodename": node, "memory_allocated": memory}


def _with_every_core(old: Record, job: Job) -> Record:
    """Return the form of 24.05 and later: every core of a node with its status."""
    nodes = {
        **old["nodes"],
        "count": len(job["nodes"]),
        "list": fold(job["nodes"]),
        "whole": job["sharing"] != "OK",
        "allocation": [
            {
                "index": place,
                "name": node,
                "cpus": {"count": cpus_on(job, node), "used": 0},
                "memory": {"used": 0, "allocated": MEMORY * cpus_on(job, node)},
                "sockets": [_socket(job["cores"][node], number) for number in range(SOCKETS)],
            }
            for place, node in enumerate(job["nodes"])
        ],
    }
    return {**old, "nodes": nodes, "cpus": cpus(job)}


def _socket(cores: list[int], number: int) -> Record:
    status = [
        ["ALLOCATED"] if number * CORES + index in cores else ["UNALLOCATED"]
        for index in range(CORES)
    ]
    return {
        "index": number,
        "cores": [{"index": index, "status": words} for index, words in enumerate(status)],
    }
