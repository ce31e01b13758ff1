"""Let Slurm's answers about job ids change the store: new runs, ends, handled events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from slurm.job import Job
from spool.deliver.dead_letters import move_unsendable_to_dead
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import ScheduleEntry
from spool.errors import NewerFormatError, RunFileError
from spool.escaping import escape
from spool.files.dead_letters import DeadLetterReason, move_file_to_dead
from spool.files.event import Event
from spool.files.layout import Directory
from spool.files.run import End, EndSource, Run
from spool.resolve.admission import AdmissionContext, IncompleteRunError, admit
from spool.resolve.event_scanner import EventScanner
from spool.resolve.resolution import JobQuery, Resolution
from spool.resolve.resolver import Resolver
from spool.resolve.slurm_runs import RunStage

JobTexts = Mapping[int, tuple[str | None, str | None]]
_log = logging.getLogger(__name__)


class Describer(Protocol):
    """Reads what belongs to a job beside its record."""

    def __call__(self, jobs: Iterable[Job]) -> JobTexts:
        """Return script and description by job id; a job without either may be absent."""


class ResolutionApplier:
    """Applies the resolver's resolutions. Belongs to the drain's thread."""

    def __init__(
        self,
        store: RunStore,
        event_scanner: EventScanner,
        *,
        resolver: Resolver,
        describe: Describer,
        user_name: Callable[[int], str | None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._event_scanner = event_scanner
        self._resolver = resolver
        self._describe = describe
        self._user_name = user_name
        self._clock = clock
        self._remembered: dict[int, Job] = {}

    def apply(self, resolutions: Iterable[tuple[JobQuery, Resolution, Job | None]]) -> None:
        """Let what was concluded for some job ids change the store."""
        answers = list(resolutions)
        fresh = [job for _, result, _ in answers for job, _ in result.new_runs]
        texts = self._describe(fresh) if fresh else {}
        for query, result, record in answers:
            self._remember_allocations(result, record)
            self._apply_one(query, result, texts, self._clock())

    def _apply_one(
        self,
        query: JobQuery,
        result: Resolution,
        texts: Mapping[int, tuple[str | None, str | None]],
        now: float,
    ) -> None:
        """Let Slurm's answers about one job id change the store."""
        runs = [
            run for job, end in result.new_runs if (run := self._admit(job, end, query, texts, now))
        ]
        runs += self._changed_runs(query.job_id, result, now)
        finished = [event.name for event in result.settled_events]
        for run in runs:
            self._store_run(run, finished, now)
        if not runs:
            self._store.drop_events(finished, now)
        for event in result.unknown_events:
            self._move_event_to_dead(event, now)

    def _changed_runs(self, job_id: int, result: Resolution, now: float) -> Iterator[Run]:
        """Yield the known runs that are over, or whose start is to be told again."""
        for entry in self._store.schedule.lane(job_id):
            end = result.ends.get(entry.start_time)
            if end is None and entry.start_time not in result.starts_to_resend:
                continue
            run = self._load_run(entry, now)
            if run is None:
                continue
            if end is None:
                yield replace(run, started=None)
            else:
                _warn_unproven_end(run, end)
                yield replace(run, end=end)

    def _store_run(self, run: Run, events: list[str], now: float) -> None:
        """Take a new or changed run into the store; without events to keep it safe, durably."""
        store = self._store
        if not run.reported and run.end is not None:
            entry = store.stage(run, events, now)
            store.complete(entry, run, now)
        elif events:
            store.stage(run, events, now)
        else:
            store.persist(store.stage(run, (), now), run, now)

    def _admit(
        self,
        job: Job,
        end: End | None,
        query: JobQuery,
        texts: Mapping[int, tuple[str | None, str | None]],
        now: float,
    ) -> Run | None:
        """Return the run of a record; bury what cannot be told."""
        script, description = texts.get(job.job_id, (None, None))
        context = AdmissionContext(
            end=end, events=query.events, now=now, script=script, description=description
        )
        try:
            return admit(self._with_allocations(job), context, user_name=self._user_name)
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
        elif result.stage is not RunStage.CONFIGURING and not result.new_runs:
            self._remembered.pop(record.job_id, None)

    def _with_allocations(self, job: Job) -> Job:
        """Return a record with the allocations that were seen before, if it has none."""
        seen = self._remembered.pop(job.job_id, None)
        if seen is None or job.allocations or seen.nodes != job.nodes:
            return job
        return replace(job, allocations=seen.allocations, sharing=job.sharing or seen.sharing)

    def _load_run(self, entry: ScheduleEntry, now: float) -> Run | None:
        """Return an entry's run; None (and a warning) if its file cannot be read now."""
        try:
            return self._store.load_run(entry)
        except (OSError, RunFileError, NewerFormatError) as error:
            _log.warning("%s cannot be read: %s", entry.name, escape(str(error)))
            self._resolver.recheck_job(entry.job_id, now)
            return None

    def _move_event_to_dead(self, event: Event, now: float) -> None:
        why = DeadLetterReason(
            name=event.name,
            directory=Directory.NEW,
            time=int(now),
            reason="unknown to Slurm",
            hint="neither the controller nor accounting knows this job: look at slurmctld's log",
        )
        try:
            move_file_to_dead(self._store.layout, why)
        except OSError as error:
            _log.error("new/%s cannot be set aside: %s", event.name, error)
        self._event_scanner.forget([event.name])


def _warn_unproven_end(run: Run, end: End) -> None:
    """Say that Slurm does not prove an end, only an event or the next run does."""
    if end.source in {EndSource.EVENT, EndSource.NEXT_RUN}:
        _log.warning(
            "job=%d start=%d is forgotten by Slurm: told as %s at %d, by the word of its %s",
            run.job_id,
            run.start_time,
            end.state,
            end.time,
            "epilog" if end.source is EndSource.EVENT else end.source,
        )
