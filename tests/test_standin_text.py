"""The text of squeue, scontrol and sacct of the stand-in for Slurm is that of each release."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded_slurm import (
    RELEASES,
    SERIES,
    Situation,
    lookup_lines,
    sacct_lines,
    text_records,
)
from standin_recordings import ENDED, RUNNING, Printer, reported, standin_job

from slurm.decode.sacct_rows import SACCT_FIELDS, SACCT_SEPARATOR
from slurm.decode.squeue_columns import columns_for, format_option
from slurm.release import features_of


@pytest.fixture(params=SERIES)
def series(request: pytest.FixtureRequest) -> str:
    """Return each release."""
    return str(request.param)


@pytest.fixture
def printer(
    series: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Printer:
    """Return the commands of a release without jobs."""
    monkeypatch.setenv("SLURM_TIME_FORMAT", "%s")
    return Printer(tmp_path, series, capsys)


def recorded_jobs(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> Iterator[tuple[Situation, str, int, str]]:
    """Put each recorded job into the stand-in; yield situation, moment, id and recorded text."""
    for situation, moment, job_id in reported(series, moments):
        text = text_records(situation.file("scontrol", moment, "txt") or b"")[job_id]
        printer.controller.put(standin_job(text))
        yield situation, moment, job_id, text


@pytest.mark.parametrize("moments", [RUNNING, ENDED], ids=["running", "ended"])
def test_the_squeue_line_of_the_standin_is_as_recorded(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> None:
    """The columns of our squeue query are printed as the release printed them."""
    columns = columns_for(features_of(RELEASES[series]))
    argv = ("--local", "-a", "-h", "-t", "all", "-O", format_option(columns))
    differences = []
    for situation, moment, job_id, _ in recorded_jobs(printer, series, moments):
        printed = printer("squeue", *argv, "-j", str(job_id))
        lines = lookup_lines(situation, moment).decode().splitlines()
        pairs = [
            dict(zip(columns, line.split("|"), strict=False))
            for line in (
                next(x for x in lines if x.startswith(f"{job_id}|")),
                first_of(printed, job_id),
            )
        ]
        theirs, own = pairs
        for fields in pairs:
            fields["tres-alloc"] = re.sub(r"mem=\d+M", "mem", fields["tres-alloc"])
            if moments is RUNNING:
                del fields["EndTime"]
        differences += [
            (str(situation), k, theirs[k], own[k]) for k in theirs if theirs[k] != own[k]
        ]

    assert [] == differences


def first_of(printed: str, job_id: int) -> str:
    """Return the line of one job."""
    return next(line for line in printed.splitlines() if line.startswith(f"{job_id}|"))


# written by users, about steps and scheduling, or not known to the stand-in
FREE = re.compile(
    r" ?\b(Reason|ReqNodeList|ExcNodeList|NumTasks|ReqB:S:C:T|ReqTRES|Socks/Node|MinCPUsNode|"
    r"MinMemory\w+|Features|Priority|DerivedExitCode|RunTime|EligibleTime|AccrueTime|LastSchedEval|Scheduler|"
    r"EndTime|SuspendTime|SecsPreSuspend|ArrayTaskThrottle|NtasksPerN:B:S:C|CPUs/Task|Mem|BatchFlag)=\S*"
)
FREE_LINES = re.compile(
    r"   (SubmitLine|TresPer\w+|CpusPerTres|MemPerTres|Std\w+|Command|WorkDir|"
    r"HetJobIdSet|Comment|MailUser|Power|BatchHost|NtasksPerTRES:\S+|AccrueTime)\b"
)


def structure(text: str) -> list[str]:
    """Return the lines of a record without what the stand-in does not know."""
    lines = [line for line in text.rstrip().split("\n") if not FREE_LINES.match(line)]
    kept = (FREE.sub("", re.sub(r"mem=\d+M", "mem", line)).rstrip() for line in lines)
    return [line for line in kept if line]


@pytest.mark.parametrize("moments", [RUNNING, ENDED], ids=["running", "ended"])
def test_the_scontrol_text_of_the_standin_is_as_recorded(
    printer: Printer,
    series: str,
    moments: tuple[tuple[str, str], ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`scontrol show job -d` is as recorded, except for what the stand-in does not know."""
    monkeypatch.delenv("SLURM_TIME_FORMAT")
    differences = []
    for situation, moment, job_id, text in recorded_jobs(printer, series, moments):
        asked = standin_job(text)
        which = f"{asked['array'][0]}_{asked['array'][1]}" if asked["array"] else str(job_id)
        which = f"{asked['het'][0]}+{asked['het'][1]}" if asked["het"] else which
        own = structure(printer("scontrol", "show", "job", which, "-d"))
        if own != structure(text):
            differences.append((f"{situation}-{moment}", structure(text), own))

    assert [] == differences


@pytest.mark.parametrize("moments", [RUNNING, ENDED], ids=["running", "ended"])
def test_the_sacct_row_of_the_standin_is_as_recorded(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> None:
    """The fields of our accounting query are printed as the release printed them."""
    names = SACCT_FIELDS.split(",")
    argv = ["-X", "-D", "-P", "-n", f"--delimiter={SACCT_SEPARATOR}", "-S", "uts1000000"]
    argv += ["-E", "uts9999999999", "-o", SACCT_FIELDS]
    differences = []
    for situation, moment, job_id, _ in recorded_jobs(printer, series, moments):
        rows = sacct_lines(situation.file("sacct", moment, "txt") or b"").decode().splitlines()
        table = [dict(zip(names, row.split(SACCT_SEPARATOR), strict=True)) for row in rows]
        theirs = next(row for row in table if row["JobIDRaw"] == str(job_id))
        if not theirs["Partition"]:
            continue  # recorded before accounting knew more than the id
        printed = printer("sacct", *argv, "-j", str(job_id)).splitlines()
        lines = [dict(zip(names, row.split(SACCT_SEPARATOR), strict=True)) for row in printed]
        own = next(row for row in lines if row["JobIDRaw"] == str(job_id))
        for row in (own, theirs):
            row["AllocTRES"] = ",".join(
                sorted(re.sub(r"mem=\w+", "mem", row["AllocTRES"]).split(","))
            )
        differences += [
            (str(situation), k, theirs[k], own[k]) for k in names if theirs[k] != own[k]
        ]

    assert [] == differences
