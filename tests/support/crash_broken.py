"""A drain with defects added on purpose that only a crash or a power cut reveals.

The crash harness must detect each of these defects.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, cast

from spool.deliver.pending_run import PendingRun, RequestKind
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.senders import SendRequest
from spool.files import dead_letters
from spool.files.durable_files import NewFile, WriteBatch, create_files
from spool.files.event import Event
from spool.files.layout import Directory, Layout
from spool.files.system_calls import SystemCalls
from spool.moment import Moment
from spool.resolve.event_scanner import EventScanner


class RemovesFirst(WriteBatch):
    """A batch that removes replaced files before the new files are durable."""

    def commit(self) -> None:
        """Remove files, then write."""
        removed, self._removed = self._removed, []
        for directory, name in removed:
            self._unlink(directory, name)
        super().commit()


class RemovesEventsFirst(WriteBatch):
    """A batch that removes events before their runs are durable."""

    def commit(self) -> None:
        """Remove events, then write."""
        for directory, name in self._removed:
            if directory is Directory.NEW:
                self._unlink(directory, name)
        super().commit()


class SyncsNothing(WriteBatch):
    """A batch that never calls fsync."""

    def commit(self) -> None:
        """Write without fsync."""
        self.system_calls = _with_fsync(_nothing)
        super().commit()


class SyncsNoDirectory(WriteBatch):
    """A batch without fsync of directories: removals may become durable before new names."""

    def commit(self) -> None:
        """Write with fsync of files only."""
        directories = {self.layout.fd(directory) for directory in Directory}
        self.system_calls = _with_fsync(lambda fd: None if fd in directories else os.fsync(fd))
        super().commit()


class SyncsNoFile(WriteBatch):
    """A batch without fsync of files: names may become durable before contents."""

    def commit(self) -> None:
        """Write with fsync of directories only."""
        directories = {self.layout.fd(directory) for directory in Directory}
        self.system_calls = _with_fsync(lambda fd: os.fsync(fd) if fd in directories else None)
        super().commit()


class WritesInPlace(WriteBatch):
    """A batch that empties a run file and then writes it, instead of replacing it atomically."""

    def put(
        self, directory: Directory, name: str, contents: bytes, *, mtime: float | None = None
    ) -> None:
        """Write under the final name."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        fd = os.open(name, flags, 0o640, dir_fd=self.layout.fd(directory))
        os.write(fd, contents)
        if mtime is not None:
            os.utime(fd, (mtime, mtime))
        os.fsync(fd)
        os.close(fd)


class _Calls:
    """The current functions of module `os` (the harness may have replaced them), another fsync."""

    def __init__(self, fsync: Callable[[int], None]) -> None:
        self.fsync = fsync

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def _with_fsync(fsync: Callable[[int], None]) -> SystemCalls:
    """Return the system calls of a batch, with another fsync."""
    return cast("SystemCalls", _Calls(fsync))


def _nothing(_fd: int) -> None:
    """Do nothing, in place of fsync."""


def remove_events_when_read() -> None:
    """Patch the scanner to remove events as soon as it has read them."""
    scan = EventScanner.scan

    def wrong(self: EventScanner, now: Moment) -> list[Event]:
        found = list(scan(self, now))
        for event in found:
            os.unlink(event.name, dir_fd=self._layout.fd(Directory.NEW))
        return found

    EventScanner.scan = wrong  # type: ignore[method-assign]


def acknowledge_when_sent() -> None:
    """Patch the drain to remove a run when its stop is built, before cc-backend answers."""
    build = RequestBuilder.build

    def wrong(
        self: RequestBuilder, entry: PendingRun, now: Moment, *, is_trial: bool
    ) -> SendRequest | None:
        request = build(self, entry, now, is_trial=is_trial)
        if request is not None and request.kind is RequestKind.STOP and entry.stored is not None:
            os.unlink(entry.name, dir_fd=self._store.layout.fd(entry.stored))
        return request

    RequestBuilder.build = wrong  # type: ignore[method-assign]


def remove_dead_letters_first() -> None:
    """Patch the commands to remove a dead letter before it is in `todo/` again."""

    def wrong(layout: Layout, directory: Directory, files: list[NewFile]) -> set[str]:
        for file in files:
            os.unlink(file.name, dir_fd=layout.fd(Directory.DEAD))
        return create_files(layout, directory, files)

    vars(dead_letters).update(create_files=wrong)


def put_without_fsync() -> None:
    """Patch the commands to put dead letters back without fsync."""
    vars(dead_letters).update(create_files=functools.partial(create_files, durable=False))


GROUPS: dict[str, type[WriteBatch]] = {
    "removes first": RemovesFirst,
    "removes events first": RemovesEventsFirst,
    "syncs nothing": SyncsNothing,
    "syncs no directory": SyncsNoDirectory,
    "syncs no file": SyncsNoFile,
    "writes in place": WritesInPlace,
}
PATCHES: dict[str, Callable[[], None]] = {
    "forgets events when read": remove_events_when_read,
    "acknowledges when sent": acknowledge_when_sent,
    "takes letters away first": remove_dead_letters_first,
    "puts without fsync": put_without_fsync,
}


def broken_group(name: str | None) -> type[WriteBatch]:
    """Add the named defect to this process; return the batch class to use."""
    PATCHES.get(name or "", lambda: None)()
    return GROUPS.get(name or "", WriteBatch)
