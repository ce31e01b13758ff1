"""The stand-in for Slurm prints what the releases printed for the same jobs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from recorded_slurm import (
    RELEASES,
    SERIES,
    Situation,
    hook_calls,
    json_jobs,
    lookup_lines,
    sacct_lines,
    text_records,
)
from standin_slurm import commands
from standin_slurm.controller import Controller
from standin_slurm.environment import environment
from standin_slurm.model import Job
from standin_slurm.records import values_of

from slurm.decode.fields.hostlist import expand_hosts, expand_indices
from slurm.decode.sacct_rows import SACCT_FIELDS, SACCT_SEPARATOR
from slurm.decode.squeue_columns import columns_for, format_option
from slurm.release import features_of

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
# what the stand-in does not know: when a held job was released, whether there is a script, and how
# many seconds after its start a job was launched, from which its planned end counts
NOT_TOLD = {"eligible_time", "batch_flag"}
PLANNED = {"end_time"}


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
    if total and not gpus:  # which ones is not told after the end
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


@pytest.fixture(params=SERIES)
def series(request: pytest.FixtureRequest) -> str:
    """Return each release."""
    return str(request.param)


def long_ago() -> float:
    """Return a time before all recordings: no recorded job ended so long before to be forgotten."""
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
        """Return what a command prints that must succeed."""
        status, out, err = self.all(name, *argv)
        assert (0, "") == (status, err)
        return out


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


def told(series: str, moments: tuple[tuple[str, str], ...]) -> Iterator[tuple[Situation, str, int]]:
    """Yield situation, moment and id of every recorded job that has or had nodes."""
    for name, moment in moments:
        situation = Situation(series, name)
        for job_id, text in text_records(situation.file("scontrol", moment, "txt") or b"").items():
            if "\n     Nodes=" in text:
                yield situation, moment, job_id


def shape(value: Any) -> Any:
    """Return the types of a JSON value, whatever the numbers of members."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return ["list"] + ([shape(value[0])] if value else [])
    return type(value).__name__


def json_pairs(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield recorded and printed record of every job that JSON was recorded of."""
    for situation, moment, job_id in told(series, moments):
        recorded = situation.file("squeue-all", moment, "json")
        recorded = recorded or situation.file("squeue", moment, "json")
        records = json.loads(recorded)["jobs"] if recorded else []
        theirs = [record for record in records if record["job_id"] == job_id]
        if theirs:
            text = text_records(situation.file("scontrol", moment, "txt") or b"")[job_id]
            printer.controller.put(standin_job(text))
            ours = json.loads(printer("squeue", "-a", "-t", "all", "--json"))["jobs"]
            (own,) = (record for record in ours if record["job_id"] == job_id)
            yield f"{situation}-{moment}", theirs[0], own


def told_jobs(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> Iterator[tuple[Situation, str, int, str]]:
    """Yield situation, moment, id and recorded text of every job, which the stand-in has then."""
    for situation, moment, job_id in told(series, moments):
        text = text_records(situation.file("scontrol", moment, "txt") or b"")[job_id]
        printer.controller.put(standin_job(text))
        yield situation, moment, job_id, text


@pytest.mark.parametrize("moments", [RUNNING, ENDED], ids=["running", "ended"])
def test_json_has_the_keys_and_values_of_the_release(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> None:
    """Every key in its order, and every value that the stand-in knows of, is as recorded."""
    differences = []
    pairs = [*json_pairs(printer, series, moments)]
    for where, theirs, own in pairs:
        keys = {*values_of(printer.controller.job(own["job_id"])), "job_state", "shared"}
        keys = (keys | {"exit_code"}) & theirs.keys() - NOT_TOLD
        keys -= PLANNED if moments is RUNNING else set()
        for record in (theirs, own):
            record["tres_alloc_str"] = re.sub(r"mem=\d+M", "mem", record["tres_alloc_str"])
        differences += [(where, k, theirs[k], own[k]) for k in keys if theirs[k] != own[k]]
        differences += [(where, "keys", [*theirs], [*own])] if [*theirs] != [*own] else []

    assert [] == differences
    assert len(pairs) >= 4


@pytest.mark.parametrize("moments", [RUNNING, ENDED], ids=["running", "ended"])
def test_allocations_have_the_shape_of_the_release(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> None:
    """Allocated cores are written as the release does, and our decoder reads both alike."""
    pairs = [*json_pairs(printer, series, moments)]
    decoded = [
        json_jobs(
            json.dumps({"meta": {}, "errors": [], "jobs": [theirs, {**own, "job_id": 1}]}).encode()
        )
        for _, theirs, own in pairs
    ]

    assert [shape(theirs["job_resources"]) for _, theirs, _ in pairs] == [
        shape(own["job_resources"]) for _, _, own in pairs
    ]
    assert [
        jobs[theirs["job_id"]].allocations
        for jobs, (_, theirs, _) in zip(decoded, pairs, strict=True)
    ] == [jobs[1].allocations for jobs in decoded]


@pytest.mark.parametrize("moments", [RUNNING, ENDED], ids=["running", "ended"])
def test_the_line_of_squeue_is_as_recorded(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> None:
    """What our look-up asks for is printed as the release printed it."""
    columns = columns_for(features_of(RELEASES[series]))
    argv = ("--local", "-a", "-h", "-t", "all", "-O", format_option(columns))
    differences = []
    for situation, moment, job_id, _ in told_jobs(printer, series, moments):
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


# of the array's head or the het job's leader alone
NOT_ALWAYS = {"SLURM_HET_JOB_NODELIST", "SLURM_PACK_JOB_NODELIST"}
# the end, where an epilog is compared with a running job; the planned one (see PLANNED)
VARYING = {"SLURM_JOB_END_TIME"}
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
def test_the_text_of_scontrol_is_as_recorded(
    printer: Printer,
    series: str,
    moments: tuple[tuple[str, str], ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The structural lines of the detailed text are those of the release, in its order."""
    monkeypatch.delenv("SLURM_TIME_FORMAT")
    differences = []
    for situation, moment, job_id, text in told_jobs(printer, series, moments):
        asked = standin_job(text)
        which = f"{asked['array'][0]}_{asked['array'][1]}" if asked["array"] else str(job_id)
        which = f"{asked['het'][0]}+{asked['het'][1]}" if asked["het"] else which
        own = structure(printer("scontrol", "show", "job", which, "-d"))
        if own != structure(text):
            differences.append((f"{situation}-{moment}", structure(text), own))

    assert [] == differences


@pytest.mark.parametrize("moments", [RUNNING, ENDED], ids=["running", "ended"])
def test_the_row_of_sacct_is_as_recorded(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> None:
    """What we ask of accounting is printed as the release printed it."""
    names = SACCT_FIELDS.split(",")
    argv = ["-X", "-D", "-P", "-n", f"--delimiter={SACCT_SEPARATOR}", "-S", "uts1000000"]
    argv += ["-E", "uts9999999999", "-o", SACCT_FIELDS]
    differences = []
    for situation, moment, job_id, _ in told_jobs(printer, series, moments):
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


@pytest.mark.parametrize("name", ["lifecycle", "array-running-pending", "het-job", "gpu-two-nodes"])
def test_hooks_get_the_variables_of_the_release(series: str, name: str) -> None:
    """A hook's environment has the recorded names, and the recorded values where a job has them."""
    differences: list[tuple[object, ...]] = []
    calls = [*hook_calls(Situation(series, name))]
    for hook, job_id, theirs in calls:
        moment = "2-running" if name == "lifecycle" else ""
        texts = text_records(Situation(series, name).file("scontrol", moment, "txt") or b"")
        if job_id not in texts or "\n     Nodes=" not in texts[job_id]:
            continue
        own = environment(series, standin_job(texts[job_id]), hook)
        names = ({*theirs} ^ {*own}) - NOT_ALWAYS
        differences += [(hook, job_id, "names", names)] if names else []
        differences += [
            (hook, job_id, k, theirs[k], own[k])
            for k in theirs.keys() & own.keys() - VARYING
            if theirs[k] != own[k]
        ]

    assert len(calls) >= 2
    assert [] == differences


def refusal(printer: Printer, name: str, *argv: str) -> tuple[int, str]:
    """Return status and stderr of a command that prints nothing."""
    status, out, err = printer.all(name, *argv)
    assert out == ""
    return status, err


def ids_of(printed: str) -> list[int]:
    """Return the ids in a JSON answer."""
    return [record["job_id"] for record in json.loads(printed)["jobs"]]


def two_jobs(printer: Printer) -> tuple[int, int]:
    """Start one job and another that ends."""
    running = printer.controller.start({"n2cn001": [0]})
    ended = printer.controller.start({"n2cn002": [0]})
    printer.controller.end(ended)
    return running, ended


def test_filters_of_json_count_as_they_do_in_the_release(printer: Printer, series: str) -> None:
    """Up to 22.05 none does, from 23.02 a single id, from 24.05 several ids and states."""
    running, ended = two_jobs(printer)
    third = printer.controller.start({"n2cn003": [0]})

    everything = [running, ended, third]
    several = [running, third] if series >= "24.05" else everything
    live = [running, third] if series >= "24.05" else everything
    one = [running] if series >= "23.02" else everything
    assert live == ids_of(printer("squeue", "-a", "--json"))
    assert one == ids_of(printer("squeue", "-a", "-t", "all", "--json", "-j", str(running)))
    ids = f"{running},{third}"
    assert several == ids_of(printer("squeue", "-a", "-t", "all", "--json", "-j", ids))


def test_an_unknown_job_is_refused_in_words(printer: Printer, series: str) -> None:
    """The controller says that it does not know an id, but for JSON up to 22.05."""
    words = "slurm_load_jobs error: Invalid job id specified\n"

    assert (1, words) == refusal(printer, "scontrol", "show", "job", "7", "-d")
    assert (1, words) == refusal(printer, "squeue", "-h", "-o", "%A", "-j", "7")
    if series >= "23.02":
        assert (1, words) == refusal(printer, "squeue", "--json", "-j", "7")
    else:
        assert [] == ids_of(printer("squeue", "--json", "-j", "7"))


def test_a_controller_that_is_down_is_told_as_the_release_does(
    printer: Printer, series: str
) -> None:
    """JSON of 21.08 and 22.05 ends with 0 and an error inside, everything else with 1."""
    printer.controller.set_down(controller=True)

    assert 1 == refusal(printer, "squeue", "-h", "-o", "%A")[0]
    assert 1 == refusal(printer, "scontrol", "show", "config")[0]
    if series >= "23.02":
        assert 1 == refusal(printer, "squeue", "--json")[0]
    else:
        document = json.loads(printer("squeue", "--json"))
        assert ([], 1) == (document["jobs"], len(document["errors"]))


def test_an_ended_job_is_forgotten_after_a_while(printer: Printer) -> None:
    """Purged jobs are known to accounting alone."""
    running, ended = two_jobs(printer)
    printer.controller.forget(ended)

    listed = printer("squeue", "-a", "-h", "-t", "all", "-o", "%A").split()
    window = ("-S", "uts1000000", "-E", "uts9999999999")
    accounted = printer("sacct", "-X", "-P", "-n", *window, "-o", "JobIDRaw").split()
    assert [str(running)] == listed
    assert [str(running), str(ended)] == accounted


def test_an_option_that_is_not_played_is_refused(printer: Printer) -> None:
    """What the program does not call is no silent success."""
    printer.controller.start({"n2cn001": [0]})

    assert 1 == refusal(printer, "squeue", "--me")[0]
    assert 1 == refusal(printer, "sacct", "--json")[0]
    window = ("-S", "uts0", "-E", "uts1795330049")
    assert 1 == refusal(printer, "sacct", "-X", "-P", *window, "-o", "State")[0]
    assert 1 == refusal(printer, "squeue", "-h", "-O", "Nonsense:|")[0]


def test_21_08_starts_hooks_without_open_files(tmp_path: Path) -> None:
    """The first file that a hook of 21.08 opens would become 0, 1 or 2; ours notices nothing."""
    spool = tmp_path / "spool"
    (spool / "new").mkdir(parents=True)
    controller = Controller(tmp_path / "slurm", "21.08", spool=spool)
    job = controller.start({"n2cn001": [0]})

    (event,) = (spool / "new").iterdir()
    assert [("prolog", job)] == controller.hooks_run
    assert event.read_text().endswith("end\n")
