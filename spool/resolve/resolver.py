"""Decide what to ask Slurm about job ids with waiting events or open runs, and apply the answers.

It returns queries and takes replies; it never waits and runs no command. If Slurm does not answer,
all events stay, no attempt is counted, and the next query comes later. While accounting does not
answer, everything that the controller's answers settle goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from slurm.errors import SlurmError
from slurm.job import Job
from spool.backoff import backoff
from spool.escaping import escape
from spool.files.event import Event
from spool.moment import Moment
from spool.resolve.job_query import JobQuery, PendingJob, QueryPhase, SlurmAnswers, SourceSilence
from spool.resolve.resolve_job import Resolution, resolve_job
from spool.resolve.run_match import TrackedRun, may_have_moved
from spool.resolve.slurm_runs import CHANGING_STAGES
from spool.resolve.slurm_worker import RecordsQuery, RecordsReply, RowsQuery, RowsReply

FIRST_QUERY_SECONDS = 0.04  # Slurm's record is right about 40 ms after a hook began (measured)
MAX_CONFIGURING_DELAY_SECONDS = 10.0
MAX_RETRY_SECONDS = 300.0
MAX_POSTPONED_SECONDS = 10.0  # of a record that cannot be read: Slurm forgets it as soon as others
BATCH_SIZE = 1000
CROWD_SECONDS = 0.02  # per job id: hundreds of thousands of unknown ids are rarely queried
_log = logging.getLogger(__name__)

Tracked = Callable[[int], tuple[TrackedRun, ...]]
Resolved = tuple[JobQuery, Resolution, Job | None]


class Resolver:
    """The pending job ids and their queries; used only in the loop's thread."""

    def __init__(self) -> None:
        self._jobs: dict[int, PendingJob] = {}
        self._queue: list[tuple[float, int]] = []
        self._accounting_wanted: set[int] = set()
        self._controller = SourceSilence("Slurm's controller")
        self._accounting = SourceSilence("Slurm's accounting")

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def silent_since(self) -> float | None:
        """Return since when the controller has not answered, Unix seconds; None if it answers."""
        since = self._controller.since
        return None if since is None else since.wall

    @property
    def silent_reason(self) -> str:
        """Return why the controller does not answer; "" if it answers."""
        return self._controller.reason

    @property
    def accounting_silent_since(self) -> float | None:
        """Return since when accounting has not answered, Unix seconds; None if it answers."""
        since = self._accounting.since
        return None if since is None else since.wall

    def add_events(self, events: Iterable[Event], now: Moment) -> None:
        """Add new events; Slurm is asked shortly after their hooks began."""
        for event in events:
            age = max(0.0, now.wall - event.time)
            job = self._pending(event.job_id, max(0.0, FIRST_QUERY_SECONDS - age), now)
            job.events = (*job.events, event)

    def recheck_job(self, job_id: int, now: Moment, *, needs_all: bool = False) -> None:
        """Schedule a query of a job with an open run; `needs_all`: of its whole record."""
        self._pending(job_id, 0.0, now).needs_all |= needs_all

    def next_time(
        self, *, controller_is_busy: bool = False, accounting_is_busy: bool = False
    ) -> float | None:
        """Return when the next query may be made, by the monotonic clock; None: there is none.

        Job ids that wait for an answer or a busy worker do not count: the answer wakes the loop.
        """
        self._drop_stale()
        times = []
        if self._queue and not controller_is_busy:
            times.append(max(self._queue[0][0], self._controller.next_try))
        if self._accounting_wanted and not accounting_is_busy:
            times.append(self._accounting.next_try)
        return min(times, default=None)

    # ---- the controller

    def next_records(self, now: Moment, tracked: Tracked) -> RecordsQuery | None:
        """Return the next query to the controller; None if none is due."""
        if now.steady < self._controller.next_try:
            return None
        due: list[PendingJob] = []
        self._drop_stale()
        while self._queue and self._queue[0][0] <= now.steady and len(due) < BATCH_SIZE:
            job = self._jobs[heappop(self._queue)[1]]
            job.phase = QueryPhase.CONTROLLER
            due.append(job)
            self._drop_stale()
        if not due:
            return None
        # A run that is known has its cores and GRES, and without JSON they cost a process a job:
        # where only an end is missing, they are not asked for.
        states_only = set()
        for job in due:
            job.asked = tuple(sorted(job.events, key=lambda event: event.time))
            query = job.query(tracked(job.job_id))
            if not job.needs_all and query.asks_end_only():
                states_only.add(job.job_id)
        ids = tuple(sorted(job.job_id for job in due))
        return RecordsQuery(job_ids=ids, states_only=frozenset(states_only))

    def take_records(
        self, query: RecordsQuery, reply: RecordsReply | None, now: Moment, tracked: Tracked
    ) -> list[Resolved]:
        """Apply the controller's answer; return the resolution of each job id; [] if it failed.

        Each comes with its query and its record. `tracked` returns the known runs of a job id.
        """
        jobs = [self._jobs[i] for i in query.job_ids if i in self._jobs]
        # An id that got a new event meanwhile is scheduled anew: this answer is older than it.
        jobs = [job for job in jobs if job.phase is QueryPhase.CONTROLLER]
        if reply is None or reply.error is not None:
            # No attempt is counted, no time moved: the outage's own delay decides.
            for job in jobs:
                self._ask_at(job, job.next_query)
        if reply is None:
            return []
        if reply.error is not None:
            self._controller.failed(reply.error, now)
            return []
        self._controller.answered(now)
        resolved = []
        for job in jobs:
            found = reply.records.get(job.job_id)
            if isinstance(found, SlurmError):
                self._postpone(job, now, found)
            elif (one := self._resolve_record(job, found, query, now, tracked)) is not None:
                resolved.append(one)
        return resolved

    def _resolve_record(
        self,
        job: PendingJob,
        record: Job | None,
        query: RecordsQuery,
        now: Moment,
        tracked: Tracked,
    ) -> Resolved | None:
        """Resolve a job id by its record, or plan a query to accounting; None: query it again."""
        asked = job.query(tracked(job.job_id))
        result = resolve_job(asked, SlurmAnswers(record=record), job.wall_time(now))
        if result.new_runs and record is not None and job.job_id in query.states_only:
            job.needs_all = True  # a new run: ask again with cores and GRES
            self._ask_at(job, now.steady)
            return None
        job.needs_all, job.record = False, record
        is_accounting_up = self.accounting_silent_since is None
        if record and is_accounting_up and result.new_runs and may_have_moved(record, asked.runs):
            # accounting shows whether this is a second run, or the start of the known one moved
            result = Resolution(
                pending_events=asked.events,
                missing_starts=result.missing_starts,
                needs_accounting=True,
                stage=result.stage,
            )
        is_waiting = self._settle(job, result, now)
        if result.needs_accounting and is_waiting and job.take_accounting_turn(result.stage, now):
            job.phase = QueryPhase.ACCOUNTING_WANTED
            self._accounting_wanted.add(job.job_id)
        return asked, result, record

    # ---- accounting

    def next_rows(self, now: Moment, tracked: Tracked) -> RowsQuery | None:
        """Return the next query to accounting; None if none is due."""
        if now.steady < self._accounting.next_try:
            return None
        wanted: list[PendingJob] = []
        while self._accounting_wanted and len(wanted) < BATCH_SIZE:
            job = self._jobs.get(self._accounting_wanted.pop())
            if job is not None and job.phase is QueryPhase.ACCOUNTING_WANTED:
                wanted.append(job)
        if not wanted:
            return None
        for job in wanted:
            job.phase = QueryPhase.ACCOUNTING
        queries = [job.query(tracked(job.job_id)) for job in wanted]
        since = min(query.since() for query in queries)
        # a start may be in the future where the clock was set back
        latest = max([int(now.wall), *(start for each in queries for start in each.known_starts())])
        ids = tuple(sorted(job.job_id for job in wanted))
        return RowsQuery(job_ids=ids, since=since, until=latest + 1)

    def take_rows(
        self, query: RowsQuery, reply: RowsReply | None, now: Moment, tracked: Tracked
    ) -> list[Resolved]:
        """Apply accounting's answer; return the resolution of each job id; [] if it failed."""
        jobs = [self._jobs[i] for i in query.job_ids if i in self._jobs]
        jobs = [job for job in jobs if job.phase is QueryPhase.ACCOUNTING]
        if reply is None or reply.error is not None:
            if reply is not None:
                self._accounting.failed(reply.error or "", now)
            for job in jobs:
                if reply is None or job.next_query <= now.steady:  # the controller is due again
                    self._ask_at(job, job.next_query)
                else:  # as soon as accounting answers; meanwhile the record may change
                    job.phase = QueryPhase.ACCOUNTING_WANTED
                    self._accounting_wanted.add(job.job_id)
            return []
        self._accounting.answered(now)
        resolved = []
        by_job: dict[int, list[Job]] = {}
        for row in reply.rows:
            by_job.setdefault(row.job_id, []).append(row)
        for job in jobs:
            asked = job.query(tracked(job.job_id))
            answers = SlurmAnswers(
                record=job.record,
                rows=tuple(by_job.get(job.job_id, ())),
                has_accounting=reply.has_accounting,
            )
            result = resolve_job(asked, answers, job.wall_time(now))
            # the controller's answer has counted this round: the delay doubles once a round
            self._settle(job, result, now, repeated=False)
            resolved.append((asked, result, job.record))
        return resolved

    # ---- when to ask again

    def _settle(
        self, job: PendingJob, result: Resolution, now: Moment, *, repeated: bool = True
    ) -> bool:
        """Drop a job id that is settled, or set when to ask about it again.

        Return whether what was asked is still open. If newer events came, their query time stays:
        the controller is asked about them first, because accounting may hang.
        """
        pending = {event.name for event in result.pending_events}
        asked = {event.name for event in job.asked}
        settled = asked - pending
        job.events = tuple(event for event in job.events if event.name not in settled)
        has_newer = any(event.name not in asked for event in job.events)
        job.asked = tuple(event for event in job.asked if event.name in pending)
        is_changing = result.stage in CHANGING_STAGES
        if not job.events and not result.missing_starts and not is_changing:
            del self._jobs[job.job_id]
            return False
        if has_newer:
            self._ask_at(job, job.next_query)
            return False
        if is_changing:
            longest, first = MAX_CONFIGURING_DELAY_SECONDS, FIRST_QUERY_SECONDS
            job.warn_if_changing_long(now)
        else:
            # The more ids wait, the rarer is each of them asked: the load on Slurm stays the same.
            crowd = len(self._jobs) * CROWD_SECONDS
            longest, first = max(MAX_RETRY_SECONDS, crowd), 0.5
        job.queries_sent += repeated
        self._ask_at(job, now.steady + backoff(job.queries_sent - 1, first=first, longest=longest))
        return True

    def _pending(self, job_id: int, delay: float, now: Moment) -> PendingJob:
        """Add or update the entry of a job id, its next query due in `delay` seconds; return it."""
        job, at = self._jobs.get(job_id), now.steady + delay
        if job is None:
            job = self._jobs[job_id] = PendingJob(job_id, at, since=at, seen=now)
        job.next_query, job.queries_sent, job.seen = at, 0, now
        if job.phase is not QueryPhase.CONTROLLER:
            self._ask_at(job, at)  # the pending answer of accounting is about older events
        return job

    def _ask_at(self, job: PendingJob, at: float) -> None:
        """Schedule the next query of a job id; a pending answer about it is ignored."""
        job.phase, job.next_query = QueryPhase.NONE, at
        heappush(self._queue, (at, job.job_id))

    def _drop_stale(self) -> None:
        """Drop outdated entries from the front: job done, being queried, or rescheduled."""
        while self._queue:
            at, job_id = self._queue[0]
            job = self._jobs.get(job_id)
            if job is not None and job.phase is QueryPhase.NONE and job.next_query == at:
                return
            heappop(self._queue)

    def _postpone(self, job: PendingJob, now: Moment, error: SlurmError) -> None:
        """Ask later about one job whose record cannot be read; others are not affected."""
        if job.queries_sent == 0:
            _log.warning("job=%d cannot be read from Slurm: %s", job.job_id, escape(str(error)))
        delay = backoff(job.queries_sent, first=1.0, longest=MAX_POSTPONED_SECONDS)
        self._ask_at(job, now.steady + delay)
        job.queries_sent += 1
