"""Groups of changes and of new files: written completely, partly or not at all, and counted."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import Any

import pytest
from durable_batch import CHANGED, ENDED, NEW, POISON, REFUSED, REPORTED, busy, files, run
from real_calls import RealCalls

from spool.files import codec
from spool.files.durable_files import NewFile, WriteBatch, create_files
from spool.files.layout import Directory, Layout


class CountingCalls(RealCalls):
    """System calls that count the files that are open at once."""

    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    fsync = staticmethod(os.fsync)

    def __init__(self) -> None:
        self.opened: set[int] = set()
        self.most = 0

    def open(self, *words: Any, **places: Any) -> int:
        """Open a file."""
        fd = os.open(*words, **places)
        self.opened.add(fd)
        self.most = max(self.most, len(self.opened))
        return fd

    def close(self, fd: int, /) -> None:
        """Close a file."""
        self.opened.discard(fd)
        os.close(fd)


def test_a_group_of_any_size_needs_few_open_files(layout: Layout) -> None:
    """A batch of 1500 runs opens fewer than 512 files at once: a process may open 1024."""
    calls = CountingCalls()
    batch = WriteBatch(layout, calls)
    for number in range(1, 1501):
        batch.put_run(run(number))
    batch.commit()

    assert 1500 == len([*layout.names(Directory.TODO)])
    assert calls.most < 512
    assert not calls.opened


def test_a_commit_writes_the_whole_group(layout: Layout) -> None:
    """Every directory contains the expected run files of the group, and no other file."""
    batch = WriteBatch(layout)
    busy(layout, batch)
    batch.commit()

    assert {
        (Directory.TODO, NEW.name): NEW,
        (Directory.OPEN, REPORTED[1].name): REPORTED[1],
        (Directory.TODO, ENDED[1].name): ENDED[1],
        (Directory.DEAD, POISON.name): replace(POISON, last_error=REFUSED),
        (Directory.TODO, CHANGED[1].name): CHANGED[1],
    } == {
        (directory, name): codec.decode(name, contents)
        for (directory, name), contents in files(layout).items()
    }


def test_a_write_without_space_leaves_the_group_unchanged(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write fails with `No space left`; the earlier write of the group is still committed."""
    batch = WriteBatch(layout)
    batch.put_run(NEW)

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        with pytest.raises(OSError, match="No space"):
            batch.put(Directory.TODO, "other", b"contents")
    batch.commit()

    assert {(Directory.TODO, NEW.name): codec.encode(NEW)} == files(layout)


def test_partial_writes_are_completed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """One system call may write only a part of the contents."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    batch = WriteBatch(layout)
    batch.put(Directory.TODO, "a", b"0123456789")
    batch.commit()

    assert {(Directory.TODO, "a"): b"0123456789"} == files(layout)


def test_creating_files_returns_the_names_that_exist_already(layout: Layout) -> None:
    """`create_files` creates the others; no file is replaced and none is left in `tmp/`."""
    files_before = {(Directory.TODO, "b"): b"old"}
    (layout.root / "todo" / "b").write_bytes(b"old")
    taken = create_files(
        layout, Directory.TODO, [NewFile(name=n, contents=b"new") for n in ("a", "b", "c")]
    )

    new = {(Directory.TODO, name): b"new" for name in ("a", "c")}
    assert ({"b"}, files_before | new) == (taken, files(layout))


def test_new_files_without_space_leave_no_file(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk not even a part of the first new file is left."""

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(OSError, match="No space"):
        create_files(layout, Directory.TODO, [NewFile(name=n, contents=b"new") for n in ("a", "b")])

    assert {} == files(layout)


def test_a_group_that_is_rolled_back_changes_no_file(layout: Layout) -> None:
    """No temporary file of the group is left in `tmp/`."""
    batch = WriteBatch(layout)
    before = busy(layout, batch)
    batch.rollback()
    batch.commit()

    assert before == files(layout)


def test_a_rollback_accepts_missing_temporary_files(layout: Layout) -> None:
    """Another program may have removed the files of the group in `tmp/`."""
    batch = WriteBatch(layout)
    batch.put_run(NEW)
    for path in (layout.root / "tmp").iterdir():
        path.unlink()
    batch.rollback()

    assert 0 == len(batch)


def test_a_group_counts_its_changes(layout: Layout) -> None:
    """Writes and removals both count."""
    batch = WriteBatch(layout)
    batch.put_run(NEW)
    batch.remove(Directory.NEW, "e1")

    assert 3 == len(batch)


def test_one_run_is_written_into_two_directories(layout: Layout) -> None:
    """A run that was moved to `dead/` arrives again in the same batch; both files are written."""
    batch = WriteBatch(layout)
    batch.put(Directory.DEAD, "a", b"dead")
    batch.put(Directory.TODO, "a", b"live")
    batch.commit()

    assert {(Directory.DEAD, "a"): b"dead", (Directory.TODO, "a"): b"live"} == files(layout)
