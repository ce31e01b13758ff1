"""Workers: threads that wait for Slurm, cc-backend and the name service, so that the loop does not.

A worker takes frozen questions in the order given and puts frozen answers into the loop's queue.
It owns its client (a session, a Slurm) and nothing else: a source that hangs delays nobody but its
own worker. The loop alone touches the spool.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, Queue, SimpleQueue
from typing import Generic, Protocol, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Answered(Protocol):
    """An answer that waits for the loop."""

    def take(self) -> None:
        """Hand the answer to whoever asked; called by the loop's thread."""


@dataclass(frozen=True, slots=True)
class _Answer(Generic[Q, A]):
    """A question with its answer, or with None if it was not asked any more."""

    worker: Worker[Q, A]
    question: Q
    answer: A | None

    def take(self) -> None:
        """Count it as received, then hand it over."""
        self.worker.outstanding -= 1
        self.worker.busy_since = self.worker.clock()
        self.worker.on_answer(self.question, self.answer)


class Worker(Generic[Q, A]):
    """One thread. All methods but `put_answer` belong to the loop's thread.

    `work` answers a question, may block, and must not raise. `on_answer` is called by the loop with
    the question and the answer (None: the worker was closed before it was asked). `busy_since` is
    when the question under way was begun, by the monotonic clock.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Q], A],
        answers: Queue[Answered],
        *,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.outstanding = 0
        self.busy_since = 0.0
        self.clock = clock
        self.on_answer: Callable[[Q, A | None], None] = lambda _question, _answer: None
        self.work = work
        self._answers = answers
        self._questions: SimpleQueue[Q | None] = SimpleQueue()
        self._closed = False
        self._thread: threading.Thread | None = None

    def ask(self, question: Q) -> None:
        """Queue a question; its answer will come. The first one starts the thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()
        if not self.outstanding:
            self.busy_since = self.clock()
        self.outstanding += 1
        self._questions.put(question)

    def busy_seconds(self) -> float:
        """Return for how long the question under way has been without an answer."""
        return self.clock() - self.busy_since if self.outstanding else 0.0

    def recall(self) -> list[Q]:
        """Take back the questions that have not been begun."""
        recalled: list[Q] = []
        while True:
            try:
                question = self._questions.get_nowait()
            except Empty:
                break
            if question is not None:
                recalled.append(question)
        if self._closed:
            self._questions.put(None)  # the word to end was among them
        self.outstanding -= len(recalled)
        return recalled

    def put_answer(self, question: Q, answer: A | None) -> None:
        """Hand an answer to the loop; called by whatever works for this worker."""
        self._answers.put(_Answer(self, question, answer))

    def close(self) -> None:
        """Let the question under way be the last; those behind it come back with None."""
        self._closed = True
        self._questions.put(None)

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread's end after `close`; False if it takes longer than allowed."""
        if self._thread is None:
            return True
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (question := self._questions.get()) is not None:
            self.put_answer(question, None if self._closed else self.work(question))
