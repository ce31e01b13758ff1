"""Let Slurm's answers about job ids change the store: new runs, ends, handled events."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from slurm.job import Job
from spool.deliver.dead_letters import move_unsendable_to_dead
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import PendingRun
from spool.drain.text_collector import TextCollector
from spool.files.dead_letters import DeadLetterReason, move_file_to_dead
from spool.files.event import Event
from spool.files.layout import Directory
from spool.files.run import End, EndSource, Run
from spool.moment import Moment
from spool.resolve.admission import (
    AdmissionContext,
    IncompleteRunError,
    admit,
    report_time,
)
from spool.resolve.event_scanner import EventScanner
from spool.resolve.resolution import JobQuery, Resolution
from spool.resolve.resolver import Resolved, Resolver
from spool.resolve.slurm_runs import RunStage

_log = logging.getLogger(__name__)


class ResolutionApplier:
    """Applies the resolver's resolutions. Belongs to the loop's thread."""

    def __init__(
        self,
        store: RunStore,
        event_scanner: EventScanner,
        *,
        resolver: Resolver,
        builder: RequestBuilder,
        texts: TextCollector,
    ) -> None:
        self._store = store
        self._event_scanner = event_scanner
        self._resolver = resolver
        self._builder = builder
        self._texts = texts
        self._remembered: dict[int, Job] = {}

    def apply(self, resolutions: Iterable[Resolved], now: Moment) -> None:
        """Let what was concluded for some job ids change the store."""
        for query, result, record in resolutions:
            self._remember_allocations(result, record)
            self._apply_one(query, result, now)

    def _apply_one(self, query: JobQuery, result: Resolution, now: Moment) -> None:
        finished = [event.name for event in result.settled_events]
        admitted = [self._admit(job, end, query, now) for job, end in result.new_runs]
        new = [run for run in admitted if run is not None]
        changed = list(self._changed_runs(query, result, now))
        for run in (*new, *changed):
            self._store_run(run, finished, now)
        for run in new:
            self._ask_for_texts(run, now)
        if not new and not changed:
            self._store.drop_events(finished, now)
        for event in result.unknown_events:
            self._move_event_to_dead(event, now)

    def _changed_runs(self, query: JobQuery, result: Resolution, now: Moment) -> Iterator[Run]:
        """Yield the known runs that are over, or whose start is to be sent again or earlier."""
        for entry in self._store.lane(query.job_id, now):
            end = result.ends.get(entry.start_time)
            is_resent = entry.start_time in result.starts_to_resend
            if end is None and not is_resent and not _is_due_now(entry, query):
                continue
            run = self._builder.load_run(entry, now)
            if run is None:
                self._resolver.recheck_job(query.job_id, now)
            elif end is not None:
                _warn_unproven_end(run, end)
                yield replace(run, end=end)
            elif is_resent:
                yield replace(run, started=None)
            elif run.not_before and run.last_error is None:
                entry.retry_at = 0.0  # a hook speaks of what a sweep has put by for later
                yield replace(run, not_before=0)

    def _store_run(self, run: Run, events: list[str], now: Moment) -> None:
        """Take a new or changed run into the store; without events to keep it safe, durably."""
        store = self._store
        entry = store.stage(run, events, now)
        if not run.reported and run.end is not None:
            store.complete(entry, run, now)
        elif not events:
            store.persist(entry, run, now)

    def _ask_for_texts(self, run: Run, now: Moment) -> None:
        """Let the start of a new run wait a moment for its script and description."""
        entry = self._store.get(run.job_id, run.start_time, now)
        if entry is not None and run.reported:
            entry.texts_until = self._texts.want(run, now)
            self._store.schedule.reschedule(entry.job_id, now.steady)

    def _admit(self, job: Job, end: End | None, query: JobQuery, now: Moment) -> Run | None:
        """Return the run of a record; move to `dead/` what can never be reported."""
        context = AdmissionContext(end=end, events=query.events, now=now.wall)
        try:
            return admit(self._with_allocations(job), context)
        except IncompleteRunError as error:
            names = [event.name for event in query.events]
            entry = self._store.stage(error.run, names, now)
            move_unsendable_to_dead(self._store, entry, error.run, error.reason, now)
            return None

    def _remember_allocations(self, result: Resolution, record: Job | None) -> None:
        """Keep cores and GRES seen while a job is configuring: they may be gone when it runs."""
        if record is None:
            return
        if result.stage in {RunStage.CONFIGURING, RunStage.UNSETTLED} and record.allocations:
            self._remembered[record.job_id] = record
        elif not (result.new_runs or result.pending_events) or self._never_ran(result, record):
            self._remembered.pop(record.job_id, None)

    def _never_ran(self, result: Resolution, record: Job) -> bool:
        """Return whether a configuring job went back to the queue without a run of its own."""
        seen = self._remembered.get(record.job_id)
        is_waiting = result.stage is RunStage.NOT_STARTED
        return is_waiting and seen is not None and seen.restart_count == record.restart_count

    def _with_allocations(self, job: Job) -> Job:
        """Return a record with the allocations that were seen before, if it has none."""
        seen = self._remembered.pop(job.job_id, None)
        if seen is None or job.allocations or seen.nodes != job.nodes:
            return job
        return replace(job, allocations=seen.allocations, sharing=job.sharing or seen.sharing)

    def _move_event_to_dead(self, event: Event, now: Moment) -> None:
        why = DeadLetterReason(
            name=event.name,
            directory=Directory.NEW,
            time=int(now.wall),
            reason="unknown to Slurm",
            hint="neither the controller nor accounting knows this job: look at slurmctld's log",
        )
        try:
            move_file_to_dead(self._store.layout, why)
        except OSError as error:
            _log.error("new/%s cannot be set aside: %s", event.name, error)
        self._event_scanner.forget([event.name])


def _is_due_now(entry: PendingRun, query: JobQuery) -> bool:
    """Return whether an event asks for a start that waits, as a sweep's first sighting does."""
    if entry.started is not None or not query.events:
        return False
    return report_time(query.events, entry.start_time) == 0


def _warn_unproven_end(run: Run, end: End) -> None:
    """Say that Slurm does not prove an end, only an event or the next run does."""
    if end.source in {EndSource.EVENT, EndSource.NEXT_RUN}:
        _log.warning(
            "job=%d start=%d is not known to Slurm any more: reported as %s at %d, as its %s says",
            run.job_id,
            run.start_time,
            end.state,
            end.time,
            "epilog" if end.source is EndSource.EVENT else end.source,
        )
