"""Job scripts that Slurm's commands print within a time limit."""

from __future__ import annotations

from pathlib import Path

import pytest
from job_text_commands import ARRAY, CROWD, JOB, Commands, read, texts

from slurm.errors import FailureReason
from spool.resolve.job_texts import ASIDE_SECONDS, COMMAND_SECONDS, DENIED_SECONDS, Texts
from spool.resolve.render_description import render_description


def test_the_script_of_an_array_is_requested_once() -> None:
    """The command has the job id of a task; a job with the array's own id need not exist."""
    commands = Commands()
    found = read(texts(commands), commands, *ARRAY)

    assert {"#!/bin/sh\n"} == {each.script for each in found}
    assert [f"script {ARRAY[-1].job_id}"] == [
        line for line in commands.asked if line.startswith("script")
    ]


def test_the_answer_that_a_job_has_no_script_is_final() -> None:
    """Slurm has no script of an interactive job, so it is not queried again."""
    commands = Commands(text=None)

    assert (None, True) == _script(read(texts(commands), commands, JOB)[0])


def test_scripts_beyond_the_time_budget_are_read_later() -> None:
    """All jobs of a call share 3 s, here enough for two scripts; a later call reads the others."""
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


def test_a_command_that_hangs_is_run_once() -> None:
    """A script command that timed out is not run for the other jobs; 60 s later it is."""
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


def test_a_configuration_query_that_hangs_leaves_time_for_the_rest() -> None:
    """`scontrol show config` times out after 5 s; script and description are queried after it."""
    commands = Commands(seconds=600.0)
    reader = texts(commands)
    (found,) = read(reader, commands, JOB, budget=60.0)

    assert 100.0 + 3 * COMMAND_SECONDS == commands.time
    assert (render_description(JOB), False) == (found.description, found.is_final)


def test_a_failed_script_request_affects_one_job(caplog: pytest.LogCaptureFixture) -> None:
    """If Slurm cannot print one script, the other scripts are still requested."""
    commands = Commands(problem=FailureReason.FAILED)
    found = read(texts(commands, with_description=False), commands, *CROWD)

    assert len(CROWD) == commands.count("script")
    assert {(None, False)} == {_script(each) for each in found}
    assert "job=1 script cannot be read" in caplog.text


def test_a_denied_script_is_requested_again_after_ten_minutes() -> None:
    """Until then jobs do not wait for scripts: an administrator has to grant the permission."""
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
    """With a time budget of 0 s the description is rendered from the job record."""
    commands = Commands()
    (found,) = read(texts(commands), commands, JOB, budget=0.0)

    assert ([], render_description(JOB)) == (commands.asked, found.description)
    assert not found.is_final


def _script(found: Texts) -> tuple[str | None, bool]:
    return found.script, found.is_final
