"""`cc-sweep explain` shows every case of a job in one report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_site import REFUSED
from faulty_slurm import ListedRun
from sweep_site import SweepSite, site
from sweep_values import NOON, OLD, run, start, stop
from sweep_world import SweptWorld

from ccbackend.replies import BackendRow
from slurm.errors import FailureReason, SlurmError
from slurm.job import SCRONTAB_FLAG, Job
from spool.files import codec
from spool.files.layout import Directory
from spool.files.run import End, EndSource, Run
from spool.files.run_id import RunId
from sweeper.formats import job_report_document, job_report_lines
from sweeper.job_report import JobReport, build_job_report
from sweeper.values import GuardFinding, GuardKind, Plan, Report

HOUR = 3600
EMPTY = JobReport(
    job_id=7,
    controller_record=None,
    array_tasks=(),
    accounting_runs=(),
    spool_events=(),
    spool_runs=(),
    delivered=(),
    backend_rows=(),
    plan=Plan(),
)
ROW = BackendRow(7, "alex", OLD, "running", 70)
GUARD = GuardFinding(name="boot", kind=GuardKind.ANSWER, text="up for 3 s")


def spooled(made: SweepSite, directory: Directory, job_id: int = 7, **fields: Any) -> Run:
    """Put a run into the spool and return it."""
    begun = made.now - 2 * HOUR
    job = Job(job_id=job_id, user="ada", start_time=begun, nodes=("n1",))
    held = replace(Run(job=job, start_time=begun), **fields)
    return made.put(directory, held)


def test_explain_says_that_cc_backend_shows_the_same_as_slurm(tmp_path: Path) -> None:
    """slurmctld, accounting, the spool and cc-backend have a line each."""
    with site(tmp_path) as made:
        made.run(ListedRun(7, made.now - 2 * HOUR, "FAILED", made.now - HOUR, in_squeue=False))
        made.row(7, made.now - 2 * HOUR, "failed")

        said = made.sweep("explain", 7)

    assert said.code == 0, said.err
    first, *rest = said.out.splitlines()
    assert first == "job 7: in agreement: cc-backend shows the same as Slurm"
    labels = [line.split()[0] for line in rest]
    assert labels == ["slurmctld", "accounting", "spool", "cc-backend"]
    assert "FAILED, started" in rest[1]
    assert "has nothing about this job" in rest[2]
    assert "row 70 on lab: failed, started" in rest[3]


def test_explain_names_the_command_that_repairs_a_job(tmp_path: Path) -> None:
    """The command `cc-sweep apply -j 7` runs as printed; afterwards the report shows agreement."""
    with site(tmp_path) as made:
        made.run(ListedRun(7, made.now - 2 * HOUR, "FAILED", made.now - HOUR, in_squeue=False))
        made.row(7, made.now - 2 * HOUR)

        page = made.sweep("explain", 7, "--json").json
        assert page["command"] == "cc-sweep apply -j 7"
        assert page["verdict"].startswith(
            "to be repaired by a sweep (stop): FAILED according to accounting"
        )
        assert made.sweep(*page["command"].split()[1:]).code == 0
        after = made.sweep("explain", 7, "--json").json

    assert after["verdict"] == "in agreement: cc-backend shows the same as Slurm"
    assert after["command"] is None
    assert [row["state"] for row in after["cc_backend"]] == ["failed"]
    assert [run["state"] for run in after["spool"]["delivered"]] == ["FAILED"]


def test_explain_shows_the_files_of_a_job_in_the_spool(tmp_path: Path) -> None:
    """The report has runs, events and dead letters with their reasons."""
    with site(tmp_path) as made:
        shown = ListedRun(7, made.now - 2 * HOUR, "FAILED", made.now - HOUR, in_squeue=False)
        made.run(shown)
        made.row(7, shown.start)
        spooled(made, Directory.DEAD, last_error=REFUSED, attempts=3, end=None)
        made.put_event("1-stop-8-0-0-3")
        spooled(made, Directory.OPEN, reported=False, reason="opted out")
        spooled(made, Directory.OPEN, 77)
        event = made.put_event("1-stop-7-0-0-3")
        made.add_dead_letter("1-start-7-0-0-5", b"end\n")

        page = made.sweep("explain", 7)
        data = made.sweep("explain", 7, "--json").json

    assert "excluded: opted out" in page.out
    assert "77-" not in page.out
    assert "no such subcluster, correct cluster.json, then retry" in page.out
    assert f"new/{event}, since" in page.out
    assert "dead/1-start-7-0-0-5" in page.out
    assert data["command"] == f"cc-spool retry 7-{shown.start}.json"
    assert data["verdict"] == "pending: it is in the spool, and the drain will deliver it"
    assert [each["kind"] for each in data["spool"]["events"]] == ["stop", "start"]
    assert [each["directory"] for each in data["spool"]["runs"]] == ["open", "dead"]
    assert data["spool"]["runs"][1]["last_error"]["call"] == "start"


def test_a_run_of_scrontab_is_shown_with_its_own_end(tmp_path: Path) -> None:
    """Accounting says REQUEUED with exit code 3:0; `explain` shows FAILED."""
    world = SweptWorld(tmp_path / "spool")
    job = world.world.job(12, flags=(SCRONTAB_FLAG,), restart_count=1)
    world.slurm.records = {12: job}
    row = replace(job, state="REQUEUED", start_time=NOON - 99, end_time=NOON - 50, flags=())
    world.slurm.rows = [replace(row, exit_code="3:0")]
    result = world.plan(12)
    page = build_job_report(
        world.sources, tmp_path, 12, observation=result.observation, plan=result.decision.plan
    )

    assert ["FAILED"] == [run.state for run in page.accounting_runs]


def test_a_requeued_array_task_is_shown_with_its_siblings(tmp_path: Path) -> None:
    """`explain` has all runs of the task and the other tasks that have started."""
    world = SweptWorld(tmp_path / "spool")
    task = world.world.job(12, array_job_id=10, array_task_id=3, restart_count=1)
    world.slurm.records = {10: task, 12: task, 13: task}
    world.slurm.arrays = {12: 10, 13: 10, 10: 10}
    old = replace(task, state="REQUEUED", start_time=NOON - 99, end_time=NOON - 50)
    world.slurm.rows = [old, task]
    result = world.plan(12)

    page = build_job_report(
        world.sources, tmp_path, 12, observation=result.observation, plan=result.decision.plan
    )

    assert page.array_tasks == (10, 13)
    assert [each.state for each in page.accounting_runs] == ["REQUEUED", "RUNNING"]
    text = "\n".join(job_report_lines(page))
    assert "other tasks of the array: 10, 13" in text
    assert "task 3 of array 10, requeued 1 time" in text


def test_a_source_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """`explain` has the errors of slurmctld, accounting and cc-backend."""
    world = SweptWorld(tmp_path / "spool")
    world.world.begin(7)
    world.slurm.records[7] = replace(world.slurm.records[7], array_job_id=5)
    result = world.plan(7)
    gone = SlurmError("sacct is away", reason=FailureReason.UNREACHABLE)
    world.slurm.failures = {"accounting": gone, "queue_snapshot": gone}
    world.backend.silent = True

    page = build_job_report(
        world.sources, tmp_path, 7, observation=result.observation, plan=result.decision.plan
    )
    world.slurm.silent = True
    darker = build_job_report(
        world.sources, tmp_path, 7, observation=result.observation, plan=result.decision.plan
    )

    assert [words.partition(":")[0] for words in page.unanswered] == [
        *("slurmctld", "accounting", "cc-backend")
    ]
    assert darker.controller_record is None
    assert any("no answer" in line for line in job_report_lines(darker))


@pytest.mark.parametrize(
    ("page", "verdict", "command"),
    [
        (EMPTY, "has not started, so there is nothing to report", None),
        (
            replace(EMPTY, backend_rows=(ROW,)),
            "in agreement: cc-backend shows the same as Slurm",
            None,
        ),
        (
            replace(EMPTY, plan=Plan(guards=(GUARD,))),
            "cannot be judged now: up for 3 s",
            None,
        ),
        (
            replace(EMPTY, plan=Plan(changes=(start(7), stop(7)))),
            "to be repaired by a sweep (start): missing; to be repaired by a sweep (stop): over",
            "cc-sweep apply -j 7",
        ),
        (
            replace(EMPTY, plan=Plan(changes=(start(7),), guards=(GUARD,))),
            "cannot be judged now: up for 3 s; to be repaired by a sweep (start): missing",
            None,
        ),
        (
            replace(EMPTY, plan=Plan(reports=(Report(key=RunId(7, OLD), why="odd"),))),
            "needs an administrator: odd",
            None,
        ),
        (
            replace(EMPTY, plan=Plan(skipped={"unreported": 1, "strange": 1})),
            (
                "excluded by its opt-out flag, a filter, drain.requeue, a later run at cc-backend,"
                " or `cc-spool discard`"
            ),
            None,
        ),
    ],
)
def test_explain_has_a_verdict_and_a_command(
    page: JobReport, verdict: str, command: str | None
) -> None:
    """A command is given only for changes that no failed safety check prevents."""
    assert (page.verdict, page.command) == (verdict, command)
    assert job_report_document(page)["verdict"] == verdict


def test_explain_prints_a_line_for_unusual_records() -> None:
    """The records are a het component that is COMPLETING, and a run without start and end."""
    het = Job(job_id=7, het_job_id=6, het_job_offset=1, flags=("COMPLETING",), end_time=NOON)
    page = replace(
        EMPTY,
        controller_record=het,
        accounting_runs=(Job(job_id=7, state="FAILED", nodes=("a", "b")),),
    )

    text = "\n".join(job_report_lines(page))

    assert "state unknown COMPLETING, ended" in text
    assert "component 1 of 6" in text
    assert "FAILED, 2 nodes" in text


def test_explain_finds_delivered_runs_in_the_archive(tmp_path: Path) -> None:
    """Lines of other jobs and a damaged line are skipped."""
    world = SweptWorld(tmp_path / "spool")
    archive = tmp_path / "delivered"
    archive.mkdir()
    end = End(time=NOON, state="FAILED", source=EndSource.ACCOUNTING)
    mine, other = (Run(job=Job(job_id=i), start_time=OLD, end=end) for i in (7, 8))
    odd = codec.encode(mine)[:-9] + b"\n"
    like = codec.encode(replace(other, job=Job(job_id=8, name='"job_id":7,')))
    kept = codec.encode(replace(mine, end=None))
    (archive / "1.jsonl").write_bytes(odd + codec.encode(other) + codec.encode(mine) + like + kept)
    world.slurm.records[7] = world.world.job(7)
    result = world.plan(7)

    page = build_job_report(
        world.sources, archive, 7, observation=result.observation, plan=result.decision.plan
    )

    assert [each.end for each in page.delivered] == [end, None]
    assert "FAILED" in "\n".join(job_report_lines(page))
    assert run(7).key == RunId(7, OLD)
