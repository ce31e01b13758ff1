"""The seeded scheduler: world events in order of time, workers without threads, a virtual queue.

The scheduler chooses when a worker's question takes effect, and the answer comes later. So the
order between workers is arbitrary; the same seed gives the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from queue import Empty
from random import Random
from typing import Any

from simulation.clock import VirtualClock
from spool.worker import Answered, Worker

MAX_DISPATCH_SECONDS = 0.003
UNSENT_SHARE = 0.5  # of the requests under way when the process is killed


class Scheduler:
    """A queue of actions, each of which runs at its time."""

    def __init__(self, clock: VirtualClock, random: Random) -> None:
        self.clock = clock
        self.random = random
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = count()

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Schedule an action at a steady time."""
        heappush(self._heap, (max(time, self.clock.steady), next(self._sequence), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Schedule an action after some seconds."""
        self.at(self.clock.steady + seconds, action)

    def next_time(self) -> float:
        """Return the time of the next action; infinite if there is none."""
        return self._heap[0][0] if self._heap else float("inf")

    def run_next(self) -> None:
        """Move the clock to the next action and run it."""
        time, _, action = heappop(self._heap)
        self.clock.steady = max(self.clock.steady, time)
        action()

    def advance(self, seconds: float) -> None:
        """Move the clock ahead and run all actions that are due."""
        until = self.clock.steady + seconds
        while self.next_time() <= until:
            self.run_next()
        self.clock.steady = max(self.clock.steady, until)


class VirtualQueue:
    """The queue of the workers' answers; waiting for one runs scheduled actions."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._answers: deque[Answered] = deque()
        self.wake_at = float("inf")  # the loop reads its directories by then

    def put(self, answer: Answered) -> None:
        """Add an answer."""
        self._answers.append(answer)

    def get(self, block: bool = True, timeout: float | None = None) -> Answered:
        """Return the next answer; let at most `timeout` seconds pass.

        Raises:
            Empty: none came.
        """
        scheduler, clock = self._scheduler, self._scheduler.clock
        until = clock.steady + (timeout or 0.0) if block else clock.steady
        while not self._answers:
            limit = min(until, self.wake_at)
            if scheduler.next_time() > limit:
                clock.steady = max(clock.steady, limit)
                self.wake_at = float("inf")
                raise Empty
            scheduler.run_next()
        return self._answers.popleft()


class Process:
    """One process of the drain; answers of its workers are dropped after its end."""

    def __init__(self) -> None:
        self.is_alive = True


class VirtualWorker(Worker[Any, Any]):
    """A worker that the scheduler runs, without a thread."""

    def __init__(
        self,
        name: str,
        work: Callable[[Any], Any],
        answers: Any,
        *,
        scheduler: Scheduler,
        process: Process,
    ) -> None:
        super().__init__(name, work, answers, clock=lambda: scheduler.clock.steady)
        self._scheduler = scheduler
        self._process = process
        self._waiting: deque[Any] = deque()
        self._is_busy = False
        self._is_closed = False

    def ask(self, question: Any) -> None:
        """Queue a question; its answer will come."""
        if not self.outstanding:
            self.busy_since = self.clock()
        self.outstanding += 1
        self._waiting.append(question)
        self._begin()

    def recall(self) -> list[Any]:
        """Take back the questions that have not been begun."""
        recalled = list(self._waiting)
        self._waiting.clear()
        self.outstanding -= len(recalled)
        return recalled

    def close(self) -> None:
        """Let the current question be the last."""
        self._is_closed = True

    def join(self, timeout_seconds: float) -> bool:
        """Let time pass until the thread has ended; False if that takes longer than allowed."""
        until = self.clock() + timeout_seconds
        while self._is_busy:
            if self._scheduler.next_time() > until:
                self._scheduler.advance(max(0.0, until - self.clock()))
                return False
            self._scheduler.run_next()
        return True

    def _begin(self) -> None:
        if self._is_busy or not self._waiting:
            return
        self._is_busy = True
        question = self._waiting.popleft()
        delay = self._scheduler.random.uniform(0.0, MAX_DISPATCH_SECONDS)
        self._scheduler.after(delay, lambda: self._take_effect(question))

    def _take_effect(self, question: Any) -> None:
        """Compute the answer: its effects happen now, it comes after the time that it takes."""
        if not self._process.is_alive and self._scheduler.random.random() < UNSENT_SHARE:
            return  # it was killed before the request was sent
        if self._is_closed:
            self._finish(question, None)
            return
        clock = self._scheduler.clock
        clock.ahead = 0.0
        answer = self.work(question)
        seconds, clock.ahead = clock.ahead, 0.0
        self._scheduler.after(seconds, lambda: self._finish(question, answer))

    def _finish(self, question: Any, answer: Any) -> None:
        self._is_busy = False
        if self._process.is_alive:
            self.put_answer(question, answer)
            self._begin()
