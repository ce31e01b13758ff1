"""`squeue -j IDS -O ...`: identity, state, times, user and nodes of some jobs, without free text.

Only the last field, the administrators' comment, is free; it may hold the separator. A line break
in it makes the answer unreadable, which is an error, never a made-up job (squeue(1), all releases).
"""

from __future__ import annotations

from slurm.decode.fields.hostlist import HostlistError, expand_hosts
from slurm.decode.fields.scalars import (
    BASE_STATES,
    LIVE_STATES,
    digits,
    instant,
    parse_time_limit,
    split_state,
    text,
)
from slurm.decode.fields.sharing import sharing_from_text
from slurm.decode.fields.tres import parse_tres
from slurm.errors import FailureReason, SlurmError, excerpt
from slurm.job import Job
from slurm.release_features import ReleaseFeatures

SEPARATOR = "|"
COLUMNS = (
    "JobID",
    "ArrayJobID",
    "ArrayTaskID",
    "HetJobID",
    "HetJobOffset",
    "State",
    "SubmitTime",
    "StartTime",
    "EndTime",
    "TimeLimit",
    "RestartCnt",
    "NumCPUs",
    "UserName",
    "UserID",
    "Account",
    "Partition",
    "QOS",
    "Reservation",
    "NodeList",
    "tres-alloc",
)
_LAST = "admin_comment"


def columns_for(features: ReleaseFeatures) -> tuple[str, ...]:
    """Return the columns that a release has."""
    more = ("SLUID",) if features.has_sluid else ()
    return (*COLUMNS, features.sharing_column, *more, _LAST)


def format_option(columns: tuple[str, ...]) -> str:
    """Return the value of squeue's `-O`; with a suffix and no width nothing is cut."""
    return ",".join(f"{column}:{SEPARATOR}" for column in columns)


def parse_job_columns(stdout: bytes, columns: tuple[str, ...], *, cluster: str) -> dict[int, Job]:
    """Return the jobs by id, nodes and CPUs known, cores and GRES not.

    Raises:
        SlurmError: the answer is cut or not of this form.
    """
    answer = stdout.decode("utf-8", "replace")
    if answer and not answer.endswith(f"{SEPARATOR}\n"):
        raise SlurmError("the last line of the answer is cut", reason=FailureReason.INCOMPLETE)
    jobs: dict[int, Job] = {}
    for line in answer.split("\n")[:-1]:
        values = line.removesuffix(SEPARATOR).split(SEPARATOR, len(columns) - 1)
        if len(values) != len(columns) or not line.endswith(SEPARATOR):
            message = f"a line has {len(values)} fields instead of {len(columns)}"
            raise SlurmError(message, reason=FailureReason.INCOMPLETE)
        job = _job(dict(zip(columns, values, strict=True)), cluster)
        if job.job_id in jobs:
            raise SlurmError(f"job {job.job_id} is listed twice", reason=FailureReason.MALFORMED)
        jobs[job.job_id] = job
    return jobs


def _job(field: dict[str, str], cluster: str) -> Job:
    state, flags = split_state(field["State"])
    has_run = state != "PENDING"
    is_over = state in BASE_STATES - LIVE_STATES and has_run
    task = field["ArrayTaskID"]
    array = digits(field["ArrayJobID"]) if text(task) else None
    het = digits(field["HetJobID"])
    cpus, gpus = parse_tres(field["tres-alloc"])
    uid = field["UserID"]
    return Job(
        job_id=_job_id(field["JobID"]),
        cluster=cluster,
        user=text(field["UserName"]) if field["UserName"] != uid else None,
        uid=digits(uid),
        account=text(field["Account"]),
        partition=text(field["Partition"]),
        state=state,
        flags=flags,
        submit_time=instant(digits(field["SubmitTime"])),
        start_time=instant(digits(field["StartTime"])) if has_run else None,
        end_time=instant(digits(field["EndTime"])) if is_over else None,
        time_limit_minutes=parse_time_limit(field["TimeLimit"]),
        nodes=_nodes(field["NodeList"]) if has_run else (),
        cpus=(cpus or digits(field["NumCPUs"])) if has_run else None,
        gpus=gpus if has_run else None,
        sharing=sharing_from_text(
            exclusive=field.get("Exclusive"), oversubscribe=field.get("OverSubscribe")
        ),
        array_job_id=array,
        array_task_id=digits(task) if array else None,
        het_job_id=het,
        het_job_offset=digits(field["HetJobOffset"]) if het else None,
        restart_count=digits(field["RestartCnt"]),
        qos=text(field["QOS"]),
        reservation=text(field["Reservation"]),
        admin_comment=text(field["admin_comment"]),
        sluid=text(field.get("SLUID")),
    )


def _job_id(value: str) -> int:
    found = digits(value)
    if not found:
        raise SlurmError(f"job id {excerpt(value)!r} is no number", reason=FailureReason.MALFORMED)
    return found


def _nodes(value: str) -> tuple[str, ...]:
    try:
        return expand_hosts(value)
    except HostlistError as error:
        raise SlurmError(f"node list: {error}", reason=FailureReason.MALFORMED) from error
