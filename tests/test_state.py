"""Small files of the state directory, and the crash marker for a name that may be poison."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spool.errors import BadFileError
from spool.files.state_files import CrashMarker, read_json, write_json


def files(tmp_path: Path) -> dict[str, bytes]:
    """Return the files in the directory with their contents."""
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole(tmp_path: Path, *, durable: bool) -> None:
    """No other file remains in the directory."""
    write_json(tmp_path / "a", {"is": "old and long"}, durable=durable)
    write_json(tmp_path / "a", {"is": "new"}, durable=durable)

    assert {"a": b'{"is": "new"}\n'} == files(tmp_path)


def test_other_users_cannot_read_a_state_file(tmp_path: Path) -> None:
    """The group cannot write it."""
    write_json(tmp_path / "a", {})

    assert 0 == (tmp_path / "a").stat().st_mode & 0o027


@pytest.mark.parametrize("call", ["os.fsync", "os.rename"])
def test_the_old_file_stays_when_the_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Readers never see a partial file."""
    write_json(tmp_path / "a", {"is": "old"})

    def fail(*_: object) -> None:
        raise OSError(call)

    monkeypatch.setattr(call, fail)
    with pytest.raises(OSError, match=call):
        write_json(tmp_path / "a", {"is": "new"})

    assert b'{"is": "old"}\n' == (tmp_path / "a").read_bytes()


def test_contents_are_durable_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is fsync, rename, fsync of the directory."""
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def traced_fsync(fd: int) -> None:
        calls.append("fsync " + Path(f"/proc/self/fd/{fd}").readlink().name)
        fsync(fd)

    def traced_rename(path: Path, target: Path) -> None:
        calls.append("rename")
        rename(path, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "rename", traced_rename)
    write_json(tmp_path / "a", {"is": "new"})

    assert ["fsync .a.tmp", "rename", f"fsync {tmp_path.name}"] == calls


def test_a_link_in_the_place_of_the_new_file_is_not_followed(tmp_path: Path) -> None:
    """Writing through the link would overwrite another file."""
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / ".a.tmp").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"):
        write_json(tmp_path / "a", {"is": "new"})

    assert b"precious" == (tmp_path / "victim").read_bytes()


def test_an_object_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The file is JSON."""
    write_json(tmp_path / "a", {"halted": "wrong token", "since": 5})

    assert {"halted": "wrong token", "since": 5} == read_json(tmp_path / "a")


def test_a_missing_file_means_defaults(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """There is no warning."""
    assert ({}, "") == (read_json(tmp_path / "a"), caplog.text)


@pytest.mark.parametrize("contents", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_file_means_defaults_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, contents: bytes
) -> None:
    """The program does not exit because of a damaged file."""
    (tmp_path / "a").write_bytes(contents)

    assert ({}, True) == (read_json(tmp_path / "a"), "is ignored" in caplog.text)


def test_a_file_that_cannot_be_read_means_defaults_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The path is a directory here."""
    (tmp_path / "a").mkdir()

    assert ({}, True) == (read_json(tmp_path / "a"), "is ignored" in caplog.text)


@pytest.mark.parametrize("contents", [b"[]", b"5", b"null"])
def test_anything_but_an_object_means_defaults(tmp_path: Path, contents: bytes) -> None:
    """Another program wrote such a file."""
    (tmp_path / "a").write_bytes(contents)

    assert {} == read_json(tmp_path / "a")


class Process:
    """A drain that crashes and is started again with the same state file."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "handling"
        self.crash_marker = CrashMarker(self.path)

    def handle(self, name: str) -> None:
        """Handle a name completely."""
        with self.crash_marker(name):
            pass

    def die_in(self, name: str, *, times: int = 1) -> None:
        """Crash while handling a name, without an exception."""
        for _ in range(times):
            self.crash_marker(name)
            self.start()

    def start(self) -> None:
        """Start again; the kernel closes the files of the dead process."""
        self.crash_marker.close()
        self.crash_marker = CrashMarker(self.path)


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """Return a drain that has never crashed."""
    return Process(tmp_path)


@pytest.mark.parametrize(("deaths", "is_poison"), [(0, False), (2, False), (3, True)])
def test_a_name_is_poison_after_three_crashes(
    process: Process,
    deaths: int,
    *,
    is_poison: bool,
) -> None:
    """Fewer crashes may be a coincidence."""
    process.die_in("5-100.json", times=deaths)

    assert is_poison is process.crash_marker.is_poison("5-100.json")


@pytest.mark.parametrize("name", ["\udcff\udcfe", "a b\n\x1b ", " ", "x" * 255, "ü" * 127])
def test_a_strange_name_is_recognized_again(process: Process, name: str) -> None:
    """Names in `new/` may be any bytes."""
    process.die_in(name, times=3)

    assert process.crash_marker.is_poison(name)


def test_another_name_is_not_poison(process: Process) -> None:
    """The count belongs to one name."""
    process.die_in("5-100.json", times=3)

    assert not process.crash_marker.is_poison("6-100.json")


def test_alternating_crashes_of_two_names_are_not_poison(process: Process) -> None:
    """The crashes of a name must be consecutive."""
    for _ in range(3):
        process.die_in("5-100.json")
        process.die_in("6-100.json")

    assert not process.crash_marker.is_poison("6-100.json")


def test_a_step_that_succeeds_does_not_hide_one_that_crashes(process: Process) -> None:
    """Reading the run succeeds each time, and mapping it ends the process each time."""
    for _ in range(3):
        process.handle("5-100.json")
        process.die_in("5-100.json")

    assert process.crash_marker.is_poison("5-100.json")


def test_a_step_within_a_block_keeps_the_name(process: Process) -> None:
    """Making the request of a run includes reading the run."""
    with process.crash_marker("5-100.json"):
        process.handle("5-100.json")
        named = process.path.read_bytes().rstrip(b"\0")
    process.handle("6-100.json")
    process.die_in("5-100.json")

    assert (b"1 5-100.json", b"1 5-100.json") == (named, process.path.read_bytes().rstrip(b"\0"))


def test_a_crash_elsewhere_resets_the_count(process: Process) -> None:
    """The name was handled, and the process went on."""
    process.die_in("5-100.json", times=2)
    process.handle("5-100.json")
    process.start()
    process.die_in("5-100.json")

    assert not process.crash_marker.is_poison("5-100.json")


def test_poison_is_reported_once(process: Process) -> None:
    """The file is set aside then; after a repair it may be tried again."""
    process.die_in("5-100.json", times=3)

    assert [True, False] == [process.crash_marker.is_poison("5-100.json") for _ in range(2)]


def test_a_name_is_still_poison_after_a_fourth_crash(process: Process) -> None:
    """The name may be handled although it is poison."""
    process.die_in("5-100.json", times=4)

    assert process.crash_marker.is_poison("5-100.json")


@pytest.mark.parametrize(
    ("error", "deaths_left"),
    [
        (KeyError("x"), b"1 a"),
        (RecursionError(), b"1 a"),
        (BadFileError("a", "cut"), b""),
        (OSError(), b""),
    ],
)
def test_an_exception_that_is_a_bug_counts_as_a_crash(
    process: Process, error: Exception, deaths_left: bytes
) -> None:
    """A bug ends the process; an expected error does not."""
    with pytest.raises(type(error)), process.crash_marker("a"):
        raise error

    assert deaths_left == process.path.read_bytes().rstrip(b"\0")


def test_an_interrupt_is_no_crash(process: Process) -> None:
    """A signal may come at any time."""
    with pytest.raises(KeyboardInterrupt), process.crash_marker("a"):
        raise KeyboardInterrupt

    assert b"" == process.path.read_bytes().rstrip(b"\0")


@pytest.mark.parametrize("contents", [b"9 a", b"x a", b" a", b"\xff\xff", b"3"])
def test_a_damaged_count_means_none(process: Process, contents: bytes) -> None:
    """A damaged count neither makes a name poison nor ends the process."""
    process.path.write_bytes(contents)
    process.start()

    assert not process.crash_marker.is_poison("a")
