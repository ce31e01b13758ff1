"""Events that wait in `new/`: returned once, in order, then dropped; and when a scan is due."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from event_reader import MOMENT, NAME, NOW, OTHER, Reader, at, reader_of

from spool.files.layout import FileContents
from spool.resolve.event_scanner import CONTENTS_WAIT_SECONDS, LARGE_BACKLOG, RESCAN_SECONDS

EMPTY = FileContents(contents=b"", size_bytes=0, time=NOW)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Return a reader of an empty spool."""
    with reader_of(tmp_path) as made:
        yield made


def test_an_event_is_returned_with_its_extras(reader: Reader) -> None:
    """Job id, time and extras come from the event file's name, mtime and contents."""
    reader.event(extras="user=ada\nend\n", time=NOW - 0.5)
    (event,) = reader.event_scanner.scan(MOMENT)

    assert (5, NOW - 0.5, {"user": "ada"}) == (event.job_id, event.time, event.extras)


def test_an_event_waits_until_its_hook_has_written_it(reader: Reader) -> None:
    """The drain may scan between the open and the write of a hook."""
    path = reader.event(extras="")
    before = reader.scan()
    path.write_text("exit_code=0:0\nend\n")
    (event,) = reader.event_scanner.scan(at(NOW + 0.01))

    assert ([], {"exit_code": "0:0"}) == (before, event.extras)


def test_an_event_waits_for_a_hook_whose_write_is_delayed(reader: Reader) -> None:
    """The kernel slows down writers, or freezes a cgroup; only the contents have the exit code."""
    path = reader.event(extras="")
    reader.scan()
    reader.event_scanner.scan(at(NOW + 5))
    path.write_text("exit_code=0:0\nend\n")
    (event,) = reader.event_scanner.scan(at(NOW + 6))

    assert {"exit_code": "0:0"} == event.extras


def test_a_scan_is_due_while_a_hook_writes(reader: Reader) -> None:
    """The event file is still incomplete: a scan is due 0.01 s later; `new/` keeps its mtime."""
    reader.event(extras="")
    reader.scan()

    assert reader.event_scanner.is_due(at(NOW + 0.01))


@pytest.mark.parametrize("contents", ["", "exit_code=0:0\n", "friend\n"])
def test_an_event_without_its_last_line_counts_after_ten_seconds(
    reader: Reader, contents: str
) -> None:
    """The hook was killed, or the disk is full; the name of the event file is enough."""
    reader.event(extras=contents)
    early = reader.scan(), [event.name for event in reader.event_scanner.scan(at(NOW + 9.9))]
    (event,) = reader.event_scanner.scan(at(NOW + CONTENTS_WAIT_SECONDS))

    assert (([], []), NAME, {}) == (early, event.name, event.extras)


def test_events_come_oldest_first(reader: Reader) -> None:
    """Events are sorted by the mtime of their files."""
    reader.event(NAME, time=NOW - 1)
    reader.event(OTHER, time=NOW - 2)

    assert [OTHER, NAME] == reader.scan()


def test_an_event_is_returned_once(reader: Reader) -> None:
    """The event file stays in `new/` until its run is stored, but is not returned again."""
    reader.event()

    assert ([NAME], [], 1) == (reader.scan(), reader.scan(), len(reader.event_scanner))


def test_a_forgotten_event_is_not_counted(reader: Reader) -> None:
    """The scanner forgets an event when its file was removed from `new/`."""
    path = reader.event()
    reader.scan()
    path.unlink()
    reader.event_scanner.forget([NAME])

    assert 0 == len(reader.event_scanner)


def test_a_name_that_comes_again_is_a_new_event(reader: Reader) -> None:
    """The hook of another run may have had the same pid."""
    reader.event().unlink()
    reader.scan()
    reader.event()

    assert [NAME] == reader.scan()


def test_an_event_that_another_program_removed_is_forgotten(reader: Reader) -> None:
    """If the event file comes back, it is a new event."""
    path = reader.event()
    reader.scan()
    path.unlink()
    reader.scan()
    reader.event()

    assert [NAME] == reader.scan()


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


def test_a_huge_file_is_an_event_without_extras(reader: Reader) -> None:
    """The contents of an event file of 1 GiB are not read; its name is enough."""
    _sparse(reader.new / NAME)
    (event,) = reader.event_scanner.scan(MOMENT)

    assert (NAME, {}) == (event.name, event.extras)


def test_an_event_of_a_later_version_stays(reader: Reader) -> None:
    """The event file stays in `new/` until a newer program reads it."""
    (reader.new / "2-start-5-0-0-1").touch()

    assert ([], True) == (reader.scan(), (reader.new / "2-start-5-0-0-1").exists())


def test_an_event_of_a_later_version_is_logged_once(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning is not repeated at every scan."""
    (reader.new / "2-start-5-0-0-1").touch()
    reader.scan()
    reader.scan()

    assert 1 == caplog.text.count("by a later version of this program")


def test_a_first_scan_is_due(reader: Reader) -> None:
    """Events may have arrived before the drain started."""
    assert reader.event_scanner.is_due(at(NOW))


@pytest.mark.parametrize(
    ("age", "later", "is_due"),
    [
        (5.0, 0.05, False),  # nothing has changed
        (0.5, 0.05, True),  # a directory's time may be coarse
        (5.0, RESCAN_SECONDS, True),  # and one more scan from time to time
    ],
)
def test_a_scan_is_due_when_something_may_be_new(
    reader: Reader,
    age: float,
    later: float,
    *,
    is_due: bool,
) -> None:
    """One stat of `new/` shows a recent change; RESCAN_SECONDS later a scan is always due."""
    os.utime(reader.new, (NOW - age, NOW - age))
    reader.event_scanner.scan(MOMENT)

    assert is_due is reader.event_scanner.is_due(at(NOW + later))


def test_a_scan_is_due_when_the_directory_changed(reader: Reader) -> None:
    """A newer mtime of `new/` shows that an event has arrived."""
    os.utime(reader.new, (NOW - 50, NOW - 50))
    reader.event_scanner.scan(MOMENT)
    os.utime(reader.new, (NOW - 40, NOW - 40))

    assert reader.event_scanner.is_due(at(NOW + 0.05))


@pytest.mark.parametrize(("later", "is_due"), [(0.5, False), (1.0, True)])
def test_a_large_backlog_is_scanned_once_a_second(
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
    later: float,
    *,
    is_due: bool,
) -> None:
    """A scan of ten thousand names is expensive."""
    crowd = [f"1-start-{number + 1}-0-0-1" for number in range(LARGE_BACKLOG + 1)]
    monkeypatch.setattr(reader.spool, "names", lambda _: iter(crowd))
    monkeypatch.setattr(reader.spool, "read", lambda *_: EMPTY)
    reader.event_scanner.scan(MOMENT)
    os.utime(reader.new, (NOW + 0.1, NOW + 0.1))  # another event arrived

    assert is_due is reader.event_scanner.is_due(at(NOW + later))
