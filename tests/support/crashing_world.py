"""A world whose drain can crash at any system call on its disk, and whose replies can be lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drain_world import World
from fake_backend import FakeBackend
from real_calls import RealCalls

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply
from spool.files.durable_files import WriteBatch


class CrashError(BaseException):
    """The simulated crash of the process."""


class LossyBackend(FakeBackend):
    """A server whose next replies may be lost after they took effect."""

    lost = 0

    def answer(
        self, call: ApiCall, document: dict[str, Any], change: Callable[..., Reason]
    ) -> ApiReply:
        """Answer a request; while replies are to be lost, apply the change and report a failure."""
        reply = super().answer(call, document, change)
        if self.lost:
            self.lost -= 1
            return replace(reply, verdict=ReplyVerdict(Reason.BROKEN, "made up"), rows=())
        return reply


@dataclass
class CrashingCalls(RealCalls):
    """The system calls on the disk; the process crashes at one of them if `left` is set."""

    left: int | None = None

    def fsync(self, _fd: int, /) -> None:
        """Count the call and do nothing: these tests have no power cuts."""
        self._count()

    def rename(
        self,
        src: str | Path,
        dst: str | Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """Rename a file, or crash."""
        self._count()
        os.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def unlink(self, path: str | Path, *, dir_fd: int | None = None) -> None:
        """Remove a file, or crash."""
        self._count()
        os.unlink(path, dir_fd=dir_fd)

    def _count(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.left = None
                raise CrashError


class CrashingWorld(World):
    """A world whose drain can crash."""

    def __init__(self, root: Path) -> None:
        self.calls = CrashingCalls()
        super().__init__(root)
        self.backend = LossyBackend()
        self.batch_type = lambda layout: WriteBatch(layout, self.calls)
        self.die()

    def die(self) -> None:
        """Crash the drain: discard what is in memory, and start a new drain."""
        self.calls.left = None
        self.parts.layout.close()
        self.service.close()
        self.boot()

    def work(self, steps: int, seconds: float) -> None:
        """Run the drain for some steps; restart it if it crashes."""
        for _ in range(steps):
            try:
                self.drain.step(0.0)
            except CrashError:
                self.die()
            self.now += seconds
