"""Small files of the state directory, and the name that may be poison."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spool.errors import BadFileError
from spool.files.state_files import CrashMarker, read_json, write_json


def files(tmp_path: Path) -> dict[str, bytes]:
    """Return what lies in the directory."""
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole(tmp_path: Path, *, durable: bool) -> None:
    """Nothing else stays in the directory."""
    write_json(tmp_path / "a", {"is": "old and long"}, durable=durable)
    write_json(tmp_path / "a", {"is": "new"}, durable=durable)

    assert {"a": b'{"is": "new"}\n'} == files(tmp_path)


def test_a_state_file_is_not_for_everybody(tmp_path: Path) -> None:
    """Others need not read it."""
    write_json(tmp_path / "a", {})

    assert 0 == (tmp_path / "a").stat().st_mode & 0o027


@pytest.mark.parametrize("call", ["os.fsync", "os.rename"])
def test_the_old_file_stays_when_the_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Readers never see half a file."""
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
    """It would overwrite another file."""
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / ".a.tmp").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"):
        write_json(tmp_path / "a", {"is": "new"})

    assert b"precious" == (tmp_path / "victim").read_bytes()


def test_an_object_is_read_as_it_was_written(tmp_path: Path) -> None:
    """It is JSON."""
    write_json(tmp_path / "a", {"halted": "wrong token", "since": 5})

    assert {"halted": "wrong token", "since": 5} == read_json(tmp_path / "a")


def test_a_missing_file_means_defaults(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing to warn of."""
    assert ({}, "") == (read_json(tmp_path / "a"), caplog.text)


@pytest.mark.parametrize("contents", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_file_means_defaults_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, contents: bytes
) -> None:
    """It is no reason to end."""
    (tmp_path / "a").write_bytes(contents)

    assert ({}, True) == (read_json(tmp_path / "a"), "is ignored" in caplog.text)


def test_a_file_that_cannot_be_read_means_defaults_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory, say."""
    (tmp_path / "a").mkdir()

    assert ({}, True) == (read_json(tmp_path / "a"), "is ignored" in caplog.text)


@pytest.mark.parametrize("contents", [b"[]", b"5", b"null"])
def test_anything_but_an_object_means_defaults(tmp_path: Path, contents: bytes) -> None:
    """It was written by somebody else."""
    (tmp_path / "a").write_bytes(contents)

    assert {} == read_json(tmp_path / "a")


class Process:
    """A drain that dies and is started again with the same state file."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "handling"
        self.crash_marker = CrashMarker(self.path)

    def handle(self, name: str) -> None:
        """Handle a name to the end."""
        with self.crash_marker(name):
            pass

    def die_in(self, name: str, *, times: int = 1) -> None:
        """Die while handling a name, without a word."""
        for _ in range(times):
            self.crash_marker(name)
            self.start()

    def start(self) -> None:
        """Start anew; the kernel closes what the dead one had open."""
        self.crash_marker.close()
        self.crash_marker = CrashMarker(self.path)


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """Return a drain that has never died."""
    return Process(tmp_path)


@pytest.mark.parametrize(("deaths", "is_poison"), [(0, False), (2, False), (3, True)])
def test_a_name_is_poison_after_three_deaths(
    process: Process,
    deaths: int,
    *,
    is_poison: bool,
) -> None:
    """Fewer may be chance."""
    process.die_in("5-100.json", times=deaths)

    assert is_poison is process.crash_marker.is_poison("5-100.json")


@pytest.mark.parametrize("name", ["\udcff\udcfe", "a b\n\x1b ", " ", "x" * 255, "ü" * 127])
def test_a_strange_name_is_known_again(process: Process, name: str) -> None:
    """Names in `new/` may be any bytes."""
    process.die_in(name, times=3)

    assert process.crash_marker.is_poison(name)


def test_another_name_is_not_poison(process: Process) -> None:
    """The count belongs to one name."""
    process.die_in("5-100.json", times=3)

    assert not process.crash_marker.is_poison("6-100.json")


def test_deaths_of_two_names_in_turn_are_chance(process: Process) -> None:
    """They must follow each other."""
    for _ in range(3):
        process.die_in("5-100.json")
        process.die_in("6-100.json")

    assert not process.crash_marker.is_poison("6-100.json")


def test_a_step_that_succeeds_does_not_hide_one_that_kills(process: Process) -> None:
    """A run is read without harm each time, and each time its mapping ends the process."""
    for _ in range(3):
        process.handle("5-100.json")
        process.die_in("5-100.json")

    assert process.crash_marker.is_poison("5-100.json")


def test_a_step_within_a_block_keeps_the_name(process: Process) -> None:
    """A run is read as a part of making its request."""
    with process.crash_marker("5-100.json"):
        process.handle("5-100.json")
        named = process.path.read_bytes().rstrip(b"\0")
    process.handle("6-100.json")
    process.die_in("5-100.json")

    assert (b"1 5-100.json", b"1 5-100.json") == (named, process.path.read_bytes().rstrip(b"\0"))


def test_a_death_elsewhere_acquits(process: Process) -> None:
    """The name was handled and the process lived on."""
    process.die_in("5-100.json", times=2)
    process.handle("5-100.json")
    process.start()
    process.die_in("5-100.json")

    assert not process.crash_marker.is_poison("5-100.json")


def test_poison_is_said_once(process: Process) -> None:
    """The file is set aside now; when it was repaired it may be tried again."""
    process.die_in("5-100.json", times=3)

    assert [True, False] == [process.crash_marker.is_poison("5-100.json") for _ in range(2)]


def test_a_fourth_death_is_still_poison(process: Process) -> None:
    """Should it be handled although it was poison."""
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
def test_an_exception_that_is_a_bug_counts_as_a_death(
    process: Process, error: Exception, deaths_left: bytes
) -> None:
    """It ends the process; one of our own is an answer."""
    with pytest.raises(type(error)), process.crash_marker("a"):
        raise error

    assert deaths_left == process.path.read_bytes().rstrip(b"\0")


def test_being_told_to_end_is_no_death(process: Process) -> None:
    """A signal may come at any time."""
    with pytest.raises(KeyboardInterrupt), process.crash_marker("a"):
        raise KeyboardInterrupt

    assert b"" == process.path.read_bytes().rstrip(b"\0")


@pytest.mark.parametrize("contents", [b"9 a", b"x a", b" a", b"\xff\xff", b"3"])
def test_a_damaged_count_means_none(process: Process, contents: bytes) -> None:
    """It is no reason to bury or to end."""
    process.path.write_bytes(contents)
    process.start()

    assert not process.crash_marker.is_poison("a")
