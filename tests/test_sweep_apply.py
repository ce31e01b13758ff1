"""`apply` writes changes as events and waits for the drain."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from empty_spool import make_directories
from filelock import FileLock
from real_calls import RealCalls
from sweep_values import NOON, OLD, over, start, stop

from slurm.decode.scontrol_config import active_elsewhere
from slurm.errors import FailureReason, SlurmError
from spool.errors import SpoolLockedError
from spool.files.event import parse_event_name, parse_extras
from spool.files.layout import Directory, Layout
from spool.files.run_id import RunId
from sweeper.apply import BATCH_SIZE, DrainWait, WrittenEvent, wait_for_drain, write_events
from sweeper.commands.site_rules import sees_all_jobs, was_reconfigured
from sweeper.values import Close, Start

CLOSE = Close(key=RunId(3, OLD), end_time=OLD + 60, why="unknown")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return an empty spool."""
    make_directories(tmp_path / "spool")
    return Layout(tmp_path / "spool")


def names(layout: Layout) -> list[str]:
    """Return the events in new/, without the writer's number."""
    return sorted(name.rpartition("-")[0] for name in layout.names(Directory.NEW))


def test_each_change_is_written_as_one_event(layout: Layout) -> None:
    """The name has action, job id, start and end; `again=1` forces a new delivery."""
    written = write_events(layout, [start(1), Start(job=over(2), why=""), CLOSE, stop(4)])

    assert [each.key for each in written] == [(1, OLD), (2, OLD), (3, OLD), (4, OLD)]
    assert names(layout) == [
        f"1-close-3-{OLD}-{OLD + 60}",
        f"1-start-1-{OLD}-0",
        f"1-start-2-{OLD}-{NOON - 3600}",
        f"1-stop-4-{OLD}-{NOON - 3600}",
    ]
    for each in written:
        contents = (layout.root / "new" / each.event).read_bytes()
        assert parse_extras(contents) == {"again": "1"}
        assert parse_event_name(each.event, time=0).job_id == each.key.job_id


def test_the_event_of_a_captured_run_has_not_before_instead_of_again(layout: Layout) -> None:
    """`not_before` is the time from which a run younger than sweep.grace_seconds is reported."""
    (written,) = write_events(layout, [replace(start(1), not_before=NOON)])

    contents = (layout.root / "new" / written.event).read_bytes()

    assert parse_extras(contents) == {"not_before": str(NOON)}


class NotingCalls(RealCalls):
    """System calls that record which files and directories become durable."""

    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)

    def __init__(self) -> None:
        self.durable: list[str] = []

    def fsync(self, fd: int, /) -> None:
        """Record the name."""
        self.durable.append(Path(f"/proc/self/fd/{fd}").readlink().name)


def test_events_are_synced_before_their_directory(layout: Layout) -> None:
    """`write_events` calls fsync for each file, then for new/: a power cut loses no event."""
    calls = NotingCalls()
    write_events(Layout(layout.root, calls), [Start(job=over(2), why=""), stop(4)])

    *files, directory = calls.durable
    assert ("new", 2) == (directory, len(set(files)))


def test_events_written_before_the_disk_is_full_are_counted(layout: Layout) -> None:
    """The drain has already removed the first batch from new/ when the second batch fails."""

    class FillingCalls(NotingCalls):
        """System calls on a disk that is full after the drain has read the first batch."""

        def fsync(self, fd: int, /) -> None:
            """Fail for the second batch."""
            if len(self.durable) > BATCH_SIZE:
                for path in (layout.root / "new").iterdir():
                    path.unlink()
                raise OSError(28, "No space left on device")
            super().fsync(fd)

    changes = [start(number) for number in range(1, BATCH_SIZE + 3)]

    assert BATCH_SIZE == len(write_events(Layout(layout.root, FillingCalls()), changes))


def test_the_same_sweep_twice_writes_its_events_once(layout: Layout) -> None:
    """`write_events` with the same stop twice leaves one event in new/."""
    write_events(layout, [stop(4)])
    write_events(layout, [stop(4)])

    assert len(names(layout)) == 1


def waiting(state: Path, drain_once: Callable[[], object], *, seconds: float = 60) -> DrainWait:
    """Return a wait whose clock advances a second at each reading."""
    times = iter(range(10**6))
    return DrainWait(
        state_directory=state,
        timeout_seconds=seconds,
        drain_once=drain_once,
        clock=lambda: next(times),
        sleep=lambda _seconds: None,
    )


def never() -> None:
    """Fail: no drain may run here."""
    raise AssertionError("a drain is running")


def emptied(layout: Layout) -> Callable[[], None]:
    """Return a drain that delivers all events."""

    def drain() -> None:
        for path in (layout.root / "new").iterdir():
            path.unlink()

    return drain


def test_the_sweep_runs_a_drain_if_none_is_running(layout: Layout, tmp_path: Path) -> None:
    """A sweep without changes runs a drain only if new/ has events of hooks."""
    assert (
        wait_for_drain(layout, write_events(layout, [stop(4)]), waiting(tmp_path, emptied(layout)))
        == 0
    )
    (layout.root / "new" / "1-stop-7-0-0-3").touch()
    assert wait_for_drain(layout, [], waiting(tmp_path, emptied(layout))) == 0
    assert names(layout) == []
    assert wait_for_drain(layout, [], waiting(tmp_path, never)) == 0


def test_runs_left_by_the_sweeps_own_drain_are_counted(layout: Layout, tmp_path: Path) -> None:
    """No drain is running: the sweep drains once itself and counts the changes still pending."""
    assert (
        wait_for_drain(layout, write_events(layout, [stop(4)]), waiting(tmp_path, lambda: None))
        == 1
    )


def test_a_running_drain_is_waited_for(layout: Layout, tmp_path: Path) -> None:
    """The wait ends when the drain has delivered everything, or at the timeout."""
    written = write_events(layout, [stop(4)])
    seen: list[int] = []

    def reported(left: int) -> None:
        seen.append(left)
        if len(seen) == 3:
            emptied(layout)()

    with FileLock(tmp_path / "drain.lock"):
        patient = replace(waiting(tmp_path, never), on_progress=reported)
        assert wait_for_drain(layout, written, patient) == 0
        assert seen == [1, 1, 1, 0]
        written = write_events(layout, [stop(4)])
        assert wait_for_drain(layout, written, waiting(tmp_path, never, seconds=2)) == 1


def test_a_drain_that_starts_meanwhile_is_waited_for(layout: Layout, tmp_path: Path) -> None:
    """Another drain takes the lock first: the sweep waits for it and counts the run left."""
    locks: list[FileLock] = []

    def starts() -> None:
        locks.append(FileLock(tmp_path / "drain.lock"))
        locks[0].acquire()
        raise SpoolLockedError("drain.lock", "process 1")

    left = wait_for_drain(
        layout, write_events(layout, [stop(4)]), waiting(tmp_path, starts, seconds=3)
    )

    locks[0].release()
    assert left == 1


def test_a_run_in_todo_counts_as_undelivered(layout: Layout, tmp_path: Path) -> None:
    """The drain has read its event, but the run waits, for example for an unreachable server."""
    (layout.root / "todo" / f"4-{OLD}.json").touch()

    left = wait_for_drain(
        layout, [WrittenEvent(key=RunId(4, OLD), event="x")], waiting(tmp_path, lambda: None)
    )

    assert left == 1


def test_nodes_that_do_not_answer_prove_no_reconfiguration() -> None:
    """Without the nodes' answer a recent start of slurmctld counts as a restart."""

    def ask(_boot_time: int) -> bool:
        raise SlurmError("away", reason=FailureReason.UNREACHABLE)

    assert not was_reconfigured(ask, NOON)
    assert was_reconfigured(lambda boot_time: boot_time == NOON, NOON)


@pytest.mark.parametrize(
    ("controllers", "host", "active"),
    [
        ([("primary", "a", True)], "b", None),
        ([("primary", "a", True), ("backup", "b", True)], "a", None),
        ([("primary", "a", True), ("backup", "b", True)], "b", "a"),
        ([("primary", "a", False), ("backup", "b", True)], "b.site", None),
        ([("primary", "a.site", True), ("backup", "b", True)], "a", None),
        ([("primary", "a", False), ("backup", "b", False)], "b", None),
        ([], "b", None),
    ],
)
def test_the_first_controller_that_is_up_is_the_active_one(
    controllers: list[tuple[str, str, bool]], host: str, active: str | None
) -> None:
    """`active_elsewhere` returns its host, or None on that host or with only one controller."""
    assert active == active_elsewhere(tuple(controllers), host)


def _unknown(_user: str) -> str | None:
    raise SlurmError("sacctmgr is away", reason=FailureReason.FAILED)


@pytest.mark.parametrize(
    ("private", "user", "level", "sees"),
    [
        ("none", ("eve", 7), lambda _user: None, True),
        ("accounts,users", ("eve", 7), lambda _user: None, True),
        ("jobs", ("eve", 7), lambda _user: None, False),
        ("jobs", ("eve", 7), lambda _user: "Operator", True),
        ("jobs", ("slurm", 7), lambda _user: None, True),
        ("jobs", ("root", 0), _unknown, True),
        ("jobs", ("eve", 7), _unknown, False),
    ],
)
def test_only_privileged_users_see_hidden_jobs(
    private: str,
    user: tuple[str, int],
    level: Callable[[str], str | None],
    *,
    sees: bool,
) -> None:
    """With PrivateData=jobs only root, SlurmUser and Operators see all jobs."""
    settings = {"PrivateData": (private,), "SlurmUser": ("slurm(64030)",)}

    assert sees == sees_all_jobs(settings, user=user, admin_level=level)
