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
    """The store remembers the run, because further events of it may come late."""
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
    """No request was sent for the excluded run; its event is removed when the run has ended."""
    kept = run(reported=False, end=OVER)
    store.complete(store.stage(kept, [event(layout, "e")], NOW), kept, NOW)
    store.flush(NOW)

    assert ({}, False, ()) == (
        files(layout),
        (tmp_path / "delivered").exists(),
        store.tracked(1, NOW),
    )


def test_the_oldest_delivered_job_is_forgotten(store: RunStore) -> None:
    """The store remembers the delivered runs of at most 10000 jobs."""
    done = run(started=START, end=OVER)
    for job_id in range(1, MAX_REMEMBERED_JOBS + 2):
        each = replace(done, job=Job(job_id=job_id))
        store.complete(pending_run(each, None, NOW), each, NOW)

    assert ((), 1) == (store.tracked(1, NOW), len(store.tracked(2, NOW)))


def test_a_delivered_run_with_a_new_event_is_not_removed(layout: Layout, store: RunStore) -> None:
    """The event comes after the delivery, before the run file is removed."""
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
    """The dead letter has cc-backend's error, and the event of the run is removed."""
    entry = store.stage(run(), [event(layout, "e")], NOW)
    store.move_to_dead(entry, run(), REFUSED, NOW)
    assert store.knows(entry.name)
    store.flush(NOW)

    assert {"dead": [f"1-{START}.json"]} == files(layout)
    assert REFUSED == load_run(layout, Directory.DEAD, f"1-{START}.json").last_error


def test_a_rejected_run_with_a_new_event_is_not_moved_to_dead(
    layout: Layout, store: RunStore
) -> None:
    """The event comes before the move is written: the file in `todo/` must not be removed."""
    entry = store.stage(run(), [event(layout, "e1")], NOW)
    store.move_to_dead(entry, run(), REFUSED, NOW)
    again = store.stage(run(), [event(layout, "e2")], NOW)
    store.persist(again, run(), NOW)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)


DONE = run(started=START, end=OVER)


def test_the_dead_letter_of_a_delivered_run_is_removed(layout: Layout, store: RunStore) -> None:
    """The first start of the run was rejected; after its epilog a new start was accepted."""
    put(layout, run(last_error=REFUSED), Directory.DEAD)
    store.complete(store.stage(DONE, [], NOW), DONE, NOW)
    store.flush(NOW)

    assert {} == files(layout)


def test_the_dead_letter_of_a_delivered_run_stays_during_a_command(
    layout: Layout, store: RunStore
) -> None:
    """A `cc-spool` command with the lock of `dead/` may be about to requeue the dead letter."""
    put(layout, run(last_error=REFUSED), Directory.DEAD)
    store.complete(store.stage(DONE, [], NOW), DONE, NOW)
    with Layout(layout.root) as command, command.lock(Directory.DEAD, wait=True):
        store.flush(NOW)
        assert {"dead": [DONE.name]} == files(layout)
    assert store.is_due(later(GROUP_SECONDS + 0.01))
    store.flush(NOW)

    assert ({}, False) == (files(layout), store.is_due(later(9)))


def test_the_dead_letter_of_an_excluded_run_stays(layout: Layout, store: RunStore) -> None:
    """The run was not delivered, so that its dead letter is not obsolete."""
    put(layout, run(last_error=REFUSED), Directory.DEAD)
    excluded = run(end=OVER, reported=False)
    store.complete(store.stage(excluded, [], NOW), excluded, NOW)
    store.flush(NOW)

    assert {"dead": [excluded.name]} == files(layout)


def test_a_dead_letter_that_cannot_be_accessed_stays(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An I/O error at the dead letter of a delivered run does not keep the event of the run."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    put(layout, run(last_error=REFUSED), Directory.DEAD)
    store.complete(store.stage(DONE, [event(layout, "e")], NOW), DONE, NOW)
    monkeypatch.setattr(layout, "exists", fail)
    store.flush(NOW)

    assert {"dead": [DONE.name]} == files(layout)


def test_a_run_delivered_and_then_rejected_stays_a_dead_letter(
    layout: Layout, store: RunStore
) -> None:
    """Both changes are written together; the new dead letter must not be removed as obsolete."""
    store.complete(store.stage(DONE, [], NOW), DONE, NOW)
    store.move_to_dead(store.stage(run(), [], NOW), run(), REFUSED, NOW)
    store.flush(NOW)

    assert {"dead": [DONE.name]} == files(layout)


def test_runs_delivered_before_a_restart_are_remembered(
    layout: Layout, store: RunStore, loader: RunLoader
) -> None:
    """Accounting may still show such a run, which must not be taken for a new one."""
    done = run(started=START, end=OVER)
    store.complete(store.stage(done, [], NOW), done, NOW)
    store.flush(NOW)

    (known,) = new_store(layout, loader).tracked(1, NOW)
    assert (START, OVER.time) == (known.start_time, known.end)


def test_a_delivered_run_that_is_added_again_counts_once(layout: Layout, store: RunStore) -> None:
    """The delivery was requested again: the store has one run, not started and not ended."""
    done = run(started=START, end=OVER)
    store.complete(store.stage(done, [], NOW), done, NOW)
    store.flush(NOW)
    noted(layout, store, run(1))

    (known,) = store.tracked(1, NOW)
    assert (None, False) == (known.end, known.started)
