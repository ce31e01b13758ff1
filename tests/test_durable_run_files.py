"""Run files as they are written and read: mode, time, links, damage, later versions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from durable_batch import ENDED, NEW, TOLD, create_file, files

from spool.errors import BadFileError, NewerFormatError
from spool.files import codec
from spool.files.codec import load_run
from spool.files.durable_files import NewFile, WriteBatch
from spool.files.durable_files import create_file as place_free
from spool.files.layout import Directory, Layout
from spool.files.run import Run, waiting_since


@pytest.mark.parametrize("value", [NEW, *ENDED])
def test_the_time_of_a_run_file_is_since_when_it_waits(layout: Layout, value: Run) -> None:
    """However often it is written: nobody need open it to know."""
    batch = WriteBatch(layout)
    batch.put_run(replace(value, attempts=3, not_before=5000))
    batch.commit()

    assert waiting_since(value) == layout.mtime(value.directory, value.name)


def test_a_run_file_is_not_for_everybody(layout: Layout) -> None:
    """It holds the job's script."""
    batch = WriteBatch(layout)
    batch.put_run(NEW)
    batch.commit()

    assert 0 == (layout.root / "todo" / NEW.name).stat().st_mode & 0o027


def test_a_link_in_tmp_is_not_followed(layout: Layout, tmp_path: Path) -> None:
    """It would overwrite another file."""
    other = tmp_path / "other"
    other.write_bytes(b"other")
    batch = WriteBatch(layout)
    batch.put(Directory.TODO, "a", b"x")
    (draft,) = (layout.root / "tmp").iterdir()
    batch.rollback()
    draft.symlink_to(other)
    batch.put(Directory.TODO, "a", b"x")
    batch.commit()

    assert (b"other", {(Directory.TODO, "a"): b"x"}) == (other.read_bytes(), files(layout))


def test_what_died_with_our_pid_left_no_file_to_write_over(layout: Layout) -> None:
    """A `place` that was killed after its link leaves two names of one file."""
    batch = WriteBatch(layout)
    batch.put(Directory.TODO, "a", b"x")
    (draft,) = (layout.root / "tmp").iterdir()
    batch.rollback()
    live = layout.root / "todo" / "a"
    live.write_bytes(b"live")
    draft.hardlink_to(live)

    assert not place_free(layout, Directory.TODO, NewFile(name="a", contents=b"new"))
    assert b"live" == live.read_bytes()


def test_a_run_is_loaded_as_it_was_stored(layout: Layout) -> None:
    """From the directory it lies in."""
    create_file(layout, TOLD[1])

    assert TOLD[1] == load_run(layout, Directory.OPEN, TOLD[1].name)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(codec.LIMIT_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Path.mkdir, "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (_sparse, "more than"),
        (Path.touch, "not JSON"),
    ],
)
def test_what_is_no_run_file_is_refused(
    layout: Layout, make: Callable[[Path], None], reason: str
) -> None:
    """With the reason for its dead letter."""
    make(layout.root / "todo" / "5-100.json")
    with pytest.raises(BadFileError, match=reason):
        load_run(layout, Directory.TODO, "5-100.json")


def test_a_run_that_vanished_is_told_apart(layout: Layout) -> None:
    """It is no damage."""
    with pytest.raises(FileNotFoundError):
        load_run(layout, Directory.TODO, "5-100.json")


def test_a_run_of_a_later_version_is_told_apart(layout: Layout) -> None:
    """It is left alone."""
    (layout.root / "todo" / "5-100.json").write_text('{"version": 2}')
    with pytest.raises(NewerFormatError):
        load_run(layout, Directory.TODO, "5-100.json")
