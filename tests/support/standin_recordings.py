"""Recorded jobs given to the stand-in for Slurm, whose commands run in this process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from recorded_slurm import (
    Situation,
    text_records,
)
from standin_slurm import commands
from standin_slurm.controller import Controller
from standin_slurm.model import Job

from slurm.decode.fields.hostlist import expand_hosts, expand_indices

RUNNING = (
    ("lifecycle", "2-running"),
    ("single-core-shared", ""),
    ("two-sockets", ""),
    ("block-sockets", ""),
    ("exclusive-multinode", ""),
    ("exclusive-user", ""),
    ("uneven-multinode", ""),
    ("gpu-1of4", ""),
    ("gpu-two-nodes", ""),
    ("array-running-pending", ""),
    ("het-job", ""),
    ("unlimited-time", ""),
    ("suspended", ""),
)
ENDED = (
    ("lifecycle", "4-completed"),
    ("failed-exit3", ""),
    ("timeout", ""),
    ("cancelled-running", ""),
    ("gpu-1of4", "ended"),
)


def standin_job(text: str, script: str | None = "x") -> Job:
    """Return a job of the stand-in from its recorded text."""

    def value(key: str) -> str:
        found = re.search(rf"(?:^|\s){key}=(\S*)", text)
        return found[1] if found else ""

    def instant(key: str) -> int | None:
        found = re.search(rf"\b{key}=(\S+)", text)
        return None if found is None else _epoch(found[1])

    user = re.search(r"UserId=(\w+)\((\d+)\) GroupId=(\w+)\((\d+)\)", text)
    assert user
    code, signal = map(int, value("ExitCode").split(":"))
    state = value("JobState")
    lines = re.findall(r"^     Nodes=(\S+) CPU_IDs=(\S+) .*GRES=(.*)$", text, re.MULTILINE)
    cores, gpus = {}, {}
    for nodes, cpus, gres in lines:
        for node in expand_hosts(nodes):
            cores[node] = sorted({cpu // 2 for cpu in expand_indices(cpus)})
            if found := re.search(r"IDX:([\d,-]+)", gres):
                gpus[node] = [*expand_indices(found[1])]
    total = re.match(r"gpu:a100:(\d+)", value("JOB_GRES"))
    if total and not gpus:  # Slurm does not show their indices after the end
        gpus[next(iter(cores))] = [*range(int(total[1]))]
    exclusive, shared = value("Exclusive"), value("OverSubscribe")
    limit = value("TimeLimit")
    is_array, is_het = value("ArrayTaskId").isdigit(), bool(value("HetJobId"))
    is_live = state in {"RUNNING", "SUSPENDED"}
    return {
        "job_id": int(value("JobId")),
        "name": value("JobName"),
        "user": user[1],
        "uid": int(user[2]),
        "group": user[3],
        "gid": int(user[4]),
        "account": value("Account"),
        "partition": value("Partition"),
        "qos": value("QOS"),
        "array": [int(value("ArrayJobId")), int(value("ArrayTaskId"))] if is_array else None,
        "het": [int(value("HetJobId")), int(value("HetJobOffset"))] if is_het else None,
        "state": state,
        "flags": [],
        "submit": instant("SubmitTime"),
        "start": instant("StartTime"),
        "end": None if is_live else instant("EndTime"),
        "limit": None if limit == "UNLIMITED" else _minutes(limit),
        "nodes": [*cores],
        "cores": cores,
        "gpus": gpus,
        "gpu_type": "a100",
        "sharing": {"NODE": "NODE", "USER": "USER"}.get(exclusive)
        or ("OK" if exclusive else {"NO": "NODE"}.get(shared, shared)),
        "restarts": int(value("Restarts")),
        "exit_code": code << 8 | signal,
        "admin_comment": "",
        "comment": "",
        "script": script,
        "work_dir": value("WorkDir"),
        "sluid": value("SLUID"),
    }


def _epoch(text: str) -> int | None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text):
        return None
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def _minutes(text: str) -> int:
    hours, minutes, _ = (text.rpartition("-")[2]).split(":")
    return int(hours) * 60 + int(minutes)


def long_ago() -> float:
    """Return a time before all recordings, so that no recorded job counts as purged."""
    return 1_000_001


class Printer:
    """Runs the stand-in's commands in this process."""

    def __init__(self, root: Path, series: str, capsys: pytest.CaptureFixture[str]) -> None:
        (root / "spool" / "new").mkdir(parents=True)
        self.controller = Controller(root / "slurm", series, spool=root / "spool", clock=long_ago)
        self._capsys = capsys

    def all(self, name: str, *argv: str) -> tuple[int, str, str]:
        """Return status, stdout and stderr of a command."""
        status = commands.main(name, str(self.controller.root), list(argv))
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def __call__(self, name: str, *argv: str) -> str:
        """Return the output of a command that must succeed."""
        status, out, err = self.all(name, *argv)
        assert (0, "") == (status, err)
        return out


def reported(
    series: str, moments: tuple[tuple[str, str], ...]
) -> Iterator[tuple[Situation, str, int]]:
    """Yield situation, moment and id of every recorded job that has or had nodes."""
    for name, moment in moments:
        situation = Situation(series, name)
        for job_id, text in text_records(situation.file("scontrol", moment, "txt") or b"").items():
            if "\n     Nodes=" in text:
                yield situation, moment, job_id
