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
    """Without the NUL byte that slurmctld ends it with, and without a command."""
    store(tmp_path, 815, b"#!/bin/sh\ntrue\n\0")
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert Texts(script="#!/bin/sh\ntrue\n", description="JobId=815") == found
    assert ["description 815"] == commands.asked


def test_the_place_is_asked_of_slurm_once(tmp_path: Path) -> None:
    """When the first text is wanted."""
    store(tmp_path, 815, b"script\0")
    commands = Commands(location=tmp_path)
    reader = texts(commands)
    found = [read(reader, commands, JOB)[0].script for _ in range(2)]

    assert ["script", "script"] == found
    assert (1, 0) == (commands.count("config"), commands.count("script"))


def test_a_place_that_slurm_does_not_tell_is_not_asked_for_each_time(tmp_path: Path) -> None:
    """After a while it is asked for again."""
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


def test_a_configuration_without_the_place_leaves_it_to_commands() -> None:
    """As does one that is closed to us."""
    commands = Commands()

    assert "#!/bin/sh\n" == read(texts(commands), commands, JOB)[0].script


def test_tasks_of_an_array_share_one_script(tmp_path: Path) -> None:
    """It lies under the array's id, and is read once for all 5 000 of them."""
    store(tmp_path, 812, b"array\0")
    commands = Commands()
    found = read(texts(commands, state_save_location=tmp_path), commands, *ARRAY)

    assert {("array", True)} == {(each.script, each.is_final) for each in found}
    assert [] == commands.asked


def test_a_job_without_a_script_has_none(tmp_path: Path) -> None:
    """An interactive job: its place can be looked at and is empty."""
    (tmp_path / "hash.5").mkdir()
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert (None, True, 0) == (found.script, found.is_final, commands.count("script"))


@pytest.mark.parametrize("kind", ["missing", "link", "directory"])
def test_where_the_file_cannot_be_read_slurm_is_asked(tmp_path: Path, kind: str) -> None:
    """Most sites keep that directory to SlurmUser; what is no file there is not followed."""
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
def test_as_much_is_read_as_the_configuration_wants(
    tmp_path: Path, wanted: int, limit: int
) -> None:
    """At least 256 KiB, at most 4 MiB; the size of the whole is kept."""
    size = 5_000_000
    store(tmp_path, 815, b"x" * size + b"\0")
    commands = Commands()
    settings = {"state_save_location": tmp_path, "script_limit_bytes": wanted}
    (found,) = read(texts(commands, **settings), commands, JOB)

    assert found.script is not None
    assert (limit, size) == (len(found.script), found.script_bytes_total)


def test_a_script_of_exactly_the_limit_is_whole(tmp_path: Path) -> None:
    """The NUL behind it does not count."""
    store(tmp_path, 815, b"x" * MIN_SCRIPT_LIMIT_BYTES + b"\0")
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert (MIN_SCRIPT_LIMIT_BYTES, None) == (len(found.script or ""), found.script_bytes_total)


def test_no_character_is_cut_in_half(tmp_path: Path) -> None:
    """The limit falls between the two bytes of the last one."""
    text = "x" * (MIN_SCRIPT_LIMIT_BYTES - 1) + "äää"
    store(tmp_path, 815, text.encode() + b"\0")
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert text[:-3] == found.script
    assert len(text.encode()) == found.script_bytes_total


def test_a_long_script_by_command_is_cut_alike() -> None:
    """What Slurm prints is whole."""
    commands = Commands(text="x" * 300_000)
    (found,) = read(texts(commands), commands, JOB)

    assert (MIN_SCRIPT_LIMIT_BYTES, 300_000) == (len(found.script or ""), found.script_bytes_total)
