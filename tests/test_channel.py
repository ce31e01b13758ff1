"""Two connections for one kind of requests: the second goes on while the first is silent."""

from __future__ import annotations

from queue import Queue
from typing import Any

import pytest

from spool.deliver.channel import DEPTH, SILENT_SECONDS, SendChannel
from spool.deliver.pending_run import RequestKind
from spool.deliver.senders import SendRequest
from spool.worker import Answered, Worker


class Unanswered(Worker[Any, Any]):
    """A worker without a thread: its questions wait until a test answers."""

    def __init__(self, name: str, now: list[float]) -> None:
        answers: Queue[Answered] = Queue()
        super().__init__(name, lambda question: question, answers, clock=lambda: now[0])
        self.waiting: list[SendRequest] = []

    def ask(self, question: SendRequest) -> None:
        """Let it wait."""
        if not self.outstanding:
            self.busy_since = self.clock()
        self.outstanding += 1
        self.waiting.append(question)

    def recall(self) -> list[SendRequest]:
        """Take back all but the first."""
        self.waiting, recalled = self.waiting[:1], self.waiting[1:]
        self.outstanding -= len(recalled)
        return recalled

    def answer(self) -> None:
        """Answer the first question."""
        self.waiting.pop(0)
        self.outstanding -= 1
        self.busy_since = self.clock()


class Lines:
    """A channel, its two workers and the time."""

    def __init__(self) -> None:
        self.now = [100.0]
        self.first, self.second = Unanswered("first", self.now), Unanswered("second", self.now)
        self.third = Unanswered("third", self.now)
        self.channel = SendChannel((self.first, self.second, self.third), stops=False)

    def send(self, *job_ids: int) -> None:
        """Hand out requests as the delivery does."""
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


def test_all_goes_to_the_first_connection_while_it_answers(lines: Lines) -> None:
    """The second one costs the server nothing."""
    lines.send(1, 2)

    assert (2, 0, 2) == (
        lines.first.outstanding,
        lines.second.outstanding,
        lines.channel.outstanding,
    )


def test_a_connection_is_kept_busy_and_not_flooded(lines: Lines) -> None:
    """What is handed out cannot be put in another order any more."""
    lines.send(*range(DEPTH))

    assert None is lines.channel.free_worker()


def test_the_second_connection_is_used_while_the_first_is_silent(lines: Lines) -> None:
    """One request without an answer holds up its own run."""
    lines.send(1)
    lines.now[0] += SILENT_SECONDS - 0.1
    assert lines.first is lines.channel.free_worker()
    lines.now[0] += 0.1

    assert lines.second is lines.channel.free_worker()


def test_the_first_connection_is_used_again_when_it_answers(lines: Lines) -> None:
    """It is as good as before."""
    lines.send(1)
    lines.now[0] += SILENT_SECONDS
    lines.first.answer()

    assert lines.first is lines.channel.free_worker()


def test_nothing_is_sent_while_all_are_silent(lines: Lines) -> None:
    """Three runs that hang are all that a channel tries."""
    for job_id in (1, 2, 3):
        lines.send(job_id)
        lines.now[0] += SILENT_SECONDS

    assert None is lines.channel.free_worker()


def test_what_waits_behind_a_silent_request_is_taken_back(lines: Lines) -> None:
    """To be sent by the other connection; the request under way stays."""
    lines.send(1, 2, 3)
    before = lines.channel.recall()
    lines.now[0] += SILENT_SECONDS

    assert ([], [2, 3], 1) == (
        before,
        [each.job_id for each in lines.channel.recall()],
        lines.channel.outstanding,
    )
    assert [] == lines.channel.recall()


def test_the_moment_of_silence_is_known_before(lines: Lines) -> None:
    """The loop wakes up for it, and for none that is past."""
    assert None is lines.channel.next_time()
    lines.send(1)
    assert 100.0 + SILENT_SECONDS == lines.channel.next_time()
    lines.now[0] += SILENT_SECONDS
    assert None is lines.channel.next_time()
    lines.send(2)

    assert 100.0 + 2 * SILENT_SECONDS == lines.channel.next_time()
