"""What a power cut after any system call leaves of a group of changes."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from itertools import product

import pytest
from durable_batch import KNOWN, NEW, Call, Files, Journal, busy, loss

from spool.files import codec
from spool.files.durable_files import WriteBatch
from spool.files.layout import Directory, Layout


def after_power_cut(
    before: Files, journal: Journal, done: int, *, names: Container[str]
) -> Iterator[Files]:
    """Yield every possible state of some files if the power fails after a number of calls.

    A file that was not fsynced may be whole, cut or empty; a rename or removal whose directory was
    not fsynced afterwards may be undone, each independently. So the states of the files of one run
    are enough to check this run; the states of the whole disk are not needed.
    """
    calls = journal.calls[:done]
    durable = {call.name for call in calls if call.verb == "fsync" and call.name}
    changes = [
        (call, Call("fsync", call.directory) in calls[position:])
        for position, call in enumerate(calls)
        if call.verb != "fsync" and call.name in names
    ]
    outcomes = [_outcomes(call, durable, is_safe=is_safe) for call, is_safe in changes]
    for chosen in product(*outcomes):
        disk = {place: contents for place, contents in before.items() if place[1] in names}
        for (call, _), outcome in zip(changes, chosen, strict=True):
            if outcome is None:
                continue
            if call.verb == "unlink":
                disk.pop((call.directory, call.name), None)
            else:
                whole = journal.written[call.source]
                disk[call.directory, call.name] = whole[: int(len(whole) * outcome)]
        yield disk


def _outcomes(call: Call, durable: set[str], *, is_safe: bool) -> list[float | None]:
    """Return the possible outcomes of a change: None if undone, else the share of the contents."""
    outcomes: list[float | None] = [1.0]
    if call.verb == "rename" and call.source not in durable:
        outcomes += [0.5, 0.0]
    return outcomes if is_safe else [*outcomes, None]


class RemovesFirst(WriteBatch):
    """A deliberately broken batch that removes old files before their replacements are safe."""

    def commit(self) -> None:
        """Remove files, then write files."""
        written, self._written = self._written, []
        super().commit()
        self._written = written
        super().commit()


class NeverSyncsFiles(WriteBatch):
    """A deliberately broken batch: contents may reach the disk after names."""

    def _fsync_open(self) -> None:
        opened, self._open = self._open, []
        for fd in opened:
            os.close(fd)


class NeverSyncsDirectories(WriteBatch):
    """A deliberately broken batch: names may reach the disk after removals."""

    def commit(self) -> None:
        """Commit without the fsync of directories."""
        removed, self._removed = self._removed, []
        self._fsync_open()
        for directory, name in self._written:
            self._move_from_tmp(directory, name)
        self._written, self._removed = [], removed
        super().commit()


def lost_by(layout: Layout, new_batch: type[WriteBatch]) -> set[str]:
    """Return what a batch can lose in a power cut after any of its calls."""
    journal = Journal(layout)
    batch = new_batch(layout, journal)
    before = busy(layout, batch)
    batch.commit()
    return {
        words
        for done in range(len(journal.calls) + 1)
        for number, (run_of_it, *_) in KNOWN.items()
        for disk in after_power_cut(before, journal, done, names={run_of_it.name, f"e{number}"})
        if (words := loss(disk, number)) is not None
    }


def test_a_power_cut_at_any_system_call_loses_no_run(layout: Layout) -> None:
    """Each run has a run file in some directory, or its event."""
    assert set() == lost_by(layout, WriteBatch)


@pytest.mark.parametrize("new_batch", [RemovesFirst, NeverSyncsFiles, NeverSyncsDirectories])
def test_a_wrong_order_of_system_calls_is_detected(
    layout: Layout, new_batch: type[WriteBatch]
) -> None:
    """Three deliberately wrong batches lose a run, so the simulated power cut detects faults."""
    assert set() != lost_by(layout, new_batch)


def test_a_committed_run_file_survives_a_power_cut(layout: Layout) -> None:
    """The new run file is in `todo/` in every possible state of the disk after the commit."""
    journal = Journal(layout)
    batch = WriteBatch(layout, journal)
    before = busy(layout, batch)
    batch.commit()
    disks = after_power_cut(before, journal, len(journal.calls), names={NEW.name})

    assert {codec.encode(NEW)} == {disk[Directory.TODO, NEW.name] for disk in disks}
