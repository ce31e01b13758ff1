"""What to ask Slurm about job ids that have waiting events or doubtful runs, and what follows.

It hands out questions and takes answers, never waits and runs nothing. Slurm not answering counts
against nobody: everything stays, and the next question comes later. While accounting is silent, all
that the controller's answers settle goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from heapq import heappop, heappush

from slurm.errors import SlurmError
from slurm.job import Job
from spool.escaping import escape
from spool.files.event import Event, EventKind
from spool.moment import Moment
from spool.resolve.resolution import JobQuery, Resolution, SlurmAnswers, TrackedRun, resolve_job
from spool.resolve.slurm_runs import RunStage
from spool.resolve.slurm_worker import RecordsQuery, RecordsReply, RowsQuery, RowsReply

FIRST_QUERY_SECONDS = 0.04  # Slurm has the truth about 40 ms after a hook began (measured)
MAX_CONFIGURING_DELAY_SECONDS = 10.0
MAX_RETRY_SECONDS = 300.0
MAX_POSTPONED_SECONDS = 10.0  # a record that cannot be read: it is forgotten as soon as others
MAX_FAILURE_DELAY_SECONDS = 2.0  # MinJobAge may be as short as 20 s
WARN_CONFIGURING_SECONDS = 3600.0
BATCH_SIZE = 1000
CROWD_SECONDS = 0.02  # a job id: hundreds of thousands of unknown events are asked about rarely
_log = logging.getLogger(__name__)

Tracked = Callable[[int], tuple[TrackedRun, ...]]
Resolved = tuple[JobQuery, Resolution, Job | None]


class _Phase(Enum):
    """Whose answer a job id waits for."""

    NONE = auto()
    CONTROLLER = auto()
    ACCOUNTING_WANTED = auto()
    ACCOUNTING = auto()


@dataclass(slots=True)
class _PendingJob:
    """A job id to be asked about: its events, when, and what was asked about it."""

    job_id: int
    next_query: float
    since: float
    events: tuple[Event, ...] = ()
    queries_sent: int = 0
    warned: bool = False
    phase: _Phase = _Phase.NONE
    asked: tuple[Event, ...] = ()
    record: Job | None = None
    needs_all: bool = False


@dataclass(slots=True)
class _Silence:
    """Since when a source does not answer, and when to try it again; monotonic seconds."""

    name: str
    since: Moment | None = None
    reason: str = ""
    failures: int = 0
    next_try: float = 0.0

    def failed(self, reason: str, now: Moment) -> None:
        if self.since is None:
            self.since = now
            _log.warning("%s does not answer: %s", self.name, reason)
        self.reason = reason
        self.failures += 1
        delay = min(0.25 * 2.0 ** min(self.failures, 20), MAX_FAILURE_DELAY_SECONDS)
        self.next_try = now.steady + delay

    def answered(self, now: Moment) -> None:
        if self.since is not None:
            seconds = now.steady - self.since.steady
            text = "%s answers again after %.0f s, %d tries"
            _log.info(text, self.name, seconds, self.failures)
        self.since, self.reason, self.failures, self.next_try = None, "", 0, 0.0


class Resolver:
    """Keeps the pending job ids. Belongs to the loop's thread."""

    def __init__(self) -> None:
        self._jobs: dict[int, _PendingJob] = {}
        self._queue: list[tuple[float, int]] = []
        self._accounting_wanted: set[int] = set()
        self._controller = _Silence("Slurm's controller")
        self._accounting = _Silence("Slurm's accounting")

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def silent_since(self) -> float | None:
        """Return since when the controller has not answered, Unix seconds; None when it does."""
        since = self._controller.since
        return None if since is None else since.wall

    @property
    def silent_reason(self) -> str:
        """Return why the controller does not answer; "" when it does."""
        return self._controller.reason

    @property
    def accounting_silent_since(self) -> float | None:
        """Return since when accounting has not answered, Unix seconds; None when it does."""
        since = self._accounting.since
        return None if since is None else since.wall

    def add_events(self, events: Iterable[Event], now: Moment) -> None:
        """Take in new events; Slurm is asked a little later than their hooks began."""
        for event in events:
            age = max(0.0, now.wall - event.time)
            job = self._pending(event.job_id, now.steady + max(0.0, FIRST_QUERY_SECONDS - age))
            job.events = (*job.events, event)

    def recheck_job(self, job_id: int, now: Moment) -> None:
        """Ask about a job id of which an open run may be over."""
        self._pending(job_id, now.steady)

    def next_time(
        self, *, controller_is_busy: bool = False, accounting_is_busy: bool = False
    ) -> float | None:
        """Return when the next question may be asked, by the monotonic clock; None: there is none.

        Not the time of one that waits for an answer, or for a busy worker: that ends the loop's
        waiting by itself.
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
        """Return what to ask the controller now; None for nothing."""
        if now.steady < self._controller.next_try:
            return None
        due: list[_PendingJob] = []
        self._drop_stale()
        while self._queue and self._queue[0][0] <= now.steady and len(due) < BATCH_SIZE:
            job = self._jobs[heappop(self._queue)[1]]
            job.phase = _Phase.CONTROLLER
            due.append(job)
            self._drop_stale()
        if not due:
            return None
        states_only = set()
        for job in due:
            job.asked = tuple(sorted(job.events, key=lambda event: event.time))
            query = self._query_of(job, tracked)
            if not job.needs_all and _asks_end_only(query):
                states_only.add(job.job_id)
        ids = tuple(sorted(job.job_id for job in due))
        return RecordsQuery(job_ids=ids, states_only=frozenset(states_only))

    def take_records(
        self, query: RecordsQuery, reply: RecordsReply | None, now: Moment, tracked: Tracked
    ) -> list[Resolved]:
        """Take in the controller's answer; return what follows for each job id.

        The record is given back for its facts. `tracked` tells the runs of a job id that are known.
        """
        jobs = [self._jobs[i] for i in query.job_ids if i in self._jobs]
        jobs = [job for job in jobs if job.phase is _Phase.CONTROLLER]
        if reply is None or reply.error is not None:
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
        job: _PendingJob,
        record: Job | None,
        query: RecordsQuery,
        now: Moment,
        tracked: Tracked,
    ) -> Resolved | None:
        """Return what a record settles; accounting is wanted for what it leaves open."""
        asked = self._query_of(job, tracked)
        result = resolve_job(asked, SlurmAnswers(record=record), now.wall)
        if result.new_runs and record is not None and job.job_id in query.states_only:
            job.needs_all = True  # a new run: it is asked for with all its facts
            self._ask_at(job, now.steady)
            return None
        job.needs_all = False
        self._settle(job, result, now)
        if result.needs_accounting and job.job_id in self._jobs:
            job.phase, job.record = _Phase.ACCOUNTING_WANTED, record
            self._accounting_wanted.add(job.job_id)
        return asked, result, record

    # ---- accounting

    def next_rows(self, now: Moment, tracked: Tracked) -> RowsQuery | None:
        """Return what to ask accounting now; None for nothing."""
        if now.steady < self._accounting.next_try:
            return None
        wanted: list[_PendingJob] = []
        while self._accounting_wanted and len(wanted) < BATCH_SIZE:
            job = self._jobs.get(self._accounting_wanted.pop())
            if job is not None and job.phase is _Phase.ACCOUNTING_WANTED:
                wanted.append(job)
        if not wanted:
            return None
        for job in wanted:
            job.phase = _Phase.ACCOUNTING
        since = min(self._query_of(job, tracked).since() for job in wanted)
        ids = tuple(sorted(job.job_id for job in wanted))
        return RowsQuery(job_ids=ids, since=since, until=int(now.wall) + 1)

    def take_rows(
        self, query: RowsQuery, reply: RowsReply | None, now: Moment, tracked: Tracked
    ) -> list[Resolved]:
        """Take in accounting's answer; return what follows for each job id."""
        jobs = [self._jobs[i] for i in query.job_ids if i in self._jobs]
        jobs = [job for job in jobs if job.phase is _Phase.ACCOUNTING]
        if reply is None or reply.error is not None:
            for job in jobs:
                self._ask_at(job, job.next_query)
        if reply is None:
            return []
        if reply.error is not None:
            self._accounting.failed(reply.error, now)
            return []
        self._accounting.answered(now)
        resolved = []
        by_job: dict[int, list[Job]] = {}
        for row in reply.rows:
            by_job.setdefault(row.job_id, []).append(row)
        for job in jobs:
            asked = self._query_of(job, tracked)
            answers = SlurmAnswers(
                record=job.record,
                rows=tuple(by_job.get(job.job_id, ())),
                has_accounting=reply.has_accounting,
            )
            result = resolve_job(asked, answers, now.wall)
            self._settle(job, result, now, repeated=False)
            resolved.append((asked, result, job.record))
        return resolved

    # ---- when to ask again

    def _settle(
        self, job: _PendingJob, result: Resolution, now: Moment, *, repeated: bool = True
    ) -> None:
        """Forget a job id that is accounted for, or say when to ask about it again.

        Events that came after the question keep their time.
        """
        pending = {event.name for event in result.pending_events}
        asked = {event.name for event in job.asked}
        settled = asked - pending
        job.events = tuple(event for event in job.events if event.name not in settled)
        has_newer = any(event.name not in asked for event in job.events)
        job.asked = tuple(event for event in job.asked if event.name in pending)
        unsettled = result.stage in {RunStage.CONFIGURING, RunStage.UNSETTLED}
        if not job.events and not result.missing_starts and not unsettled:
            del self._jobs[job.job_id]
            return
        if has_newer:
            self._ask_at(job, job.next_query)
            return
        if unsettled:
            longest, first = MAX_CONFIGURING_DELAY_SECONDS, FIRST_QUERY_SECONDS
            self._warn_configuring(job, now)
        else:
            crowd = len(self._jobs) * CROWD_SECONDS
            longest, first = max(MAX_RETRY_SECONDS, crowd), 0.5
        delay = min(first * 2.0 ** min(job.queries_sent, 20), longest)
        job.queries_sent += repeated
        self._ask_at(job, now.steady + delay)

    def _warn_configuring(self, job: _PendingJob, now: Moment) -> None:
        if not job.warned and now.steady - job.since > WARN_CONFIGURING_SECONDS:
            job.warned = True
            _log.warning("job=%d is configuring for more than an hour", job.job_id)

    def _pending(self, job_id: int, at: float) -> _PendingJob:
        """Return a job id's entry, to be asked about at a time whatever it waits for now."""
        job = self._jobs.get(job_id)
        if job is None:
            job = self._jobs[job_id] = _PendingJob(job_id, at, since=at)
        job.next_query = at
        job.queries_sent = 0
        if job.phase is not _Phase.CONTROLLER:
            self._ask_at(job, at)  # accounting's answer under way is about older events
        return job

    def _ask_at(self, job: _PendingJob, at: float) -> None:
        """Let a job id wait for a time; whatever was asked about it does not count any more."""
        job.phase, job.next_query = _Phase.NONE, at
        heappush(self._queue, (at, job.job_id))

    def _drop_stale(self) -> None:
        """Drop the head of the queue while it is not what its job id waits for."""
        while self._queue:
            at, job_id = self._queue[0]
            job = self._jobs.get(job_id)
            if job is not None and job.phase is _Phase.NONE and job.next_query == at:
                return
            heappop(self._queue)

    def _query_of(self, job: _PendingJob, tracked: Tracked) -> JobQuery:
        """Return what was asked; a delivered run that the sweep names as missing is unknown."""
        named = {event.start for event in job.asked if event.extras.get("again") == "1"}
        runs = tuple(
            run for run in tracked(job.job_id) if run.end is None or run.start_time not in named
        )
        return JobQuery(job_id=job.job_id, events=job.asked, runs=runs)

    def _postpone(self, job: _PendingJob, now: Moment, error: SlurmError) -> None:
        """Ask later about one job whose record cannot be trusted; the others are not concerned."""
        if job.queries_sent == 0:
            _log.warning("job=%d is not readable: %s", job.job_id, escape(str(error)))
        delay = min(2.0 ** min(job.queries_sent, 20), MAX_POSTPONED_SECONDS)
        self._ask_at(job, now.steady + delay)
        job.queries_sent += 1


def _asks_end_only(query: JobQuery) -> bool:
    """Tell whether the facts of the run in question are known, and only its end is not."""
    stops = all(event.kind is EventKind.STOP for event in query.events)
    return stops and any(run.end is None for run in query.runs)
