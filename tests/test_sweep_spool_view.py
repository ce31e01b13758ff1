"""The state of a run in the spool, read from file names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_site import run_of
from counted_calls import count_calls
from empty_spool import make_directories
from sweep_values import NOON, OLD

from spool.files import codec
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource, LastError, Run
from spool.files.run_id import RunId
from sweeper.observe.spool_view import (
    captured_runs,
    delivered_runs,
    spool_entries_of,
    spool_has_job,
)
from sweeper.values import SpoolEntry, SpoolStatus

KEY = RunId(7, OLD)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return an empty spool."""
    make_directories(tmp_path)
    return Layout(tmp_path)


def put(layout: Layout, directory: str, name: str, contents: bytes = b"") -> None:
    """Write a file into a directory of the spool."""
    (layout.root / directory / name).write_bytes(contents)


def stored(**fields: Any) -> bytes:
    """Return the contents of a run file of the key."""
    return codec.encode(replace(run_of(7, OLD), **fields))


def test_a_run_without_a_file_in_the_spool_has_no_entry(layout: Layout) -> None:
    """Files of other runs and files with invalid names do not count."""
    put(layout, "open", f"7-{OLD + 9}.json", stored())
    put(layout, "open", f"77-{OLD}.json")
    put(layout, "open", "7-odd")
    put(layout, "dead", "1-start-7-0-0-3")
    for name in ("1-start-77-0-0-3", "odd", "1-begin-7-0-0-3", "9-start-7-0-0-3", "1-start-7-0"):
        put(layout, "new", name)
    put(layout, "new", f"1-stop-7-{OLD + 6}-0-3")

    assert spool_entries_of(layout, [KEY]) == {}
    assert spool_entries_of(layout, []) == {}


class MovingLayout(Layout):
    """A spool in which the drain moves the run while it is listed."""

    def __init__(self, root: Path, source: Directory, target: Directory) -> None:
        super().__init__(root)
        self._move = (source, target)

    def names(self, directory: Directory) -> Iterator[str]:
        """List a directory; move the run as soon as its target directory has been listed."""
        found = list(super().names(directory))
        source, target = (self.root / each / f"7-{OLD}.json" for each in self._move)
        if directory is self._move[1] and source.exists():
            source.rename(target)
        return iter(found)


@pytest.mark.parametrize("way", [("todo", "open"), ("open", "todo"), ("todo", "dead")])
def test_a_run_that_is_moved_meanwhile_is_found(layout: Layout, way: tuple[str, str]) -> None:
    """The drain moves the run file to another directory while a sweep lists the spool."""
    source, target = (Directory(word) for word in way)
    put(layout, source, f"7-{OLD}.json", stored())

    assert KEY in spool_entries_of(MovingLayout(layout.root, source, target), [KEY])


@pytest.mark.parametrize(
    ("fields", "captured"),
    [
        ({"not_before": NOON + 9}, 1),
        ({"not_before": NOON}, 0),
        ({"not_before": NOON + 9, "started": NOON}, 0),
        (
            {
                "not_before": NOON + 9,
                "last_error": LastError(
                    time=1, call="start", outcome="retry", reason="x", message=""
                ),
            },
            0,
        ),
    ],
)
def test_a_run_that_only_waits_for_the_grace_is_captured(
    layout: Layout, fields: dict[str, object], captured: int
) -> None:
    """A run that is retried or that waits for its stop is not captured."""
    put(layout, "todo", f"7-{OLD}.json", stored(**fields))

    assert len(captured_runs(layout, [KEY], now=NOON)) == captured


def test_an_unreadable_run_is_not_captured(layout: Layout) -> None:
    """One run file in todo/ is missing, another one is damaged."""
    put(layout, "todo", f"8-{OLD}.json", b"{")

    assert captured_runs(layout, [KEY, RunId(8, OLD)], now=NOON) == frozenset()


def test_files_of_runs_in_names_only_are_not_read(layout: Layout) -> None:
    """The file in open/ is damaged, but its name is enough to count the run as started."""
    put(layout, "open", f"7-{OLD}.json", b"{")

    found = spool_entries_of(layout, [KEY], names_only=[KEY])

    assert found == {KEY: SpoolEntry(status=SpoolStatus.STARTED)}


@pytest.mark.parametrize("name", ["1-start-7-0-0-3", "1-stop-7-0-0-3", f"1-stop-7-{OLD + 5}-0-3"])
def test_a_run_with_an_event_in_new_is_queued(layout: Layout, name: str) -> None:
    """The event has no start or one that differs by 5 s; the run file in open/ does not matter."""
    put(layout, "new", name)
    put(layout, "open", f"7-{OLD}.json", stored())

    assert spool_entries_of(layout, [KEY]) == {KEY: SpoolEntry(status=SpoolStatus.QUEUED)}


def test_the_directory_of_a_run_file_is_its_state(layout: Layout) -> None:
    """Of several copies todo/ comes first, then open/, then dead/; starts may differ by seconds."""
    put(layout, "dead", f"7-{OLD + 3}.json")
    assert spool_entries_of(layout, [KEY]) == {KEY: SpoolEntry(status=SpoolStatus.DEAD)}
    put(layout, "open", f"7-{OLD}.json", stored(started=OLD + 9, seen=OLD + 10))
    delivered = SpoolEntry(status=SpoolStatus.STARTED, started_at=OLD + 9, last_seen=OLD + 10)
    assert spool_entries_of(layout, [KEY]) == {KEY: delivered}
    put(layout, "todo", f"7-{OLD}.json")
    assert spool_entries_of(layout, [KEY]) == {KEY: SpoolEntry(status=SpoolStatus.QUEUED)}


def test_an_excluded_run_is_unreported(layout: Layout) -> None:
    """The run file in open/ says that the run is not reported."""
    put(layout, "open", f"7-{OLD}.json", stored(reported=False, reason="opted out"))

    assert spool_entries_of(layout, [KEY]) == {KEY: SpoolEntry(status=SpoolStatus.UNREPORTED)}


def test_an_unreadable_run_is_left_to_the_drain(layout: Layout) -> None:
    """The damaged file in open/ counts as queued, so a sweep plans no change for it."""
    put(layout, "open", f"7-{OLD}.json", b"odd")

    assert spool_entries_of(layout, [KEY]) == {KEY: SpoolEntry(status=SpoolStatus.QUEUED)}


@pytest.mark.parametrize(
    ("directory", "name"),
    [("new", "1-stop-7-0-0-1"), ("todo", "7-1.json"), ("open", "7-1.json"), ("dead", "7-1.json")],
)
def test_a_job_id_is_found_by_any_of_its_files(layout: Layout, directory: str, name: str) -> None:
    """The file is an event in new/, or a run file in todo/, open/ or dead/."""
    assert not spool_has_job(layout, 7)
    put(layout, directory, name)

    assert spool_has_job(layout, 7)


def test_delivered_runs_are_found_by_id_and_start(tmp_path: Path) -> None:
    """The archive of delivered runs has jobs 7 and 8; a wrong start finds neither of them."""
    end = End(time=NOON, state="FAILED", source=EndSource.ACCOUNTING)
    runs: list[Run] = [run_of(7, OLD, end=end), run_of(8, OLD + 1, end=end)]
    (tmp_path / "1.jsonl").write_bytes(b"".join(map(codec.encode, runs)))
    wanted = [KEY, RunId(7, OLD + 1), RunId(8, OLD), RunId(8, OLD + 1), RunId(70, OLD)]

    assert delivered_runs(tmp_path, wanted) == {KEY, RunId(8, OLD + 1)}
    assert delivered_runs(tmp_path, []) == frozenset()
    assert delivered_runs(tmp_path / "none", wanted) == frozenset()


def test_a_delivered_run_with_a_moved_start_is_found(tmp_path: Path) -> None:
    """The archive also has Slurm's later start; the run is found by its delivered start."""
    run = run_of(7, OLD)
    moved = replace(run, job=replace(run.job, start_time=OLD + 90, name='"job_id":8,'))
    (tmp_path / "1.jsonl").write_bytes(b"\n" + codec.encode(moved))

    found = delivered_runs(tmp_path, [KEY, RunId(8, OLD), RunId(7, OLD + 1)])

    assert found == {KEY}


def test_delivered_runs_are_found_in_one_pass(tmp_path: Path) -> None:
    """The archive is read once, whether 1 run or 100 runs are wanted."""
    (tmp_path / "1.jsonl").write_bytes(b"".join(codec.encode(run_of(i)) for i in range(1, 101)))
    few, many = ([RunId(i, OLD) for i in range(900, 900 + count)] for count in (1, 100))

    calls_of_few = count_calls(lambda: delivered_runs(tmp_path, few))

    assert count_calls(lambda: delivered_runs(tmp_path, many)) < 2 * calls_of_few
