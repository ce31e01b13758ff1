"""Loading a spool as the last drain left it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slurm.job import Job
from spool.deliver.pending_run import PendingRun
from spool.deliver.run_loader import RunLoader
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import Schedule
from spool.drain.recovery import recover
from spool.files import codec
from spool.files.archive import DeliveredArchive
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource, Run
from spool.files.state_files import CrashMarker
from spool.moment import Moment

NOW = Moment(wall=1_767_225_700.0, steady=50.0)
BEGAN = 1_767_225_600


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


class Loaded:
    """A spool after `recover`, and what was loaded from it."""

    def __init__(self, layout: Layout, crash_marker: CrashMarker, now: Moment = NOW) -> None:
        self.loader = RunLoader(layout, crash_marker)
        archive = DeliveredArchive(layout.root / "delivered", keep_days=0)
        self.store = RunStore(layout, Schedule(), archive, loader=self.loader)
        recover(layout, self.store, self.loader, now)

    def runs(self, *job_ids: int) -> dict[int, PendingRun]:
        """Return the runs of some job ids, loading them."""
        found = [entry for job_id in job_ids for entry in self.store.lane(job_id, NOW)]
        return {entry.job_id: entry for entry in found}


def test_runs_are_loaded_from_todo_and_open(layout: Layout, crash_marker: CrashMarker) -> None:
    """The directory of each loaded run is the one that holds its file."""
    put(layout, Directory.TODO, 1, ended=True)
    put(layout, Directory.OPEN, 2)

    found = Loaded(layout, crash_marker).runs(1, 2)

    assert {1: Directory.TODO, 2: Directory.OPEN} == {i: e.stored for i, e in found.items()}


def test_no_run_file_is_read_before_it_is_needed(layout: Layout, crash_marker: CrashMarker) -> None:
    """At its start a drain reads only the names of the files."""
    for job_id in (1, 2):
        put(layout, Directory.TODO, job_id, ended=True)
    put(layout, Directory.OPEN, 3)

    taken = Loaded(layout, crash_marker)

    assert (3, 0) == (len(taken.store), len(taken.store.schedule))


def test_the_latest_run_is_loaded_first(layout: Layout, crash_marker: CrashMarker) -> None:
    """The latest run is the most likely to run still; an invalid file name causes no error."""
    for job_id, start in ((1, 200), (2, 900), (3, 1000)):
        (layout.root / "todo" / f"{job_id}-{start}.json").touch()
    (layout.root / "todo" / "7-x.json").touch()

    assert [3, 2, 1] == Loaded(layout, crash_marker).store.waiting_job_ids()


def test_of_two_copies_of_a_run_the_one_in_todo_is_used(
    layout: Layout, crash_marker: CrashMarker
) -> None:
    """The copy in open/ is unlinked."""
    put(layout, Directory.TODO, 1, ended=True)
    loser = put(layout, Directory.OPEN, 1)

    found = Loaded(layout, crash_marker).runs(1, 2)

    assert (BEGAN + 9, False) == (found[1].end_time, loser.exists())


def test_a_damaged_run_is_moved_to_dead_and_the_others_are_loaded(
    layout: Layout, crash_marker: CrashMarker
) -> None:
    """A .why file in dead/ has the reason."""
    put(layout, Directory.OPEN, 1)
    (layout.root / "open" / f"2-{BEGAN}.json").write_text("{")

    found = Loaded(layout, crash_marker).runs(1, 2)

    assert {1} == set(found)
    assert {f"2-{BEGAN}.json", f"2-{BEGAN}.json.why"} == set(layout.names(Directory.DEAD))


def test_a_run_file_of_a_later_version_stays(layout: Layout, crash_marker: CrashMarker) -> None:
    """A later version of this program will read the file; now it is listed as unreadable."""
    path = layout.root / "todo" / f"3-{BEGAN}.json"
    path.write_text('{"version": 2}')

    taken = Loaded(layout, crash_marker)

    assert ({}, [path.name]) == (taken.runs(3), list(taken.loader.unreadable))
    assert path.exists()


def test_a_run_file_that_crashes_the_drain_too_often_is_not_read(
    layout: Layout, tmp_path: Path
) -> None:
    """After three crashes in the crash marker the file stays in open/, listed as unreadable."""
    path = put(layout, Directory.OPEN, 4)
    (tmp_path / "handling").write_text(f"3 {path.name}")

    taken = Loaded(layout, CrashMarker(tmp_path / "handling"))

    assert ({}, [path.name]) == (taken.runs(4), list(taken.loader.unreadable))
    assert (True, []) == (path.exists(), list(layout.names(Directory.DEAD)))


@pytest.mark.parametrize("directory", [Directory.TODO, Directory.OPEN])
def test_a_file_that_is_no_run_is_moved_to_dead(
    layout: Layout, crash_marker: CrashMarker, directory: Directory
) -> None:
    """A file in todo/ or open/ with a name that no run file has, such as notes.txt, is moved."""
    (layout.root / directory / "notes.txt").write_text("mine")
    taken = Loaded(layout, crash_marker)

    assert ({}, 0) == (taken.loader.unreadable, len(taken.store))
    assert ["notes.txt", "notes.txt.why"] == sorted(layout.names(Directory.DEAD))


def test_a_file_that_cannot_be_moved_to_dead_stays(
    layout: Layout, crash_marker: CrashMarker, caplog: pytest.LogCaptureFixture
) -> None:
    """dead/ has the name already: the log says so, and the file is listed as unreadable."""
    (layout.root / "todo" / "odd").mkdir()
    (layout.root / "dead" / "odd").write_text("in the way")

    taken = Loaded(layout, crash_marker)

    assert (0, ["odd"]) == (len(taken.store), list(taken.loader.unreadable))
    assert "todo/odd cannot be read and is retried" in caplog.text


@pytest.mark.parametrize(("age", "stays"), [(3500, True), (3700, False)])
def test_a_temporary_file_older_than_an_hour_is_removed(
    layout: Layout, crash_marker: CrashMarker, age: int, *, stays: bool
) -> None:
    """A younger file may belong to a command that is still writing it."""
    path = layout.root / "tmp" / "x.json"
    path.touch()

    Loaded(layout, crash_marker, Moment(wall=path.stat().st_ctime + age, steady=50.0))

    assert stays is path.exists()


def test_a_temporary_file_with_the_time_of_an_old_run_stays(
    layout: Layout, crash_marker: CrashMarker
) -> None:
    """`retry` and `replay` set the time of the run before they rename the file."""
    path = layout.root / "tmp" / "5-100.json"
    path.touch()
    os.utime(path, (100, 100))

    Loaded(layout, crash_marker, Moment(wall=path.stat().st_ctime, steady=50.0))

    assert path.exists()


def test_a_temporary_file_that_cannot_be_removed_is_logged(
    layout: Layout, crash_marker: CrashMarker, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory in tmp/ does not stop the drain."""
    path = layout.root / "tmp" / "d"
    path.mkdir()

    Loaded(layout, crash_marker, Moment(wall=path.stat().st_ctime + 3700, steady=50.0))

    assert "cannot be removed" in caplog.text


def test_a_run_file_that_vanishes_before_it_is_read_is_no_error(
    layout: Layout, crash_marker: CrashMarker
) -> None:
    """An administrator may discard the run after the drain has read the names of the files."""
    path = put(layout, Directory.TODO, 1)
    taken = Loaded(layout, crash_marker)
    path.unlink()

    assert ({}, {}) == (taken.runs(1), taken.loader.unreadable)
    assert [] == list(layout.names(Directory.DEAD))


def test_a_why_file_without_its_dead_letter_is_removed(
    layout: Layout, crash_marker: CrashMarker
) -> None:
    """`retry` was killed after it had moved the run, and before it removed the reason."""
    dead = layout.root / "dead"
    for name in ("gone.why", "here", "here.why", f"5-{BEGAN}.json"):
        (dead / name).touch()
    Loaded(layout, crash_marker)

    assert [f"5-{BEGAN}.json", "here", "here.why"] == sorted(layout.names(Directory.DEAD))
