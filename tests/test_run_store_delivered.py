"""What the run store does with delivered and rejected runs, and what it remembers of them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from run_store_site import (
    NOW,
    OVER,
    REFUSED,
    START,
    event,
    files,
    later,
    new_loader,
    new_store,
    noted,
    put,
    run,
    working_store,
)

from slurm.job import Job
from spool.deliver.delivered_runs import MAX_REMEMBERED_JOBS
from spool.deliver.pending_changes import GROUP_SECONDS
from spool.deliver.pending_run import pending_run
from spool.deliver.run_loader import RunLoader
from spool.deliver.run_store import RunStore
from spool.files import codec
from spool.files.codec import load_run
from spool.files.layout import Directory, Layout


@pytest.fixture
def loader(layout: Layout) -> RunLoader:
    """Return the store's loader."""
    return new_loader(layout)


@pytest.fixture
def store(layout: Layout, loader: RunLoader) -> Iterator[RunStore]:
    """Return an empty store on a disk without faults."""
    with working_store(layout, loader) as made:
        yield made


def test_a_delivered_run_is_removed_from_the_spool_and_archived(
    layout: Layout, store: RunStore, tmp_path: Path
) -> None:
    """The store remembers it for its late events."""
    done = run(started=START, end=OVER)
    entry = store.stage(done, [event(layout, "e")], NOW)
    store.persist(entry, done, NOW)
    store.flush(NOW)
    store.complete(entry, done, NOW)
    store.flush(NOW)
    (archived,) = (tmp_path / "delivered").iterdir()

    assert ({}, codec.encode(done)) == (files(layout), archived.read_bytes())
    assert [(START, OVER.time, True)] == [
        (t.start_time, t.end, t.started) for t in store.tracked(1, NOW)
    ]
    assert not store.knows(entry.name)


def test_an_excluded_run_is_not_archived(layout: Layout, store: RunStore, tmp_path: Path) -> None:
    """Nothing of it was delivered."""
    kept = run(reported=False, end=OVER)
    store.complete(store.stage(kept, [event(layout, "e")], NOW), kept, NOW)
    store.flush(NOW)

    assert ({}, False, ()) == (
        files(layout),
        (tmp_path / "delivered").exists(),
        store.tracked(1, NOW),
    )


def test_what_was_delivered_long_ago_is_forgotten(store: RunStore) -> None:
    """The number of remembered jobs has a limit."""
    done = run(started=START, end=OVER)
    for job_id in range(1, MAX_REMEMBERED_JOBS + 2):
        each = replace(done, job=Job(job_id=job_id))
        store.complete(pending_run(each, None, NOW), each, NOW)

    assert ((), 1) == (store.tracked(1, NOW), len(store.tracked(2, NOW)))


def test_a_run_that_is_staged_again_is_not_removed(layout: Layout, store: RunStore) -> None:
    """It was delivered, and its file is not removed yet."""
    done = run(started=START, end=OVER)
    entry = store.stage(done, [event(layout, "e1")], NOW)
    store.complete(entry, done, NOW)
    assert store.knows(entry.name)
    again = store.stage(run(), [event(layout, "e2")], NOW)
    assert {"e1", "e2"} == again.events
    store.persist(again, run(), NOW)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)
    assert 1 == len(store.tracked(1, NOW))


def test_a_rejected_run_is_moved_to_dead(layout: Layout, store: RunStore) -> None:
    """Its events are removed."""
    entry = store.stage(run(), [event(layout, "e")], NOW)
    store.move_to_dead(entry, run(), REFUSED, NOW)
    assert store.knows(entry.name)
    store.flush(NOW)

    assert {"dead": [f"1-{START}.json"]} == files(layout)
    assert REFUSED == load_run(layout, Directory.DEAD, f"1-{START}.json").last_error


def test_a_rejected_run_that_is_staged_again_is_not_moved_to_dead(
    layout: Layout, store: RunStore
) -> None:
    """A new event comes before the group is written: the file in `todo/` must not be removed."""
    entry = store.stage(run(), [event(layout, "e1")], NOW)
    store.move_to_dead(entry, run(), REFUSED, NOW)
    again = store.stage(run(), [event(layout, "e2")], NOW)
    store.persist(again, run(), NOW)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)


DONE = run(started=START, end=OVER)


def test_the_dead_letter_of_a_delivered_run_is_removed(layout: Layout, store: RunStore) -> None:
    """Its start was rejected; the event of its epilog led to a new start, which was accepted."""
    put(layout, run(last_error=REFUSED), Directory.DEAD)
    store.complete(store.stage(DONE, [], NOW), DONE, NOW)
    store.flush(NOW)

    assert {} == files(layout)


def test_the_dead_letter_of_a_delivered_run_stays_during_a_command(
    layout: Layout, store: RunStore
) -> None:
    """The command may be about to requeue it."""
    put(layout, run(last_error=REFUSED), Directory.DEAD)
    store.complete(store.stage(DONE, [], NOW), DONE, NOW)
    with Layout(layout.root) as command, command.lock(Directory.DEAD, wait=True):
        store.flush(NOW)
        assert {"dead": [DONE.name]} == files(layout)
    assert store.is_due(later(GROUP_SECONDS + 0.01))
    store.flush(NOW)

    assert ({}, False) == (files(layout), store.is_due(later(9)))


def test_the_dead_letter_of_an_excluded_run_stays(layout: Layout, store: RunStore) -> None:
    """Nothing of it was delivered."""
    put(layout, run(last_error=REFUSED), Directory.DEAD)
    excluded = run(end=OVER, reported=False)
    store.complete(store.stage(excluded, [], NOW), excluded, NOW)
    store.flush(NOW)

    assert {"dead": [excluded.name]} == files(layout)


def test_a_dead_letter_that_cannot_be_accessed_stays(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error delays no delivery."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    put(layout, run(last_error=REFUSED), Directory.DEAD)
    store.complete(store.stage(DONE, [event(layout, "e")], NOW), DONE, NOW)
    monkeypatch.setattr(layout, "exists", fail)
    store.flush(NOW)

    assert {"dead": [DONE.name]} == files(layout)


def test_a_delivered_run_that_is_rejected_before_its_group_stays_dead(
    layout: Layout, store: RunStore
) -> None:
    """The store does not remove its new dead letter as an obsolete one."""
    store.complete(store.stage(DONE, [], NOW), DONE, NOW)
    store.move_to_dead(store.stage(run(), [], NOW), run(), REFUSED, NOW)
    store.flush(NOW)

    assert {"dead": [DONE.name]} == files(layout)


def test_runs_delivered_before_a_restart_are_remembered(
    layout: Layout, store: RunStore, loader: RunLoader
) -> None:
    """Accounting may still show such a run beside a later one."""
    done = run(started=START, end=OVER)
    store.complete(store.stage(done, [], NOW), done, NOW)
    store.flush(NOW)

    (known,) = new_store(layout, loader).tracked(1, NOW)
    assert (START, OVER.time) == (known.start_time, known.end)


def test_a_delivered_run_that_is_added_again_counts_once(layout: Layout, store: RunStore) -> None:
    """An administrator has it delivered again."""
    done = run(started=START, end=OVER)
    store.complete(store.stage(done, [], NOW), done, NOW)
    store.flush(NOW)
    noted(layout, store, run(1))

    (known,) = store.tracked(1, NOW)
    assert (None, False) == (known.end, known.started)
