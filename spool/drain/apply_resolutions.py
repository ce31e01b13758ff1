"""Apply the resolutions of job ids to the store: new runs, ends, handled events."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from slurm.job import Job
from spool.deliver.dead_letters import move_unsendable_to_dead
from spool.deliver.pending_run import PendingRun
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_loader import READ_AGAIN_SECONDS
from spool.deliver.run_store import RunStore
from spool.drain.final_texts import FinalTexts
from spool.drain.text_collector import TextCollector
from spool.files.dead_letters import DeadLetterReason, move_file_to_dead
from spool.files.event import Event
from spool.files.layout import Directory
from spool.files.run import End, EndSource, Run, run_name
from spool.formatting import format_time
from spool.moment import Moment
from spool.resolve.event_scanner import EventScanner
from spool.resolve.inferred_ends import exit_code_of
from spool.resolve.job_log import log_resolution
from spool.resolve.job_query import JobQuery
from spool.resolve.new_run import (
    AdmissionContext,
    IncompleteRunError,
    admit,
    report_time,
)
from spool.resolve.resolve_job import Resolution
from spool.resolve.resolver import Resolved, Resolver
from spool.resolve.slurm_runs import RunStage, same_start

_log = logging.getLogger(__name__)


class ResolutionApplier:
    """The application of resolutions to the store; for the loop's thread."""

    def __init__(
        self,
        store: RunStore,
        event_scanner: EventScanner,
        *,
        resolver: Resolver,
        builder: RequestBuilder,
        texts: TextCollector,
        final_texts: FinalTexts,
    ) -> None:
        self._store = store
        self._event_scanner = event_scanner
        self._resolver = resolver
        self._builder = builder
        self._texts = texts
        self._final_texts = final_texts
        self._remembered: dict[int, Job] = {}
        self._unreportable: set[tuple[int, int]] = set()
        self._postponed: list[tuple[float, JobQuery, Resolution, Job | None]] = []

    def apply(self, resolutions: Iterable[Resolved], now: Moment) -> None:
        """Apply the resolutions of some job ids to the store."""
        for query, result, record in resolutions:
            self._remember_allocations(result, record)
            self._apply_one(query, result, record, now)

    def apply_postponed(self, now: Moment) -> None:
        """Apply resolutions again whose runs could not be read before."""
        due = [each for each in self._postponed if each[0] <= now.steady]
        self._postponed = [each for each in self._postponed if each[0] > now.steady]
        for _, query, result, record in due:
            self._apply_one(query, result, record, now)

    def _apply_one(
        self, query: JobQuery, result: Resolution, record: Job | None, now: Moment
    ) -> None:
        log_resolution(query, result)
        finished = [event.name for event in result.settled_events]
        admitted = [
            self._admit(job, end, query, finished=finished, now=now) for job, end in result.new_runs
        ]
        new = [run for run in admitted if run is not None]
        changed = list(self._changed_runs(query, result, record, now))
        if self._has_unreadable(query.job_id, result):
            self._postpone(query, result, record, now)
            finished = []  # until then the events protect the end
        # `stage` ties the events to the runs: they are removed only when these runs are durable.
        for run in new:
            entry = self._store_run(run, finished, now)
            _note_hooks(entry, query.events, now)
            self._ask_for_texts(entry, run, now)
            self._final_texts.want(entry, run, now)
        for run in changed:
            entry = self._store_run(run, finished, now)
            _note_hooks(entry, query.events, now)
            self._final_texts.want(entry, run, now)
        if not new and not changed:
            self._store.drop_events(finished, now, job_id=query.job_id)
        for event in result.unknown_events:
            self._move_event_to_dead(event, now)

    def _changed_runs(
        self, query: JobQuery, result: Resolution, record: Job | None, now: Moment
    ) -> Iterator[Run]:
        """Yield the known runs that have ended, or whose start is to be sent again or earlier.

        The comments of an undelivered run are updated: a user may have set the flag that excludes
        it while its start had to wait.
        """
        for entry in self._store.lane(query.job_id, now):
            entry.comments_at = now.steady
            is_concluded = entry.start_time in {*result.ends, *result.starts_to_resend}
            # A user may set the flag that excludes the job until its row exists; afterwards other
            # users have seen it.
            is_waiting = entry.started is None and record is not None
            if not (is_concluded or is_waiting or _is_due_now(entry, query)):
                continue
            run = self._load_run(entry, now)
            if run is not None:
                yield from _changed(run, entry, query, result=result, record=record)
            elif entry.name not in self._builder.unreadable:  # damaged: treat it as unknown
                self._resolver.recheck_job(query.job_id, now)

    def _load_run(self, entry: PendingRun, now: Moment) -> Run | None:
        """Return a run; None if it cannot be read now, or its retry is not due."""
        is_waiting = entry.name in self._builder.unreadable and entry.retry_at > now.steady
        return None if is_waiting else self._builder.load_run(entry, now)

    def _has_unreadable(self, job_id: int, result: Resolution) -> bool:
        """Return whether a run of a resolution cannot be read now."""
        unreadable = {*self._store.unreadable_starts(job_id)}
        return any(
            start in unreadable or run_name(job_id, start) in self._builder.unreadable
            for start in (*result.ends, *result.starts_to_resend)
        )

    def _postpone(
        self, query: JobQuery, result: Resolution, record: Job | None, now: Moment
    ) -> None:
        """Keep a resolution about known runs, because Slurm may have forgotten it later."""
        # New runs are stored already; to apply them again would bring back what is delivered
        # meanwhile.
        known = replace(result, new_runs=(), unknown_events=())
        self._postponed.append((now.steady + READ_AGAIN_SECONDS, query, known, record))

    def _store_run(self, run: Run, events: list[str], now: Moment) -> PendingRun:
        """Put a new or changed run into the store; durably if no event protects it."""
        store = self._store
        entry = store.stage(run, events, now)
        # An excluded run stays in `open/` only until its end, so that no sweep reports it while it
        # runs.
        if not run.reported and run.end is not None:
            store.complete(entry, run, now)
        # No event is left in `new/` that could lead to this run again after a crash.
        elif not events:
            store.persist(entry, run, now)
        return entry

    def _ask_for_texts(self, entry: PendingRun, run: Run, now: Moment) -> None:
        """Query script and description of a new run; its start waits a moment for them."""
        entry.texts_until = self._texts.want(run, now)
        self._store.schedule.reschedule(entry.job_id, now.steady)

    def _admit(
        self, job: Job, end: End | None, query: JobQuery, *, finished: list[str], now: Moment
    ) -> Run | None:
        """Return the run of a record; move a run that can never be reported to `dead/`, once."""
        context = AdmissionContext(end=end, events=query.events, now=now.wall)
        if end is not None and job.exit_code is None:
            # Of an end that the controller shows only the epilog's event has the exit code.
            job = replace(job, exit_code=exit_code_of(end, job.start_time or 0, query.events))
        try:
            return admit(self._with_allocations(job), context)
        except IncompleteRunError as error:
            # With an event that is still pending Slurm shows the same run again.
            if (key := (error.run.job_id, error.run.start_time)) not in self._unreportable:
                self._unreportable.add(key)
                entry = self._store.stage(error.run, finished, now)
                move_unsendable_to_dead(self._store, entry, error.run, error.reason, now)
            return None

    def _remember_allocations(self, result: Resolution, record: Job | None) -> None:
        """Keep cores and GRES of a configuring job: the record may lack them when it runs."""
        if record is None:
            return
        if result.stage in {RunStage.CONFIGURING, RunStage.UNSETTLED} and record.allocations:
            # Slurm prints GRES only while the job is RUNNING or SUSPENDED (`_pack_job_gres`,
            # `src/slurmctld/job_mgr.c`), and a configuring job is looked at only every ten seconds
            # in the end: a short one may be over when it is next seen.
            self._remembered[record.job_id] = record
        elif not (result.new_runs or result.pending_events) or self._never_ran(result, record):
            self._remembered.pop(record.job_id, None)

    def _never_ran(self, result: Resolution, record: Job) -> bool:
        """Return whether a configuring job was requeued before it ran."""
        seen = self._remembered.get(record.job_id)
        is_waiting = result.stage is RunStage.NOT_STARTED
        return is_waiting and seen is not None and seen.restart_count == record.restart_count

    def _with_allocations(self, job: Job) -> Job:
        """Return a record with the allocations remembered from before, if it has none."""
        # `pop`: the remembered cores are for one run. The next run of a requeued job may get others
        # on the same nodes.
        seen = self._remembered.pop(job.job_id, None)
        # Other nodes than remembered: the job was requeued to them, and the cores do not fit.
        if seen is None or job.allocations or job.nodes not in {(), seen.nodes}:
            return job
        sharing = job.sharing or seen.sharing
        return replace(job, nodes=seen.nodes, allocations=seen.allocations, sharing=sharing)

    def _move_event_to_dead(self, event: Event, now: Moment) -> None:
        why = DeadLetterReason(
            name=event.name,
            directory=Directory.NEW,
            time=int(now.wall),
            reason="unknown to Slurm",
            hint="neither slurmctld nor accounting has this job; check slurmctld's log",
        )
        try:
            move_file_to_dead(self._store.layout, why)
        except OSError as error:
            _log.error("new/%s cannot be moved to dead/: %s", event.name, error)
        # In any case: a file that could not be moved is found by the next scan and looked up anew.
        self._event_scanner.forget([event.name])


def _note_hooks(entry: PendingRun, events: Iterable[Event], now: Moment) -> None:
    """Record when the hook wrote the event of the next request of a run."""
    for event in events:
        is_own = event.start is None or same_start(event.start, entry.start_time)
        if is_own and event.is_of_hook and str(event.kind) == entry.next_request:
            entry.note_hook(now.steady_since(event.time))


def _changed(
    run: Run, entry: PendingRun, query: JobQuery, *, result: Resolution, record: Job | None
) -> Iterator[Run]:
    """Yield a run if it has changed."""
    job = _with_comments(run, record)
    end = result.ends.get(run.start_time)
    is_due = bool(run.not_before) and run.last_error is None and _is_due_now(entry, query)
    if is_due:  # a hook reports the run that a sweep has delayed
        entry.retry_at = 0.0
    not_before = 0 if is_due else run.not_before
    if end is not None:
        _warn_unproven_end(run, end)
        code = exit_code_of(end, run.start_time, query.events) or job.exit_code
        yield replace(run, end=end, job=replace(job, exit_code=code), not_before=not_before)
    elif run.start_time in result.starts_to_resend:
        # Its row may have vanished at cc-backend; if not, the repeated start changes nothing.
        yield replace(run, started=None)
    elif is_due or job is not run.job:
        yield replace(run, job=job, not_before=not_before)


def _with_comments(run: Run, record: Job | None) -> Job:
    """Return a run's facts with the current comments of its record, if it is not delivered.

    The user's comment is not in every record (not in one of a state alone, nor in one whose text
    cannot be trusted): one that was read once stays, because it may exclude the job.
    """
    if record is None or run.started is not None or record.restart_count != run.job.restart_count:
        return run.job
    comments = (record.admin_comment, record.comment or run.job.comment)
    if comments == (run.job.admin_comment, run.job.comment):
        return run.job
    return replace(run.job, admin_comment=comments[0], comment=comments[1])


def _is_due_now(entry: PendingRun, query: JobQuery) -> bool:
    """Return whether an event ends the wait of a start that a sweep has delayed."""
    if entry.started is not None or not query.events:
        return False
    return report_time(query.events, entry.start_time) == 0


def _warn_unproven_end(run: Run, end: End) -> None:
    """Log that Slurm does not prove an end, only an event or the next run does."""
    if end.source in {EndSource.EVENT, EndSource.NEXT_RUN}:
        _log.warning(
            "job=%d start=%d is no longer known to Slurm: reported as %s at %s according to its %s",
            run.job_id,
            run.start_time,
            end.state,
            format_time(end.time),
            "epilog" if end.source is EndSource.EVENT else end.source,
        )
