"""Scripts of jobs, read from slurmctld's StateSaveLocation."""

from __future__ import annotations

from pathlib import Path

import pytest
from job_text_commands import ARRAY, JOB, Commands, read, texts

from slurm.errors import FailureReason
from spool.resolve.job_texts import (
    ASIDE_SECONDS,
    MAX_SCRIPT_LIMIT_BYTES,
    MIN_SCRIPT_LIMIT_BYTES,
    Texts,
)


def store(place: Path, owner: int, text: bytes) -> Path:
    """Write a script as slurmctld does."""
    path = place / f"hash.{owner % 10}" / f"job.{owner}" / "script"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return path


def test_a_script_is_read_from_the_state_save_location(tmp_path: Path) -> None:
    """No command is run for the script; the NUL byte at the end of the file is removed."""
    store(tmp_path, 815, b"#!/bin/sh\ntrue\n\0")
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert Texts(script="#!/bin/sh\ntrue\n", description="JobId=815") == found
    assert ["description 815"] == commands.asked


def test_the_state_save_location_is_queried_once(tmp_path: Path) -> None:
    """`scontrol show config` is run for the first script, and not again for the second one."""
    store(tmp_path, 815, b"script\0")
    commands = Commands(location=tmp_path)
    reader = texts(commands)
    found = [read(reader, commands, JOB)[0].script for _ in range(2)]

    assert ["script", "script"] == found
    assert (1, 0) == (commands.count("config"), commands.count("script"))


def test_a_failed_query_for_the_state_save_location_is_repeated(tmp_path: Path) -> None:
    """`scontrol show config` is not run again for the next job, but after a minute."""
    store(tmp_path, 815, b"script\0")
    commands = Commands(location=tmp_path, problem=FailureReason.UNREACHABLE)
    reader = texts(commands, with_description=False)
    read(reader, commands, JOB)
    read(reader, commands, JOB)
    asked = commands.count("config")
    commands.problem = None
    commands.time += ASIDE_SECONDS
    (found,) = read(reader, commands, JOB)

    assert (1, "script", True) == (asked, found.script, found.is_final)


def test_without_a_state_save_location_a_command_is_used() -> None:
    """Slurm's configuration does not name the directory: `scontrol` prints the script."""
    commands = Commands()

    assert "#!/bin/sh\n" == read(texts(commands), commands, JOB)[0].script


def test_tasks_of_an_array_share_one_script(tmp_path: Path) -> None:
    """The file is stored under the array's id and is read once for all tasks."""
    store(tmp_path, 812, b"array\0")
    commands = Commands()
    found = read(texts(commands, state_save_location=tmp_path), commands, *ARRAY)

    assert {("array", True)} == {(each.script, each.is_final) for each in found}
    assert [] == commands.asked


def test_a_job_without_a_script_file_has_no_script(tmp_path: Path) -> None:
    """The hash directory of an interactive job can be read and has no file for the job."""
    (tmp_path / "hash.5").mkdir()
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert (None, True, 0) == (found.script, found.is_final, commands.count("script"))


@pytest.mark.parametrize("kind", ["missing", "link", "directory"])
def test_if_the_script_file_cannot_be_read_a_command_is_used(tmp_path: Path, kind: str) -> None:
    """Most sites let only SlurmUser read the directory of the scripts; a link is not followed."""
    if kind != "missing":
        path = store(tmp_path, 815, b"")
        path.unlink()
        path.symlink_to("/etc/passwd") if kind == "link" else path.mkdir()
    commands = Commands()

    found = read(texts(commands, state_save_location=tmp_path), commands, JOB)
    assert "#!/bin/sh\n" == found[0].script


@pytest.mark.parametrize(
    ("wanted", "limit"),
    [(64_000, MIN_SCRIPT_LIMIT_BYTES), (1_000_000, 1_000_000), (1 << 30, MAX_SCRIPT_LIMIT_BYTES)],
)
def test_the_configuration_limits_the_bytes_of_a_script(
    tmp_path: Path, wanted: int, limit: int
) -> None:
    """The limit is 256 KiB to 4 MiB; the size of the whole script is kept."""
    size = 5_000_000
    store(tmp_path, 815, b"x" * size + b"\0")
    commands = Commands()
    settings = {"state_save_location": tmp_path, "script_limit_bytes": wanted}
    (found,) = read(texts(commands, **settings), commands, JOB)

    assert found.script is not None
    assert (limit, size) == (len(found.script), found.script_bytes_total)


def test_a_script_of_exactly_the_limit_is_complete(tmp_path: Path) -> None:
    """A script of 256 KiB is not cut: the NUL byte behind it does not count."""
    store(tmp_path, 815, b"x" * MIN_SCRIPT_LIMIT_BYTES + b"\0")
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert (MIN_SCRIPT_LIMIT_BYTES, None) == (len(found.script or ""), found.script_bytes_total)


def test_no_character_of_a_script_is_cut_in_half(tmp_path: Path) -> None:
    """The limit is between the two bytes of an ä: the script ends before this character."""
    text = "x" * (MIN_SCRIPT_LIMIT_BYTES - 1) + "äää"
    store(tmp_path, 815, text.encode() + b"\0")
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert text[:-3] == found.script
    assert len(text.encode()) == found.script_bytes_total


def test_a_long_script_from_a_command_is_cut_too() -> None:
    """The command prints 300000 bytes, of which 256 KiB are kept; the whole size is kept, too."""
    commands = Commands(text="x" * 300_000)
    (found,) = read(texts(commands), commands, JOB)

    assert (MIN_SCRIPT_LIMIT_BYTES, 300_000) == (len(found.script or ""), found.script_bytes_total)
