"""A drain woken by inotify, whose waits between its passes are recorded and take no real time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from drain_world import World
from service_site import PatientQueue, Site

from spool.drain.event_watch import EventWatch


class TimedQueue(PatientQueue):
    """A queue that records each wait and takes no time; an empty one calls `on_wait` instead."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float] = []
        self.on_wait: Callable[[float], None] = lambda _seconds: None

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - as in `queue.Queue`
        """Record the wait and return the next item."""
        if timeout is not None:
            self.timeouts.append(timeout)
            if self.empty():
                self.on_wait(timeout)
        return super().get(block, timeout)


class Waits:
    """A site whose drain is woken by inotify; `of_passes` are the longest waits of its passes."""

    def __init__(self, root: Path) -> None:
        self.site = Site(World(root))
        self.world = self.site.world
        self.of_passes: list[float] = []
        self.world.new_watch = EventWatch
        self.sleeps = False  # whether a pass takes as long as it waits, or a second

    def boot(self) -> None:
        """Start a drain, and record how long its passes may wait."""
        self.world.queue_type = TimedQueue
        self.site.boot()
        drain: Any = self.world.drain
        step = drain.step

        def recorded_step(wait: float) -> None:
            self.of_passes.append(wait)
            if not self.sleeps:
                self.world.now += 1.0
            step(wait)

        def sleep(seconds: float) -> None:
            self.world.now += seconds if self.sleeps else 0.0

        drain.step = recorded_step
        answers: Any = self.world.parts.answers
        answers.on_wait = sleep

    def wait_after(
        self, passes: int, inputs_changed: Callable[[int], bool] = lambda _: False
    ) -> float:
        """Return how long the service may wait in its next pass after so many passes."""

        def watched(number: int) -> bool:
            if number > passes:
                self.world.service.stop()
            return inputs_changed(number)

        self.of_passes.clear()
        self.site.passes, self.site.watched, self.world.tick = 0, watched, 0.0
        self.world.service.run()
        return self.of_passes[-1]

    @property
    def timeout(self) -> float:
        """How long the last pass has waited for an answer."""
        answers: Any = self.world.parts.answers
        return float(answers.timeouts[-1])
