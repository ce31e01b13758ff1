"""A row or text that cannot be read blocks no other job; the next source is asked for its own."""

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
    """Give some jobs an account that moves all columns behind it in the text of squeue."""

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
def test_a_row_that_cannot_be_read_blocks_nobody(series: str) -> None:
    """Its own job comes by JSON, the other by text."""
    recorded = commands(series)
    with_account(recorded, ids_of(recorded)[1])

    assert expected(recorded) == facts(recorded, recorded.slurm())
    assert 1 == len(lines(recorded, "--json"))


@pytest.mark.parametrize("series", TEXT)
def test_a_row_that_cannot_be_read_without_json(series: str) -> None:
    """Its own job comes by scontrol."""
    recorded = commands(series)
    with_account(recorded, ids_of(recorded)[1])
    recorded.answers["--json"] = KILLED

    assert expected(recorded) == facts(recorded, recorded.slurm())
    assert 1 == len(lines(recorded, "--json"))


def test_a_row_that_nobody_can_read_is_an_error_of_its_own() -> None:
    """The other job is found all the same."""
    recorded = commands("22.05")
    good, odd = ids_of(recorded)
    with_account(recorded, odd)
    recorded.answers |= {"--json": KILLED, f"show job {odd}": DOWN}
    found = recorded.slurm().jobs([good, odd])

    assert isinstance(found[good], Job)
    assert isinstance(found[odd], SlurmError)


@pytest.mark.parametrize("series", TEXT)
def test_text_that_cannot_be_read_at_all_gives_way_to_json(series: str) -> None:
    """A wrapper prints something else."""
    recorded = commands(series)
    recorded.answers[" -O "] = CommandResult((), 0, b"see the wiki\n", b"")

    assert expected(recorded) == facts(recorded, recorded.slurm())
    assert [] == lines(recorded, "show job")


def test_text_that_cannot_be_read_without_json_gives_way_to_scontrol() -> None:
    """The last source."""
    recorded = commands("22.05")
    recorded.answers |= {"--json": KILLED, " -O ": CommandResult((), 0, b"see the wiki\n", b"")}
    slurm = recorded.slurm()

    assert expected(recorded) == facts(recorded, slurm)
    assert "see the wiki" in slurm.warnings()[0]


@pytest.mark.parametrize("answer", [DOWN, CommandResult((), -9, b"", b"")], ids=["down", "killed"])
def test_a_silent_scontrol_leaves_cores_to_json(answer: CommandResult) -> None:
    """Of a job whose cores text cannot give at this moment."""
    recorded = commands("22.05")
    recorded.answers["show job"] = answer

    assert expected(recorded) == facts(recorded, recorded.slurm())


def test_cores_that_nobody_tells_just_now_are_waited_for() -> None:
    """The job is an error of its own: reported without cores it would lack them for good."""
    recorded = commands("21.08")
    recorded.answers |= {"show job": DOWN, "--json": KILLED}
    found = recorded.slurm().jobs(ids_of(recorded))

    assert ids_of(recorded) == [i for i, job in found.items() if isinstance(job, SlurmError)]
    assert 1 == len(lines(recorded, "show job"))
