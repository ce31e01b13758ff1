"""Collect scripts, descriptions and missing user names of new runs, in a separate worker.

A run is stored with its essential facts at once; its start waits some seconds at most for these
texts, less if Slurm is silent. Texts that arrive later are added to the run, and to its row if
cc-backend supports that: the stop of a short job waits a little for them, because nothing is sent
after a run is completely delivered.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace

from slurm.job import Job
from spool.backoff import backoff
from spool.deliver.pending_run import PendingRun
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_store import RunStore
from spool.files.run import Run
from spool.moment import Moment
from spool.resolve.job_texts import Texts, TextsQuery, TextsReply
from spool.worker import Worker

START_WAIT_SECONDS = 5.0
SILENT_SECONDS = 1.5  # a query that took longer and found nothing: no start waits for its texts
STOP_WAIT_SECONDS = 120.0  # counted from the first query
BATCH_SIZE = 200
MAX_QUESTIONS = 40  # queries about one run while its texts are unreachable: for half an hour
MAX_ASKED_AGAIN = 10_000
FIRST_AGAIN_SECONDS = 2.5
MAX_AGAIN_SECONDS = 60.0
UNREADABLE_AGAIN_SECONDS = 5.0
FORGOTTEN_SECONDS = 3600.0  # after this time Slurm has forgotten the script of a run

_log = logging.getLogger(__name__)

TextsWorker = Worker[TextsQuery, TextsReply]


@dataclass(slots=True)
class _Wanted:
    """A run whose texts, or only its user's name, are queried.

    `since` is when they were first queried. `is_unreadable`: the run could not be read to add them.
    """

    job: Job
    start_time: int
    since: float
    needs_texts: bool
    questions: int = 0
    ask_at: float = 0.0
    is_unreadable: bool = False


class TextCollector:
    """The collector of job texts and user names, used only in the loop's thread.

    `wants_texts` False: only user names. `began` is when this drain began, Unix seconds.
    """

    def __init__(
        self,
        store: RunStore,
        builder: RequestBuilder,
        worker: TextsWorker,
        *,
        wants_texts: bool,
        began: float,
    ) -> None:
        self._began = began
        self._store = store
        self._builder = builder
        self._worker = worker
        self._wants_texts = wants_texts
        self._queue: deque[_Wanted] = deque()
        self._asked: dict[tuple[int, int], _Wanted] = {}
        self._later: list[_Wanted] = []
        self._users: set[tuple[int, int]] = set()
        self._asked_at = 0.0
        self._is_silent = False

    def __len__(self) -> int:
        return len(self._queue) + len(self._asked) + len(self._later)

    def want(self, run: Run, now: Moment) -> float:
        """Queue the query for a new run's texts; return when its start's wait ends (0: no wait)."""
        if not self._wants_texts:
            return 0.0
        self._queue.append(_Wanted(run.job, run.start_time, now.steady, needs_texts=True))
        return now.steady + START_WAIT_SECONDS

    def want_user(self, run: Run, now: Moment) -> None:
        """Query the user's name of a run whose start waits for it, unless a query is pending.

        The caller repeats this until the name is found, also after a restart of the drain.
        """
        key = (run.job_id, run.start_time)
        if run.job.uid is not None and key not in self._users:
            self._users.add(key)
            self._queue.append(_Wanted(run.job, run.start_time, now.steady, needs_texts=False))

    def want_stored(self, entry: PendingRun, run: Run, now: Moment) -> None:
        """Query the texts of a stored run if an earlier drain may have ended before it got them."""
        # Slurm has forgotten the script of an older run, and a newer one was asked about by `want`.
        is_new = run.started is None and run.reported and run.script is None
        is_of_before = run.seen <= self._began and now.wall - run.seen < FORGOTTEN_SECONDS
        if is_new and is_of_before:
            entry.texts_until = self.want(run, now)

    def fill(self, now: Moment) -> None:
        """Send the next query to the worker if it is idle."""
        if self._later:
            due = [wanted for wanted in self._later if wanted.ask_at <= now.steady]
            self._queue.extend(due)
            self._later = [wanted for wanted in self._later if wanted.ask_at > now.steady]
        if self._worker.outstanding or not self._queue:
            return
        batch = [self._queue.popleft() for _ in range(min(BATCH_SIZE, len(self._queue)))]
        batch.sort(key=lambda w: w.needs_texts)  # of two queries about a run the wider one is used
        self._asked, self._asked_at = {(w.job.job_id, w.start_time): w for w in batch}, now.steady
        for wanted in batch:
            if wanted.is_unreadable:
                self._hold_start(wanted, now)
        with_texts = tuple(w.job for w in batch if w.needs_texts)
        uids = {w.job.uid for w in batch if not w.job.user and w.job.uid is not None}
        self._worker.ask(TextsQuery(jobs=with_texts, uids=frozenset(uids)))

    def next_time(self) -> float | None:
        """Return when the next query is due, by the monotonic clock."""
        if self._queue and not self._worker.outstanding:
            return 0.0
        return min((wanted.ask_at for wanted in self._later), default=None)

    def take(self, reply: TextsReply | None, now: Moment) -> None:
        """Add the texts to the runs; query missing ones again."""
        asked, self._asked = self._asked, {}
        self._note_silence(reply, now)
        for (job_id, start), wanted in asked.items():
            self._users.discard((job_id, start))
            entry = self._store.get(job_id, start, now)
            if entry is None or reply is None:
                continue
            texts = reply.texts.get((job_id, wanted.job.start_time), Texts())
            user = reply.users.get(wanted.job.uid) if wanted.job.uid is not None else None
            wanted.is_unreadable = not self._add(entry, texts, user, now)
            if self._is_silent:
                entry.texts_until = 0.0
            delay = self._delay(wanted, texts) if wanted.needs_texts else None
            # A stop waits for late texts: one that is added after the stop does not reach the job
            # archive of the server.
            is_waiting = delay is not None and self._builder.can_add_texts and not texts.is_final
            entry.stop_texts_until = wanted.since + STOP_WAIT_SECONDS if is_waiting else 0.0
            if delay is not None:
                wanted.ask_at = now.steady + delay
                self._later.append(wanted)
            self._store.schedule.reschedule(entry.job_id, now.steady)

    def _note_silence(self, reply: TextsReply | None, now: Moment) -> None:
        """Record whether Slurm is silent about texts: until it answers, no start waits for them."""
        texts = () if reply is None else reply.texts.values()
        is_slow = now.steady - self._asked_at >= SILENT_SECONDS
        self._is_silent = (is_slow or self._is_silent) and not any(each.is_final for each in texts)

    def _delay(self, wanted: _Wanted, texts: Texts) -> float | None:
        """Return the seconds until the next query about a run; None: no more queries."""
        if wanted.is_unreadable:
            return UNREADABLE_AGAIN_SECONDS
        wanted.questions += 1
        is_over = wanted.questions >= MAX_QUESTIONS or len(self._later) >= MAX_ASKED_AGAIN
        if texts.is_final or is_over:
            return None
        doublings = wanted.questions - 2  # the first repetition is immediate
        if doublings < 0:
            return 0.0
        return backoff(doublings, first=FIRST_AGAIN_SECONDS, longest=MAX_AGAIN_SECONDS)

    def _hold_start(self, wanted: _Wanted, now: Moment) -> None:
        """Let the start of a run wait for the answer to a repeated query."""
        entry = self._store.get(wanted.job.job_id, wanted.start_time, now)
        if entry is not None and wanted.needs_texts:
            entry.texts_until = now.steady + START_WAIT_SECONDS

    def _add(self, entry: PendingRun, texts: Texts, user: str | None, now: Moment) -> bool:
        """Store the new texts; return False if the run cannot be read now.

        If the start was already sent, the texts are sent by `edit_meta`.
        """
        run = self._builder.load_run(entry, now)
        if run is None:
            return False
        found = {"script": texts.script, "description": texts.description}
        new = {name: text for name, text in found.items() if text and not getattr(run, name)}
        job = replace(run.job, user=user) if user and not run.job.user else run.job
        # A request in flight was made without the new texts, as one that was accepted before.
        is_out = run.started is not None or entry.in_flight is not None
        if is_out and run.reported:
            entry.new_texts = tuple(dict.fromkeys((*entry.new_texts, *new)))
        if texts.is_final:
            entry.texts_until = 0.0
        if not new and job is run.job:
            return True
        if job is not run.job:  # its start has waited for the name
            entry.retry_at, entry.waits_for = 0.0, ""
        sizes = [f"{name} {len(text or '')}" for name, text in found.items()]
        _log.debug(
            "job=%d start=%d texts were read from Slurm (lengths in characters: %s)",
            *entry.key,
            ", ".join(sizes),
        )
        changed = replace(
            run,
            job=job,
            script=run.script or texts.script,
            script_bytes_total=run.script_bytes_total or texts.script_bytes_total,
            description=run.description or texts.description,
            late_texts=entry.new_texts,
        )
        # A run that is only staged stays so: its events can bring it back, and its texts can be
        # read again.
        if entry.stored is None:
            self._store.stage(changed, (), now)
        else:
            self._store.persist(entry, changed, now)
        return True
