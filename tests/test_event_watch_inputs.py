"""The watch of token and configuration: changes that settle, and directories that are replaced."""

from __future__ import annotations

import os
import select
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from spool.drain import event_watch
from spool.drain.event_watch import EventWatch, new_descriptor
from spool.files.layout import Layout

PATIENCE_SECONDS = 10.0


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


def _elsewhere(path: Path) -> Path:
    """Return a new file outside the directory of a file, with new contents."""
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
def test_a_changed_token_wakes_the_loop(
    layout: Layout, queue: Queue[Any], inputs: Path, change: Callable[[Path], object]
) -> None:
    """The token or its directory is written, replaced, renamed, removed or made readable."""
    path = inputs / "token"
    path.write_text("old")
    watch = EventWatch(layout, queue, inputs=[path])
    change(path)

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    watch.close()


@pytest.mark.usefixtures("quickly_settled")
def test_the_target_of_a_linked_configuration_is_watched(
    layout: Layout, queue: Queue[Any], inputs: Path, tmp_path: Path
) -> None:
    """config.json is a symlink to another directory, where configuration management writes it."""
    target = tmp_path / "managed"
    target.mkdir()
    (inputs / "config.json").symlink_to(target / "config.json")
    watch = EventWatch(layout, queue, inputs=[inputs / "config.json"])
    (target / "config.json").write_text("{}")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    watch.close()


@pytest.mark.usefixtures("quickly_settled")
def test_a_second_change_of_the_token_wakes_the_loop(
    layout: Layout, queue: Queue[Any], inputs: Path
) -> None:
    """The watch of the token resumes after each change."""
    watch = EventWatch(layout, queue, inputs=[inputs / "token"])
    (inputs / "token").write_text("first")
    queue.get(timeout=PATIENCE_SECONDS).take()
    (inputs / "token").write_text("second")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    watch.close()


def test_a_changed_configuration_wakes_the_loop_after_a_pause(
    layout: Layout, queue: Queue[Any], inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wake-up comes 0.3 s later: editors rename the old file before they write the new one."""
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
    """Return a factory that uses the first factory for the spool, and the next for the inputs."""
    waiting = iter(factories)

    def make(watched: Iterable[tuple[bytes, int]]) -> int:
        return next(waiting)(watched)

    return make


@pytest.mark.usefixtures("quickly_settled")
def test_the_loop_is_woken_while_files_beside_the_token_change(
    layout: Layout, queue: Queue[Any], inputs: Path
) -> None:
    """Another program writes in the token's directory all the time; the wake-up still comes."""
    watch = EventWatch(layout, queue, inputs=[inputs / "token"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while queue.empty():
        (inputs / "other").touch()
        assert time.monotonic() < deadline, "changes that never end keep the loop asleep"
    watch.close()


def test_an_event_wakes_the_loop_in_the_pause_after_a_token_change(
    layout: Layout, queue: Queue[Any], pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event does not wait until the pause ends: Slurm can purge the job soon."""
    monkeypatch.setattr(event_watch, "INPUTS_SETTLE_SECONDS", 10 * PATIENCE_SECONDS)
    make = in_turn(new_descriptor, lambda _watched: pipe[0])
    watch = EventWatch(layout, queue, new_descriptor=make)
    os.write(pipe[1], b"changed")
    wait_until_read(pipe[0])
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    watch.close()


def test_an_unwatched_token_directory_is_reported(
    layout: Layout, queue: Queue[Any], inputs: Path
) -> None:
    """The directory is missing: the loop checks for the token each second; events still wake it."""
    watch = EventWatch(layout, queue, inputs=[inputs / "missing" / "token"])
    (layout.root / "new" / "1-start-5-0-0-1").write_text("end\n")

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    assert ("", False) == (watch.problem, watch.is_watching_inputs)
    watch.close()


@pytest.mark.usefixtures("quickly_settled")
def test_a_replaced_token_directory_is_not_watched(
    layout: Layout, queue: Queue[Any], inputs: Path
) -> None:
    """The watch stays on the old directory, so the loop checks the token each second."""
    watch = EventWatch(layout, queue, inputs=[inputs / "token"])
    before = watch.is_watching_inputs
    inputs.rename(inputs.with_name("old"))
    inputs.mkdir()

    assert watch is queue.get(timeout=PATIENCE_SECONDS)
    assert (True, False) == (before, watch.is_watching_inputs)
    watch.close()


def test_a_token_that_links_to_itself_does_not_prevent_the_watch(
    layout: Layout, queue: Queue[Any], inputs: Path
) -> None:
    """The directory of the symlink is watched; the reader of the token reports the error."""
    (inputs / "token").symlink_to("token")
    watch = EventWatch(layout, queue, inputs=[inputs / "token"])

    assert watch.is_watching_inputs
    watch.close()


def test_a_second_event_before_the_scan_adds_no_wake_up(
    layout: Layout, queue: Queue[Any], pipe: tuple[int, int]
) -> None:
    """The loop lists `new/` after it has received the pending wake-up, and finds both events."""
    make = in_turn(lambda _watched: pipe[0], new_descriptor)
    watch = EventWatch(layout, queue, new_descriptor=make)
    os.write(pipe[1], b"first")
    queue.get(timeout=PATIENCE_SECONDS)
    os.write(pipe[1], b"second")
    wait_until_read(pipe[0])
    watch.close()

    assert queue.empty()
