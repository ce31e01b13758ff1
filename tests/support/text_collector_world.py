"""A collector of a drain's runs, and a worker that answers when the test says so."""

from __future__ import annotations

from queue import Queue
from typing import Any

from drain_world import NOON, World

from spool.deliver.pending_run import PendingRun
from spool.drain.text_collector import TextCollector
from spool.files.run import Run
from spool.resolve.job_texts import Texts, TextsQuery, TextsReply
from spool.worker import Worker


class PatientWorker(Worker[TextsQuery, TextsReply]):
    """A worker that answers when the test says so."""

    def __init__(self) -> None:
        super().__init__("texts", _nothing, Queue(), clock=lambda: 0.0)
        self.asked: list[TextsQuery] = []

    def ask(self, question: TextsQuery) -> None:
        """Record a question."""
        self.outstanding += 1
        self.asked.append(question)


def _nothing(_query: TextsQuery) -> TextsReply:
    """Return an empty reply."""
    return TextsReply()


class TextCollectorWorld:
    """A collector of a drain's runs, and its worker."""

    def __init__(self, world: World, *, wants_texts: bool = True) -> None:
        self.world = world
        self.worker = PatientWorker()
        builder = world.delivery.builder
        self.collector = TextCollector(
            world.store, builder, self.worker, wants_texts=wants_texts, began=world.now
        )
        builder.on_missing_user = self.collector.want_user

    def stage(self, job_id: int = 1, **facts: Any) -> PendingRun:
        """Stage a new run as the drain does, and ask for its texts."""
        run = Run(job=self.world.job(job_id, **facts), start_time=NOON)
        entry = self.world.store.stage(run, (), self.world.moment)
        entry.texts_until = self.collector.want(run, self.world.moment)
        self.collector.fill(self.world.moment)
        return entry

    def answer(self, reply: TextsReply | None) -> None:
        """Give the collector the answer to the current question, and ask what is due."""
        self.worker.outstanding -= 1
        self.collector.take(reply, self.world.moment)
        self.collector.fill(self.world.moment)

    def find(self, texts: Texts, job_id: int = 1) -> None:
        """Answer with the texts of one job."""
        self.answer(TextsReply(texts={(job_id, NOON): texts}))

    def run_of(self, entry: PendingRun) -> Run:
        """Return a run as the store has it."""
        return self.world.store.load_run(entry)
