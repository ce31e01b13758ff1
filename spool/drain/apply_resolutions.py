"""Apply resolutions (conclusions about a job id) to the run store: new runs, ends, events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from spool.deliver.pending_run import PendingRun
from spool.deliver.rejected_runs import move_unsendable_to_dead
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_loader import READ_AGAIN_SECONDS
from spool.deliver.run_store import RunStore
from spool.drain.final_texts import FinalTexts
from spool.drain.text_collector import TextCollector
from spool.files.run import Run, run_name
from spool.moment import Moment
from spool.resolve.changed_run import changed_run, is_due_now
from spool.resolve.event_scanner import EventScanner
from spool.resolve.job_log import log_resolution
from spool.resolve.new_run import IncompleteRunError, RememberedAllocations, admit
from spool.resolve.resolver import Resolved, Resolver


class ResolutionApplier:
    """The writer of resolutions into the run store; used only in the loop's thread."""

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
        self._allocations = RememberedAllocations()
        self._unreportable: set[tuple[int, int]] = set()
        self._postponed: list[tuple[float, Resolved]] = []

    def next_time(self) -> float | None:
        """Return when a postponed resolution is due (monotonic clock); None if there is none."""
        return min((at for at, _ in self._postponed), default=None)

    def apply(self, resolutions: Iterable[Resolved], now: Moment) -> None:
        """Apply the resolutions of some job ids to the store."""
        for resolved in resolutions:
            _, result, record = resolved
            self._allocations.note(result, record)
            self._apply_one(resolved, now)

    def apply_postponed(self, now: Moment) -> None:
        """Apply the postponed resolutions that are due: their runs could not be read before."""
        due = [each for each in self._postponed if each[0] <= now.steady]
        self._postponed = [each for each in self._postponed if each[0] > now.steady]
        for _, resolved in due:
            self._apply_one(resolved, now)

    def _apply_one(self, resolved: Resolved, now: Moment) -> None:
        query, result, record = resolved
        log_resolution(query, result)
        finished = [event.name for event in result.settled_events]
        new = list(self._admitted(resolved, finished, now))
        changed = list(self._changed_runs(resolved, now))
        if self._has_unreadable(resolved):
            # New runs are stored already; to apply them again would bring back what is delivered
            # meanwhile. The known ones are kept, because Slurm may have forgotten them later.
            known = replace(result, new_runs=(), unknown_events=())
            self._postponed.append((now.steady + READ_AGAIN_SECONDS, (query, known, record)))
            finished = []  # until then the events protect the end
        # `stage` ties the events to the runs: they are removed only when these runs are durable.
        for run in new:
            entry = self._store_run(run, finished, now)
            entry.note_hooks(query.events, now)
            # its start waits a moment for script and description
            entry.texts_until = self._texts.want(run, now)
            self._store.schedule.reschedule(entry.job_id, now.steady)
            self._final_texts.want(entry, run, now)
        for run in changed:
            entry = self._store_run(run, finished, now)
            entry.note_hooks(query.events, now)
            self._final_texts.want(entry, run, now)
        if not new and not changed:
            self._store.drop_events(finished, now, job_id=query.job_id)
        for event in result.unknown_events:
            self._event_scanner.move_unknown_to_dead(event, now)

    def _changed_runs(self, resolved: Resolved, now: Moment) -> Iterator[Run]:
        """Yield the stored runs that change: they ended, or their start is sent again or sooner.

        The comments of an undelivered run are updated: a user may have set the flag that excludes
        it while its start had to wait.
        """
        query, result, record = resolved
        for entry in self._store.lane(query.job_id, now):
            entry.comments_at = now.steady
            is_concluded = entry.start_time in {*result.ends, *result.starts_to_resend}
            # A user may set the flag that excludes the job until its row exists; afterwards other
            # users have seen it.
            is_waiting = entry.started is None and record is not None
            is_due = is_due_now(query, entry.start_time, entry.started)
            if not (is_concluded or is_waiting or is_due):
                continue
            run = self._load_run(entry, now)
            if run is None:
                if entry.name not in self._builder.unreadable:  # damaged: treat it as unknown
                    self._resolver.recheck_job(query.job_id, now)
                continue
            changed = changed_run(run, query, result, record=record)
            if changed is None:
                continue
            if run.not_before and not changed.not_before:  # a hook reports the delayed run
                entry.retry_at = 0.0
            yield changed

    def _load_run(self, entry: PendingRun, now: Moment) -> Run | None:
        """Return a run; None if it cannot be read now, or its retry is not due."""
        is_waiting = entry.name in self._builder.unreadable and entry.retry_at > now.steady
        return None if is_waiting else self._builder.load_run(entry, now)

    def _has_unreadable(self, resolved: Resolved) -> bool:
        """Return whether a run of a resolution cannot be read now."""
        query, result, _ = resolved
        unreadable = {*self._store.unreadable_starts(query.job_id)}
        return any(
            start in unreadable or run_name(query.job_id, start) in self._builder.unreadable
            for start in (*result.ends, *result.starts_to_resend)
        )

    def _store_run(self, run: Run, events: list[str], now: Moment) -> PendingRun:
        """Stage a new or changed run; queue its write if no event in `new/` can restore it."""
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

    def _admitted(self, resolved: Resolved, finished: list[str], now: Moment) -> Iterator[Run]:
        """Yield a resolution's new runs; move those that can never be reported to `dead/`, once."""
        query, result, _ = resolved
        for job, end in result.new_runs:
            full = self._allocations.restore(job)
            try:
                yield admit(full, end, events=query.events, now=now.wall)
            except IncompleteRunError as error:
                # With an event that is still pending Slurm shows the same run again.
                if (key := (error.run.job_id, error.run.start_time)) not in self._unreportable:
                    self._unreportable.add(key)
                    entry = self._store.stage(error.run, finished, now)
                    move_unsendable_to_dead(self._store, entry, error.run, error.reason, now)
