"""A recorded answer of Slurm, truncated anywhere, never makes a sweep stop a running job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import pytest
from faulty_slurm import FaultySlurm, cut
from forty_jobs import ListedThere, stops, swept
from recorded_slurm import SERIES, recordings, sacct_lines

from ccbackend.replies import BackendRow, JobList
from spool.exit_codes import REFUSED
from sweeper.commands.output import plan_code

_ROW = re.compile(r"[0-9]{4,}\|")
_OURS = (
    *("RAW", "ARRAY_JOB_ID", "ARRAY_TASK_ID", "STATE", "START_TIME", "END_TIME", "SUBMIT_TIME"),
    *("NODES", "PARTITION", "USER", "ACCOUNT", "NODELIST"),
)


@dataclass(frozen=True)
class Recorded:
    """What a release printed for jobs that run, in the form in which a sweep asks for it."""

    squeue: str
    sacct: str
    config: str
    runs: dict[int, int]


@cache
def recorded(series: str) -> Recorded:
    """Return all situations of a release together: of equal job ids the first one."""
    lines: dict[int, str] = {}
    sacct: dict[int, str] = {}
    runs: dict[int, int] = {}
    for situation in recordings(series).values():
        listing = situation.get("squeue.txt", b"").decode("utf-8", "replace").splitlines()
        rows = situation.get("sacct.txt") or b""
        for job in accounted_lines(rows):
            sacct.setdefault(int(job.split("\x1f")[1]), job)
        names = ["RAW", *listing[0].split("|")[1:]] if listing else []
        for line in listing[1:]:
            row = dict(zip(names, line.split("|"), strict=False))
            if _ROW.match(line) and len(line.split("|")) == len(names):
                fields = [row[name] for name in _OURS]
                if lines.setdefault(int(fields[0]), "|".join(fields)) and fields[3] == "RUNNING":
                    runs.setdefault(int(fields[0]), int(fields[4]))
    running = {i: start for i, start in runs.items() if "|RUNNING|" in lines[i]}
    return Recorded(
        squeue="".join(f"{line}\n" for line in lines.values()),
        sacct="".join(f"{row}\n" for i, row in sacct.items() if i in running),
        config=recordings(series)["cluster"]["scontrol-config.txt"].decode(),
        runs=running,
    )


def accounted_lines(rows: bytes) -> list[str]:
    """Return our sacct rows of a recorded answer; a job's name may contain line breaks."""
    text = sacct_lines(rows).decode().removesuffix("\n") if rows else ""
    return re.split(r"\n(?=lab\x1f)", text) if text else []


PLACES = 20


@pytest.mark.parametrize("command", ["squeue", "sacct", "config"])
@pytest.mark.parametrize("series", SERIES)
def test_no_truncated_slurm_answer_plans_a_stop(tmp_path: Path, series: str, command: str) -> None:
    """Each answer of nine releases is cut at 20 random places; a cut inside a line is refused."""
    truth = recorded(series)
    hidden = sorted(truth.runs)[:3]  # so that accounting is asked
    squeue = "".join(
        line
        for line in truth.squeue.splitlines(keepends=True)
        if int(line.partition("|")[0]) not in hidden
    )
    rows = tuple(BackendRow(i, "alex", start, "running", i) for i, start in truth.runs.items())
    there = ListedThere(JobList(ListedThere().listing.reply, rows))
    now = max(truth.runs.values()) + 7200
    config = re.sub(r"(?<=as of )\S+", str(now), truth.config)
    config = re.sub(r"(?<=BOOT_TIME               = )\S+", str(now - 7200), config)
    texts = {"squeue": squeue, "sacct": truth.sacct, "config": config}
    whole = swept(tmp_path, FaultySlurm(now=now, recorded=dict(texts)), there)
    assert [result.decision.plan.guards for result in whole] == [(), ()]
    random = Random(f"{series} {command}")
    answer = texts[command].encode()
    for place in random.sample(range(1, len(answer)), PLACES):
        slurm = FaultySlurm(now=now, recorded=dict(texts), faults={command: cut(place)})

        results = swept(tmp_path, slurm, there)

        assert stops(results) == 0, place
        is_visible = answer[place - 1 : place] != b"\n" and command != "config"
        is_visible |= command == "config" and b"Slurmctld(" not in answer[:place]
        assert not is_visible or plan_code(results[0].decision.plan) == REFUSED


def test_enough_truncated_answers_are_tested() -> None:
    """At least 400 answers are truncated; each release has more than ten running jobs."""
    assert PLACES * len(SERIES) * 3 >= 400
    assert all(len(recorded(series).runs) > 10 for series in SERIES)
