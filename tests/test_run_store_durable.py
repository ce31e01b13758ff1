"""When the run store writes a run to disk, and when an event may be removed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest
from run_store_site import (
    NOW,
    OVER,
    REFUSED,
    START,
    Disk,
    event,
    files,
    later,
    new_loader,
    noted,
    run,
    working_store,
)

from spool.deliver.pending_changes import GROUP_SECONDS, GROUP_SIZE, MAX_STAGED_SECONDS
from spool.deliver.run_loader import RunLoader
from spool.deliver.run_store import RunStore
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


def test_a_staged_run_is_in_memory_and_its_event_stays(layout: Layout, store: RunStore) -> None:
    """A staged run is not on disk; its event protects it until it is delivered or written."""
    entry = store.stage(run(), [event(layout, "e")], NOW)
    store.flush(NOW)

    assert ({"new": ["e"]}, run()) == (files(layout), store.load_run(entry))


def test_an_old_staged_run_is_made_durable_and_its_event_removed(
    layout: Layout, store: RunStore
) -> None:
    """A run that is only in memory is written to disk after 0.5 s; a younger one is not."""
    store.stage(run(1), [event(layout, "e1")], NOW)
    store.stage(run(2), [event(layout, "e2")], later(0.1))
    store.persist_aged(later(MAX_STAGED_SECONDS), everything=False)
    store.flush(NOW)

    assert {"new": ["e2"], "todo": [f"1-{START}.json"]} == files(layout)
    assert {"e1"} == store.take_removed_events()
    assert set() == store.take_removed_events()


def test_a_run_that_is_staged_again_keeps_its_age(layout: Layout, store: RunStore) -> None:
    """A run with ever new events must not stay only in memory for longer than 0.5 s."""
    store.stage(run(), [event(layout, "e1")], NOW)
    store.stage(run(), [event(layout, "e2")], later(MAX_STAGED_SECONDS))
    store.persist_aged(later(MAX_STAGED_SECONDS), everything=False)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)


def test_all_staged_runs_are_made_durable_while_cc_backend_is_unhealthy(
    layout: Layout, store: RunStore
) -> None:
    """Even the youngest run in memory is written to disk, because its delivery may take long."""
    store.stage(run(), [event(layout, "e")], NOW)
    store.persist_aged(NOW, everything=True)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)


def test_an_event_stays_until_all_its_runs_are_durable(layout: Layout, store: RunStore) -> None:
    """One event belongs to two runs; only one of them is on disk."""
    event(layout, "e")
    first = store.stage(run(1), ["e"], NOW)
    store.stage(run(2), ["e"], NOW)
    store.persist(first, run(1), NOW)
    store.drop_events(["e"], NOW)
    store.flush(NOW)

    assert {"new": ["e"], "todo": [f"1-{START}.json"]} == files(layout)


def test_an_event_that_needs_no_action_stays_until_its_jobs_run_is_durable(
    layout: Layout, store: RunStore
) -> None:
    """Accounting showed the run before its event came; a crash must not lose the run."""
    entry = store.stage(run(1), [], NOW)
    store.drop_events([event(layout, "e")], NOW, job_id=1)
    store.flush(NOW)
    assert {"new": ["e"]} == files(layout)
    store.persist(entry, run(1), NOW)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)


def test_the_end_of_an_unwritten_run_is_written_with_its_start(
    layout: Layout, store: RunStore
) -> None:
    """The run ends before its start is on disk; one file has both."""
    entry = store.stage(run(), [event(layout, "e1")], NOW)
    store.persist(entry, run(started=START, cluster="lab"), NOW)
    store.stage(run(started=START, cluster="lab", end=OVER), [event(layout, "e2")], NOW)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)
    assert OVER == load_run(layout, Directory.TODO, f"1-{START}.json").end


def test_changes_are_written_after_200_ms_or_200_changes(layout: Layout, store: RunStore) -> None:
    """The store collects the changes of files, and writes them in groups."""
    assert not store.is_due(NOW)
    store.drop_events([event(layout, "e0")], NOW)
    assert not store.is_due(later(GROUP_SECONDS - 0.01))
    assert store.is_due(later(GROUP_SECONDS + 0.01))
    store.drop_events([event(layout, f"e{i}") for i in range(GROUP_SIZE)], NOW)
    assert store.is_due(NOW)
    store.flush(NOW)

    assert ({}, False) == (files(layout), store.is_due(later(9)))


def test_a_full_disk_loses_no_run(layout: Layout, store: RunStore) -> None:
    """The write fails and the event stays; the next flush writes the run."""
    entry = store.stage(run(), [event(layout, "e")], NOW)
    store.persist(entry, run(), NOW)
    Disk.put_error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        store.flush(NOW)
    assert {"new": ["e"]} == files(layout)
    Disk.put_error = None
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_delays_no_removal_of_a_delivered_run(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Delivered runs occupy the space that another run needs."""
    for name in ("e1", "e2", "both"):
        event(layout, name)
    noted(layout, store, run(1, started=START, end=OVER))
    done = store.stage(run(1, started=START, end=OVER), ["e1", "both"], NOW)
    store.complete(done, run(1, started=START, end=OVER), NOW)
    store.persist(store.stage(run(2), ["both"], NOW), run(2), NOW)
    store.drop_events(["e2"], NOW, job_id=2)
    with monkeypatch.context() as full:
        full.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space"):
            store.flush(NOW)

    assert {"new": ["both", "e2"]} == files(layout)
    assert {"e1"} == store.take_removed_events()
    store.flush(NOW)
    assert {"todo": [f"2-{START}.json"]} == files(layout)


def test_a_full_disk_keeps_the_event_of_a_rejected_run(layout: Layout, store: RunStore) -> None:
    """The dead letter of the run cannot be written."""
    entry = store.stage(run(), [event(layout, "e")], NOW)
    store.move_to_dead(entry, run(), REFUSED, NOW)
    Disk.put_error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        store.flush(NOW)

    assert {"new": ["e"]} == files(layout)


def fail(*_: object) -> None:
    """Fail as on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_with_little_space_the_script_is_omitted(layout: Layout, store: RunStore) -> None:
    """On an almost full disk the run is stored without script and description."""
    large = run(script="#!/bin/sh\n", description="JobId=1")
    store.persist(store.stage(large, [], NOW), large, NOW)
    store.flush(NOW, without_texts=True)

    assert run() == load_run(layout, Directory.TODO, f"1-{START}.json")


def test_the_store_knows_when_it_must_write_next(store: RunStore) -> None:
    """The time is 0.5 s after a run was staged, 0.2 s after a change was collected, or None."""
    assert None is store.next_time()
    entry = store.stage(run(), [], NOW)
    assert NOW.steady + MAX_STAGED_SECONDS == store.next_time()
    store.persist(entry, run(), later(0.1))

    assert later(0.1 + GROUP_SECONDS).steady == store.next_time()
