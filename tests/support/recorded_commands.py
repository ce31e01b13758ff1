"""Slurm's commands as recorded with one release at one moment: a runner for `slurm.client`.

Filters work as they do in that release. A test can replace an answer: `answers` maps words to the
answer to the command lines that contain them; the first match counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from golden_slurm import controller_sights, describe
from recorded_slurm import (
    RELEASES,
    Situation,
    lookup_lines,
    recordings,
    sacct_lines,
    text_records,
)

from slurm.client import Slurm
from slurm.commands import CommandPaths
from slurm.job import Job
from slurm.process import CommandResult, Sink
from slurm.release import Release

SQUEUE, SACCT, SCONTROL = (f"/opt/slurm/bin/{name}" for name in ("squeue", "sacct", "scontrol"))
COMMANDS = CommandPaths(squeue=Path(SQUEUE), sacct=Path(SACCT), scontrol=Path(SCONTROL))
UNKNOWN = CommandResult((), 1, b"", b"slurm_load_jobs error: Invalid job id specified\n")
DOWN = CommandResult((), 1, b"", b"slurm_load_jobs error: Unable to contact slurm controller\n")
CONFIG = (
    b"Configuration data as of 2026-11-22\nAccountingStorageType   = accounting_storage/slurmdbd\n"
    b"ClusterName             = lab\nSlurmctldParameters     = (null)\n\n"
    b"Slurmctld(primary) at ctl01 is UP\n"
)
_TIME = re.compile(rb"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\b")
NO_JSON = CommandResult((), 1, b"", b"squeue: fatal: Unable to find plugin: serializer/json\n")


@dataclass(slots=True)
class RecordedCommands:
    """A runner; `asked` are the command lines without paths and formats, `last` is the full one."""

    situation: Situation
    moment: str = ""
    answers: dict[str, CommandResult] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    last: str = ""
    release: Release | None = None
    alter: Callable[[Sequence[str], float, CommandResult], CommandResult] | None = None
    """Changes an answer; gets the command line, the time limit and the answer."""
    seconds: float = 0.0
    time: float = 1000.0

    def slurm(self, *, cluster: str | None = None) -> Slurm:
        """Return a client that runs these commands and uses their clock."""
        return Slurm(COMMANDS, self, cluster=cluster, clock=lambda: self.time)

    def __call__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout_seconds: float,
        limit_bytes: int,
        sink: Sink | None = None,
    ) -> CommandResult:
        """Answer a command as the release did; every call takes `seconds`."""
        epoch = {"TZ", "SLURM_TIME_FORMAT"} & set(environment)
        assert {"PATH", "LC_ALL", "SLURM_JSON"} | epoch == set(environment)
        assert len(epoch) == 2 or list(argv[1:3]) == ["show", "job"]  # its output is also displayed
        assert timeout_seconds > 0
        assert limit_bytes > 0
        line = " ".join([Path(argv[0]).name, *argv[1:]])
        self.asked.append(line.partition(" -O ")[0].partition(" -o ")[0])
        self.last = line
        self.time += self.seconds
        given = [answer for words, answer in self.answers.items() if words in line]
        answer = given[0] if given else self._answer(list(argv))
        if epoch and list(argv[1:3]) == ["show", "job"]:
            answer = replace(answer, stdout=_TIME.sub(_epoch_seconds, answer.stdout))
        if self.alter is not None:
            answer = self.alter(argv, timeout_seconds, answer)
        if sink is not None:
            for start in range(0, len(answer.stdout), 1000):
                sink(answer.stdout[start : start + 1000])
        stdout = b"" if sink is not None else answer.stdout
        return CommandResult(tuple(argv), answer.status, stdout, answer.stderr)

    def _answer(self, argv: list[str]) -> CommandResult:
        if argv[0] == SQUEUE:
            return self._squeue(argv)
        if argv[0] == SACCT:
            file = self.situation.file("sacct-duplicates", self.moment, "txt")
            recorded = file or self.situation.file("sacct", self.moment, "txt") or b""
            separator = next(word for word in argv if word.startswith("--delimiter="))[12:]
            fields = argv[argv.index("-o") + 1]
            return _said(sacct_lines(recorded, fields=fields, separator=separator))
        return self._scontrol(argv)

    def _squeue(self, argv: list[str]) -> CommandResult:
        if "--version" in argv:
            return _said(f"slurm {self.release or RELEASES[self.situation.series]}\n".encode())
        ids = (
            {int(word) for word in argv[argv.index("-j") + 1].split(",")} if "-j" in argv else None
        )
        lines = lookup_lines(self.situation, self.moment)
        known = {int(line.split(b"|")[0]) for line in lines.splitlines()}
        is_json = any(word.startswith("--json") for word in argv)
        if ids and len(ids) == 1 and not ids & known and (self._filters(1) or not is_json):
            return UNKNOWN
        if is_json:
            return self._json(ids)
        if "-o" in argv:
            return _said(b"".join(map(_listed, lines.splitlines())))
        own = [line for line in lines.splitlines() if not ids or int(line.split(b"|")[0]) in ids]
        return _said(b"".join(line + b"\n" for line in own))

    def _filters(self, count: int) -> bool:
        """Return whether `squeue --json` honours `-j` with so many ids."""
        series = RELEASES[self.situation.series].series
        return series >= (24, 5) or (series >= (23, 2) and count == 1)

    def _json(self, ids: set[int] | None) -> CommandResult:
        file = self.situation.file("squeue-all", self.moment, "json")
        document = json.loads(file or self.situation.file("squeue", self.moment, "json") or b"")
        if ids is not None and self._filters(len(ids)):
            document["jobs"] = [job for job in document["jobs"] if job["job_id"] in ids]
        return _said(json.dumps(document).encode())

    def _scontrol(self, argv: list[str]) -> CommandResult:
        series = recordings(self.situation.series)
        if argv[1:] == ["show", "config"]:
            return _said(series["cluster"]["scontrol-config.txt"])
        if argv[1:] == ["-a", "show", "node"]:
            return _said(series["cluster"]["scontrol-nodes.txt"])
        if argv[1:3] == ["show", "job"]:
            records = text_records(self.situation.file("scontrol", self.moment, "txt") or b"")
            found = [text for job_id, text in records.items() if _means(argv[3], job_id, text)]
            return _said("".join(f"{text}\n\n" for text in found).encode()) if found else UNKNOWN
        assert argv[1:] == ["ping"]
        return _said(b"Slurmctld(primary) at ctl01 is UP\nSlurmctld(backup) at ctl02 is DOWN\n")


def _epoch_seconds(found: re.Match[bytes]) -> bytes:
    """Return a time, recorded in UTC, in the format of SLURM_TIME_FORMAT=%s."""
    time = datetime.fromisoformat(found[0].decode()).replace(tzinfo=UTC)
    return b"%d" % time.timestamp()


def _said(stdout: bytes) -> CommandResult:
    return CommandResult((), 0, stdout, b"")


def _means(word: str, job_id: int, text: str) -> bool:
    """Return whether `scontrol show job WORD` selects a record; an array's id selects all tasks."""
    first = text.split("\n", 1)[0].split(" JobName=", maxsplit=1)[0]
    if "_" in word:
        array, task = word.split("_")
        return {f"ArrayJobId={array}", f"ArrayTaskId={task}"} <= set(first.split())
    if "+" in word:
        leader, offset = word.split("+")
        return f"HetJobId={leader} HetJobOffset={offset}" in first
    return job_id == int(word) or f"ArrayJobId={word} " in first or f"HetJobId={word} " in first


def _listed(line: bytes) -> bytes:
    """Return a line of the list of all jobs, made from a line of our look-up."""
    field = line.split(b"|")
    before = [field[place] for place in (0, 1, 2, 5, 7, 8, 6)]
    behind = [field[place] for place in (15, 12, 14, 18)]
    return b"|".join([*before, b"1", *behind]) + b"\n"


def commands(series: str, scenario: str = "gpu-two-nodes", moment: str = "") -> RecordedCommands:
    """Return the commands of a release in one situation."""
    return RecordedCommands(Situation(series, scenario), moment)


def job_of(slurm: Slurm, job_id: int) -> Job:
    """Return the controller's record of one job."""
    found = slurm.jobs([job_id])[job_id]
    assert isinstance(found, Job)
    return found


def ids_of(recorded: RecordedCommands) -> list[int]:
    """Return all job ids of the moment."""
    return sorted(controller_sights(recorded.situation, recorded.moment))


def expected(recorded: RecordedCommands) -> list[str]:
    """Return the jobs of the moment from all sources together, in one line each."""
    sights = controller_sights(recorded.situation, recorded.moment)
    return [describe(sight.job()) for _, sight in sorted(sights.items())]


def described(found: object) -> str:
    """Return a job in one line."""
    assert isinstance(found, Job), found
    return describe(found)
