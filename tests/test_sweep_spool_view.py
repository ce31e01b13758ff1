"""What the spool has of a run, by file names."""

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
    """An empty spool."""
    make_directories(tmp_path)
    return Layout(tmp_path)


def put(layout: Layout, directory: str, name: str, contents: bytes = b"") -> None:
    """Put a file."""
    (layout.root / directory / name).write_bytes(contents)


def stored(**fields: Any) -> bytes:
    """A run file of the key."""
    return codec.encode(replace(run_of(7, OLD), **fields))


def test_of_an_unknown_run_nothing_is_held(layout: Layout) -> None:
    """Other runs and odd names do not count."""
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
        """List a directory; the run is moved as soon as the one is listed that it moves to."""
        found = list(super().names(directory))
        source, target = (self.root / each / f"7-{OLD}.json" for each in self._move)
        if directory is self._move[1] and source.exists():
            source.rename(target)
        return iter(found)


@pytest.mark.parametrize("way", [("todo", "open"), ("open", "todo"), ("todo", "dead")])
def test_a_run_that_is_moved_meanwhile_is_seen(layout: Layout, way: tuple[str, str]) -> None:
    """Wherever it goes: a start of it would be sent for nothing."""
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
def test_a_run_that_waits_for_the_grace_alone_is_captured(
    layout: Layout, fields: dict[str, object], captured: int
) -> None:
    """Not one that is being retried, nor one that waits for its stop."""
    put(layout, "todo", f"7-{OLD}.json", stored(**fields))

    assert len(captured_runs(layout, [KEY], now=NOON)) == captured


def test_what_cannot_be_read_is_not_captured(layout: Layout) -> None:
    """Neither a file that is gone nor one that is damaged."""
    put(layout, "todo", f"8-{OLD}.json", b"{")

    assert captured_runs(layout, [KEY, RunId(8, OLD)], now=NOON) == frozenset()


def test_of_some_runs_the_names_are_enough(layout: Layout) -> None:
    """Their files are not read: one in open/ counts as started."""
    put(layout, "open", f"7-{OLD}.json", b"{")

    found = spool_entries_of(layout, [KEY], names_only=[KEY])

    assert found == {KEY: SpoolEntry(status=SpoolStatus.STARTED)}


@pytest.mark.parametrize("name", ["1-start-7-0-0-3", "1-stop-7-0-0-3", f"1-stop-7-{OLD + 5}-0-3"])
def test_an_event_without_another_start_queues_a_run(layout: Layout, name: str) -> None:
    """Whatever lies elsewhere."""
    put(layout, "new", name)
    put(layout, "open", f"7-{OLD}.json", stored())

    assert spool_entries_of(layout, [KEY]) == {KEY: SpoolEntry(status=SpoolStatus.QUEUED)}


def test_the_directory_is_the_state(layout: Layout) -> None:
    """Of two copies the earlier one in the order wins; starts may differ by some seconds."""
    put(layout, "dead", f"7-{OLD + 3}.json")
    assert spool_entries_of(layout, [KEY]) == {KEY: SpoolEntry(status=SpoolStatus.DEAD)}
    put(layout, "open", f"7-{OLD}.json", stored(started=OLD + 9, seen=OLD + 10))
    told = SpoolEntry(status=SpoolStatus.STARTED, started_at=OLD + 9, last_seen=OLD + 10)
    assert spool_entries_of(layout, [KEY]) == {KEY: told}
    put(layout, "todo", f"7-{OLD}.json")
    assert spool_entries_of(layout, [KEY]) == {KEY: SpoolEntry(status=SpoolStatus.QUEUED)}


def test_a_run_left_out_by_choice_is_seen_as_such(layout: Layout) -> None:
    """Its mark lies in open/."""
    put(layout, "open", f"7-{OLD}.json", stored(reported=False, reason="opted out"))

    assert spool_entries_of(layout, [KEY]) == {KEY: SpoolEntry(status=SpoolStatus.UNREPORTED)}


def test_a_run_that_cannot_be_read_is_the_drains_business(layout: Layout) -> None:
    """Neither planned nor lost."""
    put(layout, "open", f"7-{OLD}.json", b"odd")

    assert spool_entries_of(layout, [KEY]) == {KEY: SpoolEntry(status=SpoolStatus.QUEUED)}


@pytest.mark.parametrize(
    ("directory", "name"),
    [("new", "1-stop-7-0-0-1"), ("todo", "7-1.json"), ("open", "7-1.json"), ("dead", "7-1.json")],
)
def test_a_job_id_is_known_by_anything_of_it(layout: Layout, directory: str, name: str) -> None:
    """An event or a run."""
    assert not spool_has_job(layout, 7)
    put(layout, directory, name)

    assert spool_has_job(layout, 7)


def test_delivered_runs_are_found_by_id_and_start(tmp_path: Path) -> None:
    """In the archive of what cc-backend has taken."""
    end = End(time=NOON, state="FAILED", source=EndSource.ACCOUNTING)
    runs: list[Run] = [run_of(7, OLD, end=end), run_of(8, OLD + 1, end=end)]
    (tmp_path / "1.jsonl").write_bytes(b"".join(map(codec.encode, runs)))
    wanted = [KEY, RunId(7, OLD + 1), RunId(8, OLD), RunId(8, OLD + 1), RunId(70, OLD)]

    assert delivered_runs(tmp_path, wanted) == {KEY, RunId(8, OLD + 1)}
    assert delivered_runs(tmp_path, []) == frozenset()
    assert delivered_runs(tmp_path / "none", wanted) == frozenset()


def test_a_delivered_run_is_found_whose_start_slurm_has_moved(tmp_path: Path) -> None:
    """Its line has the start under which it was delivered, and Slurm's later one."""
    run = run_of(7, OLD)
    moved = replace(run, job=replace(run.job, start_time=OLD + 90, name='"job_id":8,'))
    (tmp_path / "1.jsonl").write_bytes(b"\n" + codec.encode(moved))

    found = delivered_runs(tmp_path, [KEY, RunId(8, OLD), RunId(7, OLD + 1)])

    assert found == {KEY}


def test_delivered_runs_are_found_in_one_pass(tmp_path: Path) -> None:
    """However many are looked for."""
    (tmp_path / "1.jsonl").write_bytes(b"".join(codec.encode(run_of(i)) for i in range(1, 101)))
    few, many = ([RunId(i, OLD) for i in range(900, 900 + count)] for count in (1, 100))

    calls_of_few = count_calls(lambda: delivered_runs(tmp_path, few))

    assert count_calls(lambda: delivered_runs(tmp_path, many)) < 2 * calls_of_few
