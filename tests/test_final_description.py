"""The description of an ended run: Slurm's own, or that of the start with the end added."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from recorded_slurm import recordings

from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from spool.files.run import End, EndSource, Run
from spool.resolve.final_description import (
    FINAL_BUDGET_SECONDS,
    FinalDescriptions,
    final_description,
)
from spool.resolve.job_texts import ASIDE_SECONDS, MAX_DESCRIBED_JOBS
from spool.resolve.render_description import render_description, slurm_time

START = 1_767_225_600
JOB = Job(job_id=815, start_time=START, state="RUNNING", nodes=("n1",))
KEY = (815, START)
TEXT = f"JobId=815 JobName=x\n   StartTime={slurm_time(START)} EndTime=E Deadline=N/A\n"


@dataclass
class Commands:
    """A fake `scontrol show job`; each call takes `seconds`."""

    text: str | None = TEXT
    problem: Exception | None = None
    seconds: float = 0.01
    time: float = 100.0
    asked: list[int] = field(default_factory=list)

    def description(self, job_id: int, *, timeout_seconds: float | None = None) -> str | None:
        """Return a description."""
        self.asked.append(job_id)
        self.time += min(self.seconds, timeout_seconds or 0.0)
        if self.problem is not None:
            raise self.problem
        return self.text


def reader(commands: Commands) -> FinalDescriptions:
    """Return a reader that uses the clock of the commands."""
    return FinalDescriptions(commands, clock=lambda: commands.time)


def ended(description: str | None, *, exit_code: str | None = "1:0", seconds: int = 61) -> Run:
    """Return a run that failed after a minute."""
    return Run(
        job=Job(job_id=815, exit_code=exit_code),
        start_time=START,
        description=description,
        end=End(time=START + seconds, state="FAILED", source=EndSource.CONTROLLER),
    )


# Slurm's text


def test_slurms_description_of_the_ended_run_is_read() -> None:
    """The text of `scontrol show job` is used if its StartTime is that of the run."""
    assert {KEY: TEXT} == reader(Commands()).ask((JOB,))


@pytest.mark.parametrize("text", [None, "", TEXT.replace("StartTime=20", "StartTime=19")])
def test_a_description_of_another_run_is_ignored(text: str | None) -> None:
    """A requeued job may show its next start already; a purged job has no description."""
    assert {} == reader(Commands(text)).ask((JOB,))


def test_a_run_without_a_start_time_gets_no_final_description() -> None:
    """StartTime in Slurm's description cannot be compared with the run."""
    assert {} == reader(Commands()).ask((Job(job_id=815),))


def test_no_scontrol_process_is_started_for_many_ended_jobs() -> None:
    """If more than 8 jobs have ended, `scontrol show job` is run for none of them."""
    commands = Commands()
    reader(commands).ask((JOB,) * (MAX_DESCRIBED_JOBS + 1))

    assert [] == commands.asked


def test_queries_of_final_descriptions_have_a_time_limit() -> None:
    """All jobs of a call share 1 s, here enough for two jobs: stops wait for the descriptions."""
    commands = Commands(seconds=FINAL_BUDGET_SECONDS / 2)
    reader(commands).ask((JOB,) * MAX_DESCRIBED_JOBS)

    assert 2 == len(commands.asked)


def test_after_a_timeout_slurm_is_not_queried_for_a_minute() -> None:
    """`scontrol show job` timed out; 60 s later it is run again."""
    commands = Commands(problem=SlurmError("no", reason=FailureReason.TIMEOUT))
    found = reader(commands)
    found.ask((JOB, JOB))
    found.ask((JOB,))
    before = len(commands.asked)
    commands.time += ASIDE_SECONDS
    commands.problem = None

    assert (1, {KEY: TEXT}) == (before, found.ask((JOB,)))


def test_the_next_job_is_queried_after_a_failure() -> None:
    """A failed `scontrol show job` of one job does not end the queries of the other jobs."""
    commands = Commands(problem=SlurmError("no", reason=FailureReason.FAILED))
    reader(commands).ask((JOB, JOB))

    assert 2 == len(commands.asked)


def test_an_internal_error_returns_no_descriptions(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error is logged as an internal error of cc-slurm-sync."""
    assert {} == reader(Commands(problem=ZeroDivisionError())).ask((JOB,))
    assert "internal error of cc-slurm-sync (ZeroDivisionError())" in caplog.text


# the text of the start


@pytest.mark.parametrize("series", ["22.05", "24.11", "26.05"])
def test_the_end_is_written_into_the_description_of_the_start(series: str) -> None:
    """Only state, exit code, run time and end time change, in the text of three Slurm releases."""
    text = recordings(series)["admin-comment"]["scontrol.txt"].decode()
    changed = final_description(ended(text)) or ""
    old, new = text.splitlines(), changed.splitlines()
    different = [
        line.split("=")[0].strip() for line, other in zip(old, new, strict=True) if line != other
    ]

    assert ["JobState", "Requeue", "RunTime", "StartTime"] == different
    assert "   JobState=FAILED Reason=None" in changed
    assert " ExitCode=1:0\n" in changed
    assert "   RunTime=00:01:01 TimeLimit=" in changed
    assert f" EndTime={slurm_time(START + 61)} Deadline=" in changed


def test_a_rendered_description_gets_the_end_too() -> None:
    """EndTime, RunTime and ExitCode, which such a description lacks, are put after StartTime."""
    text = final_description(ended(render_description(JOB), seconds=2 * 86400 + 3661)) or ""
    start, end = slurm_time(START), slurm_time(START + 2 * 86400 + 3661)

    assert "   JobState=FAILED\n" in text
    assert f"   StartTime={start} EndTime={end} RunTime=2-01:01:01 ExitCode=1:0\n" in text


def test_an_unknown_exit_code_is_omitted() -> None:
    """The final description has no ExitCode if Slurm's job record had none."""
    assert "ExitCode" not in (
        final_description(ended(render_description(JOB), exit_code=None)) or ""
    )


def test_a_description_with_an_end_state_is_not_changed() -> None:
    """JobState=OUT_OF_MEMORY of the stored description stays, although the run's end is FAILED."""
    text = "JobId=815 JobName=x\n   JobState=OUT_OF_MEMORY Reason=OutOfMemory\n"

    assert text == final_description(ended(text))


@pytest.mark.parametrize("text", [None, "", "JobId=815"])
def test_without_a_job_state_there_is_no_final_description(text: str | None) -> None:
    """The stored description is missing, empty or has no JobState, so the end cannot be added."""
    assert final_description(ended(text)) is None


def test_a_running_run_has_no_final_description() -> None:
    """The run has no end yet that could be written into the description of its start."""
    run = Run(job=JOB, start_time=START, description=render_description(JOB))

    assert final_description(run) is None
