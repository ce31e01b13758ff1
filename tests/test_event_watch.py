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
    """A hook opens, writes and closes its file in `new/`; inotify then wakes the drain's loop."""
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
    """`retry` moves a dead letter into `todo/`, `replay` links a new file into it."""
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
    """A signal ends the wait of the loop at once, even if another thread receives it."""
    sender = threading.Thread(target=lambda: signal.raise_signal(signal.SIGUSR1))
    sender.start()

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    sender.join()
    assert [signal.SIGUSR1] == handled


def test_a_closed_watch_unregisters_its_signal_pipe(watch: EventWatch) -> None:
    """The descriptor of the closed pipe can be reused for a file, into which Python would write."""
    watch.close()

    assert -1 == signal.set_wakeup_fd(-1)


def test_an_error_in_the_thread_of_the_watch_is_reported(
    layout: Layout, queue: Queue[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop is woken once and reads the error in `problem`; from then on it polls."""

    def fail(_fd: int, _size: int) -> bytes:
        raise MemoryError

    watch = EventWatch(layout, queue)
    monkeypatch.setattr("spool.drain.event_watch.os.read", fail)
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    assert "MemoryError()" == watch.problem
    watch.close()


def test_an_event_after_a_wake_up_wakes_the_loop_again(
    layout: Layout, queue: Queue[Any], watch: EventWatch
) -> None:
    """An event that is written after the loop has received a wake-up is not missed."""
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")
    queue.get(timeout=PATIENCE_SECONDS).take()
    (layout.root / "new" / "1-start-6-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)


def test_many_events_need_one_wake_up(layout: Layout, queue: Queue[Any], watch: EventWatch) -> None:
    """50 events put one wake-up into the queue while the loop is busy."""
    for number in range(50):
        (layout.root / "new" / f"1-start-{number}-0-0-1").write_text("end\n")
    queue.get(timeout=PATIENCE_SECONDS)
    watch.close()

    assert queue.empty()


def test_a_renamed_directory_of_events_is_still_watched(
    layout: Layout, queue: Queue[Any], watch: EventWatch
) -> None:
    """The watch is on the open directory `new/`, not on its path."""
    (layout.root / "new").rename(layout.root / "elsewhere")
    (layout.root / "elsewhere" / "1-start-5-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)


def test_a_closed_watch_does_not_wake_the_loop(
    layout: Layout, queue: Queue[Any], watch: EventWatch
) -> None:
    """After two calls of `close` an event puts no wake-up into the queue."""
    watch.close()
    watch.close()
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")

    with pytest.raises(Empty):
        queue.get(block=False)


def test_a_failure_of_inotify_is_reported(layout: Layout, queue: Queue[Any]) -> None:
    """`problem` has the error text, such as `Too many open files`; the drain then polls."""

    def refuse(_watched: object) -> int:
        raise OSError(24, "Too many open files")

    watch = EventWatch(layout, queue, new_descriptor=refuse)
    watch.close()

    assert watch.problem == "Too many open files"


def test_a_failed_watch_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """The directory to watch does not exist, for example because /proc is not mounted."""
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        new_descriptor([(bytes(tmp_path / "missing"), 0x80)])

    assert set() == descriptors() - before  # garbage collection may close those of other tests


def test_a_limit_on_descriptors_raises_an_error(tmp_path: Path) -> None:
    """At the limit of open files the kernel refuses an inotify descriptor: OSError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="open files"):
            new_descriptor([(bytes(tmp_path), 0x80)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
