"""Scripts, descriptions and missing user names of new runs, asked of a worker of its own.

A run is stored with its essential facts at once; its start waits for these texts a few seconds at
most. What comes later is added to the run, and to its row where cc-backend can still be told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

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

TextsWorker = Worker[TextsQuery, TextsReply]


@dataclass(slots=True)
class _Wanted:
    """A run whose texts, or whose user's name alone, are asked for."""

    job: Job
    needs_texts: bool
    questions: int = 0


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
        self._queue: dict[tuple[int, int], _Wanted] = {}
        self._asked: dict[tuple[int, int], _Wanted] = {}

    def __len__(self) -> int:
        return len(self._queue) + len(self._asked)

    def want(self, run: Run, now: Moment) -> float:
        """Ask for the texts of a new run; return until when its start waits, monotonic; 0: not."""
        if not self._wants_texts:
            return 0.0
        self._queue[run.job_id, run.start_time] = _Wanted(run.job, needs_texts=True)
        return now.steady + START_WAIT_SECONDS

    def want_user(self, run: Run) -> None:
        """Ask for the name of the user of a run whose start waits for it, and is asked for again.

        So the name of a run is asked for as long as it is needed, by whatever drain.
        """
        key = (run.job_id, run.start_time)
        if run.job.uid is not None and key not in self._queue and key not in self._asked:
            self._queue[key] = _Wanted(run.job, needs_texts=False)

    def fill(self) -> None:
        """Give the worker its next question when it is idle."""
        if self._worker.outstanding or not self._queue:
            return
        self._asked = {key: self._queue.pop(key) for key in list(islice(self._queue, BATCH_SIZE))}
        batch = self._asked.values()
        uids = {w.job.uid for w in batch if not w.job.user and w.job.uid is not None}
        jobs = tuple(wanted.job for wanted in batch if wanted.needs_texts)
        self._worker.ask(TextsQuery(jobs=jobs, uids=frozenset(uids)))

    def take(self, _query: TextsQuery, reply: TextsReply | None, now: Moment) -> None:
        """Add what was found to the runs; ask again for texts that were not reached."""
        asked, self._asked = self._asked, {}
        for (job_id, start), wanted in asked.items():
            entry = self._store.get(job_id, start, now)
            if entry is None or reply is None:
                continue
            texts = reply.texts.get((job_id, wanted.job.start_time), Texts())
            user = reply.users.get(wanted.job.uid) if wanted.job.uid is not None else None
            wanted.questions += 1
            if texts.is_final or wanted.questions >= MAX_QUESTIONS:
                entry.texts_until = 0.0
            else:
                self._queue.setdefault((job_id, start), wanted)
            self._add(entry, texts, user, now)

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
