"""The answers of the small Slurm's commands without a fault."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol

from chaos import slurm_json, slurm_text
from chaos.job import ENDED, Run

UP_SECONDS = 86400
_SCONTROL_OPTIONS = ("-a", "-d", "-o", "--local")
_CODES = {
    "CD": "COMPLETED",
    "F": "FAILED",
    "TO": "TIMEOUT",
    "CA": "CANCELLED",
    "NF": "NODE_FAIL",
    "OOM": "OUT_OF_MEMORY",
    "R": "RUNNING",
    "PD": "PENDING",
    "S": "SUSPENDED",
}


class Printed(NamedTuple):
    """What a command prints and its exit status."""

    status: int
    stdout: bytes
    stderr: bytes = b""


class Cluster(Protocol):
    """Controller and accounting as the commands use them."""

    release: str
    state: Path
    has_accounting: bool
    min_job_age: float
    now: Callable[[], float]

    def visible(self) -> list[Run]:
        """Return the runs that slurmctld has."""

    def accounted(self) -> list[Run]:
        """Return the runs that accounting has."""

    def script(self, job_id: int) -> str | None:
        """Return the batch script of a run in memory."""


class _UsageError(Exception):
    """An option that the small Slurm does not know."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(message)


def answer(slurm: Cluster, command: str, words: list[str], *, as_epoch: bool) -> Printed:
    """Return what a command prints."""
    if "--version" in words or "-V" in words:
        return Printed(0, f"slurm {slurm.release}\n".encode())
    try:
        match command:
            case "squeue":
                return _squeue(slurm, words, as_epoch=as_epoch)
            case "sacct":
                return _sacct(slurm, words, as_epoch=as_epoch)
            case "scontrol":
                return _scontrol(slurm, words, as_epoch=as_epoch)
            case _:
                return Printed(0, b"root|Administrator\n")
    except (_UsageError, KeyError, ValueError) as error:
        return Printed(1, b"", f"{command}: error: unrecognized option ({error})\n".encode())


def _squeue(slurm: Cluster, words: list[str], *, as_epoch: bool) -> Printed:
    parser = _Parser(add_help=False, allow_abbrev=False)
    for flags in (("--local",), ("-a", "--all"), ("-h", "--noheader"), ("-r", "--array")):
        parser.add_argument(*flags, action="store_true")
    parser.add_argument("-t", "--states", default="PD,R,S,CG")
    parser.add_argument("-j", "--jobs")
    parser.add_argument("-u", "--user")
    parser.add_argument("-o", "--format")
    parser.add_argument("-O", "--Format", dest="long")
    parser.add_argument("--json", nargs="?", const="", default=None)
    asked = parser.parse_args(words)
    runs = slurm.visible()
    is_old = slurm.release.startswith("22")
    if asked.json is not None and is_old:  # every filter is ignored
        return Printed(0, slurm_json.document(runs, slurm.release) + b"\n")
    if asked.jobs:
        ids = {int(word) for word in asked.jobs.split(",")}
        runs = [run for run in runs if run.job_id in ids or (run.array or (0, 0))[0] in ids]
        if not runs and len(ids) == 1:
            return Printed(1, b"", b"slurm_load_jobs error: Invalid job id specified\n")
    if asked.states != "all":
        runs = [run for run in runs if run.state not in ENDED]
    if asked.user:
        runs = [run for run in runs if run.user == asked.user]
    if asked.json is not None:
        return Printed(0, slurm_json.document(runs, slurm.release) + b"\n")
    return Printed(0, _lines(_squeue_line(asked, run, as_epoch=as_epoch) for run in runs))


def _squeue_line(asked: argparse.Namespace, run: Run, *, as_epoch: bool) -> str:
    if asked.long:
        return slurm_text.squeue_long(run, asked.long, as_epoch=as_epoch)
    return slurm_text.squeue_short(run, asked.format or "%i|%T", as_epoch=as_epoch)


def _sacct(slurm: Cluster, words: list[str], *, as_epoch: bool) -> Printed:
    parser = _Parser(add_help=False, allow_abbrev=False)
    for flag in "XDPnaL":
        parser.add_argument(f"-{flag}", action="store_true")
    parser.add_argument("--duplicates", action="store_true", dest="D")
    parser.add_argument("--delimiter", default="|")
    parser.add_argument("-M", "--clusters")
    parser.add_argument("-S", "--starttime", default="uts0")
    parser.add_argument("-E", "--endtime", default="uts99999999999")
    parser.add_argument("-o", "--format", default="JobIDRaw,State")
    parser.add_argument("-j", "--jobs")
    parser.add_argument("-s", "--state")
    asked = parser.parse_args(words)
    if not slurm.has_accounting:
        return Printed(1, b"", b"Slurm accounting storage is disabled\n")
    since, until = (int(each.removeprefix("uts")) for each in (asked.starttime, asked.endtime))
    runs = slurm.accounted()
    if asked.jobs:
        ids = {int(word) for word in asked.jobs.split(",")}
        runs = [run for run in runs if run.job_id in ids or (run.array or (0, 0))[0] in ids]
    if asked.state:
        states = {_CODES.get(code, code) for code in asked.state.split(",")}
        runs = [run for run in runs if run.state in states and since <= (run.end or 0) <= until]
    else:
        runs = [run for run in runs if run.start <= until and (run.end or until) >= since]
    return Printed(
        0,
        _lines(
            slurm_text.sacct_line(run, asked.format, asked.delimiter, as_epoch=as_epoch)
            for run in runs
        ),
    )


def _scontrol(slurm: Cluster, words: list[str], *, as_epoch: bool) -> Printed:
    plain = [word for word in words if word not in _SCONTROL_OPTIONS]
    match plain:
        case ["show", "config"]:
            now = int(slurm.now())
            text = slurm_text.show_config(
                str(slurm.state),
                accounting=slurm.has_accounting,
                min_job_age=slurm.min_job_age,
                now=slurm_text.instant(now, as_epoch=as_epoch),
                boot=slurm_text.instant(now - UP_SECONDS, as_epoch=as_epoch),
            )
            return Printed(0, text.encode())
        case ["ping"]:
            return Printed(0, b"Slurmctld(primary) at ctl01 is UP\n")
        case ["show", "node" | "nodes", *_]:
            return Printed(0, slurm_text.show_nodes().encode())
        case ["show", "job" | "jobs", *ids]:
            return _show_job(slurm, ids, with_detail="-d" in words, as_epoch=as_epoch)
        case ["write", "batch_script", job_id, *_]:
            return _script(slurm, int(job_id))
    raise _UsageError(" ".join(words))


def _show_job(slurm: Cluster, ids: list[str], *, with_detail: bool, as_epoch: bool) -> Printed:
    runs = slurm.visible()
    if ids:
        owner, _, task = ids[0].partition("_")
        runs = [run for run in runs if _is_asked_for(run, int(owner), task)]
        if not runs:
            return Printed(1, b"", b"slurm_load_jobs error: Invalid job id specified\n")
    is_old = slurm.release.startswith("22")
    texts = (
        slurm_text.show_job(run, is_old=is_old, with_detail=with_detail, as_epoch=as_epoch)
        for run in runs
    )
    return Printed(0, "".join(texts).encode())


def _is_asked_for(run: Run, owner: int, task: str) -> bool:
    if task:
        return run.array == (owner, int(task))
    return run.job_id == owner or (run.array or (0, 0))[0] == owner


def _script(slurm: Cluster, job_id: int) -> Printed:
    text = slurm.script(job_id)
    if text is None:
        return Printed(1, b"", b"job script retrieval failed: Invalid job id specified\n")
    return Printed(0, text.encode() + b"\0")


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
