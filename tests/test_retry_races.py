"""`retry` at the same time as a drain: nothing undelivered is ever removed."""

from __future__ import annotations

import argparse
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drain_world import NOON, World
from real_calls import RealCalls

from ccbackend.outcomes import Reason
from spool.commands.dead_letters import apply_plan
from spool.files.dead_letters import apply_changes, plan_retry
from spool.files.durable_files import WriteBatch
from spool.files.layout import Directory, Layout

NAME = f"5-{NOON}.json"
ARGS = argparse.Namespace(dry_run=False, json=True)
DAY = 86400


class Interrupted(Layout):
    """A command's spool that calls back before it syncs `todo/` and after it moves a file."""

    def __init__(self, root: Path, meanwhile: Callable[[], object]) -> None:
        super().__init__(root)
        self._meanwhile = meanwhile

    def fsync(self, directory: Directory) -> None:
        """Call back before a sync of `todo/`."""
        if directory is Directory.TODO:
            self._meanwhile()
        super().fsync(directory)

    def rename(self, source: Directory, name: str, target: Directory, new_name: str) -> None:
        """Call back after a move."""
        super().rename(source, name, target, new_name)
        self._meanwhile()


class SlowCalls(RealCalls):
    """The drain's disk, which calls back when it has synced a directory."""

    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    watched = -1

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = meanwhile

    def fsync(self, fd: int, /) -> None:
        """Sync, then call back if the directory is watched."""
        os.fsync(fd)
        if fd == self.watched:
            self._meanwhile()


class ParallelRetry(logging.Handler):
    """`cc-spool retry` in a thread; `start` returns when it has ended or waits for the drain."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._reached = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def start(self) -> None:
        """Start the thread at the first call."""
        if not self._thread.ident:
            self._thread.start()
            assert self._reached.wait(20)

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join(20)
        assert not self._thread.is_alive()

    def emit(self, record: logging.LogRecord) -> None:
        """Record that the command waits for the lock."""
        if "waiting until it is released" in record.getMessage():
            self._reached.set()

    def _work(self) -> None:
        with Layout(self._root) as layout:
            apply_plan(layout, [NAME], plan_retry, args=ARGS)
        self._reached.set()


@pytest.fixture
def retry(world: World) -> Iterator[ParallelRetry]:
    """Return a `retry` that reads the log of this process."""
    made, log = ParallelRetry(world.root), logging.getLogger("spool")
    log.addHandler(made)
    yield made
    log.removeHandler(made)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site whose cc-backend rejects job 5."""
    made = World(tmp_path)
    made.backend.answers[5] = Reason.BAD_REQUEST
    return made


def test_a_run_that_is_rejected_again_during_its_retry_stays_a_dead_letter(world: World) -> None:
    """`cc-spool retry` takes seconds on a busy disk, and the drain sends the run meanwhile."""
    world.begin(5)
    world.run(10)
    with Interrupted(world.root, lambda: world.run(3)) as layout:
        apply_plan(layout, [NAME], plan_retry, args=ARGS)
    asked = len(world.backend.asked)
    world.run(5)

    assert {"dead": [NAME]} == world.files()
    assert asked == len(world.backend.asked)


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_retry_while_the_drain_writes_the_dead_letter_loses_no_run(
    world: World, retry: ParallelRetry, *, is_stored: bool
) -> None:
    """The drain has written the dead letter, and has not removed the run from `todo/` yet."""
    calls = SlowCalls(retry.start)
    world.batch_type = lambda layout: WriteBatch(layout, calls)
    world.boot()
    calls.watched = world.parts.layout.fd(Directory.DEAD)
    if is_stored:
        world.backend.everything = Reason.UNREACHABLE
    world.begin(5)
    world.run(10)
    world.backend.everything = None
    world.run(200)
    retry.join()
    world.run(5)

    assert {"dead": [NAME]} == world.files()


def test_an_event_given_up_again_during_its_retry_stays_in_dead(world: World) -> None:
    """Slurm does not know the job of the event, so that the drain moves it to `dead/` again."""
    world.hook("stop", 77)
    world.run(5)
    world.now += 2 * DAY
    world.run(1000)
    (event, why) = world.files()["dead"]
    with Interrupted(world.root, lambda: world.run(20)) as layout:
        apply_plan(layout, [event], plan_retry, args=ARGS)
    world.run(5)

    assert {"dead": [event, why]} == world.files()


def test_a_suspended_command_delays_only_rejected_runs(world: World) -> None:
    """The command holds the lock of `dead/` until an administrator resumes it (Ctrl-Z, `fg`)."""
    with Layout(world.root) as layout, layout.lock(Directory.DEAD, wait=True):
        world.begin(5)
        world.begin(6)
        world.run(60)
        stopped = world.files()
    world.run(1)

    assert ["1-start-5-0-0-1"] == stopped["new"]
    assert {"open": [f"6-{NOON}.json"], "dead": [NAME]} == world.files()


def test_a_run_that_is_delivered_during_its_retry_is_not_stored_again(world: World) -> None:
    """`cc-spool retry` holds the lock, and read the dead letter before the run was delivered."""
    world.begin(5)
    world.run(10)
    with Layout(world.root) as layout, layout.lock(Directory.DEAD, wait=True):
        change = plan_retry(layout, NAME)
        world.backend.answers.clear()
        world.end(5)
        world.run(20)
        apply_changes(layout, [change])
    asked = len(world.backend.asked)
    world.run(20)

    assert ({(5, NOON): "completed"}, {}) == (world.backend.rows, world.files())
    assert asked == len(world.backend.asked)
