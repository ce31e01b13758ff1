"""Worker threads that answer queries: order, queue and end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Queue

import pytest

from spool.worker import Answered, Worker

LIMIT_SECONDS = 30.0


class Caller:
    """A worker whose work waits for `gate`, the answers that it gave, and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.answers: Queue[Answered] = Queue()
        self.taken: list[tuple[int, str | None]] = []
        self.worker = Worker("caller", self.work, self.answers, clock=lambda: self.now)
        self.worker.on_answer = lambda question, answer: self.taken.append((question, answer))

    def work(self, question: int) -> str:
        """Answer when the gate is open."""
        self.begun.release()
        self.gate.wait(LIMIT_SECONDS)
        return f"answer {question}"

    def ask(self, *questions: int) -> None:
        """Ask the questions, and wait until the worker starts on the first."""
        for question in questions:
            self.worker.ask(question)
        assert self.begun.acquire(timeout=LIMIT_SECONDS)

    def take(self) -> None:
        """Wait for one answer and take it."""
        self.answers.get(timeout=LIMIT_SECONDS).take()


@pytest.fixture
def caller() -> Iterator[Caller]:
    """Return a worker; stop its thread after the test."""
    made = Caller()
    yield made
    made.gate.set()
    made.worker.close()
    assert made.worker.join(LIMIT_SECONDS)


def test_a_worker_answers_queries_in_order(caller: Caller) -> None:
    """Each answer comes together with its query."""
    caller.gate.set()
    caller.ask(1, 2)
    caller.take()
    caller.take()

    assert [(1, "answer 1"), (2, "answer 2")] == caller.taken


def test_an_answer_is_passed_on_only_when_the_loop_takes_it(caller: Caller) -> None:
    """Only the thread of the drain's loop changes the spool, never that of a worker."""
    caller.gate.set()
    caller.ask(1)
    answer = caller.answers.get(timeout=LIMIT_SECONDS)
    before = caller.worker.outstanding, list(caller.taken)
    answer.take()

    assert ((1, []), 0, 1) == (before, caller.worker.outstanding, len(caller.taken))


def test_an_answer_without_a_callback_is_dropped() -> None:
    """Taking an answer of a new worker, which has no callback, raises no error."""
    answers: Queue[Answered] = Queue()
    worker: Worker[int, int] = Worker("idle", lambda question: question, answers, clock=lambda: 0.0)
    worker.put_answer(1, 1)
    answers.get_nowait().take()

    assert -1 == worker.outstanding


def test_a_worker_without_a_query_starts_no_thread() -> None:
    """`join` after `close` therefore succeeds at once."""
    answers: Queue[Answered] = Queue()
    worker: Worker[int, int] = Worker("idle", lambda question: question, answers, clock=lambda: 0.0)
    worker.close()

    assert worker.join(0.0)


def test_recall_removes_queries_that_have_not_begun(caller: Caller) -> None:
    """The query in progress is still answered."""
    caller.ask(1, 2, 3)

    assert ([2, 3], 1) == (caller.worker.recall(), caller.worker.outstanding)
    caller.gate.set()
    caller.take()
    assert [(1, "answer 1")] == caller.taken


def test_close_returns_waiting_queries_without_an_answer(caller: Caller) -> None:
    """The query in progress is answered, the next one has the answer None."""
    caller.ask(1, 2)
    caller.worker.close()
    caller.gate.set()
    assert caller.worker.join(LIMIT_SECONDS)
    caller.take()
    caller.take()

    assert [(1, "answer 1"), (2, None)] == caller.taken


def test_a_closed_worker_still_ends_after_a_recall(caller: Caller) -> None:
    """`recall` leaves the end marker in the queue of the worker."""
    caller.ask(1, 2)
    caller.worker.close()

    assert [2] == caller.worker.recall()
    caller.gate.set()
    assert caller.worker.join(LIMIT_SECONDS)


def test_join_returns_false_while_a_query_runs(caller: Caller) -> None:
    """A closed worker cannot interrupt a query in progress."""
    caller.ask(1)
    caller.worker.close()

    assert not caller.worker.join(0.0)


def test_busy_seconds_count_from_the_query_in_progress(caller: Caller) -> None:
    """The count of a worker begins again with each answer, and is 0 without a query."""
    caller.ask(1)
    caller.now = 102.0
    caller.worker.ask(2)
    silence = [caller.worker.busy_seconds()]
    caller.gate.set()
    caller.now = 105.0
    caller.take()
    caller.now = 106.0
    silence.append(caller.worker.busy_seconds())
    caller.take()
    silence.append(caller.worker.busy_seconds())

    assert [2.0, 1.0, 0.0] == silence


def test_an_answer_has_the_time_when_it_was_given(caller: Caller) -> None:
    """`answered_at` is the time of the worker; the wait for the drain's loop does not count."""
    caller.gate.set()
    caller.ask(1)
    answer = caller.answers.get(timeout=LIMIT_SECONDS)
    caller.now += 5
    answer.take()

    assert caller.worker.answered_at == caller.now - 5


def test_an_exception_in_a_worker_ends_the_loop() -> None:
    """The process ends with a RuntimeError and is restarted, instead of waiting for ever."""
    answers: Queue[Answered] = Queue()
    worker: Worker[int, float] = Worker(
        "faulty", lambda question: 1 / question, answers, clock=lambda: 0.0
    )
    worker.ask(0)
    answer = answers.get(timeout=LIMIT_SECONDS)

    with pytest.raises(RuntimeError, match="the thread faulty ended"):
        answer.take()
