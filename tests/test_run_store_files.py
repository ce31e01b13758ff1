"""Run files that mark excluded runs, are damaged, unreadable, or moved by another program."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest
from run_store_site import (
    NOW,
    OVER,
    START,
    files,
    later,
    loaded,
    new_loader,
    noted,
    put,
    run,
    working_store,
)

from spool.deliver.pending_run import RequestKind
from spool.deliver.run_loader import READ_AGAIN_SECONDS, RunLoader
from spool.deliver.run_store import RunStore
from spool.errors import BadFileError
from spool.files.codec import load_run
from spool.files.layout import Directory, Layout
from spool.files.run import End


@pytest.fixture
def loader(layout: Layout) -> RunLoader:
    """Return the store's loader."""
    return new_loader(layout)


@pytest.fixture
def store(layout: Layout, loader: RunLoader) -> Iterator[RunStore]:
    """Return an empty store on a disk without faults."""
    with working_store(layout, loader) as made:
        yield made


def test_a_stored_run_is_read_from_its_file(layout: Layout, store: RunStore) -> None:
    """Facts of a stored run do not stay in memory; a damaged file raises BadFileError."""
    store.persist(store.stage(run(), [], NOW), run(), NOW)
    store.flush(NOW)
    (entry,) = store.schedule

    assert (None, run()) == (entry.run, store.load_run(entry))
    (layout.root / "todo" / entry.name).write_text("{")
    with pytest.raises(BadFileError):
        store.load_run(entry)


def test_the_file_of_an_excluded_run_is_moved_to_open(layout: Layout, store: RunStore) -> None:
    """`cc-spool discard` leaves the file in `todo/` for the drain, which holds the lock."""
    mark = run(reported=False, started=START)
    put(layout, mark, Directory.TODO)
    store.add_file(Directory.TODO, mark.name)
    store.load_more(NOW)
    store.flush(NOW)

    assert {"open": [mark.name]} == files(layout)


def test_the_file_of_an_ended_excluded_run_is_removed(layout: Layout, store: RunStore) -> None:
    """No request is to be sent for the run, and it is not archived."""
    mark = run(reported=False, end=OVER)
    put(layout, mark, Directory.TODO)
    store.add_file(Directory.TODO, mark.name)
    store.load_more(NOW)
    store.flush(NOW)

    assert ({}, False) == (files(layout), (layout.root / "delivered").exists())


def test_an_ended_run_in_open_is_still_delivered(layout: Layout, store: RunStore) -> None:
    """An administrator moved the run file to `open/` by hand before the stop was sent."""
    over = run(started=START, end=OVER)
    put(layout, over, Directory.OPEN)
    store.add_file(Directory.OPEN, over.name)

    (entry,) = store.lane(1, NOW)
    store.flush(NOW)

    assert RequestKind.STOP is entry.next_request
    assert {"todo": [over.name]} == files(layout)


def test_an_unreadable_run_in_open_counts_as_started(layout: Layout, store: RunStore) -> None:
    """The run must not be taken for a new run, whose start would be sent again."""
    noted(layout, store, run(1))
    with pytest.MonkeyPatch.context() as patched:
        break_reading(layout, patched)
        store.load_more(NOW)

    (known,) = store.tracked(1, NOW)
    assert (START, None, True) == (known.start_time, known.end, known.started)
    assert () == store.tracked(2, NOW)


@pytest.mark.parametrize("directory", [Directory.TODO, Directory.OPEN])
def test_an_unreadable_run_file_is_read_again_after_a_minute(
    layout: Layout, store: RunStore, directory: Directory
) -> None:
    """The file is in `todo/` or `open/`; the read fails only for a while."""
    noted(layout, store, run(1, started=None if directory is Directory.TODO else START))
    with pytest.MonkeyPatch.context() as patched:
        break_reading(layout, patched)
        store.lane(1, NOW)
    store.load_more(later(READ_AGAIN_SECONDS - 0.1))
    assert [] == loaded(store)
    store.load_more(later(READ_AGAIN_SECONDS))

    assert [1] == loaded(store)


def test_an_invalid_file_that_cannot_be_moved_to_dead_is_moved_later(
    layout: Layout, store: RunStore, loader: RunLoader, caplog: pytest.LogCaptureFixture
) -> None:
    """The name exists in `dead/`; the move is tried again each minute."""
    (layout.root / "todo" / "odd").mkdir()
    (layout.root / "dead" / "odd").write_text("in the way")
    loader.move_to_dead(Directory.TODO, "odd", "strange", NOW)
    assert () == store.tracked(1, NOW)
    (layout.root / "dead" / "odd").unlink()
    store.load_more(later(READ_AGAIN_SECONDS))

    assert ["odd", "odd.why"] == sorted(layout.names(Directory.DEAD))
    assert "is retried" in caplog.text


def break_reading(layout: Layout, patched: pytest.MonkeyPatch) -> None:
    """Make every read of a file of a spool fail for a while."""

    def fail(*_args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    patched.setattr(layout, "read", fail)


def test_a_run_whose_file_was_removed_is_not_written_again(layout: Layout, store: RunStore) -> None:
    """Another program removed the file, so that the store drops the run's pending change."""
    entry = store.stage(run(), [], NOW)
    store.persist(entry, run(), NOW)
    store.forget(entry, NOW)
    store.flush(NOW)

    assert ({}, [], 0) == (files(layout), loaded(store), len(store))


def test_the_store_recognizes_the_files_of_its_runs_in_todo(
    layout: Layout, store: RunStore
) -> None:
    """Any other file in `todo/` was added by an administrator; the name `odd` is refused."""
    noted(layout, store, run(1), run(2), run(3, started=START))
    store.lane(2, NOW)
    store.lane(3, NOW)
    names = [f"{i}-{START}.json" for i in range(1, 5)]

    assert [True, True, False, False] == [store.knows(name) for name in names]
    assert (False, False) == (store.knows("odd"), store.add_file(Directory.TODO, "odd"))


@pytest.mark.parametrize("stored", [None, Directory.OPEN])
def test_a_file_in_todo_does_not_replace_a_newer_run_in_memory(
    layout: Layout, store: RunStore, stored: Directory | None
) -> None:
    """`retry` or `replay` put an older file there before the run's end is written to disk."""
    if stored:
        noted(layout, store, run(started=START))
        store.lane(1, NOW)
    store.stage(run(started=START, end=OVER), [], NOW)
    put(layout, run(), Directory.TODO)

    assert store.knows(run().name)


@pytest.mark.parametrize("end", [OVER, None])
def test_a_newer_run_in_memory_replaces_a_file_in_todo(
    layout: Layout, store: RunStore, end: End | None
) -> None:
    """The old file does not stay: a running run is only in open/, an ended one only in todo/."""
    newer = run(started=START, end=end)
    store.persist(store.stage(newer, [], NOW), newer, NOW)
    put(layout, run(), Directory.TODO)
    store.flush(NOW)

    assert {newer.directory: [newer.name]} == files(layout)
    assert newer == load_run(layout, newer.directory, newer.name)
