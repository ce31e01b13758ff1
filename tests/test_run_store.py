"""The runs in memory and on disk: what is durable when, and when an event may go."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from slurm.job import Job
from spool.deliver import run_store
from spool.deliver.delivered_runs import MAX_REMEMBERED_JOBS
from spool.deliver.pending_changes import GROUP_SECONDS, GROUP_SIZE, MAX_STAGED_SECONDS
from spool.deliver.pending_run import RequestKind, pending_run
from spool.deliver.run_loader import READ_AGAIN_SECONDS, RunLoader
from spool.deliver.run_store import LOW_WATER, ROTATE_SECONDS, RunStore
from spool.deliver.schedule import Schedule
from spool.errors import BadFileError
from spool.files import codec
from spool.files.archive import DeliveredArchive
from spool.files.durable_files import WriteBatch, load_run
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource, LastError, Run
from spool.files.state_files import CrashMarker
from spool.moment import Moment

NOON = 1_767_225_600
NOW = Moment(wall=float(NOON), steady=5000.0)
START = NOON - 100
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
def loader(layout: Layout) -> RunLoader:
    """Return the store's loader."""
    return RunLoader(layout, CrashMarker(layout.root / "handling"))


def new_store(layout: Layout, loader: RunLoader) -> RunStore:
    """Return a store as a drain's start makes it."""
    archive = DeliveredArchive(layout.root / "delivered", keep_days=3)
    return RunStore(layout, Schedule(), archive, loader=loader, new_batch=Disk)


@pytest.fixture
def store(layout: Layout, loader: RunLoader) -> Iterator[RunStore]:
    """Return an empty store on a disk that works."""
    Disk.put_error = None
    yield new_store(layout, loader)
    Disk.put_error = None


def later(seconds: float) -> Moment:
    """Return a later moment."""
    return Moment(NOW.wall + seconds, NOW.steady + seconds)


def run(job_id: int = 1, **facts: object) -> Run:
    """Return a run."""
    made = Run(job=Job(job_id=job_id, nodes=("n1",)), start_time=START)
    return replace(made, **facts)  # type: ignore[arg-type]


def event(layout: Layout, name: str) -> str:
    """Put an event into `new/`."""
    (layout.root / "new" / name).touch()
    return name


def put(layout: Layout, made: Run, directory: Directory | None = None) -> Path:
    """Put a run file where it belongs, or elsewhere."""
    path = layout.root / (directory or made.directory) / made.name
    path.write_bytes(codec.encode(made))
    return path


def noted(layout: Layout, store: RunStore, *runs: Run) -> None:
    """Put run files where they belong and let the store know their names."""
    for each in runs:
        put(layout, each)
        assert store.add_file(each.directory, each.name)


def loaded(store: RunStore) -> list[int]:
    """Return the job ids in memory."""
    return sorted(entry.job_id for entry in store.schedule)


def files(layout: Layout) -> dict[str, list[str]]:
    """Return what lies where, without empty directories."""
    names = {d.value: sorted(layout.names(d)) for d in Directory}
    return {directory: found for directory, found in names.items() if found}


def test_a_staged_run_lies_in_memory_and_its_event_stays(layout: Layout, store: RunStore) -> None:
    """Until it is delivered or gets old."""
    entry = store.stage(run(), [event(layout, "e")], NOW)
    store.flush(NOW)

    assert ({"new": ["e"]}, run()) == (files(layout), store.load_run(entry))


def test_an_old_staged_run_is_made_durable_and_its_event_goes(
    layout: Layout, store: RunStore
) -> None:
    """Not a younger one."""
    store.stage(run(1), [event(layout, "e1")], NOW)
    store.stage(run(2), [event(layout, "e2")], later(0.1))
    store.persist_aged(later(MAX_STAGED_SECONDS), everything=False)
    store.flush(NOW)

    assert {"new": ["e2"], "todo": [f"1-{START}.json"]} == files(layout)
    assert {"e1"} == store.take_removed_events()
    assert set() == store.take_removed_events()


def test_a_run_that_is_staged_again_keeps_its_age(layout: Layout, store: RunStore) -> None:
    """It cannot stay in memory for ever."""
    store.stage(run(), [event(layout, "e1")], NOW)
    store.stage(run(), [event(layout, "e2")], later(MAX_STAGED_SECONDS))
    store.persist_aged(later(MAX_STAGED_SECONDS), everything=False)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)


def test_all_staged_runs_are_made_durable_when_cc_backend_is_not_well(
    layout: Layout, store: RunStore
) -> None:
    """However young."""
    store.stage(run(), [event(layout, "e")], NOW)
    store.persist_aged(NOW, everything=True)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)


def test_an_event_stays_while_a_run_that_it_led_to_is_staged(
    layout: Layout, store: RunStore
) -> None:
    """It led to two; one of them is durable."""
    event(layout, "e")
    first = store.stage(run(1), ["e"], NOW)
    store.stage(run(2), ["e"], NOW)
    store.persist(first, run(1), NOW)
    store.drop_events(["e"], NOW)
    store.flush(NOW)

    assert {"new": ["e"], "todo": [f"1-{START}.json"]} == files(layout)


def test_an_event_without_news_stays_while_a_run_of_its_job_is_staged(
    layout: Layout, store: RunStore
) -> None:
    """Accounting has told of the run before its events came; a crash must not lose it."""
    entry = store.stage(run(1), [], NOW)
    store.drop_events([event(layout, "e")], NOW, job_id=1)
    store.flush(NOW)
    assert {"new": ["e"]} == files(layout)
    store.persist(entry, run(1), NOW)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)


def test_a_delivered_run_leaves_the_spool_and_is_archived(
    layout: Layout, store: RunStore, tmp_path: Path
) -> None:
    """It is remembered for its late events."""
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


def test_a_run_that_is_not_reported_is_not_archived(
    layout: Layout, store: RunStore, tmp_path: Path
) -> None:
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
    """Memory has a limit."""
    done = run(started=START, end=OVER)
    for job_id in range(1, MAX_REMEMBERED_JOBS + 2):
        each = replace(done, job=Job(job_id=job_id))
        store.complete(pending_run(each, None, NOW), each, NOW)

    assert ((), 1) == (store.tracked(1, NOW), len(store.tracked(2, NOW)))


def test_a_run_that_is_staged_again_does_not_leave(layout: Layout, store: RunStore) -> None:
    """It was delivered, and its file not yet removed."""
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


def test_a_run_that_waits_for_its_group_takes_in_what_is_new(
    layout: Layout, store: RunStore
) -> None:
    """Its end is written with its start."""
    entry = store.stage(run(), [event(layout, "e1")], NOW)
    store.persist(entry, run(started=START, cluster="lab"), NOW)
    store.stage(run(started=START, cluster="lab", end=OVER), [event(layout, "e2")], NOW)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)
    assert OVER == load_run(layout, Directory.TODO, f"1-{START}.json").end


def test_a_refused_run_goes_to_dead(layout: Layout, store: RunStore) -> None:
    """Its events go with it."""
    entry = store.stage(run(), [event(layout, "e")], NOW)
    store.move_to_dead(entry, run(), REFUSED, NOW)
    assert store.knows(entry.name)
    store.flush(NOW)

    assert {"dead": [f"1-{START}.json"]} == files(layout)
    assert REFUSED == load_run(layout, Directory.DEAD, f"1-{START}.json").last_error


def test_a_group_is_due_when_it_is_old_or_large(layout: Layout, store: RunStore) -> None:
    """What follows an accepted request is written in groups."""
    assert not store.is_due(NOW)
    store.drop_events([event(layout, "e0")], NOW)
    assert not store.is_due(later(GROUP_SECONDS - 0.01))
    assert store.is_due(later(GROUP_SECONDS + 0.01))
    store.drop_events([event(layout, f"e{i}") for i in range(GROUP_SIZE)], NOW)
    assert store.is_due(NOW)
    store.flush(NOW)

    assert ({}, False) == (files(layout), store.is_due(later(9)))


def test_a_disk_that_takes_nothing_loses_nothing(layout: Layout, store: RunStore) -> None:
    """The next flush does all of it."""
    entry = store.stage(run(), [event(layout, "e")], NOW)
    store.persist(entry, run(), NOW)
    Disk.put_error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        store.flush(NOW)
    assert {"new": ["e"]} == files(layout)
    Disk.put_error = None
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)


def test_with_little_space_texts_are_left_out(layout: Layout, store: RunStore) -> None:
    """The run itself is kept."""
    large = run(script="#!/bin/sh\n", description="JobId=1")
    store.persist(store.stage(large, [], NOW), large, NOW)
    store.flush(NOW, without_texts=True)

    assert run() == load_run(layout, Directory.TODO, f"1-{START}.json")


def test_a_stored_run_is_read_from_its_file(layout: Layout, store: RunStore) -> None:
    """One that is damaged says so."""
    store.persist(store.stage(run(), [], NOW), run(), NOW)
    store.flush(NOW)
    (entry,) = store.schedule

    assert (None, run()) == (entry.run, store.load_run(entry))
    (layout.root / "todo" / entry.name).write_text("{")
    with pytest.raises(BadFileError):
        store.load_run(entry)


def test_a_persisted_run_without_facts_in_memory_is_not_written(
    layout: Layout, store: RunStore
) -> None:
    """Its file is as it was."""
    store.persist(store.stage(run(), [], NOW), run(), NOW)
    (entry,) = store.schedule
    entry.run = None
    store.flush(NOW)

    assert ({}, None) == (files(layout), entry.stored)


def test_a_stored_run_is_read_when_it_is_needed(layout: Layout, store: RunStore) -> None:
    """Until then its name is all that is in memory."""
    noted(layout, store, run(1), run(2), run(3, started=START))
    assert ([], 3) == (loaded(store), len(store))
    one = store.get(2, START, NOW)

    assert one is not None
    assert (Directory.TODO, None, RequestKind.START) == (one.stored, one.run, one.next_request)
    assert ([2], 3) == (loaded(store), len(store))


def test_a_lane_is_loaded_whole(layout: Layout, store: RunStore) -> None:
    """From both directories, oldest first."""
    noted(layout, store, replace(run(1), start_time=START + 9), run(1, started=START))

    assert [START, START + 9] == [entry.start_time for entry in store.lane(1, NOW)]


def test_what_waits_is_loaded_and_what_runs_is_not(layout: Layout, store: RunStore) -> None:
    """A run in `open/` has nothing to send."""
    noted(layout, store, run(1), run(2, started=START))
    store.load_more(NOW)

    assert [1] == loaded(store)


def test_no_more_is_loaded_than_can_be_sent_soon(layout: Layout, store: RunStore) -> None:
    """A backlog stays on disk; more comes when there is room."""
    noted(layout, store, *(run(i) for i in range(1, LOW_WATER + 3)))
    store.load_more(NOW)
    store.load_more(NOW)
    assert LOW_WATER == len(store.schedule)
    assert store.schedule.take_next(NOW.steady, stops=False) is not None
    store.load_more(NOW)

    assert LOW_WATER + 1 == len(store.schedule)


def test_waiting_runs_make_room_for_others(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory has a limit; a run that waits long is read again in its turn."""
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


def test_runs_with_nothing_to_send_make_room_for_others(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were loaded to be compared with Slurm's job list."""
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
    """Its file is older than what is known of it."""
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


def test_room_is_made_only_when_somebody_needs_it(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not all the time."""
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


def test_a_crowd_is_unloaded_when_it_is_durable(
    layout: Layout, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only names are kept of a backlog that grows."""
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
def test_an_open_run_that_waits_for_an_event_alone_leaves_the_memory(
    store: RunStore, facts: dict[str, object], *, is_loaded: bool
) -> None:
    """Not one that has a request or a question under way."""
    started = run(started=START)
    entry = store.stage(started, [], NOW)
    for name, value in facts.items():
        setattr(entry, name, value)
    store.persist(entry, started, NOW)
    store.flush(NOW)

    assert (is_loaded, 1) == (bool(loaded(store)), len(store))


def test_a_run_that_is_in_memory_alone_cannot_be_unloaded(store: RunStore) -> None:
    """Its facts would be lost."""
    store.unload(store.stage(run(), [], NOW), NOW)

    assert [1] == loaded(store)


def test_a_mark_in_todo_is_moved_to_where_it_belongs(layout: Layout, store: RunStore) -> None:
    """`discard` leaves it there for the holder of the lock."""
    mark = run(reported=False, started=START)
    put(layout, mark, Directory.TODO)
    store.add_file(Directory.TODO, mark.name)
    store.load_more(NOW)
    store.flush(NOW)

    assert {"open": [mark.name]} == files(layout)


def test_a_mark_of_a_job_that_is_over_is_removed(layout: Layout, store: RunStore) -> None:
    """Nothing of it is to be sent."""
    mark = run(reported=False, end=OVER)
    put(layout, mark, Directory.TODO)
    store.add_file(Directory.TODO, mark.name)
    store.load_more(NOW)
    store.flush(NOW)

    assert ({}, False) == (files(layout), (layout.root / "delivered").exists())


def test_a_finished_run_that_lies_in_open_is_still_delivered(
    layout: Layout, store: RunStore
) -> None:
    """Somebody moved it there by hand; its stop was not sent."""
    over = run(started=START, end=OVER)
    put(layout, over, Directory.OPEN)
    store.add_file(Directory.OPEN, over.name)

    (entry,) = store.lane(1, NOW)
    store.flush(NOW)

    assert RequestKind.STOP is entry.next_request
    assert {"todo": [over.name]} == files(layout)


def test_an_unreadable_run_is_still_known(layout: Layout, store: RunStore) -> None:
    """It was started, and must not be taken for a new one; of another job nothing is said."""
    noted(layout, store, run(1))
    with pytest.MonkeyPatch.context() as patched:
        break_reading(layout, patched)
        store.load_more(NOW)

    (known,) = store.tracked(1, NOW)
    assert (START, None, True) == (known.start_time, known.end, known.started)
    assert () == store.tracked(2, NOW)


@pytest.mark.parametrize("directory", [Directory.TODO, Directory.OPEN])
def test_an_unreadable_run_is_tried_again(
    layout: Layout, store: RunStore, directory: Directory
) -> None:
    """Each minute, wherever it lies; then the alarm ends by itself."""
    noted(layout, store, run(1, started=None if directory is Directory.TODO else START))
    with pytest.MonkeyPatch.context() as patched:
        break_reading(layout, patched)
        store.lane(1, NOW)
    store.load_more(later(READ_AGAIN_SECONDS - 0.1))
    assert [] == loaded(store)
    store.load_more(later(READ_AGAIN_SECONDS))

    assert [1] == loaded(store)


def test_a_strange_file_that_cannot_be_set_aside_stops_nothing(
    layout: Layout, store: RunStore, loader: RunLoader, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again each minute."""
    (layout.root / "todo" / "odd").mkdir()
    (layout.root / "dead" / "odd").write_text("in the way")
    loader.move_to_dead(Directory.TODO, "odd", "strange", NOW)
    assert () == store.tracked(1, NOW)
    (layout.root / "dead" / "odd").unlink()
    store.load_more(later(READ_AGAIN_SECONDS))

    assert ["odd", "odd.why"] == sorted(layout.names(Directory.DEAD))
    assert "is retried" in caplog.text


def break_reading(layout: Layout, patched: pytest.MonkeyPatch) -> None:
    """Let no file of a spool be readable for a while."""

    def fail(*_args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    patched.setattr(layout, "read", fail)


def test_a_refused_run_that_is_staged_again_does_not_go_to_dead(
    layout: Layout, store: RunStore
) -> None:
    """A new event speaks of it before the group is written: its file must not be removed."""
    entry = store.stage(run(), [event(layout, "e1")], NOW)
    store.move_to_dead(entry, run(), REFUSED, NOW)
    again = store.stage(run(), [event(layout, "e2")], NOW)
    store.persist(again, run(), NOW)
    store.flush(NOW)

    assert {"todo": [f"1-{START}.json"]} == files(layout)


def test_a_forgotten_run_is_not_written_any_more(layout: Layout, store: RunStore) -> None:
    """Somebody took its file away."""
    entry = store.stage(run(), [], NOW)
    store.persist(entry, run(), NOW)
    store.forget(entry, NOW)
    store.flush(NOW)

    assert ({}, [], 0) == (files(layout), loaded(store), len(store))


def test_what_was_delivered_before_a_restart_is_remembered(
    layout: Layout, store: RunStore, loader: RunLoader
) -> None:
    """Accounting may still show it beside a later run."""
    done = run(started=START, end=OVER)
    store.complete(store.stage(done, [], NOW), done, NOW)
    store.flush(NOW)

    (known,) = new_store(layout, loader).tracked(1, NOW)
    assert (START, OVER.time) == (known.start_time, known.end)


def test_a_run_that_was_delivered_and_is_back_counts_once(layout: Layout, store: RunStore) -> None:
    """An administrator has it delivered again."""
    done = run(started=START, end=OVER)
    store.complete(store.stage(done, [], NOW), done, NOW)
    store.flush(NOW)
    noted(layout, store, run(1))

    (known,) = store.tracked(1, NOW)
    assert (None, False) == (known.end, known.started)


def test_a_name_in_todo_is_known_or_not(layout: Layout, store: RunStore) -> None:
    """What an administrator puts there is noticed by its name."""
    noted(layout, store, run(1), run(2), run(3, started=START))
    store.lane(2, NOW)
    store.lane(3, NOW)
    names = [f"{i}-{START}.json" for i in range(1, 5)]

    assert [True, True, False, False] == [store.knows(name) for name in names]
    assert (False, False) == (store.knows("odd"), store.add_file(Directory.TODO, "odd"))


def test_job_ids_that_wait_and_runs_that_go_on(layout: Layout, store: RunStore) -> None:
    """Loaded or not."""
    noted(layout, store, run(1), run(2), run(3, started=START), run(4, started=START))
    for job_id in (2, 4):
        store.lane(job_id, NOW)
    store.stage(run(5, started=START, end=OVER), [], NOW)

    assert [1, 2, 5] == store.waiting_job_ids()
    assert [(2, START), (3, START), (4, START)] == sorted(store.unfinished())


def test_the_next_group_or_staged_run_says_when_to_look_again(store: RunStore) -> None:
    """By the steady clock; None: nothing waits."""
    assert None is store.next_time()
    entry = store.stage(run(), [], NOW)
    assert NOW.steady + MAX_STAGED_SECONDS == store.next_time()
    store.persist(entry, run(), later(0.1))

    assert later(0.1 + GROUP_SECONDS).steady == store.next_time()
