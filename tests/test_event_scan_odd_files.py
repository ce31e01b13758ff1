"""Files in `new/` that are no event, cannot be read, vanish, or have crashed the drain."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from event_reader import MOMENT, NAME, NOW, OTHER, Reader, at, reader_of

from spool.files.layout import Directory, FileContents
from spool.files.state_files import CrashMarker
from spool.resolve.event_scanner import CONTENTS_WAIT_SECONDS, EventScanner

EMPTY = FileContents(contents=b"", size_bytes=0, time=NOW)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Return a reader of an empty spool."""
    with reader_of(tmp_path) as made:
        yield made


def _link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("make", [_link, os.mkfifo, Path.mkdir])
def test_a_link_fifo_or_directory_in_new_becomes_a_dead_letter(
    reader: Reader, make: Callable[[Path], None]
) -> None:
    """The odd file has the name of an event; a real event is read in the same scan."""
    make(reader.new / NAME)
    reader.event(OTHER)

    assert [OTHER] == reader.scan()
    assert {NAME: "not a regular file"} == reader.dead()


@pytest.mark.parametrize(
    "name",
    ["x", "a\nb", "\x1b[2J", "\udcff", " ", "1-start-5-0-0-1\n", "ü", "%s", "1-start--1-0-0-1"],
)
def test_an_invalid_name_becomes_a_dead_letter_and_events_are_read(
    reader: Reader, name: str
) -> None:
    """The dead letter has the original name."""
    (reader.new / name).touch()
    reader.event(OTHER)

    assert [OTHER] == reader.scan()
    assert {name: "not a valid name of an event file"} == reader.dead()


def test_a_strange_name_is_escaped_in_the_log(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """A terminal may show the log, so control characters of a file name are escaped."""
    (reader.new / "\x1b[2J\n").touch()
    reader.scan()

    assert (False, True) == ("\x1b" in caplog.text, r"\x1b[2J\x0a" in caplog.text)


def test_a_file_that_vanishes_is_no_error(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event file vanishes between the scan of `new/` and the open."""
    reader.event(OTHER)
    monkeypatch.setattr(reader.spool, "names", lambda _: iter([NAME, OTHER]))

    assert ([OTHER], {}) == (reader.scan(), reader.dead())


def test_an_odd_name_that_vanishes_is_no_error(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file with an invalid name vanishes between the read and the move to `dead/`."""
    monkeypatch.setattr(reader.spool, "read", lambda *_: EMPTY)
    with monkeypatch.context() as patched:
        patched.setattr(reader.spool, "names", lambda _: iter(["odd"]))
        found = reader.scan()

    assert ([], []) == (found, list(reader.spool.names(Directory.DEAD)))


def test_an_event_without_read_permission_is_used_without_contents(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """The hook may have had an odd umask; the name of the event file is enough."""
    reader.event(extras="user=ada\nend\n", time=NOW - 3)
    reader.spool.unreadable = frozenset({NAME})
    (event,) = reader.event_scanner.scan(MOMENT)

    assert (NAME, {}, NOW - 3) == (event.name, event.extras, event.time)
    assert "is used without its contents: Permission denied" in caplog.text


def _fail(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE])
def test_an_event_that_cannot_be_read_for_a_moment_keeps_its_contents(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Without accounting only the contents show how the job ended."""
    reader.event(extras="exit_code=0:0\nend\n")
    with monkeypatch.context() as patched:
        patched.setattr(reader.spool, "read", _fail(number))
        before = reader.scan()
    (event,) = reader.event_scanner.scan(at(NOW + 9))

    assert ([], {"exit_code": "0:0"}) == (before, event.extras)


def test_an_event_on_a_bad_block_is_used_without_contents_after_ten_seconds(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job must not wait until Slurm has purged its data."""
    reader.event(time=NOW - 3)
    monkeypatch.setattr(reader.spool, "read", _fail(errno.EIO))
    before = reader.scan()
    (event,) = reader.event_scanner.scan(at(NOW + CONTENTS_WAIT_SECONDS))

    assert ([], NAME, NOW - 3) == (before, event.name, event.time)


def test_an_event_on_a_disk_that_fails_completely_is_read_again(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the file type can be read; a minute later the event is read with its contents."""
    reader.event(extras="user=ada\nend\n")
    with monkeypatch.context() as patched:
        for call in ("read", "mtime", "is_regular"):
            patched.setattr(reader.spool, call, _fail(errno.EIO))
        before = reader.scan(), reader.event_scanner.scan(at(NOW + CONTENTS_WAIT_SECONDS))
    (event,) = reader.event_scanner.scan(at(NOW + 60))

    assert (([], []), {"user": "ada"}) == (before, event.extras)


def test_an_event_is_read_completely_though_the_state_directory_is_full(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crash marker cannot be written, but the event file has no fault."""
    reader.event(extras="exit_code=0:0\nend\n")
    monkeypatch.setattr(os, "pwrite", _fail(errno.ENOSPC))
    (event,) = reader.event_scanner.scan(MOMENT)

    assert {"exit_code": "0:0"} == event.extras


@pytest.mark.parametrize("make", [_link, os.mkfifo, Path.mkdir])
def test_an_unreadable_link_fifo_or_directory_becomes_a_dead_letter(
    reader: Reader, make: Callable[[Path], None]
) -> None:
    """A directory could not be unlinked later as if it were an event file."""
    make(reader.new / NAME)
    reader.spool.unreadable = frozenset({NAME})

    assert [] == reader.scan()
    assert {NAME: "not a regular file"} == reader.dead()


def test_an_unreadable_file_with_an_invalid_name_becomes_a_dead_letter(reader: Reader) -> None:
    """The reason of the dead letter has both errors."""
    (reader.new / "odd").touch()
    reader.spool.unreadable = frozenset({"odd"})
    reason = "not a valid name of an event file; cannot be read: Permission denied"

    assert ([], {"odd": reason}) == (reader.scan(), reader.dead())


def test_an_unreadable_event_of_a_later_version_stays(reader: Reader) -> None:
    """The event file stays in `new/` for a newer program, like a readable one."""
    (reader.new / "2-x").touch()
    reader.spool.unreadable = frozenset({"2-x"})

    assert ([], True) == (reader.scan(), (reader.new / "2-x").exists())


def test_an_unreadable_file_that_vanishes_is_no_error(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read fails with a permission error, and then the file no longer exists."""
    reader.spool.unreadable = frozenset({NAME})
    monkeypatch.setattr(reader.spool, "names", lambda _: iter([NAME]))

    assert [] == reader.scan()


def test_a_directory_that_cannot_be_moved_to_dead_stays(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """`dead/` has a file of this name; the error is logged once, and an event is read."""
    (reader.new / NAME).mkdir()
    (reader.spool.root / "dead" / NAME).write_text("in the way")
    reader.event(OTHER)

    assert ([OTHER], []) == (reader.scan(), reader.scan())
    assert 1 == caplog.text.count("cannot be moved to dead/")


def crash_three_times(reader: Reader, name: str) -> EventScanner:
    """Make the drain crash three times while it reads a file; return the next scanner."""
    for _ in range(3):
        reader.crash_marker(name)
        reader.crash_marker = CrashMarker(reader.spool.root / "handling")
    return EventScanner(reader.spool, reader.crash_marker)


def test_an_event_that_crashed_the_drain_three_times_is_used_without_contents(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """The event file is not read a fourth time; its name is enough to report the job."""
    reader.event(extras="user=ada\nend\n", time=NOW - 3)
    (event,) = crash_three_times(reader, NAME).scan(MOMENT)

    assert (NAME, {}, NOW - 3) == (event.name, event.extras, event.time)
    assert "without its contents: the drain crashed three times while reading this" in caplog.text


def test_an_invalid_name_that_crashed_the_drain_becomes_a_dead_letter(reader: Reader) -> None:
    """The file crashed the drain three times, and its name is not that of an event."""
    (reader.new / "odd").touch()
    reason = "cannot be read: the drain crashed three times while reading this file"

    assert [] == crash_three_times(reader, "odd").scan(MOMENT)
    assert {"odd": f"not a valid name of an event file; {reason}"} == reader.dead()
