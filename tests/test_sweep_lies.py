"""No lie of Slurm or cc-backend makes a sweep stop a job that runs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

import pytest
from lying_slurm import (
    COMMANDS,
    Lie,
    LyingSlurm,
    Told,
    also,
    changed,
    cut,
    fails,
    lines,
    says,
)
from recorded_slurm import SERIES, recordings, sacct_lines
from sweep_values import NOON, OLD, run_sweep

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow, JobList
from slurm.client import Slurm
from slurm.errors import FailureReason, SlurmError
from spool.exit_codes import CONFIG, DRIFT, NO_PERMISSION, OK, REFUSED, UNAVAILABLE
from spool.files.layout import Directory, Layout
from spool.files.sweep_state import SweepState
from sweeper.commands.assembly import sees_all_jobs
from sweeper.commands.output import plan_code
from sweeper.observe.sources import SweepSources
from sweeper.plan import SweepOptions
from sweeper.sweep import SweepContext, SweepResult, next_state
from sweeper.values import Policy, Start

RUNNING = tuple(range(100, 140))
FATAL = b"squeue: fatal: Could not establish a configuration source\n"
TIMEOUT = SlurmError("squeue timed out after 60 s", reason=FailureReason.TIMEOUT)
TOO_LARGE = SlurmError("squeue printed more than 9 bytes", reason=FailureReason.TOO_LARGE)
MISSING = SlurmError("cannot run squeue", reason=FailureReason.NOT_STARTED, hint="check the path")
GONE = b"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"


class ListedThere:
    """cc-backend: forty running rows, or another listing."""

    def __init__(self, listing: JobList | None = None) -> None:
        reply = ApiReply(call=ApiCall.GRAPHQL, verdict=ReplyVerdict(Reason.LISTED), status=200)
        rows = tuple(BackendRow(i, "alex", OLD, "running", i) for i in RUNNING)
        self.listing = listing or JobList(reply, rows)

    def running_jobs(self, _cluster: str) -> JobList:
        """List what runs."""
        return self.listing

    def list_runs(self, job_ids: object, _cluster: str) -> JobList:
        """List nothing in other states."""
        del job_ids
        return replace(self.listing, rows=() if self.listing.rows is not None else None)

    def lookup(self, _job_id: int, cluster: str, _start_time: int | None = None) -> JobList:
        """List nothing."""
        return self.list_runs((), cluster)


def site(root: Path, slurm: LyingSlurm, there: ListedThere) -> SweepContext:
    """A site whose Slurm or cc-backend may lie."""
    for directory in Directory:
        (root / directory).mkdir(exist_ok=True)
    sources = SweepSources(
        slurm=Slurm(COMMANDS, slurm),
        backend=there,
        clusters=("alex",),
        layout=Layout(root),
        sees_all_jobs=lambda settings: sees_all_jobs(
            settings, user=("cc-slurm-sync", 999), admin_level=lambda _user: "None"
        ),
        find_delivered=lambda _keys: frozenset(),
        clock=lambda: slurm.clock,
    )
    return SweepContext(sources=sources, policy=Policy(), exclusion_reason=lambda _job: None)


def truth() -> LyingSlurm:
    """Forty jobs run."""
    return LyingSlurm(now=NOON, runs=[Told(i, OLD) for i in RUNNING])


def swept(root: Path, slurm: LyingSlurm, there: ListedThere | None = None) -> list[SweepResult]:
    """What two sweeps in a row see, of a site that was in order before."""
    state = SweepState(mark=slurm.now - 600, cluster="lab", running_baseline=40)
    place = site(root, slurm, there or ListedThere())
    first = run_sweep(place, state, SweepOptions())
    return [first, run_sweep(place, next_state(first, ()), SweepOptions())]


def stops(results: list[SweepResult]) -> int:
    """How many stops were planned, held ones too."""
    plans = [result.decision.plan for result in results]
    ends = [end for plan in plans for end in (*plan.changes, *plan.held_back)]
    return len([end for end in ends if not isinstance(end, Start)])


def test_the_truth_plans_nothing(tmp_path: Path) -> None:
    """So that the lies below are what is seen."""
    results = swept(tmp_path, truth())

    assert [plan_code(result.decision.plan) for result in results] == [OK, OK]


LIES: dict[str, tuple[dict[str, Lie], int, str]] = {
    "exit 0 and an empty list": ({"squeue": says()}, REFUSED, "no running job"),
    "only our own jobs": ({"squeue": lines(lambda x: x < b"103")}, REFUSED, "3 running jobs"),
    "cut inside a line": ({"squeue": cut(1000)}, REFUSED, "cut"),
    "a line too short": ({"squeue": changed(b"|work|", b"|")}, REFUSED, "fields instead of"),
    "whole, but exit 1": ({"squeue": also(status=1)}, REFUSED, "exited with 1"),
    "half, and a signal": (
        {"squeue": lambda told: replace(cut(0.5)(told), status=-9)}, REFUSED, "exited with -9"),
    "exit 0, an error and no list": ({"squeue": says(stderr=b"error: x")}, REFUSED, "error: x"),
    "whole, with a failed query": ({"squeue": also(stderr=GONE)}, UNAVAILABLE, "Unable to contact"),
    "a hang": ({"squeue": fails(TIMEOUT)}, REFUSED, "timed out after 60 s"),
    "no end of it": ({"squeue": fails(TOO_LARGE)}, REFUSED, "more than 9 bytes"),
    "no such command": ({"squeue": fails(MISSING)}, UNAVAILABLE, "check the path"),
    "fatal text": ({"squeue": says(stderr=FATAL, status=1)}, REFUSED, "configuration source"),
    "fatal text, exit 0": ({"squeue": says(FATAL)}, REFUSED, "fields instead of"),
    "no controller": ({"squeue": says(stderr=GONE, status=1)}, UNAVAILABLE, "Unable to contact"),
    "HTML": ({"squeue": says(b"<html>\n<body>504</body>\n")}, REFUSED, "fields instead of"),
    "no numbers": (
        {"squeue": changed(b"|RUNNING|17", b"|RUNNING|N/A17")},
        REFUSED,
        "a time in epoch seconds, got",
    ),
    "a hidden partition": (
        {"squeue": lines(lambda x: x < b"110")}, REFUSED, "fewer than 50% of the 40"),
    "another cluster": ({"config": changed(b"= lab", b"= fritz")}, REFUSED, "cluster is 'fritz'"),
    "a configuration cut": ({"config": cut(0.5)}, REFUSED, "is incomplete"),
    "no configuration": ({"config": says(stderr=GONE, status=1)}, UNAVAILABLE, "Unable to contact"),
    "private data": ({"config": changed(b"= none", b"= jobs")}, REFUSED, "AdminLevel Operator"),
    "private data and more": (
        {"config": changed(b"= none", b"= accounts,jobs")}, REFUSED, "AdminLevel Operator"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_no_lie_of_the_controller_stops_a_job(tmp_path: Path, lie: str) -> None:
    """The plan is refused, and its message says why."""
    slurm = truth()
    slurm.lies, code, words = LIES[lie]

    results = swept(tmp_path, slurm)

    assert stops(results) == 0
    plan = results[0].decision.plan
    assert plan_code(plan) == code
    assert words in " ".join(guard.text for guard in plan.guards)


CLOCKS = {
    "a controller up for a minute": ({"booted": NOON - 60}, "up for 60 s"),
    "a clock an hour behind": (
        {"own_clock": NOON - 3600},
        "differs from slurmctld's by -3600 s",
    ),
    "a clock an hour ahead": (
        {"own_clock": NOON + 3600},
        "differs from slurmctld's by 3600 s",
    ),
}


@pytest.mark.parametrize("lie", CLOCKS)
def test_a_controller_in_doubt_stops_nothing(tmp_path: Path, lie: str) -> None:
    """Even what would be proven."""
    facts, words = CLOCKS[lie]
    slurm = truth()
    slurm.booted, slurm.own_clock = facts.get("booted"), facts.get("own_clock")
    slurm.runs[0] = Told(100, OLD, "COMPLETED", OLD + 60, in_squeue=False)

    results = swept(tmp_path, slurm)

    assert stops(results) == 0
    assert words in results[0].decision.plan.guards[0].text
    assert plan_code(results[0].decision.plan) == REFUSED


ACCOUNTING: dict[str, tuple[Lie, int]] = {
    "late: still running": (changed(b"COMPLETED", b"RUNNING"), DRIFT),
    "late: pending": (changed(b"COMPLETED", b"PENDING"), DRIFT),
    "without a row": (says(), DRIFT),
    "an end without a time": (lambda told: _without_end(told.stdout)(told), DRIFT),
    "another start": (changed(b"%d" % OLD, b"%d" % (OLD - 86400)), DRIFT),
    "down": (says(stderr=b"sacct: error: Problem talking to the database", status=1), REFUSED),
    "hanging": (fails(TIMEOUT), REFUSED),
    "cut": (cut(0.5), REFUSED),
    "of another cluster": (changed(b"lab", b"fritz"), REFUSED),
    "not text": (says(b"\0\xff\n"), REFUSED),
}


def _without_end(stdout: bytes) -> Lie:
    return changed(b"\x1f%d\x1f" % (OLD + 60), b"\x1fUnknown\x1f") if stdout else says(stdout)


@pytest.mark.parametrize("lie", ACCOUNTING)
def test_no_lie_of_accounting_stops_a_job(tmp_path: Path, lie: str) -> None:
    """A job that squeue forgot, whose end accounting does not prove."""
    slurm = truth()
    slurm.runs[0] = Told(100, OLD, "COMPLETED", OLD + 60, in_squeue=False)
    slurm.lies["sacct"], code = ACCOUNTING[lie]

    results = swept(tmp_path, slurm)

    assert stops(results) == 0
    assert plan_code(results[0].decision.plan) == code


def test_a_controller_started_clean_stops_nothing(tmp_path: Path) -> None:
    """It knows no job any more; accounting still has them as running."""
    slurm = truth()
    slurm.runs = [replace(run, in_squeue=False) for run in slurm.runs]
    slurm.booted = NOON - 300

    results = swept(tmp_path, slurm)

    assert stops(results) == 0
    assert [plan_code(result.decision.plan) for result in results] == [REFUSED, DRIFT]


def test_a_controller_with_an_old_state_stops_nothing(tmp_path: Path) -> None:
    """It shows jobs of yesterday as running and does not know those of today."""
    slurm = truth()
    slurm.runs = [replace(run, in_squeue=run.job_id < 120) for run in slurm.runs]
    slurm.runs += [Told(i, OLD - 86400, accounted="COMPLETED") for i in range(50, 75)]

    assert stops(swept(tmp_path, slurm)) == 0


def reply(reason: Reason, status: int | None, text: str = "") -> JobList:
    """A listing that is not known."""
    verdict = ReplyVerdict(reason, text)
    return JobList(ApiReply(call=ApiCall.GRAPHQL, verdict=verdict, status=status))


THERE: dict[str, tuple[JobList, int, str]] = {
    "cut": (reply(Reason.QUERY_FAILED, 200, "not a job list"), REFUSED, "not a job list"),
    "a wrong count": (reply(Reason.QUERY_FAILED, 200, "it has 3 of 9 jobs"), REFUSED, "3 of 9"),
    "500": (reply(Reason.UNEXPECTED, 500), REFUSED, "status 500"),
    "HTML": (reply(Reason.NOT_THE_API, 200, "<html>"), REFUSED, "not_the_api"),
    "broken off": (reply(Reason.BROKEN, None), REFUSED, "no answer"),
    "down": (reply(Reason.UNREACHABLE, None, "refused"), UNAVAILABLE, "refused"),
    "a wrong account": (reply(Reason.ROLE_REFUSED, 401), NO_PERMISSION, "role api"),
    "an expired token": (reply(Reason.TOKEN_EXPIRED, 401), NO_PERMISSION, "token"),
    "a redirect": (reply(Reason.REDIRECTED, 301), CONFIG, "redirects to another URL"),
    "another cluster": (
        JobList(ListedThere().listing.reply, (BackendRow(1, "fritz", OLD, "running", 1),)),
        REFUSED, "'fritz'"),
}  # fmt: skip


@pytest.mark.parametrize("lie", THERE)
def test_no_lie_of_cc_backend_stops_a_job(tmp_path: Path, lie: str) -> None:
    """And where its listing is not whole, nothing at all is planned."""
    listing, code, words = THERE[lie]

    results = swept(tmp_path, truth(), ListedThere(listing))

    plan = results[0].decision.plan
    assert stops(results) == 0
    assert listing.rows is not None or plan.changes == ()
    assert plan_code(plan) == code
    assert words in plan.guards[0].text


def test_an_empty_listing_only_starts(tmp_path: Path) -> None:
    """Which is harmless where the runs are there."""
    listing = ListedThere().listing

    results = swept(tmp_path, truth(), ListedThere(replace(listing, rows=())))

    assert stops(results) == 0
    assert len(results[0].decision.plan.changes) == len(RUNNING)


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
    """All situations of a release at once: of equal job ids the first one."""
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
    """Our sacct rows of a recorded answer; a job's name may hold line breaks."""
    text = sacct_lines(rows).decode().removesuffix("\n") if rows else ""
    return re.split(r"\n(?=lab\x1f)", text) if text else []


PLACES = 20


@pytest.mark.parametrize("command", ["squeue", "sacct", "config"])
@pytest.mark.parametrize("series", SERIES)
def test_no_cut_of_a_recorded_answer_stops_a_job(tmp_path: Path, series: str, command: str) -> None:
    """Twenty random places of each answer of nine releases; a cut inside a line is refused."""
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
    whole = swept(tmp_path, LyingSlurm(now=now, recorded=dict(texts)), there)
    assert [result.decision.plan.guards for result in whole] == [(), ()]
    random = Random(f"{series} {command}")  # noqa: S311 - no secret
    answer = texts[command].encode()
    for place in random.sample(range(1, len(answer)), PLACES):
        slurm = LyingSlurm(now=now, recorded=dict(texts), lies={command: cut(place)})

        results = swept(tmp_path, slurm, there)

        assert stops(results) == 0, place
        is_visible = answer[place - 1 : place] != b"\n" and command != "config"
        is_visible |= command == "config" and b"Slurmctld(" not in answer[:place]
        assert not is_visible or plan_code(results[0].decision.plan) == REFUSED


def test_the_cuts_are_many() -> None:
    """Four hundred at least."""
    assert PLACES * len(SERIES) * 3 >= 400
    assert all(len(recorded(series).runs) > 10 for series in SERIES)
