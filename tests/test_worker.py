"""Threads that answer questions: the order, the queue, the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Queue

import pytest

from spool.worker import Answered, Worker

LIMIT_SECONDS = 30.0


class Caller:
    """A worker whose work waits for `gate`, the answers that were taken, and a clock."""

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
        """Ask, and wait until the first question is begun."""
        for question in questions:
            self.worker.ask(question)
        assert self.begun.acquire(timeout=LIMIT_SECONDS)

    def take(self) -> None:
        """Wait for one answer and take it."""
        self.answers.get(timeout=LIMIT_SECONDS).take()


@pytest.fixture
def caller() -> Iterator[Caller]:
    """Return a worker; its thread is ended."""
    made = Caller()
    yield made
    made.gate.set()
    made.worker.close()
    assert made.worker.join(LIMIT_SECONDS)


def test_questions_are_answered_in_order(caller: Caller) -> None:
    """Each answer comes with its question."""
    caller.gate.set()
    caller.ask(1, 2)
    caller.take()
    caller.take()

    assert [(1, "answer 1"), (2, "answer 2")] == caller.taken


def test_an_answer_changes_nothing_until_it_is_taken(caller: Caller) -> None:
    """The loop's thread alone touches the spool."""
    caller.gate.set()
    caller.ask(1)
    answer = caller.answers.get(timeout=LIMIT_SECONDS)
    before = caller.worker.outstanding, list(caller.taken)
    answer.take()

    assert ((1, []), 0, 1) == (before, caller.worker.outstanding, len(caller.taken))


def test_an_answer_nobody_waits_for_is_dropped() -> None:
    """By default nobody does."""
    answers: Queue[Answered] = Queue()
    worker: Worker[int, int] = Worker("idle", lambda question: question, answers, clock=lambda: 0.0)
    worker.put_answer(1, 1)
    answers.get_nowait().take()

    assert -1 == worker.outstanding


def test_no_thread_is_started_without_a_question() -> None:
    """It has ended already."""
    answers: Queue[Answered] = Queue()
    worker: Worker[int, int] = Worker("idle", lambda question: question, answers, clock=lambda: 0.0)
    worker.close()

    assert worker.join(0.0)


def test_what_has_not_been_begun_is_taken_back(caller: Caller) -> None:
    """The question under way goes on."""
    caller.ask(1, 2, 3)

    assert ([2, 3], 1) == (caller.worker.recall(), caller.worker.outstanding)
    caller.gate.set()
    caller.take()
    assert [(1, "answer 1")] == caller.taken


def test_questions_behind_the_end_come_back_unasked(caller: Caller) -> None:
    """The one under way is answered."""
    caller.ask(1, 2)
    caller.worker.close()
    caller.gate.set()
    assert caller.worker.join(LIMIT_SECONDS)
    caller.take()
    caller.take()

    assert [(1, "answer 1"), (2, None)] == caller.taken


def test_a_closed_worker_still_ends_after_a_recall(caller: Caller) -> None:
    """The word to end is no question, and is not lost."""
    caller.ask(1, 2)
    caller.worker.close()

    assert [2] == caller.worker.recall()
    caller.gate.set()
    assert caller.worker.join(LIMIT_SECONDS)


def test_a_question_can_outlast_the_end(caller: Caller) -> None:
    """`join` says that it was abandoned."""
    caller.ask(1)
    caller.worker.close()

    assert not caller.worker.join(0.0)


def test_silence_counts_from_the_question_under_way(caller: Caller) -> None:
    """Not from those behind it: the clock starts again with each answer."""
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


def test_an_answer_is_dated_when_it_comes(caller: Caller) -> None:
    """However long it waits for the loop."""
    caller.gate.set()
    caller.ask(1)
    answer = caller.answers.get(timeout=LIMIT_SECONDS)
    caller.now += 5
    answer.take()

    assert caller.worker.answered_at == caller.now - 5


def test_an_unexpected_exception_ends_the_loop() -> None:
    """The process ends and is restarted, instead of waiting for the worker for ever."""
    answers: Queue[Answered] = Queue()
    worker: Worker[int, float] = Worker(
        "faulty", lambda question: 1 / question, answers, clock=lambda: 0.0
    )
    worker.ask(0)
    answer = answers.get(timeout=LIMIT_SECONDS)

    with pytest.raises(RuntimeError, match="the thread faulty ended"):
        answer.take()
