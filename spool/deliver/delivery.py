"""Hand requests to the senders and let their replies change the store. One thread's property."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from ccbackend.classify import Outcome, Reason, ReplyVerdict
from spool.deliver.backend_health import BackendHealth
from spool.deliver.dead_letters import move_rejected_to_dead
from spool.deliver.reaction import (
    Reaction,
    RequestContext,
    RunAction,
    react,
    settle_conflict,
)
from spool.deliver.request_builder import Composer, RequestBuilder
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import RequestKind, ScheduleEntry
from spool.deliver.senders import SendRequest, SendResult
from spool.deliver.stop_hold import StopHold
from spool.escaping import escape
from spool.files.run import Run
from spool.files.state_files import CrashMarker

MAX_OUTSTANDING = 16  # requests a sender holds: enough to stay busy while Slurm is asked
_STOP_SENDER_KINDS = frozenset({RequestKind.STOP, RequestKind.LIST})
_log = logging.getLogger(__name__)


class RequestSink(Protocol):
    """What takes requests; a `Sender` is one."""

    outstanding: int

    def send(self, request: SendRequest) -> None:
        """Queue a request; its reply will come, sent or not."""

    def acknowledge(self) -> None:
        """Count a reply as received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """How to deliver. `prove_same_job` returns the start times that are runs of the same job."""

    hold_seconds: float
    replace_earlier: bool
    prove_same_job: Callable[[Run, Iterable[int]], set[int]]


class Delivery:
    """Fills the senders and reads their replies. Times are Unix seconds."""

    def __init__(
        self,
        store: RunStore,
        backend_health: BackendHealth,
        composer: Composer,
        *,
        senders: tuple[RequestSink, RequestSink],
        crash_marker: CrashMarker,
        policy: DeliveryPolicy,
    ) -> None:
        self._store = store
        self._backend_health = backend_health
        self._composer = composer
        self._starts, self._stops = senders
        self._policy = policy
        self._builder = RequestBuilder(store, backend_health, composer, crash_marker)
        self._stop_hold = StopHold()

    @property
    def outstanding(self) -> int:
        """Return how many requests have no reply yet."""
        return self._starts.outstanding + self._stops.outstanding

    @property
    def unknown_hosts(self) -> int:
        """Return how many hosts cc-backend does not know."""
        return len(self._builder.hosts)

    def send_due(self, now: float, *, stops_only: bool = False) -> None:
        """Hand out what is due and allowed; `stops_only` where the disk takes no new runs."""
        self._store.schedule.set_hold(
            self._backend_health.hold_seconds(self._policy.hold_seconds), now
        )
        if self._backend_health.needs_version(now):
            if not self._starts.outstanding:
                self._starts.send(self._builder.server_request(RequestKind.PROBE))
        elif self._backend_health.is_up:
            if not stops_only:
                self._fill(self._starts, now, stops=False)
            self._fill(self._stops, now, stops=True)
            self._query_held_stops(now)
        elif self._backend_health.destination.probe_is_due(now) and not self.outstanding:
            self._probe(now)

    def handle(self, result: SendResult, now: float) -> None:
        """Let one reply change the store."""
        request, verdict = result.request, result.verdict
        (self._stops if request.call in _STOP_SENDER_KINDS else self._starts).acknowledge()
        if request.call is not RequestKind.PROBE:
            self._backend_health.version_seen(result.server)
        if request.call in {RequestKind.PROBE, RequestKind.LIST}:
            self._handle_server_result(result, now)
            return
        entry = self._store.schedule.get(request.job_id, request.start_time)
        if entry is None:
            return
        entry.in_flight = None
        if verdict is None:
            self._store.schedule.reschedule(entry.job_id, now)
            return
        verdict = self._builder.adjust_verdict(verdict)
        others_accepted = (
            entry.accepted_at_failure is not None
            and self._backend_health.accepted > entry.accepted_at_failure
        )
        retry_after = result.retry_after_seconds
        self._backend_health.record(
            verdict,
            now,
            only_this_run=others_accepted,
            retry_after=retry_after,
            generation=request.generation,
        )
        run = self._builder.load_run(entry, now)
        if run is None:
            return
        context = RequestContext(
            call=request.call,
            now=now,
            cluster=request.cluster,
            status=result.status,
            others_accepted=others_accepted,
        )
        reaction = react(run, verdict, context)
        if verdict.outcome is Outcome.CONFLICT:
            reaction = self._settle_conflict(reaction.run, result, now)
        self._apply(entry, reaction, verdict=verdict, result=result, now=now)

    def _fill(self, sender: RequestSink, now: float, *, stops: bool) -> None:
        while sender.outstanding < MAX_OUTSTANDING:
            entry = self._store.schedule.take_next(now, stops=stops)
            if entry is None:
                return
            request = self._builder.build(entry, now)
            if request is not None:
                sender.send(request)

    def _probe(self, now: float) -> None:
        """Send the head of one lane; a bare question where no run waits but those that failed.

        A run that failed proves nothing by failing again: others would wait for it for ever.
        """
        outlets = ((self._starts, False), (self._stops, True))
        for sender, stops in outlets if self._backend_health.server is not None else ():
            entry = self._store.schedule.take_next(now, stops=stops)
            if entry is not None and entry.failures:
                entry.in_flight = None
                self._store.schedule.reschedule(entry.job_id, now)
                continue
            request = None if entry is None else self._builder.build(entry, now)
            if request is not None:
                sender.send(replace(request, is_probe=True))
                return
        self._starts.send(replace(self._builder.server_request(RequestKind.PROBE), is_probe=True))

    def _query_held_stops(self, now: float) -> None:
        """Ask which runs with a held stop are listed, by the thread that has nothing to stop."""
        if self._stops.outstanding or not (
            self._backend_health.server and self._backend_health.server.caches_starts
        ):
            return
        cluster, job_ids = self._stop_hold.next_query(self._store.schedule, now)
        if job_ids:
            self._stops.send(self._builder.server_request(RequestKind.LIST, cluster, job_ids))

    def _handle_server_result(self, result: SendResult, now: float) -> None:
        if result.verdict is None:
            return
        generation = result.request.generation
        after = result.retry_after_seconds
        self._backend_health.record(
            result.verdict, now, retry_after=after, generation=generation, is_bare=True
        )
        if result.request.call is RequestKind.LIST:
            self._stop_hold.release_listed(result.listed, self._store.schedule, now)
        else:
            self._backend_health.probed(result.server, now)
            if result.clusters is not None:
                self._composer.update_clusters(result.clusters)

    def _apply(
        self,
        entry: ScheduleEntry,
        reaction: Reaction,
        *,
        verdict: ReplyVerdict,
        result: SendResult,
        now: float,
    ) -> None:
        """Let a reaction change the store."""
        request = result.request
        self._record_attempt(entry, request, verdict, now)
        if reaction.action is RunAction.ARCHIVE:
            self._log_outcome(entry, request, verdict)
            self._store.complete(entry, reaction.run, now)
        elif reaction.action is RunAction.DEAD_LETTER:
            sent = result.document or request.document
            move_rejected_to_dead(
                self._store, entry, reaction.run, replace(request, document=sent), now
            )
        else:
            self._keep(entry, reaction.run, verdict, request, now)

    def _keep(
        self,
        entry: ScheduleEntry,
        run: Run,
        verdict: ReplyVerdict,
        request: SendRequest,
        now: float,
    ) -> None:
        """Store what an answer changed; an outage by itself changes no file."""
        if run.end is not None and not run.reported:
            self._store.complete(entry, run, now)
        elif verdict.outcome in {Outcome.RETRY, Outcome.HALT} and run.not_before <= now:
            entry.run = run if entry.stored is None else entry.run
            self._store.schedule.reschedule(entry.job_id, now)
        else:
            self._log_outcome(entry, request, verdict)
            self._store.persist(entry, run, now)

    def _settle_conflict(self, run: Run, result: SendResult, now: float) -> Reaction:
        """Return what becomes of a start that other runs of its job id stand in the way of."""
        others = [start for start in result.starts if start != run.start_time]
        proven = self._policy.prove_same_job(run, others)
        replace_earlier = self._policy.replace_earlier
        return settle_conflict(run, others, proven, replace_earlier=replace_earlier, now=now)

    def _record_attempt(
        self, entry: ScheduleEntry, request: SendRequest, verdict: ReplyVerdict, now: float
    ) -> None:
        """Note what an answer says about the run's luck, its first host and its cluster."""
        if verdict.outcome in {Outcome.RETRY, Outcome.HALT}:
            entry.failures += 1
            entry.accepted_at_failure = self._backend_health.accepted
            is_unknown = verdict.outcome is Outcome.RETRY
            entry.may_have_arrived |= is_unknown and verdict.reason is not Reason.UNREACHABLE
            return
        entry.failures, entry.accepted_at_failure, entry.may_have_arrived = 0, None, False
        self._builder.record_names(entry, request, verdict, now)

    def _log_outcome(
        self, entry: ScheduleEntry, request: SendRequest, verdict: ReplyVerdict
    ) -> None:
        _log.info(
            "job=%d cluster=%s start=%d call=%s outcome=%s",
            entry.job_id,
            escape(request.cluster),
            entry.start_time,
            request.call,
            verdict.outcome,
        )
