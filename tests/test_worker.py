"""Threads that answer questions: the order, the queue, the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Queue

import pytest

from spool.worker import Answered, Worker

LIMIT_SECONDS = 30.0


class Desk:
    """A worker whose work waits for `gate`, the answers that were taken, and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.answers: Queue[Answered] = Queue()
        self.taken: list[tuple[int, str | None]] = []
        self.worker = Worker("desk", self.work, self.answers, clock=lambda: self.now)
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
def desk() -> Iterator[Desk]:
    """Return a worker; its thread is ended."""
    made = Desk()
    yield made
    made.gate.set()
    made.worker.close()
    assert made.worker.join(LIMIT_SECONDS)


def test_questions_are_answered_in_order(desk: Desk) -> None:
    """Each answer comes with its question."""
    desk.gate.set()
    desk.ask(1, 2)
    desk.take()
    desk.take()

    assert [(1, "answer 1"), (2, "answer 2")] == desk.taken


def test_an_answer_changes_nothing_until_it_is_taken(desk: Desk) -> None:
    """The loop's thread alone touches the spool."""
    desk.gate.set()
    desk.ask(1)
    answer = desk.answers.get(timeout=LIMIT_SECONDS)
    before = desk.worker.outstanding, list(desk.taken)
    answer.take()

    assert ((1, []), 0, 1) == (before, desk.worker.outstanding, len(desk.taken))


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


def test_what_has_not_been_begun_is_taken_back(desk: Desk) -> None:
    """The question under way goes on."""
    desk.ask(1, 2, 3)

    assert ([2, 3], 1) == (desk.worker.recall(), desk.worker.outstanding)
    desk.gate.set()
    desk.take()
    assert [(1, "answer 1")] == desk.taken


def test_questions_behind_the_end_come_back_unasked(desk: Desk) -> None:
    """The one under way is answered."""
    desk.ask(1, 2)
    desk.worker.close()
    desk.gate.set()
    assert desk.worker.join(LIMIT_SECONDS)
    desk.take()
    desk.take()

    assert [(1, "answer 1"), (2, None)] == desk.taken


def test_a_closed_worker_still_ends_after_a_recall(desk: Desk) -> None:
    """The word to end is no question, and is not lost."""
    desk.ask(1, 2)
    desk.worker.close()

    assert [2] == desk.worker.recall()
    desk.gate.set()
    assert desk.worker.join(LIMIT_SECONDS)


def test_a_question_can_outlast_the_end(desk: Desk) -> None:
    """`join` says that it was abandoned."""
    desk.ask(1)
    desk.worker.close()

    assert not desk.worker.join(0.0)


def test_silence_counts_from_the_question_under_way(desk: Desk) -> None:
    """Not from those behind it: the clock starts again with each answer."""
    desk.ask(1)
    desk.now = 102.0
    desk.worker.ask(2)
    silence = [desk.worker.busy_seconds()]
    desk.gate.set()
    desk.now = 105.0
    desk.take()
    desk.now = 106.0
    silence.append(desk.worker.busy_seconds())
    desk.take()
    silence.append(desk.worker.busy_seconds())

    assert [2.0, 1.0, 0.0] == silence


def test_an_answer_is_dated_when_it_comes(desk: Desk) -> None:
    """However long it waits for the loop."""
    desk.gate.set()
    desk.ask(1)
    answer = desk.answers.get(timeout=LIMIT_SECONDS)
    desk.now += 5
    answer.take()

    assert desk.worker.answered_at == desk.now - 5


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
