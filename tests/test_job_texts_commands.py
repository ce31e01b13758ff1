"""Scripts of jobs, printed by Slurm's commands within a limit of time."""

from __future__ import annotations

from pathlib import Path

import pytest
from job_text_commands import ARRAY, CROWD, JOB, Commands, read, texts

from slurm.errors import FailureReason
from spool.resolve.job_texts import ASIDE_SECONDS, COMMAND_SECONDS, DENIED_SECONDS, Texts
from spool.resolve.render_description import render_description


def test_an_array_is_asked_for_once() -> None:
    """By the id of a task that is known to run, which the array's own id may not be."""
    commands = Commands()
    found = read(texts(commands), commands, *ARRAY)

    assert {"#!/bin/sh\n"} == {each.script for each in found}
    assert [f"script {ARRAY[-1].job_id}"] == [
        line for line in commands.asked if line.startswith("script")
    ]


def test_a_job_of_which_slurm_has_no_script_is_final() -> None:
    """An interactive one."""
    commands = Commands(text=None)

    assert (None, True) == _script(read(texts(commands), commands, JOB)[0])


def test_what_there_is_no_time_for_may_be_asked_for_again() -> None:
    """The budget holds for all jobs together; the next call gets the rest."""
    commands = Commands(seconds=1.0)
    reader = texts(commands, with_description=False)
    began = commands.time
    first = read(reader, commands, *CROWD)
    took = commands.time - began
    done = [each.is_final for each in first]
    second = read(reader, commands, CROWD[-1])

    assert took <= 3.0
    assert [True, True, *[False] * (len(CROWD) - 2)] == done
    assert ("#!/bin/sh\n", True) == _script(second[0])


def test_a_hanging_command_costs_its_time_once() -> None:
    """It is not asked for each job; after a minute it is tried again."""
    commands = Commands(seconds=600.0)
    reader = texts(commands, with_description=False, state_save_location=Path("/none"))
    began = commands.time
    found = read(reader, commands, *CROWD, budget=60.0)
    took = commands.time - began
    read(reader, commands, *CROWD, budget=60.0)
    asked = commands.count("script")
    commands.time += ASIDE_SECONDS
    read(reader, commands, JOB, budget=60.0)

    assert (COMMAND_SECONDS, 1, 2) == (took, asked, commands.count("script"))
    assert {(None, False)} == {_script(each) for each in found}


def test_a_hanging_configuration_leaves_time_for_the_rest() -> None:
    """It is an optional question."""
    commands = Commands(seconds=600.0)
    reader = texts(commands)
    (found,) = read(reader, commands, JOB, budget=60.0)

    assert 100.0 + 3 * COMMAND_SECONDS == commands.time
    assert (render_description(JOB), False) == (found.description, found.is_final)


def test_one_failure_concerns_one_job(caplog: pytest.LogCaptureFixture) -> None:
    """A script that Slurm cannot give is no reason to leave the others out."""
    commands = Commands(problem=FailureReason.FAILED)
    found = read(texts(commands, with_description=False), commands, *CROWD)

    assert len(CROWD) == commands.count("script")
    assert {(None, False)} == {_script(each) for each in found}
    assert "job=1 script cannot be read" in caplog.text


def test_a_denied_script_is_asked_for_again_after_ten_minutes() -> None:
    """Until then nobody waits for one: an administrator has to give the right."""
    commands = Commands(problem=FailureReason.DENIED)
    reader = texts(commands, with_description=False)
    denied = [*read(reader, commands, JOB), *read(reader, commands, JOB)]
    asked = commands.count("script")
    commands.problem = None
    commands.time += DENIED_SECONDS
    (found,) = read(reader, commands, JOB)

    assert [(None, True)] * 2 == [_script(each) for each in denied]
    assert (1, "#!/bin/sh\n") == (asked, found.script)


def test_without_time_no_command_is_run() -> None:
    """All there is comes from the record."""
    commands = Commands()
    (found,) = read(texts(commands), commands, JOB, budget=0.0)

    assert ([], render_description(JOB)) == (commands.asked, found.description)
    assert not found.is_final


def _script(found: Texts) -> tuple[str | None, bool]:
    return found.script, found.is_final
