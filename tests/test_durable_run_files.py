"""Run files as they are written and read: mode, time, links, damage, later versions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from durable_batch import ENDED, NEW, REPORTED, create_file, files

from spool.errors import BadFileError, NewerFormatError
from spool.files import codec
from spool.files.codec import load_run
from spool.files.durable_files import NewFile, WriteBatch
from spool.files.durable_files import create_file as place_free
from spool.files.layout import Directory, Layout
from spool.files.run import Run, waiting_since


@pytest.mark.parametrize("value", [NEW, *ENDED])
def test_the_mtime_of_a_run_file_is_when_its_wait_began(layout: Layout, value: Run) -> None:
    """Failed attempts do not change the mtime, so commands need not open the file."""
    batch = WriteBatch(layout)
    batch.put_run(replace(value, attempts=3, not_before=5000))
    batch.commit()

    assert waiting_since(value) == layout.mtime(value.directory, value.name)


def test_a_run_file_is_not_readable_for_others(layout: Layout) -> None:
    """The run file contains the job's script, so its mode gives no access to others."""
    batch = WriteBatch(layout)
    batch.put_run(NEW)
    batch.commit()

    assert 0 == (layout.root / "todo" / NEW.name).stat().st_mode & 0o027


def test_a_link_in_tmp_is_not_followed(layout: Layout, tmp_path: Path) -> None:
    """Through the link another file would be overwritten."""
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


def test_a_temporary_file_of_a_process_with_the_same_pid_is_not_reused(layout: Layout) -> None:
    """The old file in `tmp/` is a hard link to a run file, which must not be overwritten."""
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
    """A run in `open/` has the same values after it was written and read."""
    create_file(layout, REPORTED[1])

    assert REPORTED[1] == load_run(layout, Directory.OPEN, REPORTED[1].name)


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
def test_an_invalid_run_file_is_rejected(
    layout: Layout, make: Callable[[Path], None], reason: str
) -> None:
    """A directory, a FIFO, a huge or an empty file raises BadFileError with the reason."""
    make(layout.root / "todo" / "5-100.json")
    with pytest.raises(BadFileError, match=reason):
        load_run(layout, Directory.TODO, "5-100.json")


def test_a_missing_run_has_its_own_error(layout: Layout) -> None:
    """`load_run` raises FileNotFoundError for a missing file, not the error of a damaged one."""
    with pytest.raises(FileNotFoundError):
        load_run(layout, Directory.TODO, "5-100.json")


def test_a_run_of_a_later_version_has_its_own_error(layout: Layout) -> None:
    """`load_run` raises NewerFormatError, so that the drain does not touch the file."""
    (layout.root / "todo" / "5-100.json").write_text('{"version": 2}')
    with pytest.raises(NewerFormatError):
        load_run(layout, Directory.TODO, "5-100.json")
