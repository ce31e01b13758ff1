"""Taking up a spool as the last drain left it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from spool.drain.recover import read_run, recover

from slurm.job import Job
from spool.deliver.schedule import ScheduleEntry
from spool.files import codec
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource, Run
from spool.files.state_files import CrashMarker

NOW = 1_767_225_700.0
BEGAN = 1_767_225_600


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """Return an empty spool."""
    for directory in Directory:
        (tmp_path / directory).mkdir()
    with Layout(tmp_path) as made:
        yield made


@pytest.fixture
def crash_marker(tmp_path: Path) -> CrashMarker:
    """Return a crash counter that has counted nothing."""
    return CrashMarker(tmp_path / "handling")


def put(layout: Layout, directory: Directory, job_id: int, *, ended: bool = False) -> Path:
    """Write a started run into a directory."""
    run = Run(
        job=Job(job_id=job_id, user="ada", nodes=("n1",), start_time=BEGAN),
        start_time=BEGAN,
        started=BEGAN,
        end=End(time=BEGAN + 9, state="FAILED", source=EndSource.CONTROLLER) if ended else None,
    )
    path = layout.root / directory / run.name
    path.write_bytes(codec.encode(run))
    return path


def entries(layout: Layout, crash_marker: CrashMarker) -> dict[int, ScheduleEntry]:
    """Return what a recovery yields, by job id."""
    return {entry.job_id: entry for entry in recover(layout, crash_marker, NOW)}


def test_runs_are_taken_up_from_todo_and_open(layout: Layout, crash_marker: CrashMarker) -> None:
    """Each with the directory that holds it."""
    put(layout, Directory.TODO, 1, ended=True)
    put(layout, Directory.OPEN, 2)

    found = entries(layout, crash_marker)

    assert {1: Directory.TODO, 2: Directory.OPEN} == {i: e.stored for i, e in found.items()}


def test_of_two_copies_the_one_in_todo_wins(layout: Layout, crash_marker: CrashMarker) -> None:
    """The loser is unlinked."""
    put(layout, Directory.TODO, 1, ended=True)
    loser = put(layout, Directory.OPEN, 1)

    found = entries(layout, crash_marker)

    assert (BEGAN + 9, False) == (found[1].end_time, loser.exists())


def test_a_damaged_run_is_set_aside_and_the_others_go_on(
    layout: Layout, crash_marker: CrashMarker
) -> None:
    """With a reason beside it."""
    put(layout, Directory.OPEN, 1)
    (layout.root / "open" / f"2-{BEGAN}.json").write_text("{")

    found = entries(layout, crash_marker)

    assert {1} == set(found)
    assert {f"2-{BEGAN}.json", f"2-{BEGAN}.json.why"} == set(layout.names(Directory.DEAD))


def test_a_run_of_a_later_version_is_left_alone(layout: Layout, crash_marker: CrashMarker) -> None:
    """A newer program will read it."""
    path = layout.root / "todo" / f"3-{BEGAN}.json"
    path.write_text('{"version": 2}')

    assert {} == entries(layout, crash_marker)
    assert path.exists()


def test_a_file_that_ends_the_drain_again_and_again_is_set_aside(
    layout: Layout, tmp_path: Path
) -> None:
    """After three deaths it is not touched a fourth time."""
    path = put(layout, Directory.OPEN, 4)
    (tmp_path / "handling").write_text(f"3 {path.name}")

    assert {} == entries(layout, CrashMarker(tmp_path / "handling"))
    assert path.name in set(layout.names(Directory.DEAD))


def test_a_file_that_cannot_be_set_aside_stays(
    layout: Layout, crash_marker: CrashMarker, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost, and the log says so."""
    (layout.root / "todo" / "odd").mkdir()
    (layout.root / "dead" / "odd").write_text("in the way")

    assert {} == entries(layout, crash_marker)
    assert "it stays there" in caplog.text


@pytest.mark.parametrize(("age", "stays"), [(3500, True), (3700, False)])
def test_what_was_half_written_an_hour_ago_is_removed(
    layout: Layout, crash_marker: CrashMarker, age: int, *, stays: bool
) -> None:
    """A younger file may belong to a command that writes just now."""
    path = layout.root / "tmp" / "x.json"
    path.touch()
    os.utime(path, (NOW - age, NOW - age))

    entries(layout, crash_marker)

    assert stays is path.exists()


def test_rubbish_that_cannot_be_removed_is_told(
    layout: Layout, crash_marker: CrashMarker, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory in tmp/ stops nothing."""
    path = layout.root / "tmp" / "d"
    path.mkdir()
    os.utime(path, (0, 0))

    entries(layout, crash_marker)

    assert "cannot be removed" in caplog.text


def test_a_run_that_vanishes_meanwhile_is_no_error(
    layout: Layout, crash_marker: CrashMarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator may discard it."""
    path = put(layout, Directory.TODO, 1)
    names = layout.names

    def vanishing(directory: Directory) -> Iterator[str]:
        found = list(names(directory))
        path.unlink(missing_ok=True)
        return iter(found)

    monkeypatch.setattr(layout, "names", vanishing)

    assert {} == entries(layout, crash_marker)


def test_a_reason_without_its_letter_is_removed(layout: Layout, crash_marker: CrashMarker) -> None:
    """`retry` died after it had put the letter back."""
    dead = layout.root / "dead"
    for name in ("gone.why", "here", "here.why", f"5-{BEGAN}.json"):
        (dead / name).touch()
    list(recover(layout, crash_marker, NOW))

    assert [f"5-{BEGAN}.json", "here", "here.why"] == sorted(layout.names(Directory.DEAD))


def test_a_run_that_is_gone_is_not_read(layout: Layout, crash_marker: CrashMarker) -> None:
    """It was told between the look at the directory and the look at the file."""
    assert None is read_run(layout, crash_marker, Directory.TODO, f"5-{BEGAN}.json", NOW)
    assert [] == list(layout.names(Directory.DEAD))
