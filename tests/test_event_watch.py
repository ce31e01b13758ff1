"""Wake-ups of the loop by inotify, for events and runs, and by signals; polling without inotify."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from spool.drain.event_watch import EventWatch, new_descriptor
from spool.files.layout import Layout

PATIENCE_SECONDS = 10.0


@pytest.fixture
def queue() -> Queue[Any]:
    """Return the queue that the loop waits on."""
    return Queue()


@pytest.fixture
def watch(layout: Layout, queue: Queue[Any]) -> Iterator[EventWatch]:
    """Return a watch that works."""
    watch = EventWatch(layout, queue)
    yield watch
    watch.close()


def descriptors() -> set[str]:
    """Return the open descriptors of this process."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_a_written_event_wakes_the_loop(
    layout: Layout, queue: Queue[Any], watch: EventWatch
) -> None:
    """A hook opens, writes and closes its file."""
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)


def test_an_event_moved_into_new_wakes_the_loop(
    layout: Layout, queue: Queue[Any], watch: EventWatch
) -> None:
    """An administrator puts an event back into `new/`."""
    (layout.root / "event").write_text("end\n")
    (layout.root / "event").rename(layout.root / "new" / "1-start-5-0-0-1")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)


def test_an_event_linked_into_new_wakes_the_loop(
    layout: Layout, queue: Queue[Any], watch: EventWatch
) -> None:
    """A sweep creates its events with a hard link."""
    (layout.root / "event").write_text("end\n")
    (layout.root / "new" / "1-start-5-0-0-1").hardlink_to(layout.root / "event")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "put", [Path.rename, lambda run, name: name.hardlink_to(run)], ids=["renamed", "linked"]
)
def test_a_run_put_into_todo_wakes_the_loop(
    layout: Layout,
    queue: Queue[Any],
    watch: EventWatch,
    put: Callable[[Path, Path], object],
) -> None:
    """`retry` moves a dead letter, `replay` links a new file."""
    (layout.root / "run").write_text("{}\n")
    put(layout.root / "run", layout.root / "todo" / "5-1.json")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)


@pytest.fixture
def handled() -> Iterator[list[int]]:
    """Handle SIGUSR1; return the numbers of the received signals."""
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: came.append(number))
    yield came
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_wakes_the_loop(queue: Queue[Any], watch: EventWatch, handled: list[int]) -> None:
    """A stop must not wait for the end of a pause; another thread may receive the signal."""
    sender = threading.Thread(target=lambda: signal.raise_signal(signal.SIGUSR1))
    sender.start()

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    sender.join()
    assert [signal.SIGUSR1] == handled


def test_a_signal_after_close_writes_to_no_descriptor(watch: EventWatch) -> None:
    """The number of the closed descriptor may belong to another file."""
    watch.close()

    assert -1 == signal.set_wakeup_fd(-1)


def test_a_failed_thread_is_reported(
    layout: Layout, queue: Queue[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread would wake the loop any more, so it polls."""

    def fail(_fd: int, _size: int) -> bytes:
        raise MemoryError

    watch = EventWatch(layout, queue)
    monkeypatch.setattr("spool.drain.event_watch.os.read", fail)
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    assert "MemoryError()" == watch.problem
    watch.close()


def test_each_received_wake_up_allows_the_next_one(
    layout: Layout, queue: Queue[Any], watch: EventWatch
) -> None:
    """An event that is written after the loop's scan is not missed."""
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")
    queue.get(timeout=PATIENCE_SECONDS).take()
    (layout.root / "new" / "1-start-6-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)


def test_many_events_need_one_wake_up(layout: Layout, queue: Queue[Any], watch: EventWatch) -> None:
    """A burst does not fill the queue while the loop is busy."""
    for number in range(50):
        (layout.root / "new" / f"1-start-{number}-0-0-1").write_text("end\n")
    queue.get(timeout=PATIENCE_SECONDS)
    watch.close()

    assert queue.empty()


def test_a_renamed_spool_is_still_watched(
    layout: Layout, queue: Queue[Any], watch: EventWatch
) -> None:
    """The watch is on the open directory, not on its path."""
    (layout.root / "new").rename(layout.root / "elsewhere")
    (layout.root / "elsewhere" / "1-start-5-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)


def test_a_closed_watch_is_silent(layout: Layout, queue: Queue[Any], watch: EventWatch) -> None:
    """It may be closed twice."""
    watch.close()
    watch.close()
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")

    with pytest.raises(Empty):
        queue.get(block=False)


def test_without_inotify_the_reason_is_known(layout: Layout, queue: Queue[Any]) -> None:
    """The drain then polls; there is nothing to close."""

    def refuse(_watched: object) -> int:
        raise OSError(24, "Too many open files")

    watch = EventWatch(layout, queue, new_descriptor=refuse)
    watch.close()

    assert watch.problem == "Too many open files"


def test_a_directory_that_cannot_be_watched_leaves_nothing_open(tmp_path: Path) -> None:
    """The path does not exist, as on a kernel without /proc."""
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        new_descriptor([(bytes(tmp_path / "missing"), 0x80)])

    assert set() == descriptors() - before  # garbage collection may close those of other tests


def test_a_limit_on_descriptors_raises_an_error(tmp_path: Path) -> None:
    """The kernel refuses another descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="open files"):
            new_descriptor([(bytes(tmp_path), 0x80)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
