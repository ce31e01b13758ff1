"""Workers: threads that wait for Slurm, cc-backend and the name service; the loop never does.

A worker answers frozen queries in the order given and puts frozen answers into the loop's queue. It
owns only its client (an HTTP session, a client of Slurm), so a source that hangs delays only its
own worker. Only the loop's thread accesses the spool.
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
    """An answer in the loop's queue."""

    def take(self) -> None:
        """Pass the answer to its receiver; called by the loop's thread."""


class AnswerQueue(Protocol):
    """The queue of the workers' answers; `queue.Queue` is one."""

    def get(self, block: bool = True, timeout: float | None = None) -> Answered:  # noqa: FBT001, FBT002 - as in `queue.Queue`
        """Return the next answer; wait at most `timeout` seconds.

        Raises:
            Empty: there was none.
        """


@dataclass(frozen=True, slots=True)
class _Answer(Generic[Q, A]):
    """A query with its answer; None if the worker was closed before it answered."""

    worker: Worker[Q, A]
    question: Q
    answer: A | None

    def take(self) -> None:
        """Count the answer as received and pass it on."""
        self.worker.outstanding -= 1
        self.worker.busy_since = self.worker.clock()
        self.worker.on_answer(self.question, self.answer)


@dataclass(frozen=True, slots=True)
class _Failure:
    """An exception that `work` raised although it must not."""

    name: str
    error: Exception

    def take(self) -> None:
        """End the loop, and so the process: a worker that ended alone would never answer again."""
        # Whatever it is, it is an internal error: systemd does not restart after a ConfigError.
        raise RuntimeError(f"the thread {self.name} ended") from self.error


class Worker(Generic[Q, A]):
    """A worker thread; only the loop's thread calls its public methods except `put_answer`.

    `work` answers a query, may block, and must not raise: an exception ends the loop.
    `on_answer` is called by the loop with the query and the answer (None: the worker was closed
    before). `busy_since` is the monotonic time at which the current query was begun, `answered_at`
    that of the last answer.
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
        self.busy_since = self.answered_at = 0.0
        self.clock = clock
        self.on_answer: Callable[[Q, A | None], None] = lambda _question, _answer: None
        self.work = work
        self._answers = answers
        self._questions: SimpleQueue[Q | None] = SimpleQueue()
        self._closed = False
        self._thread: threading.Thread | None = None

    def ask(self, question: Q) -> None:
        """Queue a query; the first one starts the thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()
        if not self.outstanding:
            self.busy_since = self.clock()
        self.outstanding += 1
        self._questions.put(question)

    def busy_seconds(self) -> float:
        """Return how long the current query has been running."""
        return self.clock() - self.busy_since if self.outstanding else 0.0

    def recall(self) -> list[Q]:
        """Remove and return the queries that have not been begun."""
        recalled: list[Q] = []
        while True:
            try:
                question = self._questions.get_nowait()
            except Empty:
                break
            if question is not None:
                recalled.append(question)
        if self._closed:
            self._questions.put(None)  # the mark to end was among them
        self.outstanding -= len(recalled)
        return recalled

    def put_answer(self, question: Q, answer: A | None) -> None:
        """Put an answer into the loop's queue; called by the worker's thread."""
        self.answered_at = self.clock()
        self._answers.put(_Answer(self, question, answer))

    def close(self) -> None:
        """End the thread after the current query; queued queries are answered with None."""
        self._closed = True
        self._questions.put(None)

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread's end after `close`; return False after the timeout."""
        if self._thread is None:
            return True
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (question := self._questions.get()) is not None:
                self.put_answer(question, None if self._closed else self.work(question))
        except Exception as error:  # noqa: BLE001 - a border: the loop ends with it
            self._answers.put(_Failure(self.name, error))
