"""The runs in memory and on disk: what is durable when, and when an event may go."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from slurm.job import Job
from spool.deliver.run_store import (
    GROUP_SECONDS,
    GROUP_SIZE,
    MAX_REMEMBERED_JOBS,
    MAX_STAGED_SECONDS,
    RunStore,
)
from spool.deliver.schedule import Schedule, schedule_entry
from spool.errors import BadFileError
from spool.files import codec
from spool.files.archive import DeliveredArchive
from spool.files.durable_files import WriteBatch, load_run
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource, LastError, Run

NOW = 1_767_225_600.0
START = int(NOW) - 100
OVER = End(time=START + 50, state="COMPLETED", source=EndSource.CONTROLLER)
REFUSED = LastError(time=START, call="start", outcome="rejected", reason="bad", message="no")


class Disk(WriteBatch):
    """A disk that fails at a write or at a commit if told to."""

    put_error: ClassVar[OSError | None] = None

    def put(
        self, directory: Directory, name: str, contents: bytes, *, mtime: float | None = None
    ) -> None:
        """Fail, or write."""
        if Disk.put_error is not None:
            raise Disk.put_error
        super().put(directory, name, contents, mtime=mtime)


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """Return an empty spool."""
    for directory in Directory:
        (tmp_path / directory).mkdir()
    with Layout(tmp_path) as made:
        yield made


@pytest.fixture
def store(layout: Layout, tmp_path: Path) -> Iterator[RunStore]:
    """Return an empty store on a disk that works."""
    Disk.put_error = None
    yield RunStore(
        layout, Schedule(), DeliveredArchive(tmp_path / "delivered", keep_days=3), new_batch=Disk
    )
    Disk.put_error = None


def run(job_id: int = 1, **facts: object) -> Run:
    """Return a run."""
    made = Run(job=Job(job_id=job_id, nodes=("n1",)), start_time=START)
    return replace(made, **facts)  # type: ignore[arg-type]


def event(layout: Layout, name: str) -> str:
    """Put an event into `new/`."""
    (layout.root / "new" / name).touch()
    return name


def files(layout: Layout) -> dict[str, list[str]]:
    """Return what lies where, without empty directories."""
    names = {d.value: sorted(layout.names(d)) for d in Directory}
    return {directory: found for directory, found in names.items() if found}


def test_a_soft_run_lies_in_memory_and_its_event_stays(layout: Layout, store: RunStore) -> None:
    """Until it is told or gets old."""
    entry = store.stage(run(), [event(layout, "e")], NOW)
    store.flush()

    assert ({"new": ["e"]}, run()) == (files(layout), store.load_run(entry))


def test_an_old_soft_run_is_made_durable_and_its_event_goes(
    layout: Layout, store: RunStore
) -> None:
    """Not a younger one."""
    store.stage(run(1), [event(layout, "e1")], NOW)
    store.stage(run(2), [event(layout, "e2")], NOW + 0.1)
    store.persist_aged(NOW + MAX_STAGED_SECONDS, everything=False)
    store.flush()

    assert {"new": ["e2"], "todo": [f"1-{START}.json"]} == files(layout)
    assert {"e1"} == store.take_removed_events()
    assert set() == store.take_removed_events()


def test_a_soft_run_that_is_told_of_again_keeps_its_age(layout: Layout, store: RunStore) -> None:
    """It cannot stay soft for ever."""
    store.stage(run(), [event(layout, "e1")], NOW)
    store.stage(run(), [event(layout, "e2")], NOW + MAX_STAGED_SECONDS)
    store.persist_aged(NOW + MAX_STAGED_SECONDS, everything=False)
    store.flush()

    assert {"todo": [f"1-{START}.json"]} == files(layout)


def test_all_soft_runs_are_made_durable_when_cc_backend_is_not_well(
    layout: Layout, store: RunStore
) -> None:
    """However young."""
    store.stage(run(), [event(layout, "e")], NOW)
    store.persist_aged(NOW, everything=True)
    store.flush()

    assert {"todo": [f"1-{START}.json"]} == files(layout)


def test_an_event_stays_while_a_run_that_it_told_of_is_soft(
    layout: Layout, store: RunStore
) -> None:
    """It told of two; one of them is durable."""
    event(layout, "e")
    first = store.stage(run(1), ["e"], NOW)
    store.stage(run(2), ["e"], NOW)
    store.persist(first, run(1), NOW)
    store.drop_events(["e"], NOW)
    store.flush()

    assert {"new": ["e"], "todo": [f"1-{START}.json"]} == files(layout)


def test_a_delivered_run_leaves_the_spool_and_is_archived(
    layout: Layout, store: RunStore, tmp_path: Path
) -> None:
    """It is remembered for its late events."""
    done = run(started=START, end=OVER)
    entry = store.stage(done, [event(layout, "e")], NOW)
    store.persist(entry, done, NOW)
    store.flush()
    store.complete(entry, done, NOW)
    store.flush()
    (archived,) = (tmp_path / "delivered").iterdir()

    assert ({}, codec.encode(done)) == (files(layout), archived.read_bytes())
    assert [(START, OVER.time, True)] == [
        (t.start_time, t.end, t.started) for t in store.tracked(1)
    ]
    assert store.is_being_removed(entry.name) is False


def test_a_run_that_is_not_reported_is_not_archived(
    layout: Layout, store: RunStore, tmp_path: Path
) -> None:
    """Nothing of it was told."""
    kept = run(reported=False, end=OVER)
    store.complete(store.stage(kept, [event(layout, "e")], NOW), kept, NOW)
    store.flush()

    assert ({}, False, ()) == (files(layout), (tmp_path / "delivered").exists(), store.tracked(1))


def test_what_was_delivered_long_ago_is_forgotten(store: RunStore) -> None:
    """Memory has a limit."""
    done = run(started=START, end=OVER)
    for job_id in range(1, MAX_REMEMBERED_JOBS + 2):
        each = replace(done, job=Job(job_id=job_id))
        store.complete(schedule_entry(each, None), replace(each, reported=True), NOW)

    assert ((), 1) == (store.tracked(1), len(store.tracked(2)))


def test_a_run_that_is_told_of_again_does_not_leave(layout: Layout, store: RunStore) -> None:
    """It was delivered, and its file not yet removed."""
    done = run(started=START, end=OVER)
    entry = store.stage(done, [event(layout, "e1")], NOW)
    store.complete(entry, done, NOW)
    assert store.is_being_removed(entry.name)
    again = store.stage(run(), [event(layout, "e2")], NOW)
    assert {"e1", "e2"} == again.events
    store.persist(again, run(), NOW)
    store.flush()

    assert {"todo": [f"1-{START}.json"]} == files(layout)
    assert 1 == len(store.tracked(1))


def test_a_run_that_waits_for_its_group_takes_in_what_is_new(
    layout: Layout, store: RunStore
) -> None:
    """Its end is written with its start."""
    entry = store.stage(run(), [event(layout, "e1")], NOW)
    store.persist(entry, run(started=START, cluster="lab"), NOW)
    store.stage(run(started=START, cluster="lab", end=OVER), [event(layout, "e2")], NOW)
    store.flush()

    assert {"todo": [f"1-{START}.json"]} == files(layout)
    assert OVER == load_run(layout, Directory.TODO, f"1-{START}.json").end


def test_a_refused_run_is_buried(layout: Layout, store: RunStore) -> None:
    """Its events go with it."""
    entry = store.stage(run(), [event(layout, "e")], NOW)
    store.move_to_dead(entry, run(), REFUSED, NOW)
    assert store.is_being_removed(entry.name)
    store.flush()

    assert {"dead": [f"1-{START}.json"]} == files(layout)
    assert REFUSED == load_run(layout, Directory.DEAD, f"1-{START}.json").last_error


def test_a_group_is_due_when_it_is_old_or_large(layout: Layout, store: RunStore) -> None:
    """What follows an accepted request is written in groups."""
    assert not store.is_due(NOW)
    store.drop_events([event(layout, "e0")], NOW)
    assert not store.is_due(NOW + GROUP_SECONDS - 0.01)
    assert store.is_due(NOW + GROUP_SECONDS)
    store.drop_events([event(layout, f"e{i}") for i in range(GROUP_SIZE)], NOW)
    assert store.is_due(NOW)
    store.flush()

    assert ({}, False) == (files(layout), store.is_due(NOW + 9))


def test_a_disk_that_takes_nothing_loses_nothing(layout: Layout, store: RunStore) -> None:
    """The next flush does all of it."""
    entry = store.stage(run(), [event(layout, "e")], NOW)
    store.persist(entry, run(), NOW)
    Disk.put_error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        store.flush()
    assert {"new": ["e"]} == files(layout)
    Disk.put_error = None
    store.flush()

    assert {"todo": [f"1-{START}.json"]} == files(layout)


def test_with_little_space_texts_are_left_out(layout: Layout, store: RunStore) -> None:
    """The run itself is kept."""
    large = run(script="#!/bin/sh\n", description="JobId=1")
    store.persist(store.stage(large, [], NOW), large, NOW)
    store.flush(without_texts=True)

    assert run() == load_run(layout, Directory.TODO, f"1-{START}.json")


def test_a_stored_run_is_read_from_its_file(layout: Layout, store: RunStore) -> None:
    """One that is damaged says so."""
    store.persist(store.stage(run(), [], NOW), run(), NOW)
    store.flush()
    (entry,) = store.schedule

    assert (None, run()) == (entry.run, store.load_run(entry))
    (layout.root / "todo" / entry.name).write_text("{")
    with pytest.raises(BadFileError):
        store.load_run(entry)


def test_a_hard_run_without_facts_in_memory_is_not_written(layout: Layout, store: RunStore) -> None:
    """Its file is as it was."""
    store.persist(store.stage(run(), [], NOW), run(), NOW)
    (entry,) = store.schedule
    entry.run = None
    store.flush()

    assert ({}, None) == (files(layout), entry.stored)
