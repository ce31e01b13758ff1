"""The texts of squeue, scontrol and sacct for a job."""

from __future__ import annotations

import re
from collections.abc import Callable

from standin_slurm.model import (
    CLUSTER,
    MEMORY,
    THREADS,
    Job,
    cpus,
    cpus_on,
    display_id,
    duration,
    end_of,
    exit_words,
    fold,
    gpus,
    gres_of,
    has_run,
    instant,
    is_live,
    ranges,
    tres,
    word,
)

COMPACT = {"RUNNING": "R", "PENDING": "PD", "COMPLETED": "CD", "COMPLETING": "CG"}
COMPACT |= {"CONFIGURING": "CF", "SUSPENDED": "S", "FAILED": "F", "TIMEOUT": "TO"}
COMPACT |= {"CANCELLED": "CA", "NODE_FAIL": "NF", "PREEMPTED": "PR", "OUT_OF_MEMORY": "OOM"}
COMPACT |= {"BOOT_FAIL": "BF", "DEADLINE": "DL", "REQUEUED": "RQ"}
LETTERS = {
    "A": "JobID",
    "i": "DisplayID",
    "F": "ArrayJobID",
    "K": "ArrayTaskID",
    "T": "State",
    "t": "StateCompact",
    "S": "StartTime",
    "e": "EndTime",
    "V": "SubmitTime",
    "l": "TimeLimit",
    "C": "NumCPUs",
    "D": "NumNodes",
    "N": "NodeList",
    "u": "UserName",
    "U": "UserID",
    "g": "GroupName",
    "G": "GroupID",
    "a": "Account",
    "P": "Partition",
    "q": "QOS",
    "h": "OverSubscribe",
    "j": "Name",
}


class NoSuchFieldError(Exception):
    """A field or format that the stand-in, or this release, does not know."""


def squeue_line(job: Job, form: str, series: str, *, epoch: bool) -> str:
    """Return the line of `squeue -o FORM` for a job."""

    def put(found: re.Match[str]) -> str:
        if found[1] not in LETTERS:
            raise NoSuchFieldError(found[0])
        return _squeue_field(job, LETTERS[found[1]], series, epoch=epoch)

    return re.sub(r"%(\w)", put, form)


def squeue_long_line(job: Job, form: str, series: str, *, epoch: bool) -> str:
    """Return the line of `squeue -O NAME:|,…` for a job."""
    line = ""
    for part in form.split(","):
        name, _, rest = part.partition(":")
        width = re.match(r"\.?(\d*)", rest)
        text = _squeue_field(job, name, series, epoch=epoch)
        line += text[: int(width[1])] if width and width[1] else text
        line += rest[width.end() if width else 0 :]
    return line


def _squeue_field(job: Job, name: str, series: str, *, epoch: bool) -> str:
    known: dict[str, Callable[[], object]] = {
        "JobID": lambda: job["job_id"],
        "DisplayID": lambda: display_id(job),
        "ArrayJobID": lambda: (job["array"] or [job["job_id"]])[0],
        "ArrayTaskID": lambda: job["array"][1] if job["array"] else "N/A",
        "HetJobID": lambda: job["het"][0] if job["het"] else "N/A",
        "HetJobOffset": lambda: job["het"][1] if job["het"] else "N/A",
        "State": lambda: word(job),
        "StateCompact": lambda: COMPACT[word(job)],
        "StartTime": lambda: instant(job["start"], epoch=epoch, missing="N/A"),
        "EndTime": lambda: _end(job, epoch=epoch),
        "SubmitTime": lambda: instant(job["submit"], epoch=epoch, missing="N/A"),
        "TimeLimit": lambda: _limit(job, short=True),
        "RestartCnt": lambda: job["restarts"],
        "NumCPUs": lambda: cpus(job) or 1,
        "NumNodes": lambda: len(_shown_nodes(job)) or (0 if has_run(job) else 1),
        "NodeList": lambda: fold(_shown_nodes(job)),
        "tres-alloc": lambda: tres(job) if has_run(job) else "N/A",
        "UserName": lambda: job["user"],
        "UserID": lambda: job["uid"],
        "GroupName": lambda: job["group"],
        "GroupID": lambda: job["gid"],
        "Account": lambda: job["account"],
        "Partition": lambda: job["partition"],
        "QOS": lambda: job["qos"],
        "OverSubscribe": lambda: sharing(job, series)[0],
        "Reservation": lambda: "(null)",
        "Name": lambda: job["name"],
        "admin_comment": lambda: job["admin_comment"] or "(null)",
    }
    if series >= "25.11":
        known["SLUID"] = lambda: job["sluid"]
    if series >= "26.05":
        known["Exclusive"] = lambda: sharing(job, series)[1]
    if name not in known:
        raise NoSuchFieldError(name)
    return str(known[name]())


def sharing(job: Job, series: str) -> tuple[str, str]:
    """Return OverSubscribe and Exclusive; from 26.05 on only Exclusive shows the sharing."""
    own = str(job["sharing"])
    if series >= "26.05":
        return "NO", "NO" if own == "OK" else own
    return "NO" if own == "NODE" else own, ""


def _shown_nodes(job: Job) -> list[str]:
    """Return the nodes that are not released yet: none while EpilogSlurmctld runs."""
    return [] if "COMPLETING" in job["flags"] else list(job["nodes"])


def _end(job: Job, *, epoch: bool) -> str:
    missing = "NONE" if has_run(job) and job["limit"] is None else "N/A"
    return instant(end_of(job), epoch=epoch, missing=missing)


def _limit(job: Job, *, short: bool) -> str:
    return "UNLIMITED" if job["limit"] is None else duration(60 * job["limit"], short=short)


def scontrol_text(template: str, job: Job, series: str, *, epoch: bool, now: int) -> str:
    """Return one job of `scontrol show job`, in the lines of a recorded one."""
    lines = []
    for line in template.rstrip("\n").split("\n"):
        if line.startswith("JobId="):
            lines.append(_head(job))
        elif line.startswith("     Nodes="):
            lines += _node_lines(job)
        else:
            lines.append(line)
    text = "\n".join(lines)
    for key, value in _tokens(job, series, epoch=epoch, now=now).items():
        text = re.sub(rf"(?m)(^ +|(?<= )){re.escape(key)}=\S*", rf"\g<1>{key}={value}", text)
    return text + "\n"


def _head(job: Job) -> str:
    words = [f"JobId={job['job_id']}"]
    if job["array"]:
        words += [f"ArrayJobId={job['array'][0]}", f"ArrayTaskId={job['array'][1]}"]
    if job["het"]:
        words += [f"HetJobId={job['het'][0]}", f"HetJobOffset={job['het'][1]}"]
    return " ".join([*words, f"JobName={job['name']}"])


def _node_lines(job: Job) -> list[str]:
    """Return the allocation, with one line for adjacent nodes that have the same."""
    groups: list[tuple[str, list[str]]] = []
    for node in job["nodes"]:
        threads = [THREADS * c + t for c in job["cores"][node] for t in range(THREADS)]
        gres = gres_of(job, node) if is_live(job) else ""
        memory = MEMORY * cpus_on(job, node)
        what = f"CPU_IDs={ranges(threads)} Mem={memory} GRES={gres}"
        if groups and groups[-1][0] == what:
            groups[-1][1].append(node)
        else:
            groups.append((what, [node]))
    return [f"     Nodes={fold(nodes)} {what}" for what, nodes in groups]


def _tokens(job: Job, series: str, *, epoch: bool, now: int) -> dict[str, object]:
    times = {
        "SubmitTime": job["submit"],
        "EligibleTime": job["submit"],
        "AccrueTime": job["submit"],
        "LastSchedEval": job["start"] or job["submit"],
        "StartTime": job["start"],
        "EndTime": end_of(job),
    }
    oversubscribe, exclusive = sharing(job, series)
    seconds = (job["end"] or now) - job["start"] if has_run(job) else 0
    total = gpus(job)
    return {
        **{key: instant(at, epoch=epoch, missing="Unknown") for key, at in times.items()},
        "SLUID": job["sluid"],
        "UserId": f"{job['user']}({job['uid']})",
        "GroupId": f"{job['group']}({job['gid']})",
        "Account": job["account"],
        "QOS": job["qos"],
        "JobState": word(job),
        "Restarts": job["restarts"],
        "ExitCode": exit_words(job["exit_code"]),
        "RunTime": duration(seconds, short=False),
        "TimeLimit": _limit(job, short=False),
        "Partition": job["partition"],
        "NodeList": fold(_shown_nodes(job)),
        "BatchHost": job["nodes"][0] if job["nodes"] else "",
        "NumNodes": len(_shown_nodes(job)) or 1,
        "NumCPUs": cpus(job) or 1,
        "AllocTRES": tres(job) if has_run(job) else "(null)",
        "TRES": tres(job) if has_run(job) else "(null)",
        "JOB_GRES": f"gpu:{job['gpu_type']}:{total}" if total else "(null)",
        "OverSubscribe": oversubscribe,
        "Exclusive": exclusive,
        "Command": f"{job['work_dir']}/job.sh",
        "WorkDir": job["work_dir"],
        "AdminComment": job["admin_comment"],
    }


def sacct_field(job: Job, name: str, series: str, *, epoch: bool) -> str:
    """Return one field of `sacct -P`."""
    started = has_run(job)
    known: dict[str, Callable[[], object]] = {
        "Cluster": lambda: CLUSTER,
        "JobIDRaw": lambda: job["job_id"],
        "JobID": lambda: display_id(job),
        "JobName": lambda: job["name"],
        "AdminComment": lambda: job["admin_comment"] or "",
        "Comment": lambda: job["comment"],
        "User": lambda: job["user"],
        "UID": lambda: job["uid"],
        "Group": lambda: job["group"],
        "GID": lambda: job["gid"],
        "Account": lambda: job["account"],
        "Partition": lambda: job["partition"],
        "QOS": lambda: job["qos"],
        "State": lambda: job["state"],
        "ExitCode": lambda: exit_words(job["exit_code"]),
        "Submit": lambda: instant(job["submit"], epoch=epoch, missing="Unknown"),
        "Start": lambda: instant(job["start"], epoch=epoch, missing="Unknown"),
        "End": lambda: instant(job["end"], epoch=epoch, missing="Unknown"),
        "TimelimitRaw": lambda: "UNLIMITED" if job["limit"] is None else job["limit"],
        "NNodes": lambda: len(job["nodes"]) or 1,
        "AllocCPUS": lambda: cpus(job),
        "AllocTRES": lambda: ",".join(sorted(tres(job).split(","))) if started else "",
        "NodeList": lambda: fold(job["nodes"]) or "None assigned",
    }
    if series >= "26.05":
        known["Exclusive"] = lambda: sharing(job, series)[1]
    if name not in known:
        raise NoSuchFieldError(name)
    return str(known[name]())
