"""A row or text that cannot be read affects no other job; the next source is asked for its job."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from recorded_commands import (
    DOWN,
    RecordedCommands,
    commands,
    expected,
    ids_of,
)
from recorded_failures import KILLED, facts, lines

from slurm.errors import SlurmError
from slurm.job import Job
from slurm.process import CommandResult

TEXT = ("21.08", "22.05")


def with_account(recorded: RecordedCommands, *job_ids: int) -> None:
    """Give some jobs an account that shifts all later columns in the text of squeue."""

    def alter(argv: Sequence[str], _seconds: float, answer: CommandResult) -> CommandResult:
        if "-O" not in argv:
            return answer
        text = answer.stdout
        for line in text.splitlines():
            if int(line.split(b"|")[0]) in job_ids:
                text = text.replace(line, re.sub(rb"\|(k[12]000)\|", rb"|\1|x\ny|", line))
        return replace(answer, stdout=text)

    recorded.alter = alter


@pytest.mark.parametrize("series", TEXT)
def test_an_unreadable_row_blocks_no_other_job(series: str) -> None:
    """The job of squeue's unreadable text row is read from JSON, the other job from text."""
    recorded = commands(series)
    with_account(recorded, ids_of(recorded)[1])

    assert expected(recorded) == facts(recorded, recorded.slurm())
    assert 1 == len(lines(recorded, "--json"))


@pytest.mark.parametrize("series", TEXT)
def test_an_unreadable_row_without_json_is_read_from_scontrol(series: str) -> None:
    """JSON of squeue fails, too, so that scontrol is asked about the job of the row."""
    recorded = commands(series)
    with_account(recorded, ids_of(recorded)[1])
    recorded.answers["--json"] = KILLED

    assert expected(recorded) == facts(recorded, recorded.slurm())
    assert 1 == len(lines(recorded, "--json"))


def test_a_row_that_no_source_can_read_is_an_error_of_its_job() -> None:
    """Squeue's text and JSON and scontrol fail for one job; the other job is found."""
    recorded = commands("22.05")
    good, odd = ids_of(recorded)
    with_account(recorded, odd)
    recorded.answers |= {"--json": KILLED, f"show job {odd}": DOWN}
    found = recorded.slurm().jobs([good, odd])

    assert isinstance(found[good], Job)
    assert isinstance(found[odd], SlurmError)


@pytest.mark.parametrize("series", TEXT)
def test_unreadable_text_is_replaced_by_json(series: str) -> None:
    """A wrapper of squeue prints other text, so that the jobs are read from squeue's JSON."""
    recorded = commands(series)
    recorded.answers[" -O "] = CommandResult((), 0, b"see the wiki\n", b"")

    assert expected(recorded) == facts(recorded, recorded.slurm())
    assert [] == lines(recorded, "show job")


def test_unreadable_text_without_json_is_replaced_by_scontrol() -> None:
    """Both outputs of squeue are unreadable; a warning has the text that was printed."""
    recorded = commands("22.05")
    recorded.answers |= {"--json": KILLED, " -O ": CommandResult((), 0, b"see the wiki\n", b"")}
    slurm = recorded.slurm()

    assert expected(recorded) == facts(recorded, slurm)
    assert "see the wiki" in slurm.warnings()[0]


@pytest.mark.parametrize("answer", [DOWN, CommandResult((), -9, b"", b"")], ids=["down", "killed"])
def test_without_an_answer_of_scontrol_cores_come_from_json(answer: CommandResult) -> None:
    """Squeue's text has no cores, and scontrol fails or is killed."""
    recorded = commands("22.05")
    recorded.answers["show job"] = answer

    assert expected(recorded) == facts(recorded, recorded.slurm())


def test_a_job_whose_cores_no_source_shows_is_an_error() -> None:
    """A job that was reported without cores would never get them at cc-backend."""
    recorded = commands("21.08")
    recorded.answers |= {"show job": DOWN, "--json": KILLED}
    found = recorded.slurm().jobs(ids_of(recorded))

    assert ids_of(recorded) == [i for i, job in found.items() if isinstance(job, SlurmError)]
    assert 1 == len(lines(recorded, "show job"))
