"""Connections for one kind of request: the next one is used while the first does not answer."""

from __future__ import annotations

from queue import Queue
from typing import Any

import pytest

from spool.deliver.channel import DEPTH, SILENT_SECONDS, SendChannel
from spool.deliver.pending_run import RequestKind
from spool.deliver.senders import SendRequest
from spool.worker import Answered, Worker


class Unanswered(Worker[Any, Any]):
    """A worker without a thread, whose requests wait until a test answers them."""

    def __init__(self, name: str, now: list[float]) -> None:
        answers: Queue[Answered] = Queue()
        super().__init__(name, lambda question: question, answers, clock=lambda: now[0])
        self.waiting: list[SendRequest] = []

    def ask(self, question: SendRequest) -> None:
        """Store the request until a test answers it."""
        if not self.outstanding:
            self.busy_since = self.clock()
        self.outstanding += 1
        self.waiting.append(question)

    def recall(self) -> list[SendRequest]:
        """Take back all requests but the first."""
        self.waiting, recalled = self.waiting[:1], self.waiting[1:]
        self.outstanding -= len(recalled)
        return recalled

    def answer(self) -> None:
        """Answer the first request."""
        self.waiting.pop(0)
        self.outstanding -= 1
        self.busy_since = self.clock()


class Lines:
    """A channel, its three workers and the time."""

    def __init__(self) -> None:
        self.now = [100.0]
        self.first, self.second = Unanswered("first", self.now), Unanswered("second", self.now)
        self.third = Unanswered("third", self.now)
        self.channel = SendChannel((self.first, self.second, self.third), stops=False)

    def send(self, *job_ids: int) -> None:
        """Give requests to the workers as the delivery does."""
        for job_id in job_ids:
            worker = self.channel.free_worker()
            assert worker is not None
            worker.ask(request(job_id))


def request(job_id: int) -> SendRequest:
    """Return the request of a start."""
    return SendRequest(kind=RequestKind.START, job_id=job_id, start_time=1, cluster="alex")


@pytest.fixture
def lines() -> Lines:
    """Return a channel with nothing to do."""
    return Lines()


def test_only_the_first_connection_is_used_while_it_answers(lines: Lines) -> None:
    """The server then has no second connection to serve."""
    lines.send(1, 2)

    assert (2, 0, 2) == (
        lines.first.outstanding,
        lines.second.outstanding,
        lines.channel.outstanding,
    )


def test_a_connection_gets_a_limited_number_of_requests(lines: Lines) -> None:
    """The order of requests cannot change after a connection has them."""
    lines.send(*range(DEPTH))

    assert None is lines.channel.free_worker()


def test_the_second_connection_is_used_while_the_first_is_silent(lines: Lines) -> None:
    """One request without an answer then delays only its own run."""
    lines.send(1)
    lines.now[0] += SILENT_SECONDS - 0.1
    assert lines.first is lines.channel.free_worker()
    lines.now[0] += 0.1

    assert lines.second is lines.channel.free_worker()


def test_the_first_connection_is_used_again_when_it_answers(lines: Lines) -> None:
    """An answer ends the silence of the first connection."""
    lines.send(1)
    lines.now[0] += SILENT_SECONDS
    lines.first.answer()

    assert lines.first is lines.channel.free_worker()


def test_nothing_is_sent_while_all_three_connections_are_silent(lines: Lines) -> None:
    """At most three requests of one kind are tried without an answer."""
    for job_id in (1, 2, 3):
        lines.send(job_id)
        lines.now[0] += SILENT_SECONDS

    assert None is lines.channel.free_worker()


def test_requests_behind_an_unanswered_one_are_taken_back(lines: Lines) -> None:
    """Another connection then sends them; the request that was sent stays."""
    lines.send(1, 2, 3)
    before = lines.channel.recall()
    lines.now[0] += SILENT_SECONDS

    assert ([], [2, 3], 1) == (
        before,
        [each.job_id for each in lines.channel.recall()],
        lines.channel.outstanding,
    )
    assert [] == lines.channel.recall()


def test_next_time_is_when_a_connection_becomes_silent(lines: Lines) -> None:
    """The delivery loop wakes up at that time; a time in the past is never returned."""
    assert None is lines.channel.next_time()
    lines.send(1)
    assert 100.0 + SILENT_SECONDS == lines.channel.next_time()
    lines.now[0] += SILENT_SECONDS
    assert None is lines.channel.next_time()
    lines.send(2)

    assert 100.0 + 2 * SILENT_SECONDS == lines.channel.next_time()
