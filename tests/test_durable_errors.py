"""An error at any system call of a group of changes loses nothing and leaves nothing behind."""

from __future__ import annotations

import pytest
from durable_batch import Journal, busy, files, losses
from open_files import open_files

from spool.files.durable_files import WriteBatch
from spool.files.layout import Directory, Layout


def calls_of(layout: Layout) -> int:
    """Return how many calls the batch of `busy` makes."""
    journal = Journal(layout)
    batch = WriteBatch(layout, journal)
    busy(layout, batch)
    batch.commit()
    return len(journal.calls)


CALLS = 27  # test_a_write_batch_makes_27_system_calls checks it


def test_a_write_batch_makes_27_system_calls(layout: Layout) -> None:
    """The tests below make each of these system calls of a write batch fail."""
    assert CALLS == calls_of(layout)


@pytest.mark.parametrize("fails_at", range(CALLS))
def test_an_error_at_any_system_call_loses_no_run(layout: Layout, fails_at: int) -> None:
    """Each run still has a run file or its event, as after a crash at this system call."""
    batch = WriteBatch(layout, Journal(layout, fails_at))
    busy(layout, batch)
    with pytest.raises(OSError, match="Input/output"):
        batch.commit()

    assert [] == losses(files(layout))


@pytest.mark.parametrize("fails_at", range(CALLS))
def test_an_error_at_any_system_call_leaves_nothing_open(layout: Layout, fails_at: int) -> None:
    """No file stays in `tmp/`, no descriptor stays open, and the batch is empty."""
    before = open_files(layout.root)
    batch = WriteBatch(layout, Journal(layout, fails_at))
    busy(layout, batch)
    with pytest.raises(OSError, match="Input/output"):
        batch.commit()

    assert ([], 0) == (list(layout.names(Directory.TMP)), len(batch))
    assert before == open_files(layout.root)


@pytest.mark.parametrize("fails_at", range(CALLS))
def test_a_write_batch_can_be_repeated_after_an_error(layout: Layout, fails_at: int) -> None:
    """The same changes in a new batch are written completely."""
    batch = WriteBatch(layout, Journal(layout, fails_at))
    busy(layout, batch)
    with pytest.raises(OSError, match="Input/output"):
        batch.commit()
    again = WriteBatch(layout)
    busy(layout, again)
    again.commit()

    assert 5 == len(files(layout))


def test_no_file_is_removed_when_a_write_fails(layout: Layout) -> None:
    """The first system call of the batch fails: events and old run files stay."""
    batch = WriteBatch(layout, Journal(layout, fails_at=0))
    before = busy(layout, batch)
    with pytest.raises(OSError, match="Input/output"):
        batch.commit()

    assert before == files(layout)
