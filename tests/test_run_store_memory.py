"""Which runs are in memory: which are loaded, and which are unloaded for others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

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
    run,
    working_store,
)

from spool.deliver import run_store
from spool.deliver.pending_run import RequestKind
from spool.deliver.run_loader import RunLoader
from spool.deliver.run_store import LOW_WATER, ROTATE_SECONDS, RunStore
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


def test_no_file_is_written_for_a_run_removed_from_memory(layout: Layout, store: RunStore) -> None:
    """`entry.run` is None when the requested write is done: there is no file in the spool."""
    store.persist(store.stage(run(), [], NOW), run(), NOW)
    (entry,) = store.schedule
    entry.run = None
    store.flush(NOW)

    assert ({}, None) == (files(layout), entry.stored)


def test_a_stored_run_is_read_when_it_is_needed(layout: Layout, store: RunStore) -> None:
    """Only the names of run files are in memory, until a run is requested."""
    noted(layout, store, run(1), run(2), run(3, started=START))
    assert ([], 3) == (loaded(store), len(store))
    one = store.get(2, START, NOW)

    assert one is not None
    assert (Directory.TODO, None, RequestKind.START) == (one.stored, one.run, one.next_request)
    assert ([2], 3) == (loaded(store), len(store))


def test_all_runs_of_a_job_are_loaded_together(layout: Layout, store: RunStore) -> None:
    """The runs come from `todo/` and `open/`, oldest first."""
    noted(layout, store, replace(run(1), start_time=START + 9), run(1, started=START))

    assert [START, START + 9] == [entry.start_time for entry in store.lane(1, NOW)]


def test_runs_in_todo_are_loaded_and_those_in_open_are_not(layout: Layout, store: RunStore) -> None:
    """A run in `open/` has nothing to send."""
    noted(layout, store, run(1), run(2, started=START))
    store.load_more(NOW)

    assert [1] == loaded(store)


def test_at_most_500_sendable_runs_are_loaded(layout: Layout, store: RunStore) -> None:
    """A longer backlog stays on disk; another run is loaded when one is in flight."""
    noted(layout, store, *(run(i) for i in range(1, LOW_WATER + 3)))
    store.load_more(NOW)
    store.load_more(NOW)
    assert LOW_WATER == len(store.schedule)
    assert store.schedule.take_next(NOW.steady, stops=False) is not None
    store.load_more(NOW)

    assert LOW_WATER + 1 == len(store.schedule)


def test_waiting_runs_are_unloaded_for_others(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of loaded runs is limited; a run that waits for minutes is read again later."""
    monkeypatch.setattr(run_store, "MAX_LOADED_RUNS", 2)
    noted(layout, store, run(1), run(2))
    store.load_more(NOW)
    for entry in store.schedule:
        entry.retry_at, entry.waits_for = NOW.steady + 999, "an unknown host"
    noted(layout, store, run(3))
    store.load_more(later(1))
    assert [] == loaded(store)
    store.load_more(later(1))

    assert [1, 2, 3] == loaded(store)


def test_runs_with_nothing_to_send_are_unloaded_for_others(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such runs were loaded, for example, to be compared with Slurm's job list."""
    monkeypatch.setattr(run_store, "MAX_LOADED_RUNS", 2)
    noted(layout, store, run(1, started=START), run(2, started=START), run(3))
    store.lane(1, NOW)
    store.lane(2, NOW)
    store.load_more(later(1))
    store.load_more(later(1))

    assert [3] == loaded(store)


def test_a_run_that_is_not_durable_yet_is_not_unloaded(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the run is older than the facts in memory, which would be lost."""
    monkeypatch.setattr(run_store, "MAX_LOADED_RUNS", 1)
    noted(layout, store, run(1))
    store.load_more(NOW)
    (entry,) = store.schedule
    store.persist(entry, run(1, attempts=1), NOW)
    entry.retry_at, entry.waits_for = NOW.steady + 999, "an unknown host"
    noted(layout, store, run(2))
    store.load_more(later(1))
    over = run(1, attempts=1, end=OVER)
    store.stage(over, [], NOW)
    store.flush(NOW)

    assert over == load_run(layout, Directory.TODO, over.name)


def test_runs_are_unloaded_only_when_others_need_the_room(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other runs wait on disk to be loaded; runs are unloaded for them every 5 s at most."""
    monkeypatch.setattr(run_store, "MAX_LOADED_RUNS", 1)
    noted(layout, store, run(1))
    store.load_more(NOW)
    (entry,) = store.schedule
    entry.waits_for = "an unknown host"
    store.load_more(later(1))
    assert [1] == loaded(store)
    noted(layout, store, run(2))
    store.load_more(later(1))
    assert [] == loaded(store)
    store.load_more(later(1))
    for each in store.schedule:
        each.waits_for = "an unknown host"
    noted(layout, store, run(3))
    store.load_more(later(1 + ROTATE_SECONDS - 0.1))
    assert [1, 2] == loaded(store)
    store.load_more(later(1 + ROTATE_SECONDS))

    assert [] == loaded(store)


def test_a_backlog_is_unloaded_when_it_is_on_disk(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the names of a growing backlog stay in memory."""
    monkeypatch.setattr(run_store, "MAX_LOADED_RUNS", 1)
    for job_id in (1, 2):
        store.persist(store.stage(run(job_id), [], NOW), run(job_id), NOW)
    store.flush(NOW)

    assert ([], 2) == (loaded(store), len(store))
    assert {"todo": [f"1-{START}.json", f"2-{START}.json"]} == files(layout)


@pytest.mark.parametrize(
    ("facts", "is_loaded"),
    [({}, False), ({"in_flight": RequestKind.STOP}, True), ({"texts_until": 1.0}, True)],
)
def test_an_open_run_that_waits_only_for_an_event_is_unloaded(
    store: RunStore, facts: dict[str, object], *, is_loaded: bool
) -> None:
    """A run with a request or a query in progress stays loaded."""
    started = run(started=START)
    entry = store.stage(started, [], NOW)
    for name, value in facts.items():
        setattr(entry, name, value)
    store.persist(entry, started, NOW)
    store.flush(NOW)

    assert (is_loaded, 1) == (bool(loaded(store)), len(store))


def test_a_run_that_is_only_in_memory_cannot_be_unloaded(store: RunStore) -> None:
    """The run has no file yet, so that its facts would be lost."""
    store.unload(store.stage(run(), [], NOW), NOW)

    assert [1] == loaded(store)


@pytest.mark.parametrize("is_loaded", [True, False])
def test_unsent_runs_are_counted(layout: Layout, store: RunStore, *, is_loaded: bool) -> None:
    """Runs on disk count like loaded ones; a running job whose start was accepted does not."""
    noted(layout, store, run(1), run(2, started=START))
    if is_loaded:
        store.lane(1, NOW)

    assert 1 == store.unsent_count()


def test_waiting_job_ids_and_unfinished_runs_are_listed(layout: Layout, store: RunStore) -> None:
    """Runs that are only on disk are listed like loaded ones."""
    noted(layout, store, run(1), run(2), run(3, started=START), run(4, started=START))
    for job_id in (2, 4):
        store.lane(job_id, NOW)
    store.stage(run(5, started=START, end=OVER), [], NOW)

    assert [1, 2, 5] == store.waiting_job_ids()
    assert [(2, START), (3, START), (4, START)] == sorted(store.unfinished())
