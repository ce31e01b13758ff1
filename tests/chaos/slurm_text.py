"""Text of `squeue`, `scontrol` and `sacct` as releases 22.05 and 24.11 print it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from chaos import site_facts
from chaos.job import Run

_REQUEST = "CPUs/Task=1 ReqB:S:C:T=0:0:*:*"
_REST = "Contiguous=0 Licenses=(null) Network=(null)"
_OVERSUBSCRIBE = {"none": "NO", "user": "USER", "ok": "OK"}


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers as Slurm prints them: `0-3,8`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def instant(seconds: int | None, *, as_epoch: bool, missing: str = "Unknown") -> str:
    """Return a time in epoch seconds or as Slurm writes it by default."""
    if not seconds:
        return missing
    if as_epoch:
        return str(seconds)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def limit(minutes: int) -> str:
    """Return a time limit."""
    return f"{minutes // 60:02}:{minutes % 60:02}:00"


def tres(run: Run) -> str:
    """Return allocated TRES."""
    gpus = f",gres/gpu={run.gpu_count}" if run.gpu_count else ""
    return f"cpu={run.cpus},mem=2000M,node={len(run.nodes)},billing={run.cpus}{gpus}"


def planned_end(run: Run) -> int:
    """Return the end of a run; while it runs, its start plus its time limit."""
    return run.end if run.end is not None else run.start + run.limit_minutes * 60


def _array_task(run: Run) -> str:
    return str(run.array[1]) if run.array else "N/A"


Column = Callable[[Run, bool], str]
_COLUMNS: dict[str, Column] = {
    "JobID": lambda run, _: str(run.job_id),
    "ArrayJobID": lambda run, _: str(run.array[0] if run.array else run.job_id),
    "ArrayTaskID": lambda run, _: _array_task(run),
    "HetJobID": lambda *_: "N/A",
    "HetJobOffset": lambda *_: "N/A",
    "State": lambda run, _: run.state,
    "SubmitTime": lambda run, epoch: instant(run.submit, as_epoch=epoch),
    "StartTime": lambda run, epoch: instant(run.start, as_epoch=epoch),
    "EndTime": lambda run, epoch: instant(planned_end(run), as_epoch=epoch),
    "TimeLimit": lambda run, _: limit(run.limit_minutes).removeprefix("0"),
    "RestartCnt": lambda *_: "0",
    "NumCPUs": lambda run, _: str(run.cpus),
    "NumNodes": lambda run, _: str(len(run.nodes)),
    "UserName": lambda run, _: run.user,
    "UserID": lambda run, _: str(run.uid),
    "Account": lambda run, _: run.account,
    "Partition": lambda run, _: run.partition,
    "QOS": lambda *_: "normal",
    "Reservation": lambda *_: "(null)",
    "NodeList": lambda run, _: ",".join(run.nodes),
    "tres-alloc": lambda run, _: tres(run),
    "OverSubscribe": lambda run, _: _OVERSUBSCRIBE[run.sharing],
    "admin_comment": lambda *_: "(null)",
    "Name": lambda run, _: run.name,
}
_LETTERS = {
    "A": "JobID",
    "i": "JobID",
    "F": "ArrayJobID",
    "K": "ArrayTaskID",
    "T": "State",
    "S": "StartTime",
    "e": "EndTime",
    "V": "SubmitTime",
    "l": "TimeLimit",
    "C": "NumCPUs",
    "D": "NumNodes",
    "P": "Partition",
    "u": "UserName",
    "U": "UserID",
    "a": "Account",
    "N": "NodeList",
    "h": "OverSubscribe",
    "q": "QOS",
    "j": "Name",
    "v": "Reservation",
}
_BY_LOWER_CASE = {name.lower(): column for name, column in _COLUMNS.items()}


def squeue_short(run: Run, wanted: str, *, as_epoch: bool) -> str:
    """Return one line of `squeue -o`."""
    return re.sub(
        r"%[.0-9]*([a-zA-Z])",
        lambda found: _COLUMNS[_LETTERS[found[1]]](run, as_epoch),
        wanted,
    )


def squeue_long(run: Run, wanted: str, *, as_epoch: bool) -> str:
    """Return one line of `squeue -O NAME:SUFFIX,...`.

    Raises:
        KeyError: a column that this Slurm does not have.
    """
    line = ""
    for item in wanted.split(","):
        name, _, suffix = item.partition(":")
        line += _BY_LOWER_CASE[name.lower()](run, as_epoch) + suffix
    return line


_ACCOUNTING: dict[str, Column] = {
    "cluster": lambda *_: site_facts.SLURM_CLUSTER,
    "jobidraw": lambda run, _: str(run.job_id),
    "jobid": lambda run, _: f"{run.array[0]}_{run.array[1]}" if run.array else str(run.job_id),
    "jobname": lambda run, _: run.name,
    "user": lambda run, _: run.user,
    "uid": lambda run, _: str(run.uid),
    "account": lambda run, _: run.account,
    "partition": lambda run, _: run.partition,
    "state": lambda run, _: run.state + (" by 0" if run.state == "CANCELLED" else ""),
    "submit": lambda run, epoch: instant(run.submit, as_epoch=epoch),
    "start": lambda run, epoch: instant(run.start, as_epoch=epoch),
    "end": lambda run, epoch: instant(run.end, as_epoch=epoch),
    "timelimitraw": lambda run, _: str(run.limit_minutes),
    "nnodes": lambda run, _: str(len(run.nodes)),
    "alloccpus": lambda run, _: str(run.cpus),
    "alloctres": lambda run, _: tres(run),
    "exitcode": lambda run, _: "1:0" if run.state == "FAILED" else "0:0",
    "qos": lambda *_: "normal",
    "nodelist": lambda run, _: ",".join(run.nodes),
    "reqtres": lambda run, _: tres(run),
    "restarts": lambda *_: "0",
    "constraints": lambda *_: "",
    "reservation": lambda *_: "",
    "admincomment": lambda *_: "",
    "comment": lambda *_: "",
}


def sacct_line(run: Run, wanted: str, separator: str, *, as_epoch: bool) -> str:
    """Return one line of `sacct -P`.

    Raises:
        KeyError: a field that this Slurm does not have.
    """
    names = wanted.lower().split(",")
    return separator.join(_ACCOUNTING[name](run, as_epoch) for name in names)


def gres_of(run: Run, node: str) -> str:
    """Return the GRES of a node in detail; empty after the job has ended, as in Slurm."""
    gpus = run.gpus.get(node, ())
    if not gpus or run.state != "RUNNING":
        return ""
    return f"gpu:a100:{len(gpus)}(IDX:{ranges(gpus)})"


def show_job(run: Run, *, is_old: bool, with_detail: bool, as_epoch: bool) -> str:
    """Return the record of `scontrol show job`."""
    array = f" ArrayJobId={run.array[0]} ArrayTaskId={run.array[1]}" if run.array else ""
    start, end = instant(run.start, as_epoch=as_epoch), instant(planned_end(run), as_epoch=as_epoch)
    submit = instant(run.submit, as_epoch=as_epoch)
    gpus = f"gpu:a100:{run.gpu_count}" if run.gpus and run.state == "RUNNING" else "(null)"
    lines = [
        f"JobId={run.job_id}{array} JobName={run.name}",
        f"   UserId={run.user}({run.uid}) GroupId=hpc(5000) MCS_label=N/A",
        f"   Priority=1000 Nice=0 Account={run.account} QOS=normal",
        f"   JobState={run.state} Reason=None Dependency=(null)",
        "   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0",
        *(["   DerivedExitCode=0:0"] if with_detail else []),
        f"   RunTime=00:00:01 TimeLimit={limit(run.limit_minutes)} TimeMin=N/A",
        f"   SubmitTime={submit} EligibleTime={submit}",
        f"   AccrueTime={submit}",
        f"   StartTime={start} EndTime={end} Deadline=N/A",
        f"   SuspendTime=None SecsPreSuspend=0 LastSchedEval={start} Scheduler=Main",
        f"   Partition={run.partition} AllocNode:Sid=ctl01:0",
        "   ReqNodeList=(null) ExcNodeList=(null)",
        f"   NodeList={','.join(run.nodes)}",
        f"   BatchHost={run.nodes[0]}",
        f"   NumNodes={len(run.nodes)} NumCPUs={run.cpus} NumTasks=1 {_REQUEST}",
        *_tres_lines(run, is_old=is_old),
        "   Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=*",
        *([f"   JOB_GRES={gpus}", *_node_lines(run)] if with_detail else []),
        "   MinCPUsNode=1 MinMemoryCPU=1000M MinTmpDiskNode=0",
        "   Features=(null) DelayBoot=00:00:00",
        f"   OverSubscribe={_OVERSUBSCRIBE[run.sharing]} {_REST}",
        "   Command=/home/job.sh",
        "   WorkDir=/home",
        *(["   Power="] if is_old else []),
        "   ",
    ]
    return "\n".join(lines) + "\n\n"


def _tres_lines(run: Run, *, is_old: bool) -> list[str]:
    if is_old:
        return [f"   TRES={tres(run)}"]
    return [f"   ReqTRES={tres(run)}", f"   AllocTRES={tres(run)}"]


def _node_lines(run: Run) -> list[str]:
    """Return the `Nodes=` lines; a CPU id is core times threads a core, plus thread."""
    lines = []
    per_core = site_facts.THREADS_PER_CORE
    for node, cores in run.cores.items():
        cpus = ranges(core * per_core + thread for core in cores for thread in range(per_core))
        lines.append(f"     Nodes={node} CPU_IDs={cpus} Mem=2000 GRES={gres_of(run, node)}")
    return lines


def show_nodes() -> str:
    """Return `scontrol show node`."""
    names = (*site_facts.CPU_NODES, *site_facts.GPU_NODES, *site_facts.NEW_NODES)
    cpus = site_facts.CORES * site_facts.THREADS_PER_CORE
    return "".join(
        f"NodeName={name} Arch=x86_64 CoresPerSocket={site_facts.CORES_PER_SOCKET} \n"
        f"   CPUAlloc=0 CPUEfctv={cpus} CPUTot={cpus} CPULoad=0.00\n"
        f"   Gres={'gpu:a100:4' if name.startswith('g') else '(null)'}\n"
        f"   RealMemory=64000 AllocMem=0 Sockets={site_facts.SOCKETS} Boards=1\n"
        f"   State=IDLE ThreadsPerCore={site_facts.THREADS_PER_CORE} TmpDisk=0\n"
        "   Partitions=main \n   \n\n"
        for name in names
    )


def show_config(state: str, *, accounting: bool, min_job_age: float, now: str, boot: str) -> str:
    """Return `scontrol show config`, reduced to the keys that a program may need."""
    kind = "accounting_storage/slurmdbd" if accounting else "accounting_storage/none"
    settings = {
        "AccountingStorageTRES": "cpu,mem,energy,node,billing,gres/gpu",
        "AccountingStorageType": kind,
        "BOOT_TIME": boot,
        "ClusterName": site_facts.SLURM_CLUSTER,
        "EpilogSlurmctld": "(null)",
        "GresTypes": "gpu",
        "MaxArraySize": "100001",
        "MinJobAge": f"{int(min_job_age)} sec",
        "PrivateData": "none",
        "PrologSlurmctld": "(null)",
        "SlurmUser": "root(0)",
        "SlurmctldHost[0]": "ctl01",
        "SlurmctldParameters": "(null)",
        "StateSaveLocation": state,
    }
    lines = [f"{name:<23} = {value}" for name, value in settings.items()]
    head = f"Configuration data as of {now}"
    return "\n".join([head, *lines, "", "Slurmctld(primary) at ctl01 is UP", ""])
