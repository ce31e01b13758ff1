"""Ask Slurm about job ids that have waiting events or doubtful runs, in batches, not too often.

Slurm not answering counts against nobody: everything stays, and the next look comes later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from slurm.errors import SlurmError
from slurm.job import Job
from spool.escaping import escape
from spool.files.event import Event, EventKind
from spool.resolve.resolution import JobQuery, Resolution, SlurmAnswers, TrackedRun, resolve_job
from spool.resolve.slurm_runs import RunStage

FIRST_QUERY_SECONDS = 0.04  # Slurm has the truth about 40 ms after a hook began (measured)
MAX_CONFIGURING_DELAY_SECONDS = 10.0
MAX_RETRY_SECONDS = 300.0
MAX_FAILURE_DELAY_SECONDS = 30.0
WARN_CONFIGURING_SECONDS = 3600.0
BATCH_SIZE = 1000
_log = logging.getLogger(__name__)


class ResolverSlurm(Protocol):
    """What the resolver asks of Slurm; `slurm.client.Slurm` answers."""

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records; an id it does not know is absent.

        Of those in `states_only` cores and GRES may be left out.
        """

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of these ids that accounting has in a window; () without accounting."""


@dataclass(slots=True)
class _PendingJob:
    """A job id to be looked at: its events and when."""

    job_id: int
    next_query: float
    events: dict[str, Event] = field(default_factory=dict)
    queries_sent: int = 0
    since: float = 0.0
    warned: bool = False


class Resolver:
    """Keeps the pending job ids; belongs to one thread. Times are Unix seconds."""

    def __init__(self, slurm: ResolverSlurm) -> None:
        self._slurm = slurm
        self._pending: dict[int, _PendingJob] = {}
        self._silent_since: float | None = None
        self._failed_tries = 0
        self._next_try = 0.0

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def silent_since(self) -> float | None:
        """Return since when Slurm has not answered; None when it does."""
        return self._silent_since

    def add_events(self, events: Iterable[Event], now: float) -> None:
        """Take in new events; one from the future (a clock was set back) counts as of now."""
        for event in events:
            job = self._reset_pending(event.job_id, min(event.time, now) + FIRST_QUERY_SECONDS)
            job.events[event.name] = event

    def recheck_job(self, job_id: int, now: float) -> None:
        """Ask about a job id of which an open run may be over."""
        self._reset_pending(job_id, now)

    def next_time(self) -> float | None:
        """Return when to call `resolve_due` next; None if there is nothing to ask."""
        times = [job.next_query for job in self._pending.values()]
        return max(min(times), self._next_try) if times else None

    def resolve_due(
        self, now: float, tracked: Callable[[int], tuple[TrackedRun, ...]]
    ) -> list[tuple[JobQuery, Resolution, Job | None]]:
        """Ask Slurm about what is due; return what follows for each job id that was answered.

        The record is given back for its facts. `tracked` tells the runs of a job id that are known.
        """
        if now < self._next_try:
            return []
        due = sorted(i.job_id for i in self._pending.values() if i.next_query <= now)[:BATCH_SIZE]
        if not due:
            return []
        queries = [self._query_of(job_id, tracked) for job_id in due]
        try:
            records = self._records(queries, now)
        except SlurmError as error:
            self._record_failure(now, error)
            return []
        self._record_answer(now)
        results = []
        for query in queries:
            record = records.get(query.job_id)
            if isinstance(record, SlurmError):
                self._postpone(query.job_id, now, record)
                continue
            results.append((query, record))
        return self._resolve_all(results, now)

    def _records(self, queries: list[JobQuery], now: float) -> Mapping[int, Job | SlurmError]:
        """Return the records; one that turns out to be of a new run with all its facts.

        Raises:
            SlurmError: Slurm does not answer.
        """
        states_only = {query.job_id for query in queries if _asks_only_for_ends(query)}
        records = dict(self._slurm.jobs([q.job_id for q in queries], states_only=states_only))
        unknown = [
            query.job_id
            for query in queries
            if query.job_id in states_only and _shows_new_run(query, records, now)
        ]
        return records | dict(self._slurm.jobs(unknown)) if unknown else records

    def _resolve_all(
        self, answered: list[tuple[JobQuery, Job | None]], now: float
    ) -> list[tuple[JobQuery, Resolution, Job | None]]:
        """Account for each job id, with accounting's rows where the record is not enough."""
        first = [
            (query, resolve_job(query, SlurmAnswers(record=record), now), record)
            for query, record in answered
        ]
        wanting = [query for query, result, _ in first if result.needs_accounting]
        rows = self._accounting_rows(wanting, now) if wanting else ()
        results = []
        for query, result, record in first:
            final = result
            if result.needs_accounting and rows is not None:
                own = tuple(row for row in rows if row.job_id == query.job_id)
                final = resolve_job(query, SlurmAnswers(record=record, rows=own), now)
            self._reschedule(query, final, now)
            results.append((query, final, record))
        return results

    def _accounting_rows(self, queries: list[JobQuery], now: float) -> tuple[Job, ...] | None:
        """Return accounting's rows for some job ids; None if it does not answer."""
        since = min(query.since() for query in queries)
        ids = [query.job_id for query in queries]
        try:
            return self._slurm.accounting(ids, since=since, until=int(now) + 1)
        except SlurmError as error:
            _log.warning("accounting does not answer: %s", escape(str(error)))
            return None

    def _reschedule(self, query: JobQuery, result: Resolution, now: float) -> None:
        """Forget a job id that is accounted for, or say when to look at it again."""
        job = self._pending[query.job_id]
        job.events = {event.name: event for event in result.pending_events}
        unsettled = result.stage in {RunStage.CONFIGURING, RunStage.UNSETTLED}
        if not job.events and not result.missing_starts and not unsettled:
            del self._pending[query.job_id]
            return
        if unsettled:
            delay = min(
                FIRST_QUERY_SECONDS * 2.0 ** min(job.queries_sent, 20),
                MAX_CONFIGURING_DELAY_SECONDS,
            )
            self._warn_configuring(job, now)
        else:
            delay = min(0.5 * 2.0 ** min(job.queries_sent, 20), MAX_RETRY_SECONDS)
        job.queries_sent += 1
        job.next_query = now + delay

    def _warn_configuring(self, job: _PendingJob, now: float) -> None:
        if not job.warned and now - job.since > WARN_CONFIGURING_SECONDS:
            job.warned = True
            _log.warning("job=%d is configuring for more than an hour", job.job_id)

    def _reset_pending(self, job_id: int, look: float) -> _PendingJob:
        job = self._pending.get(job_id)
        if job is None:
            job = self._pending[job_id] = _PendingJob(job_id, look, since=look)
        job.next_query = look
        job.queries_sent = 0
        return job

    def _query_of(self, job_id: int, tracked: Callable[[int], tuple[TrackedRun, ...]]) -> JobQuery:
        """Return what to ask; a told run that the sweep names as missing counts as unknown."""
        events = sorted(self._pending[job_id].events.values(), key=lambda event: event.time)
        named = {event.start for event in events if event.extras.get("again") == "1"}
        runs = tuple(
            run for run in tracked(job_id) if run.end is None or run.start_time not in named
        )
        return JobQuery(job_id=job_id, events=tuple(events), runs=runs)

    def _postpone(self, job_id: int, now: float, error: SlurmError) -> None:
        """Look later at one job whose record cannot be trusted; the others are not concerned."""
        job = self._pending[job_id]
        if job.queries_sent == 0:
            _log.warning("job=%d is not readable: %s", job_id, escape(str(error)))
        job.next_query = now + min(2.0 ** min(job.queries_sent, 20), MAX_RETRY_SECONDS)
        job.queries_sent += 1

    def _record_failure(self, now: float, error: SlurmError) -> None:
        if self._silent_since is None:
            self._silent_since = now
            _log.warning("Slurm does not answer: %s", escape(str(error)))
        self._failed_tries += 1
        self._next_try = now + min(
            0.25 * 2.0 ** min(self._failed_tries, 20), MAX_FAILURE_DELAY_SECONDS
        )

    def _record_answer(self, now: float) -> None:
        if self._silent_since is not None:
            seconds = now - self._silent_since
            _log.info("Slurm answers again after %.0f s, %d tries", seconds, self._failed_tries)
        self._silent_since = None
        self._failed_tries = 0


def _asks_only_for_ends(query: JobQuery) -> bool:
    """Tell whether the facts of the run in question are known, and only its end is not."""
    stops = all(event.kind is EventKind.STOP for event in query.events)
    return stops and any(run.end is None for run in query.runs)


def _shows_new_run(query: JobQuery, records: Mapping[int, Job | SlurmError], now: float) -> bool:
    record = records.get(query.job_id)
    return isinstance(record, Job) and bool(
        resolve_job(query, SlurmAnswers(record=record), now).new_runs
    )
