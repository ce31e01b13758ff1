"""A site in memory with the service of a drain, on a fake clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

from drain_world import World

from spool.files.drain_state import DrainState, read_drain_state


class PatientQueue(Queue[Any]):
    """A queue that never waits for an item."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - as in `queue.Queue`
        """Return the next item immediately; raise `queue.Empty` if there is none."""
        del block, timeout
        return super().get(block=False)


@dataclass
class Site:
    """A world with its service; each reading of the clock advances it by 0.04 s."""

    world: World
    passes: int = 0
    watched: Callable[[int], bool] = lambda _: False
    ended: list[str] = field(default_factory=list)
    ends: bool = True

    def __post_init__(self) -> None:
        """Count the passes of the service, and record how one worker is stopped."""
        self.world.queue_type = PatientQueue
        self.world.inputs_changed = self.watch
        self.boot()
        self.world.tick = 0.04

    def boot(self) -> None:
        """Start a new drain, and record how one of its workers is stopped."""
        self.world.boot()
        worker: Any = self.world.parts.slurm.controller
        worker.close = lambda: self.ended.append("close")
        worker.join = self.join

    def join(self, timeout_seconds: float) -> bool:
        """Replace the `join` of a thread; `ends` False: the thread hangs in a request."""
        assert timeout_seconds > 0
        self.ended.append("join")
        return self.ends

    def watch(self) -> bool:
        """Count a pass; return the value that the test sets for it."""
        self.passes += 1
        return self.watched(self.passes)

    def settle(self, seconds: float = 1.0) -> None:
        """Run the drain without its service for some seconds."""
        before, self.world.tick = self.world.tick, 0.0
        self.world.run(seconds)
        self.world.tick = before

    def run(self, passes: int) -> None:
        """Run the service until it has done so many passes."""
        wanted = self.watched

        def watch(number: int) -> bool:
            if number >= passes:
                self.world.service.stop()
            return wanted(number)

        self.watched = watch
        self.world.service.run()

    def state(self) -> DrainState:
        """Return the state of the drain that other commands read."""
        state = read_drain_state(self.world.state / "drain.json")
        assert state is not None
        return state
