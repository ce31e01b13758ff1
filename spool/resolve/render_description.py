"""Render the description of a job in the layout of `scontrol show job` from its record.

This saves a process for each of many jobs. Order, names and line breaks are those of Slurm
(`slurm_sprint_job_info`, `src/api/job_info.c`, 24.11); unknown facts are omitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from slurm.job import Gres, Job, NodeAllocation, Sharing

_SHARING = {
    Sharing.NODE: "NO",
    Sharing.USER: "USER",
    Sharing.GROUP: "MCS",
    Sharing.SHARED: "OK",
}
Pair = tuple[str, object]


def render_description(job: Job) -> str:
    """Return the description of a job as text; local times, as `scontrol` prints them."""
    head, *facts = (_line(pairs) for pairs in _facts(job))
    resources = [_line(pairs) for pairs in map(_allocation, job.allocations)]
    wishes = [_line(pairs) for pairs in _wishes(job)]
    lines = [f"   {line}" for line in facts if line]
    lines += [f"     {line}" for line in resources if line]
    lines += [f"   {line}" for line in wishes if line]
    return "\n".join([head, *lines]) + "\n"


def _facts(job: Job) -> Iterator[tuple[Pair, ...]]:
    """Yield the `Key=value` pairs of each line above the resources, such as JobId and UserId."""
    yield (
        ("JobId", job.job_id),
        ("ArrayJobId", job.array_job_id),
        ("ArrayTaskId", job.array_task_id),
        ("HetJobId", job.het_job_id),
        ("HetJobOffset", job.het_job_offset if job.het_job_id else None),
        ("JobName", job.name),
    )
    yield (("SLUID", job.sluid),)
    yield (("UserId", _user(job)),)
    yield ("Account", job.account), ("QOS", job.qos)
    yield (("JobState", job.state or ",".join(job.flags) or None),)
    yield ("Restarts", job.restart_count), ("ExitCode", job.exit_code)
    limit = job.time_limit_minutes
    yield (("TimeLimit", None if limit is None else slurm_duration(limit * 60)),)
    yield (("SubmitTime", _time(job.submit_time)),)
    yield ("StartTime", _time(job.start_time)), ("EndTime", _time(job.end_time))
    yield (("Partition", job.partition),)
    yield (("NodeList", ",".join(job.nodes) or None),)
    yield ("NumNodes", len(job.nodes) or None), ("NumCPUs", job.cpus)
    yield (("JOB_GRES", _gres_totals(job.allocations)),)


def _wishes(job: Job) -> Iterator[tuple[Pair, ...]]:
    """Yield the `Key=value` pairs of each line below the resources, such as Features."""
    memory = job.requested_memory or ""
    yield (
        ("MinMemoryCPU", memory.removesuffix("c") if memory.endswith("c") else None),
        ("MinMemoryNode", memory if memory and not memory.endswith("c") else None),
    )
    yield (("Features", job.constraints),)
    yield (("Reservation", job.reservation),)
    yield (("OverSubscribe", None if job.sharing is None else _SHARING[job.sharing]),)
    yield (("Comment", job.comment),)


def _user(job: Job) -> str | None:
    if job.user is None and job.uid is None:
        return None
    return f"{job.user or ''}({'' if job.uid is None else job.uid})"


def _line(pairs: Iterable[Pair]) -> str:
    return " ".join(f"{name}={value}" for name, value in pairs if value is not None)


def _allocation(allocation: NodeAllocation) -> tuple[Pair, ...]:
    """Return the `Key=value` pairs of the allocation on a node; () if it is not known.

    `Cores` are Slurm's core numbers: Slurm's own `CPU_IDs` also count threads, which the record of
    a job does not have.
    """
    if allocation.cores is None and not allocation.gres:
        return ()
    gres = ",".join(_gres(each) for each in allocation.gres or ())
    cores = None if allocation.cores is None else _ranges(allocation.cores)
    return ("Nodes", allocation.name), ("Cores", cores), ("GRES", gres)


def _gres(gres: Gres) -> str:
    kind = f":{gres.type}" if gres.type else ""
    indices = "" if gres.indices is None else f"(IDX:{_ranges(gres.indices)})"
    return f"{gres.name}{kind}:{gres.count}{indices}"


def _gres_totals(allocations: Iterable[NodeAllocation]) -> str | None:
    totals: dict[str, int] = {}
    for gres in (each for allocation in allocations for each in allocation.gres or ()):
        kind = f"{gres.name}:{gres.type}" if gres.type else gres.name
        totals[kind] = totals.get(kind, 0) + gres.count
    return ",".join(f"{kind}:{count}" for kind, count in totals.items()) or None


def _ranges(numbers: tuple[int, ...]) -> str:
    """Return `0-2,5` for 0, 1, 2, 5."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


def slurm_time(instant: int) -> str:
    """Return a time as Slurm's commands print it on this host: `2026-11-27T23:10:04`."""
    return datetime.fromtimestamp(instant).astimezone().strftime("%Y-%m-%dT%H:%M:%S")


def _time(instant: int | None) -> str | None:
    return None if instant is None else slurm_time(instant)


def slurm_duration(seconds: int) -> str:
    """Return a duration as Slurm's commands print it: `1-02:03:04`."""
    days, rest = divmod(max(seconds, 0), 24 * 3600)
    clock = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock
