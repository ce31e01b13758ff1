"""The directories of a spool, and the checks when a file in them is read."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from empty_spool import make_directories
from open_files import open_files
from real_calls import RealCalls

from spool.errors import SpoolError
from spool.files.layout import Directory, FileContents, Layout, NotRegularError


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The error names the missing `todo/` of the spool and says to create it."""
    (tmp_path / "new").mkdir()
    with pytest.raises(SpoolError, match=r"todo: No such file or directory; create it"):
        Layout(tmp_path)


def test_a_denied_spool_names_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without permission the error says to run the command as root or as the service user."""

    def refuse(path: Path, _flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(
        SpoolError, match="Permission denied; run the command as root or as the service user"
    ):
        Layout(tmp_path)


def test_a_spool_that_cannot_be_opened_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """`todo/` is missing: the descriptor of `new/`, which exists, is closed."""
    (tmp_path / "new").mkdir()
    with pytest.raises(SpoolError):
        Layout(tmp_path)

    assert {} == open_files(tmp_path)


def test_closing_a_spool_twice_is_no_error(layout: Layout) -> None:
    """After both calls no descriptor of the spool's directories is open."""
    assert len(Directory) == len(open_files(layout.root))
    layout.close()
    layout.close()

    assert {} == open_files(layout.root)


def test_file_names_of_any_bytes_are_listed(layout: Layout) -> None:
    """A name in `new/` may contain a newline or bytes that are not UTF-8."""
    for name in ("a", "b\n", "\udcff"):
        (layout.root / "new" / name).touch()

    assert {"a", "b\n", "\udcff"} == set(layout.names(Directory.NEW))


def test_a_renamed_directory_is_still_used(layout: Layout) -> None:
    """An open descriptor refers to the same directory."""
    (layout.root / "new" / "a").write_bytes(b"x")
    (layout.root / "new").rename(layout.root / "elsewhere")

    assert b"x" == layout.read(Directory.NEW, "a", 10).contents


def test_a_new_name_changes_the_mtime_of_its_directory(layout: Layout) -> None:
    """The drain compares this mtime to notice new events."""
    os.utime(layout.root / "new", ns=(5, 5))
    before = layout.directory_mtime_ns(Directory.NEW)
    (layout.root / "new" / "a").touch()

    assert (5, True) == (before, layout.directory_mtime_ns(Directory.NEW) > before)


def test_a_file_is_read_with_its_size_and_mtime(layout: Layout) -> None:
    """The mtime of the file of an event is the time of the event."""
    path = layout.root / "new" / "a"
    path.write_bytes(b"extras")
    os.utime(path, (100.5, 100.5))

    assert FileContents(contents=b"extras", size_bytes=6, time=100.5) == layout.read(
        Directory.NEW, "a", 6
    )


def test_a_file_that_has_grown_is_read_completely(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file grew after its size was read, so several system calls read it."""
    contents = b"x" * 20_480
    (layout.root / "todo" / "a").write_bytes(contents)
    status = list((layout.root / "todo" / "a").stat())
    status[stat.ST_SIZE] = 0
    monkeypatch.setattr(os, "fstat", lambda _fd: os.stat_result(status))

    assert contents == layout.read(Directory.TODO, "a", 1 << 21).contents


def test_a_bad_block_in_a_file_is_an_error(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux returns the bytes before the bad block, and the error at the next read."""
    (layout.root / "todo" / "a").write_bytes(b"x" * 9000)

    def read(fd: int, length: int) -> bytes:
        if os.lseek(fd, 0, os.SEEK_CUR) >= 4096:
            raise OSError(errno.EIO, "Input/output error")
        return read_all(fd, min(length, 4096))

    read_all = os.read
    monkeypatch.setattr(os, "read", read)
    with pytest.raises(OSError, match="Input/output error"):
        layout.read(Directory.TODO, "a", 1 << 21)


def test_a_truncated_file_is_read_up_to_its_end(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was truncated after its size was read."""
    (layout.root / "todo" / "a").write_bytes(b"x")
    status = list((layout.root / "todo" / "a").stat())
    status[stat.ST_SIZE] = 2
    monkeypatch.setattr(os, "fstat", lambda _fd: os.stat_result(status))

    assert b"x" == layout.read(Directory.TODO, "a", 10).contents


def test_a_file_over_the_limit_has_no_contents(layout: Layout) -> None:
    """A file of 1 GiB is not read; only its size is returned."""
    with (layout.root / "new" / "a").open("wb") as file:
        file.truncate(1 << 30)
    found = layout.read(Directory.NEW, "a", 65536)

    assert (None, 1 << 30) == (found.contents, found.size_bytes)


def test_a_file_that_grows_over_the_limit_has_no_contents(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was below the limit when it was opened, and above it when it was read."""
    (layout.root / "new" / "a").write_bytes(b"x")
    monkeypatch.setattr(os, "read", lambda _fd, length: b"x" * length)

    assert None is layout.read(Directory.NEW, "a", 5).contents


def _link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


ODD: list[Callable[[Path], None]] = [_link, _dangling_link, os.mkfifo, Path.mkdir, _socket]


@pytest.mark.parametrize("make", ODD)
def test_a_non_regular_file_is_refused(layout: Layout, make: Callable[[Path], None]) -> None:
    """Links, FIFOs, sockets and directories raise NotRegularError, and reading does not block."""
    make(layout.root / "new" / "a")
    with pytest.raises(NotRegularError):
        layout.read(Directory.NEW, "a", 10)


@pytest.mark.parametrize("make", ODD)
def test_a_refused_file_leaves_no_descriptor_open(
    layout: Layout, make: Callable[[Path], None]
) -> None:
    """The descriptor of a link, FIFO, socket or directory is closed before the error."""
    make(layout.root / "new" / "a")
    before = open_files(layout.root)
    with pytest.raises(NotRegularError):
        layout.read(Directory.NEW, "a", 10)

    assert before == open_files(layout.root)


def test_a_file_that_vanished_raises_file_not_found(layout: Layout) -> None:
    """Callers do not treat a file that was removed meanwhile as an error."""
    with pytest.raises(FileNotFoundError):
        layout.read(Directory.NEW, "a", 10)


def test_the_mtime_of_a_link_is_its_own(layout: Layout) -> None:
    """A symlink in `new/` is not followed; its target need not exist."""
    path = layout.root / "new" / "a"
    path.symlink_to("nowhere")
    os.utime(path, (100.0, 100.0), follow_symlinks=False)

    assert 100.0 == layout.mtime(Directory.NEW, "a")


def test_free_space_is_what_an_unprivileged_writer_can_use(layout: Layout) -> None:
    """Blocks kept for root do not count."""
    status = os.statvfs(layout.root)

    assert pytest.approx(status.f_bavail * status.f_frsize, rel=0.1) == layout.free_bytes()


@pytest.mark.parametrize(("counted", "free"), [(1000, 7), (0, None)])
def test_free_inodes_are_none_if_the_file_system_does_not_count_them(
    tmp_path: Path, counted: int, free: int | None
) -> None:
    """On btrfs, which has no limit on inodes, the number is None."""

    class FewInodes(RealCalls):
        """A file system with few inodes, or one that does not count them."""

        fsync, rename, unlink = (staticmethod(call) for call in (os.fsync, os.rename, os.unlink))

        @staticmethod
        def fstatvfs(_fd: int, /) -> os.statvfs_result:
            """Return statistics with these inodes."""
            return os.statvfs_result((4096, 4096, 9, 9, 9, counted, 7, 7, 0, 255))

    make_directories(tmp_path)
    with Layout(tmp_path, FewInodes()) as layout:
        assert free == layout.free_inodes()


def test_removing_a_file_twice_is_no_error(layout: Layout) -> None:
    """`unlink` of a missing file is no error."""
    (layout.root / "open" / "a").touch()
    layout.unlink(Directory.OPEN, "a")
    layout.unlink(Directory.OPEN, "a")

    assert [] == list(layout.names(Directory.OPEN))


def test_all_names_are_returned_with_their_mtimes(layout: Layout) -> None:
    """The list of `todo/` has the name and the mtime of each file."""
    for name, time in (("a", 100.0), ("b", 200.0)):
        (layout.root / "todo" / name).touch()
        os.utime(layout.root / "todo" / name, (time, time))

    assert [(100.0, "a"), (200.0, "b")] == sorted(layout.mtimes(Directory.TODO))


class Vanished:
    """A directory entry whose file was removed after the listing."""

    name = "a"

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Fail."""
        raise FileNotFoundError(follow_symlinks)


def test_a_file_removed_during_the_listing_is_omitted(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain has processed the event after its name was read."""
    monkeypatch.setattr(os, "scandir", lambda _: nullcontext(iter([Vanished()])))

    assert [] == layout.mtimes(Directory.NEW)


def test_a_file_system_without_locks_is_accepted(layout: Layout) -> None:
    """If the file system has no flock, the lock of `dead/` counts as free."""

    def refuse(_fd: int, _operation: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    with Layout(layout.root, flock=refuse) as odd, odd.lock(Directory.DEAD, wait=True) as is_free:
        assert is_free
