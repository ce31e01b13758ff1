"""Decodes a complete job from `scontrol show job ID -d` alone, used when squeue fails.

Users write parts of this text, line breaks included. A record is trusted only if every line that is
read occurs exactly once and all lines before the resources were written by Slurm: a forger only
achieves that his own job is not read. Times are epoch seconds
(`slurm_sprint_job_info`, `src/api/job_info.c`, 21.08 ... 26.05).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from slurm.decode.fields.gres import parse_tres
from slurm.decode.fields.hostlist import HostlistError, expand_hosts
from slurm.decode.fields.job_states import END_STATES, split_state
from slurm.decode.fields.scalars import digits, epoch_seconds, parse_time_limit, text
from slurm.decode.fields.user_names import user_and_uid
from slurm.decode.scontrol_job import (
    COMMENT,
    KEY,
    UntrustedTextError,
    check_second_line,
    free_text,
    sharing_after_resources,
)
from slurm.job import SCRONTAB_FLAG, Job, Sharing

_HEAD = re.compile(r"JobId=([0-9]{1,18})(?P<ids>(?: (?:Array|Het)\w+=\S+)*) JobName=(?P<name>.*)")
_LINES = {
    "UserId": r"UserId=(?P<user>.*)\((?P<uid>[0-9]{1,10})\) GroupId=.*",
    "Priority": r"Priority=\S+ Nice=\S+ Account=(?P<account>\S+) QOS=(?P<qos>\S+).*",
    "JobState": r"JobState=(?P<state>\S+) .*",
    "Requeue": r"Requeue=\S+ Restarts=(?P<restarts>\S+) .*",
    "RunTime": r"RunTime=\S+ TimeLimit=(?P<limit>\S+) .*",
    "SubmitTime": r"SubmitTime=(?P<submit>\S+) .*",
    "StartTime": r"StartTime=(?P<start>\S+) EndTime=(?P<end>\S+) .*",
    "Partition": r"Partition=(?P<partition>\S+) .*",
    "NodeList": r"NodeList=(?P<nodes>\S*)",
    "NumNodes": r"NumNodes=\S+ NumCPUs=(?P<cpus>[0-9]+).*",
    "Socks/Node": r"Socks/Node=.*",
}
_PATTERNS = {key: re.compile(pattern) for key, pattern in _LINES.items()}
_TRES = re.compile(r"   (?:Alloc)?TRES=(\S+)")
_RESOURCES = re.compile(r"   JOB_GRES=|     Nodes=")
_SCRONTAB = "   CronJob=Yes"
_ADMIN_COMMENT = "   AdminComment="


def record_head(record: str) -> Job:
    """Return the ids in the first line of a record.

    Raises:
        UntrustedTextError: the text is not a record.
    """
    found = _HEAD.fullmatch(record.split("\n", 1)[0])
    if found is None:
        raise UntrustedTextError("scontrol's output does not begin with a job id")
    ids = dict(pair.split("=", 1) for pair in found["ids"].split())
    array, het = digits(ids.get("ArrayJobId", "")), digits(ids.get("HetJobId", ""))
    return Job(
        job_id=int(found[1]),
        array_job_id=array,
        array_task_id=digits(ids.get("ArrayTaskId", "")) if array else None,
        het_job_id=het,
        het_job_offset=digits(ids.get("HetJobOffset", "")) if het else None,
        name=text(found["name"]),
    )


def parse_job_record(record: str, job_id: int, *, cluster: str) -> Job:
    """Return the job of one record, without cores and GRES: see `add_job_detail`.

    Raises:
        UntrustedTextError: the text cannot be trusted.
    """
    head = record_head(record)
    if head.job_id != job_id:
        raise UntrustedTextError("scontrol's output is not about this job")
    lines = record.split("\n")
    value = _values(lines)
    state, flags = _state_and_flags(value["state"], lines)
    has_run = state != "PENDING"
    is_over = state in END_STATES
    cpus, gpus = _tres(lines)
    user, uid = user_and_uid(value["user"], digits(value["uid"]))
    return Job(
        job_id=job_id,
        cluster=cluster,
        user=user,
        uid=uid,
        account=text(value["account"]),
        partition=text(value["partition"]),
        state=state,
        flags=flags,
        submit_time=_time(value["submit"]),
        start_time=_time(value["start"]) if has_run else None,
        end_time=_time(value["end"]) if is_over else None,
        time_limit_minutes=parse_time_limit(value["limit"]),
        nodes=_nodes(value["nodes"]) if has_run else (),
        cpus=(cpus or digits(value["cpus"])) if has_run else None,
        gpus=gpus if has_run else None,
        sharing=_sharing(lines),
        name=head.name,
        array_job_id=head.array_job_id,
        array_task_id=head.array_task_id,
        het_job_id=head.het_job_id,
        het_job_offset=head.het_job_offset,
        restart_count=digits(value["restarts"]),
        qos=text(value["qos"]),
        admin_comment=free_text(lines, _ADMIN_COMMENT),
        comment=free_text(lines, COMMENT),
    )


def _state_and_flags(words: str, lines: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    state, flags = split_state(words)
    # Only before the resources, where `_values` has found no line of a user. Behind them a comment
    # may contain this line.
    is_scrontab = any(line.startswith(_SCRONTAB) for line in lines[: _end(lines)])
    return state, (*flags, SCRONTAB_FLAG) if is_scrontab else flags


def _values(lines: Sequence[str]) -> dict[str, str]:
    """Return the values of the lines that are read; each must occur exactly once."""
    found: dict[str, str] = {}
    for key, pattern in _PATTERNS.items():
        # In all lines, also behind the resources: a forged line there makes the key occur twice.
        own = [line for line in lines if line.lstrip().startswith(f"{key}=")]
        match = pattern.fullmatch(own[0].strip()) if len(own) == 1 else None
        if match is None:
            raise UntrustedTextError(
                f"scontrol's output does not have exactly one valid {key}= line"
            )
        found |= match.groupdict()
    check_second_line(lines)
    if not all(KEY.match(line) for line in lines[1 : _end(lines) + 1]):
        raise UntrustedTextError("scontrol's output has an unknown line before the resources")
    return found


def _end(lines: Sequence[str]) -> int:
    """Return the index of the last line before the resources."""
    return next(place for place, line in enumerate(lines) if line.startswith("   Socks/Node="))


def _tres(lines: Sequence[str]) -> tuple[int | None, int | None]:
    own = [found[1] for line in lines[: _end(lines)] if (found := _TRES.match(line))]
    return parse_tres(own[0]) if len(own) == 1 else (None, None)


def _sharing(lines: Sequence[str]) -> Sharing | None:
    """Return node sharing from the lines after the resources."""
    place = _end(lines) + 1
    while place < len(lines) and _RESOURCES.match(lines[place]):
        place += 1
    return sharing_after_resources(lines[place:])


def _nodes(value: str) -> tuple[str, ...]:
    try:
        return expand_hosts(value)
    except HostlistError as error:
        raise UntrustedTextError(f"node list: {error}") from error


def _time(value: str) -> int | None:
    try:
        return epoch_seconds(value)
    except ValueError as error:
        raise UntrustedTextError(str(error)) from error
