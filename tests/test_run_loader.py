"""Reading run files: a damaged one goes to `dead/`, one that cannot be read now stays."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from empty_spool import make_directories

from slurm.job import Job
from spool.deliver.run_loader import (
    AFTER_CRASHES,
    AFTER_CRASHES_SECONDS,
    READ_AGAIN_SECONDS,
    RunLoader,
)
from spool.files import codec
from spool.files.dead_letter_reason import read_why
from spool.files.layout import Directory, Layout
from spool.files.run import Run
from spool.files.state_files import CrashMarker
from spool.moment import Moment

NOW = Moment(wall=1_767_225_600.0, steady=5000.0)
RUN = Run(job=Job(job_id=1, nodes=("n1",)), start_time=100)
NAME = RUN.name


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """Return a spool with one run in `todo/`."""
    make_directories(tmp_path)
    (tmp_path / "todo" / NAME).write_bytes(codec.encode(RUN))
    with Layout(tmp_path) as made:
        yield made


@pytest.fixture
def loader(layout: Layout) -> RunLoader:
    """Return a loader of a drain that has never crashed."""
    return RunLoader(layout, CrashMarker(layout.root / "handling"))


def fail_reading(patched: pytest.MonkeyPatch, layout: Layout, number: int, text: str) -> None:
    """Make every read fail."""

    def fail(*_args: object) -> None:
        raise OSError(number, text)

    patched.setattr(layout, "read", fail)


def later(seconds: float) -> Moment:
    """Return a later moment."""
    return Moment(NOW.wall + seconds, NOW.steady + seconds)


def test_a_run_file_is_loaded(loader: RunLoader) -> None:
    """The loaded run equals the run that was written to `todo/`."""
    assert RUN == loader.load(Directory.TODO, NAME, NOW)


def test_without_a_failed_read_no_retry_is_due(loader: RunLoader) -> None:
    """The drain's loop does not wake up to read a run file again."""
    loader.load(Directory.TODO, NAME, NOW)

    assert None is loader.next_time()


def test_a_removed_run_file_is_no_error(loader: RunLoader) -> None:
    """An administrator discarded the run: its file raises no alarm, and is not tried again."""
    assert None is loader.load(Directory.OPEN, NAME, NOW)
    assert ({}, []) == (loader.unreadable, loader.take_due(later(9999)))


@pytest.mark.parametrize("contents", ["", "{", "[]", '{"version": 1}', "\0" * 100])
def test_a_damaged_run_file_is_moved_to_dead(
    layout: Layout, loader: RunLoader, contents: str
) -> None:
    """The reason beside the file has a hint with `cc-spool retry`."""
    (layout.root / "todo" / NAME).write_text(contents)

    assert None is loader.load(Directory.TODO, NAME, NOW)
    why = read_why(layout, NAME)
    assert why is not None
    assert (NAME, Directory.TODO, int(NOW.wall)) == (why.name, why.directory, why.time)
    assert "cc-spool retry" in why.hint
    assert ({}, [NAME, f"{NAME}.why"]) == (
        loader.unreadable,
        sorted(layout.names(Directory.DEAD)),
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EIO, "Input/output error"),
        (errno.EACCES, "Permission denied"),
        (errno.EMFILE, "Too many open files"),
        (errno.ESTALE, "Stale file handle"),
    ],
)
def test_a_run_file_that_cannot_be_read_now_stays(
    layout: Layout, loader: RunLoader, number: int, text: str
) -> None:
    """After a fault of system or disk the file is not moved, and is tried again each minute."""
    with pytest.MonkeyPatch.context() as patched:
        fail_reading(patched, layout, number, text)
        assert None is loader.load(Directory.TODO, NAME, NOW)

    assert ({NAME: text}, [100]) == (loader.unreadable, loader.unreadable_starts(1))
    assert ([NAME], []) == (list(layout.names(Directory.TODO)), list(layout.names(Directory.DEAD)))
    assert NOW.steady + READ_AGAIN_SECONDS == loader.next_time()
    assert [] == loader.take_due(later(READ_AGAIN_SECONDS - 0.1))
    assert [(Directory.TODO, NAME)] == loader.take_due(later(READ_AGAIN_SECONDS))
    assert [] == loader.take_due(later(READ_AGAIN_SECONDS))
    assert RUN == loader.load(Directory.TODO, NAME, NOW)
    assert {} == loader.unreadable


def test_a_read_error_without_errno_is_shown(layout: Layout, loader: RunLoader) -> None:
    """The alarm for the run file shows the text of the exception instead."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layout, "read", _raise_bare_error)
        loader.load(Directory.TODO, NAME, NOW)

    assert {NAME: "odd"} == loader.unreadable


def _raise_bare_error(*_args: object) -> None:
    raise OSError("odd")


def test_a_repeated_read_error_is_logged_once(
    layout: Layout, loader: RunLoader, caplog: pytest.LogCaptureFixture
) -> None:
    """A different error of the same run file is logged again."""
    with pytest.MonkeyPatch.context() as patched:
        fail_reading(patched, layout, errno.EIO, "Input/output error")
        loader.load(Directory.TODO, NAME, NOW)
        loader.load(Directory.TODO, NAME, NOW)
        fail_reading(patched, layout, errno.EACCES, "Permission denied")
        loader.load(Directory.TODO, NAME, NOW)

    said = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert [
        f"todo/{NAME} cannot be read and is retried: Input/output error",
        f"todo/{NAME} cannot be read and is retried: Permission denied",
    ] == said


def test_the_removal_of_an_unreadable_run_file_ends_the_alarm(
    layout: Layout, loader: RunLoader
) -> None:
    """The next try finds that the file no longer exists."""
    with pytest.MonkeyPatch.context() as patched:
        fail_reading(patched, layout, errno.EIO, "Input/output error")
        loader.load(Directory.TODO, NAME, NOW)
    (layout.root / "todo" / NAME).unlink()
    loader.load(Directory.TODO, NAME, later(READ_AGAIN_SECONDS))

    assert {} == loader.unreadable


def test_a_run_file_of_a_later_version_stays(layout: Layout, loader: RunLoader) -> None:
    """The file raises an alarm and is tried again hourly, until a newer program can read it."""
    (layout.root / "todo" / NAME).write_text('{"version": 2}')

    assert None is loader.load(Directory.TODO, NAME, NOW)
    assert [NAME] == list(loader.unreadable)
    assert [NAME] == list(layout.names(Directory.TODO))
    assert [] == loader.take_due(later(AFTER_CRASHES_SECONDS - 1))
    assert [(Directory.TODO, NAME)] == loader.take_due(later(AFTER_CRASHES_SECONDS))


def test_a_run_that_crashed_the_drain_three_times_stays(layout: Layout) -> None:
    """The crash marker names the run: its file is not read for an hour, and not moved."""
    (layout.root / "handling").write_text(f"3 {NAME}")
    loader = RunLoader(layout, CrashMarker(layout.root / "handling"))

    assert None is loader.load(Directory.TODO, NAME, NOW)
    assert {NAME: AFTER_CRASHES} == loader.unreadable
    assert [NAME] == list(layout.names(Directory.TODO))
    assert [] == loader.take_due(later(AFTER_CRASHES_SECONDS - 1))
    assert [(Directory.TODO, NAME)] == loader.take_due(later(AFTER_CRASHES_SECONDS))


def test_the_crash_marker_names_a_run_while_it_is_read(layout: Layout, loader: RunLoader) -> None:
    """If the process dies, the crash counts for this run and for no later one."""
    seen: list[bytes] = []
    read = layout.read

    def look(directory: Directory, name: str, limit_bytes: int) -> object:
        seen.append((layout.root / "handling").read_bytes().rstrip(b"\0"))
        return read(directory, name, limit_bytes)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layout, "read", look)
        loader.load(Directory.TODO, NAME, NOW)

    assert ([f"1 {NAME}".encode()], b"") == (
        seen,
        (layout.root / "handling").read_bytes().rstrip(b"\0"),
    )


def test_a_file_that_cannot_be_moved_to_dead_stays(layout: Layout, loader: RunLoader) -> None:
    """The name exists in `dead/`: the file raises an alarm, and is tried again after a minute."""
    (layout.root / "todo" / "odd").mkdir()
    (layout.root / "dead" / "odd").write_text("in the way")
    loader.move_to_dead(Directory.TODO, "odd", "strange", NOW)

    assert "strange, and the file cannot be moved to dead/" in loader.unreadable["odd"]
    assert [] == loader.unreadable_starts(1)
    assert [(Directory.TODO, "odd")] == loader.take_due(later(READ_AGAIN_SECONDS))
    (layout.root / "dead" / "odd").unlink()
    loader.move_to_dead(Directory.TODO, "odd", "strange", NOW)
    assert {} == loader.unreadable


def test_a_file_that_vanishes_before_its_move_raises_no_alarm(
    layout: Layout, loader: RunLoader
) -> None:
    """The file was to be moved to `dead/`; no file is created there."""
    loader.move_to_dead(Directory.TODO, "gone", "strange", NOW)

    assert ({}, []) == (loader.unreadable, list(layout.names(Directory.DEAD)))


def test_starts_of_a_jobs_unreadable_runs_are_returned(layout: Layout, loader: RunLoader) -> None:
    """Runs of other job ids are not included."""
    with pytest.MonkeyPatch.context() as patched:
        fail_reading(patched, layout, errno.EIO, "Input/output error")
        for name in ("1-100.json", "1-200.json", "2-300.json"):
            loader.load(Directory.OPEN, name, NOW)

    assert ([100, 200], [300], []) == tuple(loader.unreadable_starts(i) for i in (1, 2, 3))
