"""A job of the stand-in as a plain dictionary, and the small forms that several answers share.

Shape: {"job_id": int, "name": str, "user": str, "uid": int, "group": str, "gid": int,
"account": str, "partition": str, "qos": str, "array": [array id, task] | None,
"het": [leader, offset] | None, "state": base state, "flags": [str], "submit": int,
"start": int | None, "end": int | None, "limit": minutes | None, "nodes": [str],
"cores": {node: [flat index]}, "gpus": {node: [index]}, "gpu_type": str,
"sharing": "OK" | "NODE" | "USER", "restarts": int, "exit_code": wait status,
"admin_comment": str, "comment": str, "script": str | None, "work_dir": str, "sluid": str}
"""

from __future__ import annotations

import re
import time
from typing import Any

Job = dict[str, Any]

SOCKETS = 2
CORES = 4  # per socket
THREADS = 2
MEMORY = 1000  # MB for a CPU
CLUSTER = "lab"
LIVE = ("RUNNING", "SUSPENDED")
PRECEDENCE = ("COMPLETING", "CONFIGURING", "REQUEUED")


def has_run(job: Job) -> bool:
    """Return whether a run of the job has begun."""
    return bool(job["start"])


def is_live(job: Job) -> bool:
    """Return whether the run has not ended."""
    return job["state"] in LIVE


def word(job: Job) -> str:
    """Return the state as one word: a flag hides the base state."""
    return next((flag for flag in PRECEDENCE if flag in job["flags"]), str(job["state"]))


def end_of(job: Job) -> int | None:
    """Return the end, or the planned one if the run has not ended; None without a limit."""
    end: int | None = job["end"]
    if end is not None or job["start"] is None or job["limit"] is None:
        return end
    return int(job["start"]) + 60 * int(job["limit"])


def cpus_on(job: Job, node: str) -> int:
    """Return the number of CPUs on a node."""
    return THREADS * len(job["cores"][node])


def cpus(job: Job) -> int:
    """Return the number of CPUs."""
    return sum(cpus_on(job, node) for node in job["nodes"])


def gres_of(job: Job, node: str) -> str:
    """Return the `gres_detail` of a node: `gpu:a100:2(IDX:0-1)`."""
    indices = job["gpus"].get(node, [])
    return f"gpu:{job['gpu_type']}:{len(indices)}(IDX:{ranges(indices)})" if indices else ""


def gpus(job: Job) -> int:
    """Return the number of GPUs."""
    return sum(map(len, job["gpus"].values()))


def tres(job: Job) -> str:
    """Return what is allocated as Slurm writes it."""
    found = f"cpu={cpus(job)},mem={MEMORY * cpus(job)}M,node={len(job['nodes'])}"
    found += f",billing={cpus(job)}"
    count = gpus(job)
    return found + (f",gres/gpu={count},gres/gpu:{job['gpu_type']}={count}" if count else "")


def ranges(numbers: list[int]) -> str:
    """Return numbers as ranges: `0-1,8`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def fold(names: list[str]) -> str:
    """Return node names as Slurm folds neighbours: `n2cn[001-002,004]`."""
    groups: list[tuple[str, int, list[int]]] = []
    for name in names:
        stem = name.rstrip("0123456789")
        digits = name.removeprefix(stem)
        if groups and digits and groups[-1][:2] == (stem, len(digits)):
            groups[-1][2].append(int(digits))
        else:
            groups.append((stem, len(digits), [int(digits)] if digits else []))
    return ",".join(_folded(*group) for group in groups)


def _folded(stem: str, width: int, numbers: list[int]) -> str:
    if len(numbers) < 2:
        return stem + "".join(f"{n:0{width}}" for n in numbers)
    padded = re.sub(r"\d+", lambda found: f"{int(found[0]):0{width}}", ranges(numbers))
    return f"{stem}[{padded}]"


def cpus_per_node(job: Job) -> str:
    """Return `2(x2),4` as SLURM_JOB_CPUS_PER_NODE has it."""
    counts: list[list[int]] = []
    for node in job["nodes"]:
        if counts and counts[-1][0] == cpus_on(job, node):
            counts[-1][1] += 1
        else:
            counts.append([cpus_on(job, node), 1])
    return ",".join(f"{n}(x{times})" if times > 1 else str(n) for n, times in counts)


def display_id(job: Job) -> str:
    """Return `12_3`, `12+1` or `12`."""
    if job["array"]:
        return f"{job['array'][0]}_{job['array'][1]}"
    return f"{job['het'][0]}+{job['het'][1]}" if job["het"] else str(job["job_id"])


def exit_words(status: int) -> str:
    """Return a wait status as `exit:signal`."""
    return f"{status >> 8}:{status & 127}"


def instant(seconds: int | None, *, epoch: bool, missing: str) -> str:
    """Return a point in time as a command prints it."""
    if not seconds:
        return missing
    return str(seconds) if epoch else time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def duration(seconds: int, *, short: bool) -> str:
    """Return `1-02:03:04`; short: without leading zeros, as squeue has it."""
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if short and not days:
        return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return (f"{days}-" if days else "") + f"{hours:02}:{minutes:02}:{rest:02}"
