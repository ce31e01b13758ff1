"""The expected rows at cc-backend, computed from Slurm's output independently of the program.

A job writes its own `scontrol show job -d` while it runs, and accounting has its times: the row
follows from these two. This works only for jobs with simple names: the output holds free text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ClusterShell.NodeSet import NodeSet
from slurm_lab import Lab

SHOW = 'scontrol show job -d $SLURM_JOB_ID >"$HOME/shown.$SLURM_JOB_ID"'
GPUS = ["00000000:0A:00.0", "00000000:1B:00.0", "00000000:2C:00.0", "00000000:3D:00.0"]
CORES = 8
FIELDS = "JobIDRaw,Submit,Start,End,State,NodeList"
SERVERS_OWN = frozenset({"id", "subCluster", "monitoringStatus", "archived"})
WHOLE, OWN, SHARED = (1, "none"), (2, "single_user"), (0, "multi_user")
OVERSUBSCRIBE = {"NO": WHOLE, "USER": OWN, "OK": SHARED, "YES": SHARED}
EXCLUSIVE = {"NO": SHARED, "USER": OWN, "NODE": WHOLE}  # from 26.05 on only this field counts
_FIELD = re.compile(r"(?:^|\s)([A-Za-z:/]+)=(\S*)")
_NODES = re.compile(r"^ +Nodes=(\S+) CPU_IDs=(\S+) Mem=\d+ GRES=(\S*)", re.MULTILINE)
_INDICES = re.compile(r"gpu:[^(]*\(IDX:([0-9,-]+)\)")


@dataclass(frozen=True)
class Run:
    """One run according to accounting; times are Unix seconds."""

    submit: int
    start: int
    end: int
    state: str
    nodes: str

    @property
    def reported_end(self) -> int:
        """Return the end that is sent to cc-backend, which is never before the start."""
        return max(self.end, self.start)


Accounting = dict[int, list[Run]]


def accounting(lab: Lab, starts: Mapping[int, int]) -> Accounting:
    """Return the runs of all jobs according to accounting, oldest first, by job id.

    A row without a start gets that of `starts`, which the controller has shown: up to 22.05 a
    restart of slurmctld before slurmdbd has the start loses it. Without either it never started.
    """
    asked = ("sacct", "-n", "-P", "-X", "-D", "-a", "-S", "uts1000000", "-o", FIELDS)
    found: dict[int, list[Run]] = {}
    for line in lab.run("env", "SLURM_TIME_FORMAT=%s", *asked).stdout.splitlines():
        job, submit, start, end, state, nodes = line.split("|")
        began = int(start) if start.isdigit() else starts.get(int(job))
        if began is not None:
            run = Run(int(submit), began, int(end), state.split()[0].lower(), nodes)
            found.setdefault(int(job), []).append(run)
    return found


def with_start(run: Run, start: int) -> Run:
    """Return a run with the controller's start if accounting's start differs by one second.

    Seen with 26.05 for the last task of an array, once in about 2000 runs. Our rows have the
    controller's start, because the controller is asked first.
    """
    return dataclasses.replace(run, start=start) if abs(run.start - start) == 1 else run


def shown(lab: Lab, job: int) -> str:
    """Return Slurm's record of a job while it ran; a het leader writes those of all components."""
    for path in sorted((lab.root / "home").glob("*/shown.*")):
        if int(path.suffix[1:]) in {job, job - 1}:
            for record in path.read_text().split("\n\n"):
                if re.match(rf"\s*JobId={job}\b", record):
                    return record
    raise AssertionError(f"job {job} left no word of Slurm's")


def expected_row(record: str, run: Run, version: str) -> dict[str, Any]:
    """Return the expected row of a run, without the server's own columns and `metaData`."""
    words = dict(_FIELD.findall(record))
    exclusive = words.get("Exclusive")
    sharing = EXCLUSIVE[exclusive] if exclusive else OVERSUBSCRIBE[words["OverSubscribe"]]
    resources = [node for found in _NODES.findall(record) for node in _nodes(*found)]
    gpus = re.search(r"gres/gpu=(\d+)", words.get("AllocTRES") or words["TRES"])
    row = {
        "jobId": int(words["JobId"]),
        "user": words["UserId"].partition("(")[0],
        "project": words["Account"],
        "cluster": "lab",
        "partition": words["Partition"],
        "numNodes": len(resources),
        "numHwthreads": int(words["NumCPUs"]),
        "walltime": _seconds(words["TimeLimit"]),
        "startTime": run.start,
        "stopTime": run.reported_end,
        "jobState": run.state,
        "resources": resources,
        **dict([("exclusive", sharing[0]) if version < "1.5" else ("shared", sharing[1])]),
    }
    if gpus:
        row["numAcc"] = int(gpus[1])
    if "ArrayJobId" in words:
        row["arrayJobId"] = int(words["ArrayJobId"])
    return row


def reported_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the server with the columns that `expected_row` has."""
    return {key: value for key, value in row.items() if key not in SERVERS_OWN | {"metaData"}}


def expected_metadata(record: str, run: Run, script: str | None) -> dict[str, str]:
    """Return the expected `metaData` of a run, without the description."""
    words = dict(_FIELD.findall(record))
    found = {
        "jobName": words["JobName"],
        "submitTime": str(run.submit),
        "qos": "normal",
        "requestedMemory": "1000Mc",
    }
    for name, key in (
        ("ArrayTaskId", "arrayTaskId"),
        ("HetJobId", "hetJobId"),
        ("HetJobOffset", "hetJobOffset"),
    ):
        if name in words:
            found[key] = words[name]
    if script is not None:
        found["jobScript"] = f"#!/bin/sh\n{script}\n"
    return found


def _nodes(names: str, cpus: str, gres: str) -> list[dict[str, Any]]:
    """Return the resources of one line; CPU ids 2n and 2n+1 are the threads of core n."""
    cores = sorted({cpu // 2 for cpu in _numbers(cpus)})
    threads = sorted([*cores, *(core + CORES for core in cores)])
    indices = _INDICES.search(gres)
    node: dict[str, Any] = {"hwthreads": threads}
    if indices:
        node["accelerators"] = [GPUS[index] for index in _numbers(indices[1])]
    return [{"hostname": name, **node} for name in NodeSet(names)]


def _numbers(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _seconds(limit: str) -> int:
    days, _, clock = limit.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
