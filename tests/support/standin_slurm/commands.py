"""The four commands: they take the release's options and return its text and exit status.

An option or a field that the stand-in does not know is an error and never ignored, so that the
tests cover every call of the program.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from standin_slurm.model import Job, display_id, has_run, instant, word
from standin_slurm.records import record_of
from standin_slurm.texts import (
    COMPACT,
    NoSuchFieldError,
    sacct_field,
    scontrol_text,
    squeue_line,
    squeue_long_line,
)

State = dict[str, Any]
SHOWN_WITHOUT_T = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING")
EARLIEST = 1_000_000  # parse_time.c, all releases
UNKNOWN_ID = "Invalid job id specified"
UNREACHABLE = "Unable to contact slurm controller (connect failure)"


class Refusal(Exception):  # noqa: N818 - not an error of the stand-in
    """The command ends with a message and status 1."""


def main(command: str, directory: str, argv: list[str]) -> int:
    """Run one command; return its exit status."""
    place = Path(directory)
    state = json.loads((place / "state.json").read_text())
    state["templates"] = json.loads((place / f"templates-{state['series']}.json").read_text())
    state["epoch"] = os.environ.get("SLURM_TIME_FORMAT") == "%s"
    run: dict[str, Callable[[State, list[str]], str]] = {
        "squeue": squeue,
        "scontrol": scontrol,
        "sacct": sacct,
        "sacctmgr": sacctmgr,
    }
    try:
        sys.stdout.write(run[command](state, argv))
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    except NoSuchFieldError as error:
        sys.stderr.write(f"{command}: error: Invalid field requested: {error}\n")
        return 1
    return 0


def options(argv: list[str], flags: str, valued: str) -> tuple[dict[str, str], list[str]]:
    """Return options with their values, and the other words; refuse unknown options."""
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(argv)
    for one in words:
        name, equals, value = one.partition("=")
        if not one.startswith("-") or one == "-":
            rest.append(one)
        elif equals and name in valued.split():
            found[name] = value
        elif one in flags.split():
            found[one] = ""
        elif one in valued.split():
            found[one] = next(words)
        else:
            raise Refusal(f"unrecognized option '{one}'")
    return found, rest


def known_jobs(state: State) -> list[Job]:
    """Return the jobs in the controller's memory: ended ones for MinJobAge seconds."""
    now = time.time() if state["now"] is None else state["now"]
    return [
        job
        for job in state["jobs"]
        if job["end"] is None or job["flags"] or job["end"] + state["min_job_age"] > now
    ]


def of_ids(jobs: list[Job], ids: str) -> list[Job]:
    """Return the jobs of some ids; `12_3` and `12+1` name one, an array or het id all of it."""
    wanted = set(ids.split(","))
    return [
        job
        for job in jobs
        if {str(job["job_id"]), display_id(job), *map(str, (job["array"] or job["het"] or [])[:1])}
        & wanted
    ]


def squeue(state: State, argv: list[str]) -> str:
    """Answer squeue."""
    given, rest = options(argv, "--local -a -h --version --json", "-t --states -o -O -j -u --json")
    if rest:
        raise Refusal(f"squeue: unexpected {rest}")
    if "--version" in given:
        return str(state["templates"]["version"])
    if "--json" in given:
        return _squeue_json(state, given)
    if state["is_down"]:
        raise Refusal(f"slurm_load_jobs error: {UNREACHABLE}")
    jobs = _by_id(known_jobs(state), given)
    if given.get("-t", given.get("--states")) != "all":
        jobs = [job for job in jobs if word(job) in SHOWN_WITHOUT_T]
    line, form = (squeue_long_line, given["-O"]) if "-O" in given else (squeue_line, given["-o"])
    text = "" if "-h" in given else f"{form}\n"
    lines = (line(job, form, state["series"], epoch=state["epoch"]) for job in jobs)
    return text + "".join(f"{one}\n" for one in lines)


def _by_id(jobs: list[Job], given: dict[str, str]) -> list[Job]:
    if "-j" not in given:
        return jobs
    found = of_ids(jobs, given["-j"])
    if not found and "," not in given["-j"]:
        raise Refusal(f"slurm_load_jobs error: {UNKNOWN_ID}")
    return found


def _squeue_json(state: State, given: dict[str, str]) -> str:
    """Answer `squeue --json`; which filters have an effect depends on the release."""
    series, documents = state["series"], state["templates"]["squeue"]
    if given["--json"] not in documents:
        raise Refusal(f"squeue: error: no data_parser/{given['--json']}")
    document, template, waiting = documents[given["--json"]]
    if state["is_down"]:
        if series >= "23.02":
            raise Refusal(f"slurm_load_jobs error: {UNREACHABLE}")
        error = {"description": UNREACHABLE, "errno": 1800, "error": UNREACHABLE}
        return json.dumps({**document, "errors": [error], "jobs": []})
    jobs = [job for job in known_jobs(state) if given.get("-u", job["user"]) == job["user"]]
    if series >= "24.05" or (series >= "23.02" and "," not in given.get("-j", "")):
        jobs = _by_id(jobs, given)
    if series >= "24.05" and "all" not in {given.get("-t"), given.get("--states")}:
        jobs = [job for job in jobs if word(job) in SHOWN_WITHOUT_T]
    records = [record_of(template if has_run(job) else waiting, job) for job in jobs]
    for record in records:
        if state["templates"]["hides_sharing"] in json.dumps(document["meta"]):
            record["shared"] = []
    filled = {name: records if name == "jobs" else value for name, value in document.items()}
    return json.dumps(filled)


def scontrol(state: State, argv: list[str]) -> str:
    """Answer scontrol: config, ping, node, job, batch_script."""
    given, rest = options(argv, "-a -d -o --local --version", "")
    templates = state["templates"]
    if "--version" in given:
        return str(templates["version"])
    if rest == ["ping"]:
        is_up = "DOWN" if state["is_down"] else "UP"
        (host,) = re.findall(r"SlurmctldHost\S*\s*= (\S+)", str(templates["config"]))
        return f"Slurmctld(primary) at {host} is {is_up}\n"
    if state["is_down"]:
        raise Refusal(f"slurm_load_jobs error: {UNREACHABLE}")
    if rest == ["show", "config"]:
        return _config(state)
    if rest in (["show", "node"], ["show", "nodes"]):
        nodes = str(templates["nodes"])
        return re.sub(r" *\n +", " ", nodes).replace("\n\n", "\n") if "-o" in given else nodes
    if rest[:2] == ["show", "job"] and len(rest) == 3:
        return _scontrol_job(state, rest[2], with_details="-d" in given)
    if rest[:2] == ["write", "batch_script"] and rest[3:] == ["-"]:
        return _script(state, int(rest[2]))
    raise Refusal(f"scontrol: invalid keyword: {rest}")


def _config(state: State) -> str:
    """Return the recorded configuration, dated now, with a boot time of an hour ago."""
    now = int(time.time())
    asked = instant(now, epoch=state["epoch"], missing="")
    began = instant(now - 3600, epoch=state["epoch"], missing="")
    text = re.sub(r"(data as of ).*", rf"\g<1>{asked}", state["templates"]["config"], count=1)
    return re.sub(r"(BOOT_TIME +).*", rf"\g<1>= {began}", text, count=1)


def _scontrol_job(state: State, job_id: str, *, with_details: bool) -> str:
    jobs = of_ids(known_jobs(state), job_id)
    if not jobs:
        raise Refusal(f"slurm_load_jobs error: {UNKNOWN_ID}")
    texts = []
    for job in jobs:
        template = state["templates"]["scontrol" if has_run(job) else "scontrol_pending"]
        if not with_details:
            lines = [one for one in template.split("\n") if not one.startswith("     Nodes=")]
            template = "\n".join(one for one in lines if not one.startswith("   JOB_GRES="))
        form = {"epoch": state["epoch"], "now": int(time.time())}
        texts.append(scontrol_text(template, job, state["series"], **form) + "\n")
    return "".join(texts)


def _script(state: State, job_id: int) -> str:
    job = next((job for job in known_jobs(state) if job["job_id"] == job_id), None)
    if job is None or job["script"] is None:
        words = UNKNOWN_ID if job is None else "No batch script"
        raise Refusal(f"job script retrieval failed: {words}")
    return str(job["script"])


def sacct(state: State, argv: list[str]) -> str:
    """Answer sacct: runs in a window, of some jobs or of all."""
    given, rest = options(argv, "-X -D -P -n -a --version", "--delimiter -M -S -E -o -j -s")
    if "--version" in given:
        return str(state["templates"]["version"])
    if rest or "-P" not in given or "-X" not in given:
        raise Refusal(f"sacct: the stand-in answers -X -P alone, not {argv}")
    if state["is_dbd_down"]:
        raise Refusal("sacct: error: Problem talking to the database: Connection refused")
    since, until = _window(given)
    runs = [run for run in state["accounting"] if _is_in(run, since, until)]
    if "-s" in given:
        runs = [run for run in runs if _has_ended_in(run, given["-s"], since, until)]
    if "-j" in given:
        runs = of_ids(runs, given["-j"])
    if "-D" not in given:
        runs = list({run["job_id"]: run for run in runs}.values())
    names = given["-o"].split(",")
    separator = given.get("--delimiter", "|")
    lines = [
        separator.join(sacct_field(run, n, state["series"], epoch=state["epoch"]) for n in names)
        for run in runs
    ]
    if "-n" not in given:
        lines.insert(0, separator.join(names))
    return "".join(f"{line}\n" for line in lines)


def sacctmgr(state: State, argv: list[str]) -> str:
    """Answer sacctmgr: every user is an Operator, and nothing is hidden."""
    given, rest = options(argv, "-n -P --version", "")
    if "--version" in given:
        return str(state["templates"]["version"])
    if state["is_dbd_down"]:
        raise Refusal("sacctmgr: error: Problem talking to the database: Connection refused")
    if rest == ["show", "configuration"]:
        return "SlurmDBD configuration:\nPrivateData            = none\n"
    if rest[:2] == ["show", "user"] and rest[3:] == ["format=User,AdminLevel"]:
        return f"{rest[2]}|Operator\n"
    raise Refusal(f"sacctmgr: the stand-in does not answer {rest}")


def _window(given: dict[str, str]) -> tuple[int, int]:
    """Return the window of a query; a query for jobs may have none."""
    if "-j" in given:
        given = {"-S": f"uts{EARLIEST}", "-E": f"uts{1 << 40}", **given}
    return _moment(given["-S"]), _moment(given["-E"])


def _moment(text: str) -> int:
    """Return the seconds of `uts1795330049`; sacct rejects fewer than a million."""
    seconds = int(text.removeprefix("uts"))
    if seconds < EARLIEST:
        raise Refusal(f"sacct: error: Invalid time specification (pos=3): {text}")
    return seconds


def _has_ended_in(run: Job, states: str, since: int, until: int) -> bool:
    """Return whether a run ended in a window in one of some states (long or short names)."""
    own = run["state"].split()[0]
    is_wanted = {own, COMPACT.get(own)} & {*states.split(",")}
    return bool(is_wanted) and run["end"] is not None and since <= run["end"] <= until


def _is_in(run: Job, since: int, until: int) -> bool:
    """Return whether a run overlaps a window."""
    begin = run["start"] or run["submit"]
    return begin <= until and (run["end"] is None or run["end"] >= since)
