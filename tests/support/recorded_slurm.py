"""The recorded output of nine releases of Slurm (`tests/data/slurm-SERIES.tar.xz`) by source.

A situation is one scenario of one series. Its files belong to moments ("" if the scenario has only
one). The recorded `squeue` and `sacct` calls print more columns than ours; `lookup_lines` and
`sacct_lines` select our columns.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from recorded_accounting import AccountingStream

from slurm.decode.json_stream import RecordStream
from slurm.decode.sacct_rows import SACCT_FIELDS, SACCT_SEPARATOR, parse_sacct_rows
from slurm.decode.scontrol_job import UntrustedTextError, add_job_detail
from slurm.decode.scontrol_nodes import Node
from slurm.decode.squeue_columns import columns_for, parse_job_columns
from slurm.decode.squeue_json import parse_job
from slurm.job import Job
from slurm.release import Release, features_of

DATA = Path(__file__).parents[1] / "data"
SERIES = ("21.08", "22.05", "23.02", "23.11", "24.05", "24.11", "25.05", "25.11", "26.05")
RELEASES = {
    "21.08": Release(21, 8, 8),
    "22.05": Release(22, 5, 8),
    "23.02": Release(23, 2, 8),
    "23.11": Release(23, 11, 11),
    "24.05": Release(24, 5, 8),
    "24.11": Release(24, 11, 7),
    "25.05": Release(25, 5, 8),
    "25.11": Release(25, 11, 7),
    "26.05": Release(26, 5, 3),
}
NODE = Node(name="n", sockets=2, cores_per_socket=4, threads_per_core=2, cpus=16)
_LONG = (
    *("JobID", "ArrayJobID", "ArrayTaskID", "HetJobID", "HetJobOffset", "-", "State", "-"),
    *("SubmitTime", "-", "StartTime", "EndTime", "TimeLimit", "-", "-", "RestartCnt", "NumNodes"),
    *("NumCPUs", "-", "NodeList", "tres-alloc"),
)
_SHORT = (
    *("JobID", "-", "ArrayJobID", "ArrayTaskID", "-", "State", "-", "StartTime", "EndTime"),
    *("SubmitTime", "-", "TimeLimit", "-", "NumCPUs", "NumNodes", "NodeList", "-", "UserName"),
    *("UserID", "-", "-", "Account", "Partition", "QOS"),
)
_HOOK_SHORT = ("JobID", "-", "State", "StartTime", "EndTime", "NodeList")
_ROW = re.compile(r"^(?=\d{4,}\|)", re.MULTILINE)
_SACCT_ROW = re.compile(r"^(?=\d{4,}(?:\.\w+)?\|[\d_+.\[\]\w%,-]+\|)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Situation:
    """One scenario as recorded with one series."""

    series: str
    name: str

    def __str__(self) -> str:
        return f"{self.series}-{self.name}"

    @property
    def files(self) -> Mapping[str, bytes]:
        """Return the files of the situation by name."""
        return recordings(self.series)[self.name]

    def moments(self) -> list[str]:
        """Return the moments at which jobs were recorded, in order of their names."""
        found: set[str] = set()
        if self.name == "cluster":  # its files have no jobs
            return []
        for name in self.files:
            match = re.fullmatch(r"scontrol(|-.+)\.txt|(prolog|epilog)-scontrol\.txt", name)
            if match is not None:
                found.add(match[2] or match[1].lstrip("-"))
        return sorted(found)

    def file(self, kind: str, moment: str, ending: str) -> bytes | None:
        """Return a file of a moment; `kind` is the command."""
        if moment in {"prolog", "epilog"}:
            return self.files.get(f"{moment}-{kind}.{ending}")
        return self.files.get(f"{kind}-{moment}.{ending}" if moment else f"{kind}.{ending}")


@cache
def recordings(series: str) -> Mapping[str, Mapping[str, bytes]]:
    """Return the contents of every file of a series by scenario and name."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(DATA / f"slurm-{series}.tar.xz") as archive:
        for member in archive:
            contents = archive.extractfile(member) if member.isfile() else None
            if contents is not None:
                _, scenario, name = member.name.split("/")
                found.setdefault(scenario, {})[name] = contents.read()
    return found


@cache
def situations() -> tuple[Situation, ...]:
    """Return all recorded situations."""
    return tuple(
        Situation(series, name) for series in SERIES for name in sorted(recordings(series))
    )


def node_of(_name: str) -> Node:
    """Return a node of the recorded cluster, whose nodes are all equal."""
    return NODE


def json_records(document: bytes) -> list[dict[str, Any]]:
    """Return the records of a recorded JSON answer."""
    found: list[dict[str, Any]] = []
    stream = RecordStream(found.append)
    stream.feed(document)
    stream.close()
    return found


def json_jobs(document: bytes) -> dict[int, Job]:
    """Return the jobs of `squeue --json` or `scontrol show job --json`."""
    jobs = (parse_job(record, node_of=node_of) for record in json_records(document))
    return {job.job_id: job for job in jobs}


def text_records(scontrol: bytes) -> dict[int, str]:
    """Return the text of each job by its id, from one `scontrol show job -d` of all jobs."""
    parts = re.split(r"\n\n(?=JobId=\d+ )", scontrol.decode("utf-8", "replace"))
    found = (re.match(r"JobId=(\d+) ", part) for part in parts)
    return {int(match[1]): part for match, part in zip(found, parts, strict=True) if match}


def lookup_lines(situation: Situation, moment: str) -> bytes:
    """Return the output that our `squeue -O` would have had at a moment.

    Both commands print the same answer of the controller: columns missing in the recorded `squeue`
    are taken from the recorded `scontrol`.
    """
    columns = columns_for(features_of(RELEASES[situation.series]))
    records = text_records(situation.file("scontrol", moment, "txt") or b"")
    fields = {job_id: _fields_of_text(record) for job_id, record in records.items()}
    for kind, names in (("squeue", _SHORT), ("squeue-long", _LONG)):
        own = _HOOK_SHORT if moment in {"prolog", "epilog"} else names
        listing = (situation.file(kind, moment, "txt") or b"").decode("utf-8", "replace")
        for row in _ROW.split(listing):
            values = dict(zip(own, row.rstrip("\n").split("|"), strict=False))
            if values.get("JobID", "").isdigit() and int(values["JobID"]) in fields:
                fields[int(values["JobID"])] |= values
    lines = ["|".join(field[column] for column in columns) for field in fields.values()]
    return "".join(f"{line}|\n" for line in lines).encode()


def text_jobs(situation: Situation, moment: str) -> dict[int, Job | UntrustedTextError]:
    """Return the jobs parsed from text: from our squeue columns and the detailed text of each."""
    columns = columns_for(features_of(RELEASES[situation.series]))
    jobs = parse_job_columns(lookup_lines(situation, moment), columns, cluster="lab").rows
    records = text_records(situation.file("scontrol", moment, "txt") or b"")
    found: dict[int, Job | UntrustedTextError] = {}
    for job_id, job in jobs.items():
        found[job_id] = job
        if job.nodes or "COMPLETING" in job.flags:
            try:
                found[job_id] = add_job_detail(job, records[job_id], node_of=node_of)
            except UntrustedTextError as error:
                found[job_id] = error
    return found


def sacct_runs(document: bytes) -> tuple[Job, ...]:
    """Return the runs of a recorded `sacct --json`."""
    stream = AccountingStream(cluster="lab")
    stream.feed(document)
    return stream.close()


def sacct_lines(
    recorded: bytes, *, fields: str = SACCT_FIELDS, separator: str = SACCT_SEPARATOR
) -> bytes:
    """Return the output that our `sacct -X -P` would have had."""
    head, *rows = _SACCT_ROW.split(recorded.decode("utf-8", "replace"))
    names = head.strip().split("|")
    lines = []
    for row in rows:
        if "." in row.split("|", 1)[0]:
            continue
        values = _sacct_values(row.rstrip("\n").split("|"), names)
        lines.append(separator.join(values[name] for name in fields.split(",")))
    return "".join(f"{line}\n" for line in lines).encode()


def sacct_text_runs(recorded: bytes) -> tuple[Job, ...]:
    """Return the runs of a recorded `sacct -P`."""
    return parse_sacct_rows(sacct_lines(recorded), cluster="lab")


def hook_calls(situation: Situation) -> Iterator[tuple[str, int, Mapping[str, str]]]:
    """Yield kind, job id and environment of every recorded hook call."""
    for name, contents in situation.files.items():
        match = re.fullmatch(r"(prolog|epilog)(?:-\d+)?(?:-call\d+)?\.env", name)
        if match is not None:
            pairs = contents.decode("utf-8", "surrogateescape").rstrip("\0").split("\0")
            variables = dict(pair.split("=", 1) for pair in pairs)
            yield match[1], int(variables["SLURM_JOB_ID"]), variables


def _sacct_values(values: list[str], names: list[str]) -> dict[str, str]:
    """Return the values by name; the job's name, the third value, may contain separators.

    Comments may, too, but they come after all values that are read here and were not recorded.
    """
    user = next(place for place in range(3, len(values)) if values[place] in {"alice", "bob"})
    name = "|".join(values[2:user])
    known = dict(zip([*names[:2], *names[3:]], [*values[:2], *values[user:]], strict=False))
    return known | {"JobName": name, "AdminComment": "", "Comment": "", "Exclusive": "NO"}


def _fields_of_text(record: str) -> dict[str, str]:
    """Return our squeue columns from a record of scontrol; recorded names imitate no fields."""

    def value(key: str, missing: str = "N/A") -> str:
        found = re.search(rf"(?:^|\s){key}=(\S*)", record)
        return found[1] if found else missing

    user = re.search(r"UserId=(\w+)\((\d+)\)", record)
    comment = re.search(r"^   AdminComment=(.*?) ?$", record, re.MULTILINE)
    return {
        "JobID": value("JobId"),
        "ArrayJobID": value("ArrayJobId", value("JobId")),
        "ArrayTaskID": value("ArrayTaskId"),
        "HetJobID": value("HetJobId"),
        "HetJobOffset": value("HetJobOffset"),
        "State": value("JobState"),
        "SubmitTime": _epoch(value("SubmitTime")),
        "StartTime": _epoch(value("StartTime")),
        "EndTime": _epoch(value("EndTime")),
        "TimeLimit": value("TimeLimit"),
        "RestartCnt": value("Restarts"),
        "NumCPUs": value("NumCPUs"),
        "UserName": user[1] if user else "",
        "UserID": user[2] if user else "",
        "Account": value("Account"),
        "Partition": value("Partition"),
        "QOS": value("QOS"),
        "Reservation": value("Reservation", "(null)"),
        "NodeList": value("NodeList"),
        "tres-alloc": value("AllocTRES", value("TRES")),
        "OverSubscribe": value("OverSubscribe"),
        "Exclusive": value("Exclusive"),
        "SLUID": value("SLUID", "(null)"),
        "admin_comment": comment[1] if comment else "(null)",
    }


def _epoch(text: str) -> str:
    """Return a time of scontrol, recorded in UTC, as Unix seconds."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text):
        return text
    return str(int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()))
