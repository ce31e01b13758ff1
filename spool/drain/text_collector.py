"""Scripts, descriptions and missing user names of new runs, asked of a worker of its own.

A run is stored with its essential facts at once; its start waits for these texts a few seconds at
most. What comes later is added to the run, and to its row where cc-backend can still be told.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from slurm.job import Job
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import PendingRun
from spool.files.run import Run
from spool.moment import Moment
from spool.resolve.job_texts import Texts, TextsQuery, TextsReply
from spool.worker import Worker

START_WAIT_SECONDS = 5.0
BATCH_SIZE = 200
MAX_QUESTIONS = 3  # about one run, while its texts are not reached in time
USER_AGAIN_SECONDS = 5.0

TextsWorker = Worker[TextsQuery, TextsReply]


@dataclass(slots=True)
class _Wanted:
    """A run whose texts or user are asked for."""

    job: Job
    start_time: int
    questions: int = 0
    ask_at: float = 0.0


class TextCollector:
    """Belongs to the loop's thread. `wants_texts` False: only missing user names are asked for."""

    def __init__(
        self,
        store: RunStore,
        builder: RequestBuilder,
        worker: TextsWorker,
        *,
        wants_texts: bool,
    ) -> None:
        self._store = store
        self._builder = builder
        self._worker = worker
        self._wants_texts = wants_texts
        self._queue: deque[_Wanted] = deque()
        self._asked: dict[tuple[int, int], _Wanted] = {}
        self._later: list[_Wanted] = []

    def __len__(self) -> int:
        return len(self._queue) + len(self._asked) + len(self._later)

    def want(self, run: Run, now: Moment) -> float:
        """Ask for the texts of a new run; return until when its start waits, monotonic; 0: not."""
        if not self._wants_texts and run.job.user:
            return 0.0
        self._queue.append(_Wanted(run.job, run.start_time))
        return now.steady + START_WAIT_SECONDS if self._wants_texts else 0.0

    def fill(self, now: Moment) -> None:
        """Give the worker its next question when it is idle."""
        if self._later:
            due = [wanted for wanted in self._later if wanted.ask_at <= now.steady]
            self._queue.extend(due)
            self._later = [wanted for wanted in self._later if wanted.ask_at > now.steady]
        if self._worker.outstanding or not self._queue:
            return
        batch = [self._queue.popleft() for _ in range(min(BATCH_SIZE, len(self._queue)))]
        self._asked = {(w.job.job_id, w.start_time): w for w in batch}
        with_texts = tuple(w.job for w in batch if self._wants_texts)
        uids = {w.job.uid for w in batch if not w.job.user and w.job.uid is not None}
        self._worker.ask(TextsQuery(jobs=with_texts, uids=frozenset(uids)))

    def next_time(self) -> float | None:
        """Return when a question is due again, by the monotonic clock."""
        return min((wanted.ask_at for wanted in self._later), default=None)

    def take(self, _query: TextsQuery, reply: TextsReply | None, now: Moment) -> None:
        """Add what was found to the runs; ask again for what was not reached."""
        asked, self._asked = self._asked, {}
        for (job_id, start), wanted in asked.items():
            entry = self._store.get(job_id, start, now)
            if entry is None or reply is None:
                continue
            texts = reply.texts.get((job_id, wanted.job.start_time), Texts())
            user = reply.users.get(wanted.job.uid) if wanted.job.uid is not None else None
            self._add(entry, texts, user, now)
            self._ask_again(wanted, texts, needs_user=not (wanted.job.user or user), now=now)

    def _ask_again(self, wanted: _Wanted, texts: Texts, *, needs_user: bool, now: Moment) -> None:
        wanted.questions += 1
        if needs_user and wanted.job.uid is not None:
            wanted.ask_at = now.steady + USER_AGAIN_SECONDS
        elif not texts.is_final and wanted.questions < MAX_QUESTIONS:
            wanted.ask_at = now.steady
        else:
            return
        self._later.append(wanted)

    def _add(self, entry: PendingRun, texts: Texts, user: str | None, now: Moment) -> None:
        """Store what is new; a run whose start is out gets it through `edit_meta`."""
        run = self._builder.load_run(entry, now)
        if run is None:
            return
        found = {"script": texts.script, "description": texts.description}
        new = {name: text for name, text in found.items() if text and not getattr(run, name)}
        job = replace(run.job, user=user) if user and not run.job.user else run.job
        is_out = run.started is not None or entry.in_flight is not None
        if is_out and run.reported:
            entry.new_texts = tuple(dict.fromkeys((*entry.new_texts, *new)))
        if texts.is_final:
            entry.texts_until = 0.0
        if not new and job is run.job:
            self._store.schedule.reschedule(entry.job_id, now.steady)
            return
        if job is not run.job:
            entry.retry_at, entry.waits_for = 0.0, ""
        changed = replace(
            run,
            job=job,
            script=run.script or texts.script,
            script_bytes_total=run.script_bytes_total or texts.script_bytes_total,
            description=run.description or texts.description,
        )
        if entry.stored is None:
            self._store.stage(changed, (), now)
        else:
            self._store.persist(entry, changed, now)
