"""Wake-ups of the loop by inotify, for events, runs, token and configuration; else it polls."""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest
from empty_spool import make_directories

from spool.drain import event_watch
from spool.drain.event_watch import EventWatch, new_descriptor
from spool.files.layout import Layout

PATIENCE_SECONDS = 10.0


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """Return an open spool."""
    make_directories(tmp_path)
    with Layout(tmp_path) as layout:
        yield layout


@pytest.fixture
def queue() -> Queue[Any]:
    """Return the queue that the loop waits on."""
    return Queue()


@pytest.fixture
def quickly_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time in which inputs settle."""
    monkeypatch.setattr(event_watch, "INPUTS_SETTLE_SECONDS", 0.05)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Return a directory for token and configuration."""
    directory = tmp_path / "etc"
    directory.mkdir()
    return directory


@pytest.fixture
def watch(layout: Layout, queue: Queue[Any]) -> Iterator[EventWatch]:
    """Return a watch that works."""
    watch = EventWatch(layout, queue)
    yield watch
    watch.close()


def descriptors() -> set[str]:
    """Return the open descriptors of this process, but for that of the listing itself."""
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
    """An administrator puts an event back."""
    (layout.root / "event").write_text("end\n")
    (layout.root / "event").rename(layout.root / "new" / "1-start-5-0-0-1")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)


def test_an_event_linked_into_new_wakes_the_loop(
    layout: Layout, queue: Queue[Any], watch: EventWatch
) -> None:
    """A sweep creates its events so."""
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


def _elsewhere(path: Path) -> Path:
    """Return a file beside the directory of a file, with a new content."""
    other = path.parent.with_name("elsewhere")
    other.write_text("new")
    return other


def _link(path: Path) -> None:
    path.with_name("other").hardlink_to(_elsewhere(path))


def _remove_directory(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.usefixtures("quickly_settled")
@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("new"),
        lambda path: _elsewhere(path).rename(path),
        lambda path: path.rename(_elsewhere(path)),
        _link,
        Path.unlink,
        lambda path: path.chmod(0o600),
        lambda path: path.parent.rename(path.parent.with_name("old")),
        _remove_directory,
    ],
    ids=[
        "written",
        "replaced",
        "renamed away",
        "linked",
        "removed",
        "readable",
        "directory renamed",
        "directory removed",
    ],
)
def test_a_changed_input_wakes_the_loop(
    layout: Layout, queue: Queue[Any], inputs: Path, change: Callable[[Path], object]
) -> None:
    """The token of a halted drain is repaired, or the configuration is edited."""
    path = inputs / "token"
    path.write_text("old")
    watch = EventWatch(layout, queue, inputs=[path])
    change(path)

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    watch.close()


@pytest.mark.usefixtures("quickly_settled")
def test_the_file_that_an_input_leads_to_is_watched(
    layout: Layout, queue: Queue[Any], inputs: Path, tmp_path: Path
) -> None:
    """Configuration management keeps the file elsewhere."""
    target = tmp_path / "managed"
    target.mkdir()
    (inputs / "config.json").symlink_to(target / "config.json")
    watch = EventWatch(layout, queue, inputs=[inputs / "config.json"])
    (target / "config.json").write_text("{}")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    watch.close()


@pytest.mark.usefixtures("quickly_settled")
def test_a_second_change_of_the_inputs_wakes_the_loop(
    layout: Layout, queue: Queue[Any], inputs: Path
) -> None:
    """The watch of the inputs resumes after each change."""
    watch = EventWatch(layout, queue, inputs=[inputs / "token"])
    (inputs / "token").write_text("first")
    queue.get(timeout=PATIENCE_SECONDS).take()
    (inputs / "token").write_text("second")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    watch.close()


def test_changed_inputs_settle_first(
    layout: Layout, queue: Queue[Any], inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor renames the old file before it writes the new one."""
    monkeypatch.setattr(event_watch, "INPUTS_SETTLE_SECONDS", 0.3)
    watch = EventWatch(layout, queue, inputs=[inputs / "config.json"])
    began = time.monotonic()
    (inputs / "config.json").write_text("{")
    queue.get(timeout=PATIENCE_SECONDS)
    waited = time.monotonic() - began
    watch.close()

    assert waited >= 0.3


def wait_until_read(descriptor: int) -> None:
    """Wait until the watch's thread has read what was written into a pipe."""
    is_unread = select.poll()
    is_unread.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_unread.poll(0):
        assert time.monotonic() < deadline, "the watch has not read the pipe"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return the ends of a pipe in place of an inotify descriptor; the watch closes the first."""
    reads, writes = os.pipe()
    yield reads, writes
    os.close(writes)


NewDescriptor = Callable[[Iterable[tuple[bytes, int]]], int]


def in_turn(*factories: NewDescriptor) -> NewDescriptor:
    """Return a factory that makes the descriptor of the spool by the first, then the next."""
    waiting = iter(factories)

    def make(watched: Iterable[tuple[bytes, int]]) -> int:
        return next(waiting)(watched)

    return make


@pytest.mark.usefixtures("quickly_settled")
def test_inputs_that_change_all_the_time_wake_the_loop(
    layout: Layout, queue: Queue[Any], inputs: Path
) -> None:
    """Other programs write into their directory."""
    watch = EventWatch(layout, queue, inputs=[inputs / "token"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while queue.empty():
        (inputs / "other").touch()
        assert time.monotonic() < deadline, "changes that never end keep the loop asleep"
    watch.close()


def test_an_event_does_not_wait_for_inputs(
    layout: Layout, queue: Queue[Any], pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm may forget its job meanwhile."""
    monkeypatch.setattr(event_watch, "INPUTS_SETTLE_SECONDS", 10 * PATIENCE_SECONDS)
    make = in_turn(new_descriptor, lambda _watched: pipe[0])
    watch = EventWatch(layout, queue, new_descriptor=make)
    os.write(pipe[1], b"changed")
    wait_until_read(pipe[0])
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    watch.close()


def test_inputs_that_cannot_be_watched_are_reported(
    layout: Layout, queue: Queue[Any], inputs: Path
) -> None:
    """The loop looks at them each second then; events wake it all the same."""
    watch = EventWatch(layout, queue, inputs=[inputs / "missing" / "token"])
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    assert ("", False) == (watch.problem, watch.is_watching_inputs)
    watch.close()


@pytest.fixture
def handled() -> Iterator[list[int]]:
    """Handle SIGUSR1; return the numbers of the signals that came."""
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: came.append(number))
    yield came
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_wakes_the_loop(queue: Queue[Any], watch: EventWatch, handled: list[int]) -> None:
    """A stop must not wait for the end of a pause; another thread may receive it."""
    sender = threading.Thread(target=lambda: signal.raise_signal(signal.SIGUSR1))
    sender.start()

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    sender.join()
    assert [signal.SIGUSR1] == handled


def test_a_signal_after_close_writes_nowhere(watch: EventWatch) -> None:
    """The number of the closed descriptor may belong to another file."""
    watch.close()

    assert -1 == signal.set_wakeup_fd(-1)


def test_a_thread_that_fails_is_a_problem(
    layout: Layout, queue: Queue[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would wake the loop any more, so it polls."""

    def fail(_fd: int, _size: int) -> bytes:
        raise MemoryError

    watch = EventWatch(layout, queue)
    monkeypatch.setattr("spool.drain.event_watch.os.read", fail)
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    assert "MemoryError()" == watch.problem
    watch.close()


@pytest.mark.usefixtures("quickly_settled")
def test_a_replaced_directory_of_inputs_is_not_watched(
    layout: Layout, queue: Queue[Any], inputs: Path
) -> None:
    """The watch is of the old one: the loop looks each second from now on."""
    watch = EventWatch(layout, queue, inputs=[inputs / "token"])
    before = watch.is_watching_inputs
    inputs.rename(inputs.with_name("old"))
    inputs.mkdir()

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    assert (True, False) == (before, watch.is_watching_inputs)
    watch.close()


def test_a_loop_of_links_does_not_prevent_the_watch(
    layout: Layout, queue: Queue[Any], inputs: Path
) -> None:
    """The reader of the file reports the error."""
    (inputs / "token").symlink_to("token")
    watch = EventWatch(layout, queue, inputs=[inputs / "token"])

    assert watch.is_watching_inputs
    watch.close()


def test_each_wake_up_taken_allows_the_next_one(
    layout: Layout, queue: Queue[Any], watch: EventWatch
) -> None:
    """An event that is written after the loop has looked is not missed."""
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


def test_an_event_while_a_wake_up_is_announced_needs_none(
    layout: Layout, queue: Queue[Any], pipe: tuple[int, int]
) -> None:
    """The loop lists `new/` after it has received the first one."""
    make = in_turn(lambda _watched: pipe[0], new_descriptor)
    watch = EventWatch(layout, queue, new_descriptor=make)
    os.write(pipe[1], b"first")
    queue.get(timeout=PATIENCE_SECONDS)
    os.write(pipe[1], b"second")
    wait_until_read(pipe[0])
    watch.close()

    assert queue.empty()


def test_a_renamed_spool_is_watched_further(
    layout: Layout, queue: Queue[Any], watch: EventWatch
) -> None:
    """The watch is of the directory that is open, not of its path."""
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
    """The drain polls then; there is nothing to close."""

    def refuse(_watched: object) -> int:
        raise OSError(24, "Too many open files")

    watch = EventWatch(layout, queue, new_descriptor=refuse)
    watch.close()

    assert watch.problem == "Too many open files"


def test_a_directory_that_cannot_be_watched_leaves_nothing_open(tmp_path: Path) -> None:
    """A kernel without /proc has no such path."""
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        new_descriptor([(bytes(tmp_path / "missing"), 0x80)])

    assert set() == descriptors() - before  # the collector may close those of other tests


def test_a_limit_on_descriptors_is_a_problem(tmp_path: Path) -> None:
    """The kernel refuses another descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="open files"):
            new_descriptor([(bytes(tmp_path), 0x80)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
