"""Durable changes of the spool: tmp, fsync, rename, fsync of the directory; only then unlink.

The drain writes runs through a `WriteBatch`. Its writes become durable together, before any of its
removals, so after a crash at any point every run is in at least one directory, and an event stays
until its run is durable. Tests simulate power failures in `SystemCalls`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from slurm.light_dataclass import light_dataclass
from spool.files import codec
from spool.files.layout import Directory, Layout
from spool.files.run import Run, waiting_since
from spool.files.system_calls import SystemCalls, write_all

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Readable only for the service's user and group: a run holds its user's script.
_MODE = 0o640
_FSYNC_THREADS = 16
# A process may have 1 024 open files by default (`LimitNOFILE`, systemd.exec(5)), and after an
# outage thousands of runs change at once.
_MAX_OPEN_FILES = 200


class WriteBatch:
    """Changes that become durable together: first all writes, then all removals."""

    def __init__(self, layout: Layout, system_calls: SystemCalls | None = None) -> None:
        self.layout = layout
        self.system_calls = system_calls or layout.system_calls
        self._written: list[tuple[Directory, str]] = []
        self._open: list[int] = []
        self._removed: list[tuple[Directory, str]] = []

    def __len__(self) -> int:
        return len(self._written) + len(self._removed)

    def put(
        self, directory: Directory, name: str, contents: bytes, *, mtime: float | None = None
    ) -> None:
        """Write a file into `tmp/`; `commit` moves it into its directory, over an older one.

        `mtime` (Unix seconds) becomes its modification time, the present by default.

        Raises:
            OSError: nothing of this file is left, and the batch can be rolled back.
        """
        if len(self._open) >= _MAX_OPEN_FILES:
            self._fsync_open()
        tmp = self.layout.fd(Directory.TMP)
        fd = _open_tmp(self.system_calls, tmp, _tmp_name(directory, name))
        try:
            _fill(self.system_calls, fd, contents, mtime)
        except OSError:
            self.system_calls.close(fd)
            self.system_calls.unlink(_tmp_name(directory, name), dir_fd=tmp)
            raise
        # The descriptor stays open until `commit`, which can then fsync all files of the group one
        # after the other: the file system often writes them with one commit of its journal.
        self._open.append(fd)
        self._written.append((directory, name))

    def put_run(self, run: Run) -> None:
        """Write a run into the directory of its state and remove it from the others on commit.

        The file's mtime is the time since which the run waits there: so commands that show the
        spool need only the names and times of a directory.
        """
        self.put(run.directory, run.name, codec.encode(run), mtime=waiting_since(run))
        other = Directory.OPEN if run.directory is Directory.TODO else Directory.TODO
        self.remove(other, run.name)

    def remove(self, directory: Directory, name: str) -> None:
        """Remove a name on commit; a missing name is not an error."""
        self._removed.append((directory, name))

    def rollback(self) -> None:
        """Drop the batch: nothing has changed."""
        for fd in self._open:
            self.system_calls.close(fd)
        self._remove_tmp_files(self._written)
        self._open, self._written, self._removed = [], [], []

    def commit(self) -> None:
        """Make all writes durable, then do the removals; repeating the same changes is harmless.

        Raises:
            OSError: (ENOSPC, EIO) some writes may be durable, no removal has been done.
        """
        # Cleared first: after an error the caller starts a new batch, and this one must not be
        # committed twice.
        written, removed = self._written, self._removed
        self._written, self._removed = [], []
        left = [*written]
        try:
            # fsync before rename: otherwise a power cut may leave the final name with no contents
            # (ext4 with delayed allocation, XFS).
            self._fsync_open()
            for directory, name in written:
                self._move_from_tmp(directory, name)
                left.remove((directory, name))
        except OSError:
            # Those already renamed stay, beside the files that they replace: of two copies of a run
            # the next start takes one (`recovery`).
            self._remove_tmp_files(left)  # on a full disk they would block other writes
            raise
        # A rename is durable only after an fsync of the directory (fsync(2)). Until then the
        # removals must wait, because the old file may be the only copy.
        for directory in {directory for directory, _ in written}:
            self.system_calls.fsync(self.layout.fd(directory))
        # No fsync after the removals: if a power cut brings a file back, it is only delivered or
        # resolved once more.
        for directory, name in removed:
            self._unlink(directory, name)

    def _fsync_open(self) -> None:
        fds, self._open = self._open, []
        try:
            for fd in fds:
                self.system_calls.fsync(fd)
        finally:
            for fd in fds:
                self.system_calls.close(fd)

    def _move_from_tmp(self, directory: Directory, name: str) -> None:
        source, target = self.layout.fd(Directory.TMP), self.layout.fd(directory)
        tmp = _tmp_name(directory, name)
        self.system_calls.rename(tmp, name, src_dir_fd=source, dst_dir_fd=target)

    def _remove_tmp_files(self, written: list[tuple[Directory, str]]) -> None:
        for place in written:
            with suppress(OSError):
                self.system_calls.unlink(_tmp_name(*place), dir_fd=self.layout.fd(Directory.TMP))

    def _unlink(self, directory: Directory, name: str) -> None:
        with suppress(FileNotFoundError):
            self.system_calls.unlink(name, dir_fd=self.layout.fd(directory))


@light_dataclass
class NewFile:
    """A file to create under a free name; `mtime` in Unix seconds, the present by default.

    It is a requeued dead letter, or a new run or event (of a replay, a sweep or `retry`).
    """

    name: str
    contents: bytes
    mtime: float | None = None


def create_file(
    layout: Layout, directory: Directory, file: NewFile, *, durable: bool = True
) -> bool:
    """Create a file under a free name; return False if the name is taken.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    return not create_files(layout, directory, [file], durable=durable)


def create_files(
    layout: Layout, directory: Directory, files: Iterable[NewFile], *, durable: bool = True
) -> set[str]:
    """Create files under free names; return the names that are taken.

    They replace nothing, so no lock is needed: tmp, fsync, link; last one fsync of the directory.
    Pass some hundreds at most: each is open until all are written.

    Raises:
        OSError: (ENOSPC, EIO) some files may be there, nothing is left of the others.
    """
    calls, tmp = layout.system_calls, layout.fd(Directory.TMP)
    written: dict[str, str] = {}
    fds: list[int] = []
    taken = set()
    try:
        try:
            for file in files:
                tmp_name = _tmp_name(directory, file.name)
                fds.append(_open_tmp(calls, tmp, tmp_name))
                written[tmp_name] = file.name
                _fill(calls, fds[-1], file.contents, file.mtime)
            if durable:
                _fsync_all(calls, fds)
        finally:
            for fd in fds:
                calls.close(fd)
        for tmp_name, name in written.items():
            try:
                # `link` fails if the name exists, `rename` would replace it. So a command without
                # the lock cannot overwrite a run that the drain has just written.
                calls.link(tmp_name, name, src_dir_fd=tmp, dst_dir_fd=layout.fd(directory))
            except FileExistsError:
                taken.add(name)
    finally:
        for tmp_name in written:
            layout.unlink(Directory.TMP, tmp_name)
    if durable:
        layout.fsync(directory)
    return taken


def _fsync_all(calls: SystemCalls, fds: list[int]) -> None:
    """Make files durable in parallel: the file system commits several together."""
    if len(fds) == 1:
        calls.fsync(fds[0])
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only `retry` of many needs it

    with ThreadPoolExecutor(_FSYNC_THREADS) as pool:
        list(pool.map(calls.fsync, fds))


def _fill(calls: SystemCalls, fd: int, contents: bytes, mtime: float | None) -> None:
    write_all(calls, fd, contents)
    if mtime is not None:
        calls.utime(fd, (mtime, mtime))


def _open_tmp(calls: SystemCalls, tmp: int, name: str) -> int:
    """Create a file in `tmp/`; return its open descriptor.

    A file of this name may be left by a dead process that had our pid. It is removed, never
    overwritten: it may be a link to a file that `create_file` has already put into its directory.
    """
    with suppress(FileNotFoundError):
        calls.unlink(name, dir_fd=tmp)
    return calls.open(name, _CREATE, _MODE, dir_fd=tmp)


def _tmp_name(directory: Directory, name: str) -> str:
    """Return a name in `tmp/` with our pid: a replay may write the same run at the same time."""
    return f"{name}.{directory}.{os.getpid()}"
