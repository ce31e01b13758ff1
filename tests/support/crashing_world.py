"""A world whose drain dies at any system call of its disk, and whose server loses replies."""

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
    """The process dies here."""


class LossyBackend(FakeBackend):
    """A server whose next replies may be lost after they took effect."""

    lost = 0

    def answer(
        self, call: ApiCall, document: dict[str, Any], change: Callable[..., Reason]
    ) -> ApiReply:
        """Answer, or do and say nothing."""
        reply = super().answer(call, document, change)
        if self.lost:
            self.lost -= 1
            return replace(reply, verdict=ReplyVerdict(Reason.BROKEN, "made up"), rows=())
        return reply


@dataclass
class CrashingCalls(RealCalls):
    """The disk's calls; the process dies at one of them if told to."""

    left: int | None = None

    def fsync(self, _fd: int, /) -> None:
        """Do nothing: nobody cuts the power here."""
        self._count()

    def rename(
        self,
        src: str | Path,
        dst: str | Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        """Move a name."""
        self._count()
        os.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def unlink(self, path: str | Path, *, dir_fd: int | None = None) -> None:
        """Remove a name."""
        self._count()
        os.unlink(path, dir_fd=dir_fd)

    def _count(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.left = None
                raise CrashError


class CrashingWorld(World):
    """A world whose drain can die."""

    def __init__(self, root: Path) -> None:
        self.calls = CrashingCalls()
        super().__init__(root)
        self.backend = LossyBackend()
        self.batch_type = lambda layout: WriteBatch(layout, self.calls)
        self.die()

    def die(self) -> None:
        """Lose all that is in memory, and start anew."""
        self.calls.left = None
        self.parts.layout.close()
        self.service.close()
        self.boot()

    def work(self, steps: int, seconds: float) -> None:
        """Let the drain work; if it dies, it is started again."""
        for _ in range(steps):
            try:
                self.drain.step(0.0)
            except CrashError:
                self.die()
            self.now += seconds
