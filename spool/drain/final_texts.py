"""Ask Slurm for the final description of runs that have ended, in a separate worker.

The stop of a run waits a moment for it: after the stop cc-backend archives the row. If it does not
arrive in time, the description of the start is sent with the end added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from slurm.job import Job
from spool.deliver.compose import PayloadComposer
from spool.deliver.pending_run import PendingRun, RequestKind
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_store import RunStore
from spool.files.run import Run
from spool.moment import Moment
from spool.worker import Worker

FINAL_WAIT_SECONDS = 1.5
BATCH_SIZE = 200

FinalWorker = Worker[tuple[Job, ...], Mapping[tuple[int, int | None], str]]


class FinalTexts:
    """Collects the final descriptions of ended runs in the loop's thread; idle without a worker."""

    def __init__(
        self,
        store: RunStore,
        builder: RequestBuilder,
        composer: PayloadComposer,
        worker: FinalWorker | None,
    ) -> None:
        self._store = store
        self._builder = builder
        self._worker = worker
        self._composer = composer
        self._queue: dict[tuple[int, int], Job] = {}
        self._asked: dict[tuple[int, int], Job] = {}

    def want(self, entry: PendingRun, run: Run, now: Moment) -> None:
        """Query the final description of an ended run; its stop waits a moment for the answer."""
        can_be_sent = run.reported and run.end is not None and self._builder.can_add_texts
        is_wanted = can_be_sent and self._composer.wants_final_description(run)
        if self._worker is None or not is_wanted:
            return
        self._queue[entry.key] = run.job
        entry.final_text_until = now.steady + FINAL_WAIT_SECONDS
        self._store.schedule.reschedule(entry.job_id, now.steady)

    def fill(self) -> None:
        """Send the next query to the worker if it is idle."""
        if self._worker is None or self._worker.outstanding or not self._queue:
            return
        keys = list(self._queue)[:BATCH_SIZE]
        self._asked = {key: self._queue.pop(key) for key in keys}
        self._worker.ask(tuple(self._asked.values()))

    def take(self, found: Mapping[tuple[int, int | None], str] | None, now: Moment) -> None:
        """Add the descriptions to their runs, and release the stops that waited for them."""
        asked, self._asked = self._asked, {}
        for (job_id, start), job in asked.items():
            entry = self._store.get(job_id, start, now)
            if entry is None or entry.in_flight is RequestKind.STOP:
                continue
            entry.final_text_until = 0.0
            text = (found or {}).get((job_id, job.start_time))
            run = self._builder.load_run(entry, now) if text else None
            if run is not None:
                # not persisted: without it the run is stopped with the text of its start
                self._store.stage(replace(run, description=text), (), now)
            self._store.schedule.reschedule(job_id, now.steady)
