"""Events that wait in `new/`, among things that are none."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from spool.files.dead_letters import read_why
from spool.files.layout import Directory, FileContents, Layout
from spool.files.state_files import CrashMarker
from spool.moment import Moment
from spool.resolve.event_scanner import LARGE_BACKLOG, RESCAN_SECONDS, EventScanner

NOW = 1_767_225_600.0
EMPTY = FileContents(contents=b"", size_bytes=0, time=NOW)


def at(seconds: float) -> Moment:
    """Return a moment at which both clocks agree."""
    return Moment(seconds, seconds)


MOMENT = at(NOW)
NAME = "1-start-5-0-0-4711"
OTHER = "1-stop-6-100-200-4712"


class Spool(Layout):
    """A spool some of whose files cannot be read, as under another user."""

    unreadable: frozenset[str] = frozenset()

    def read(self, directory: Directory, name: str, limit_bytes: int) -> FileContents:
        """Refuse what is unreadable."""
        if name in self.unreadable:
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return super().read(directory, name, limit_bytes)


@dataclass
class Reader:
    """An intake and the spool it reads."""

    spool: Spool
    crash_marker: CrashMarker
    event_scanner: EventScanner

    @property
    def new(self) -> Path:
        """Return `new/`."""
        return self.spool.root / "new"

    def scan(self) -> list[str]:
        """Return the names of the events that a scan hands out."""
        return [event.name for event in self.event_scanner.scan(MOMENT)]

    def dead(self) -> dict[str, str]:
        """Return the reason of every dead letter by its name before."""
        names = self.spool.names(Directory.DEAD)
        whys = [read_why(self.spool, name) for name in names if not name.endswith(".why")]
        return {why.name: why.reason for why in whys if why}

    def event(self, name: str = NAME, *, time: float = NOW, extras: str = "end\n") -> Path:
        """Write an event as a hook does."""
        path = self.new / name
        path.write_text(extras)
        os.utime(path, (time, time))
        return path


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Return an intake of an empty spool."""
    for directory in Directory:
        (tmp_path / directory).mkdir()
    crash_marker = CrashMarker(tmp_path / "handling")
    with Spool(tmp_path) as spool:
        yield Reader(spool, crash_marker, EventScanner(spool, crash_marker))
    crash_marker.close()


def test_an_event_is_handed_out_with_its_extras(reader: Reader) -> None:
    """Name, file time and contents make it."""
    reader.event(extras="user=ada\nend\n", time=NOW - 0.5)
    (event,) = reader.event_scanner.scan(MOMENT)

    assert (5, NOW - 0.5, {"user": "ada"}) == (event.job_id, event.time, event.extras)


def test_events_come_oldest_first(reader: Reader) -> None:
    """By the time of their file."""
    reader.event(NAME, time=NOW - 1)
    reader.event(OTHER, time=NOW - 2)

    assert [OTHER, NAME] == reader.scan()


def test_an_event_is_handed_out_once(reader: Reader) -> None:
    """It stays in `new/` until its run is safe."""
    reader.event()

    assert ([NAME], [], 1) == (reader.scan(), reader.scan(), len(reader.event_scanner))


def test_a_forgotten_event_is_not_counted(reader: Reader) -> None:
    """It is gone from `new/`."""
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


def test_an_event_that_somebody_removed_is_forgotten(reader: Reader) -> None:
    """Should it come back, it is new."""
    path = reader.event()
    reader.scan()
    path.unlink()
    reader.scan()
    reader.event()

    assert [NAME] == reader.scan()


def _link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


@pytest.mark.parametrize("make", [_link, os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_set_aside_and_the_others_go_on(
    reader: Reader, make: Callable[[Path], None]
) -> None:
    """Under the name of an event or not."""
    make(reader.new / NAME)
    reader.event(OTHER)

    assert [OTHER] == reader.scan()
    assert {NAME: "not a regular file"} == reader.dead()


def test_a_huge_file_is_an_event_without_extras(reader: Reader) -> None:
    """Its name says all; its contents are not read."""
    _sparse(reader.new / NAME)
    (event,) = reader.event_scanner.scan(MOMENT)

    assert (NAME, {}) == (event.name, event.extras)


@pytest.mark.parametrize(
    "name",
    ["x", "a\nb", "\x1b[2J", "\udcff", " ", "1-start-5-0-0-1\n", "ü", "%s", "1-start--1-0-0-1"],
)
def test_a_strange_name_is_set_aside_and_the_others_go_on(reader: Reader, name: str) -> None:
    """With the name it had."""
    (reader.new / name).touch()
    reader.event(OTHER)

    assert [OTHER] == reader.scan()
    assert {name: "not a valid name of an event file"} == reader.dead()


def test_a_strange_name_reaches_the_log_escaped(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """A terminal may show it."""
    (reader.new / "\x1b[2J\n").touch()
    reader.scan()

    assert (False, True) == ("\x1b" in caplog.text, r"\x1b[2J\x0a" in caplog.text)


def test_an_event_of_a_later_version_is_left_alone(reader: Reader) -> None:
    """A newer program will read it."""
    (reader.new / "2-start-5-0-0-1").touch()

    assert ([], True) == (reader.scan(), (reader.new / "2-start-5-0-0-1").exists())


def test_an_event_of_a_later_version_is_warned_of_once(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at every scan."""
    (reader.new / "2-start-5-0-0-1").touch()
    reader.scan()
    reader.scan()

    assert 1 == caplog.text.count("by a later version of this program")


def test_a_file_that_vanishes_is_no_error(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the scan and the open."""
    reader.event(OTHER)
    monkeypatch.setattr(reader.spool, "names", lambda _: iter([NAME, OTHER]))

    assert ([OTHER], {}) == (reader.scan(), reader.dead())


def test_an_odd_name_that_vanishes_is_no_error(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at it and its burial."""
    monkeypatch.setattr(reader.spool, "read", lambda *_: EMPTY)
    with monkeypatch.context() as patched:
        patched.setattr(reader.spool, "names", lambda _: iter(["odd"]))
        found = reader.scan()

    assert ([], []) == (found, list(reader.spool.names(Directory.DEAD)))


def test_an_event_whose_extras_cannot_be_read_is_an_event(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """The hook's umask may have been odd; the name says enough."""
    reader.event(extras="user=ada\nend\n", time=NOW - 3)
    reader.spool.unreadable = frozenset({NAME})
    (event,) = reader.event_scanner.scan(MOMENT)

    assert (NAME, {}, NOW - 3) == (event.name, event.extras, event.time)
    assert "are ignored: Permission denied" in caplog.text


@pytest.mark.parametrize("make", [_link, os.mkfifo, Path.mkdir])
def test_what_cannot_be_read_and_is_no_file_is_set_aside(
    reader: Reader, make: Callable[[Path], None]
) -> None:
    """Nobody could unlink a directory as if it were an event."""
    make(reader.new / NAME)
    reader.spool.unreadable = frozenset({NAME})

    assert [] == reader.scan()
    assert {NAME: "not a regular file"} == reader.dead()


def test_a_strange_name_that_cannot_be_read_is_set_aside(reader: Reader) -> None:
    """Both reasons are logged."""
    (reader.new / "odd").touch()
    reader.spool.unreadable = frozenset({"odd"})
    reason = "not a valid name of an event file; cannot be read: Permission denied"

    assert ([], {"odd": reason}) == (reader.scan(), reader.dead())


def test_an_unreadable_event_of_a_later_version_is_left_alone(reader: Reader) -> None:
    """As a readable one."""
    (reader.new / "2-x").touch()
    reader.spool.unreadable = frozenset({"2-x"})

    assert ([], True) == (reader.scan(), (reader.new / "2-x").exists())


def test_an_unreadable_file_that_vanishes_is_no_error(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was somebody else's."""
    reader.spool.unreadable = frozenset({NAME})
    monkeypatch.setattr(reader.spool, "names", lambda _: iter([NAME]))

    assert [] == reader.scan()


def test_what_cannot_be_set_aside_stays_and_the_others_go_on(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, not at every scan."""
    (reader.new / NAME).mkdir()
    (reader.spool.root / "dead" / NAME).write_text("in the way")
    reader.event(OTHER)

    assert ([OTHER], []) == (reader.scan(), reader.scan())
    assert 1 == caplog.text.count("cannot be moved to dead/")


def crash_three_times(reader: Reader, name: str) -> EventScanner:
    """Let the drain die three times while it reads a file; return the scanner of the next one."""
    for _ in range(3):
        reader.crash_marker(name)
        reader.crash_marker = CrashMarker(reader.spool.root / "handling")
    return EventScanner(reader.spool, reader.crash_marker)


def test_an_event_that_ended_the_drain_three_times_is_read_by_its_name_alone(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """Its contents are not read a fourth time, and its job is not lost."""
    reader.event(extras="user=ada\nend\n", time=NOW - 3)
    (event,) = crash_three_times(reader, NAME).scan(MOMENT)

    assert (NAME, {}, NOW - 3) == (event.name, event.extras, event.time)
    assert "are ignored: the drain crashed three times while reading this file" in caplog.text


def test_what_is_no_event_and_ended_the_drain_three_times_is_set_aside(reader: Reader) -> None:
    """Its name says nothing."""
    (reader.new / "odd").touch()
    reason = "cannot be read: the drain crashed three times while reading this file"

    assert [] == crash_three_times(reader, "odd").scan(MOMENT)
    assert {"odd": f"not a valid name of an event file; {reason}"} == reader.dead()


def test_a_first_look_is_due(reader: Reader) -> None:
    """Events may have waited for the drain."""
    assert reader.event_scanner.is_due(at(NOW))


@pytest.mark.parametrize(
    ("age", "later", "is_due"),
    [
        (5.0, 0.05, False),  # nothing has changed
        (0.5, 0.05, True),  # a directory's time may be coarse
        (5.0, RESCAN_SECONDS, True),  # and one look more now and then
    ],
)
def test_a_look_is_due_when_something_may_be_new(
    reader: Reader,
    age: float,
    later: float,
    is_due: bool,  # noqa: FBT001 - a table
) -> None:
    """One stat shows it."""
    os.utime(reader.new, (NOW - age, NOW - age))
    reader.event_scanner.scan(MOMENT)

    assert is_due is reader.event_scanner.is_due(at(NOW + later))


def test_a_look_is_due_when_the_directory_changed(reader: Reader) -> None:
    """An event came."""
    os.utime(reader.new, (NOW - 50, NOW - 50))
    reader.event_scanner.scan(MOMENT)
    os.utime(reader.new, (NOW - 40, NOW - 40))

    assert reader.event_scanner.is_due(at(NOW + 0.05))


@pytest.mark.parametrize(("later", "is_due"), [(0.5, False), (1.0, True)])
def test_a_crowd_is_looked_at_once_a_second(
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
    later: float,
    is_due: bool,  # noqa: FBT001 - a table
) -> None:
    """A scan of ten thousand names is dear."""
    crowd = [f"1-start-{number + 1}-0-0-1" for number in range(LARGE_BACKLOG + 1)]
    monkeypatch.setattr(reader.spool, "names", lambda _: iter(crowd))
    monkeypatch.setattr(reader.spool, "read", lambda *_: EMPTY)
    reader.event_scanner.scan(MOMENT)
    os.utime(reader.new, (NOW + 0.1, NOW + 0.1))  # another one came

    assert is_due is reader.event_scanner.is_due(at(NOW + later))
