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
def test_a_state_file_is_replaced_completely(tmp_path: Path, *, durable: bool) -> None:
    """No old byte and no temporary file remains, with and without fsync."""
    write_json(tmp_path / "a", {"is": "old and long"}, durable=durable)
    write_json(tmp_path / "a", {"is": "new"}, durable=durable)

    assert {"a": b'{"is": "new"}\n'} == files(tmp_path)


def test_other_users_cannot_read_a_state_file(tmp_path: Path) -> None:
    """Others have no rights on the file, and its group cannot write it."""
    write_json(tmp_path / "a", {})

    assert 0 == (tmp_path / "a").stat().st_mode & 0o027


@pytest.mark.parametrize("call", ["os.fsync", "os.rename"])
def test_the_old_state_file_stays_if_the_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """After an error of fsync or rename the file still has its old contents."""
    write_json(tmp_path / "a", {"is": "old"})

    def fail(*_: object) -> None:
        raise OSError(call)

    monkeypatch.setattr(call, fail)
    with pytest.raises(OSError, match=call):
        write_json(tmp_path / "a", {"is": "new"})

    assert b'{"is": "old"}\n' == (tmp_path / "a").read_bytes()


def test_a_state_file_is_durable_before_write_json_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is fsync of the new file, rename, fsync of the directory."""
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


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    """Writing a state file through the link would overwrite another file."""
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / ".a.tmp").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"):
        write_json(tmp_path / "a", {"is": "new"})

    assert b"precious" == (tmp_path / "victim").read_bytes()


def test_a_state_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """`read_json` returns the object that `write_json` was given."""
    write_json(tmp_path / "a", {"halted": "wrong token", "since": 5})

    assert {"halted": "wrong token", "since": 5} == read_json(tmp_path / "a")


def test_a_missing_state_file_is_read_as_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing file is usual at the first start, so there is no warning."""
    assert ({}, "") == (read_json(tmp_path / "a"), caplog.text)


@pytest.mark.parametrize("contents", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_state_file_is_read_as_empty_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, contents: bytes
) -> None:
    """Empty, truncated or deeply nested JSON does not end the program."""
    (tmp_path / "a").write_bytes(contents)

    assert ({}, True) == (read_json(tmp_path / "a"), "is ignored" in caplog.text)


def test_an_unreadable_state_file_is_read_as_empty_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory at the path of the state file does not end the program."""
    (tmp_path / "a").mkdir()

    assert ({}, True) == (read_json(tmp_path / "a"), "is ignored" in caplog.text)


@pytest.mark.parametrize("contents", [b"[]", b"5", b"null"])
def test_json_that_is_no_object_is_read_as_empty(tmp_path: Path, contents: bytes) -> None:
    """A list, a number or null in a state file is not from this program."""
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
def test_a_file_is_poison_after_three_crashes(
    process: Process,
    deaths: int,
    *,
    is_poison: bool,
) -> None:
    """The drain has crashed three times while it handled the file; two may be a coincidence."""
    process.die_in("5-100.json", times=deaths)

    assert is_poison is process.crash_marker.is_poison("5-100.json")


@pytest.mark.parametrize("name", ["\udcff\udcfe", "a b\n\x1b ", " ", "x" * 255, "ü" * 127])
def test_the_crash_marker_accepts_any_file_name(process: Process, name: str) -> None:
    """A file name in `new/` can consist of any bytes."""
    process.die_in(name, times=3)

    assert process.crash_marker.is_poison(name)


def test_a_crash_counts_only_for_the_handled_file(process: Process) -> None:
    """Three crashes with 5-100.json do not make 6-100.json poison."""
    process.die_in("5-100.json", times=3)

    assert not process.crash_marker.is_poison("6-100.json")


def test_alternating_crashes_of_two_files_make_neither_poison(process: Process) -> None:
    """The three crashes with a file must be consecutive."""
    for _ in range(3):
        process.die_in("5-100.json")
        process.die_in("6-100.json")

    assert not process.crash_marker.is_poison("6-100.json")


def test_a_successful_step_does_not_hide_a_later_crash(process: Process) -> None:
    """Reading the run succeeds each time, and the next step with the run crashes each time."""
    for _ in range(3):
        process.handle("5-100.json")
        process.die_in("5-100.json")

    assert process.crash_marker.is_poison("5-100.json")


def test_a_nested_block_for_the_same_file_keeps_its_name(process: Process) -> None:
    """The crash marker has the file name until the outer block ends; a normal end is no crash."""
    with process.crash_marker("5-100.json"):
        process.handle("5-100.json")
        named = process.path.read_bytes().rstrip(b"\0")
    process.handle("6-100.json")
    process.die_in("5-100.json")

    assert (b"1 5-100.json", b"1 5-100.json") == (named, process.path.read_bytes().rstrip(b"\0"))


def test_handling_a_file_before_a_restart_resets_its_crashes(process: Process) -> None:
    """After two crashes the file was handled, so the next crash is its first."""
    process.die_in("5-100.json", times=2)
    process.handle("5-100.json")
    process.start()
    process.die_in("5-100.json")

    assert not process.crash_marker.is_poison("5-100.json")


def test_a_file_is_reported_as_poison_once(process: Process) -> None:
    """`is_poison` is True once: the drain moves the file to dead/, and it can be retried later."""
    process.die_in("5-100.json", times=3)

    assert [True, False] == [process.crash_marker.is_poison("5-100.json") for _ in range(2)]


def test_a_file_is_still_poison_after_a_fourth_crash(process: Process) -> None:
    """The crash marker counts only to three, and a further crash keeps that count."""
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
    """KeyboardInterrupt clears the crash marker: a signal may come at any time."""
    with pytest.raises(KeyboardInterrupt), process.crash_marker("a"):
        raise KeyboardInterrupt

    assert b"" == process.path.read_bytes().rstrip(b"\0")


@pytest.mark.parametrize("contents", [b"9 a", b"x a", b" a", b"\xff\xff", b"3"])
def test_a_damaged_crash_marker_means_no_crash(process: Process, contents: bytes) -> None:
    """A damaged count neither makes a file poison nor ends the process."""
    process.path.write_bytes(contents)
    process.start()

    assert not process.crash_marker.is_poison("a")
