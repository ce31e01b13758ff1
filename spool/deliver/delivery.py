"""Send requests by the workers and apply their answers to the run store.

It runs in the loop's thread and never waits: a query to Slurm is made in a worker too.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from ccbackend.outcomes import Outcome, Reason, ReplyVerdict
from ccbackend.replies import ApiReply
from spool.deliver.backend_health import BackendHealth
from spool.deliver.channel import NEW_RUN_SECONDS, SendChannel
from spool.deliver.compose import PayloadComposer
from spool.deliver.counters import ActivityCounters
from spool.deliver.dead_letters import move_rejected_to_dead
from spool.deliver.health_rules import Channel, Sign, sign_of
from spool.deliver.pending_run import PendingRun, RequestKind
from spool.deliver.reaction import Reaction, RequestContext, RunAction, react
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_store import RunStore
from spool.deliver.senders import SendRequest, SendResult
from spool.deliver.server_questions import BackendWorkers, ServerQuestions
from spool.deliver.settlement import DeliveryPolicy, Settlement
from spool.escaping import escape
from spool.files.run import Run
from spool.files.state_files import CrashMarker
from spool.moment import Moment

MAX_META_FAILURES = 3
TEXTS = ("script", "description")
_log = logging.getLogger(__name__)


class Delivery:
    """The delivery of requests; for the loop's thread."""

    def __init__(
        self,
        store: RunStore,
        health: BackendHealth,
        composer: PayloadComposer,
        *,
        workers: BackendWorkers,
        crash_marker: CrashMarker,
        policy: DeliveryPolicy,
    ) -> None:
        self._store = store
        self._health = health
        self._workers = workers
        self._policy = policy
        self.builder = RequestBuilder(store, health, composer, crash_marker)
        self.questions = ServerQuestions(store.schedule, health, self.builder, workers)
        self._settlement = Settlement(store, self.builder, policy)
        self.counters = ActivityCounters()
        self.answered_count = 0
        """How many requests for runs cc-backend has accepted or rejected."""

    @property
    def outstanding(self) -> int:
        """Return how many requests for runs have no answer yet."""
        return self._workers.starts.outstanding + self._workers.stops.outstanding

    def fill(self, now: Moment, *, stops_only: bool = False) -> None:
        """Send the due requests; `stops_only` while the disk has no space for new runs."""
        # First, because an answer may have shown another version, with or without a job cache.
        hold = self._health.hold_seconds(self._policy.hold_seconds)
        self._store.schedule.set_hold(hold, now.steady)
        self._store.schedule.move_ready(now.steady)
        self.questions.ask(now)
        if not self._health.is_up:
            return
        # an accepted start must be stored, a delivered stop removes a file
        if not stops_only:
            self._fill(self._workers.starts, Channel.STARTS, now)
        self._fill(self._workers.stops, Channel.STOPS, now)
        self.questions.ask_wanted(now)

    def next_time(self, now: Moment) -> float | None:
        """Return when a request may become due without an answer or an event.

        A probe or retry whose time has come waits for a run to be tried: it does not count.
        """
        state, workers = self._health.state, self._workers
        times = [workers.starts.next_time(), workers.stops.next_time(), self.questions.next_time()]
        if not state.server.is_up:
            times.append(state.server.retry_at)
        else:
            conditions = [each.condition for each in state.channels.values()]
            times += [condition.retry_at for condition in conditions if not condition.is_up]
        later = (time for time in times if time is not None and time > now.steady)
        return min(later, default=None)

    def take_result(self, request: SendRequest, result: SendResult | None, now: Moment) -> None:
        """Apply the answer to a request for a run to the store; None: it was not sent."""
        entry = self._store.get(request.job_id, request.start_time, now)
        if entry is None:  # its file was removed meanwhile, so there is nothing to change
            return
        if result is None:
            self.builder.put_back(entry, now)
            return
        entry.in_flight = None
        self._health.server_seen(result.server, now)
        reply = self.builder.adjust_reply(result.reply)
        reaction = self._react(entry, request, reply, now)
        if reaction is not None:
            self._apply(entry, request, reply, reaction=reaction, now=now)

    def retry_now(self, job_id: int, now: Moment) -> None:
        """Cancel all waits of the runs of a job id (0: of all runs), except stop holds."""
        if not job_id:
            self._health.cause_changed(now)
            self.builder.release_names(now)
        for each in [job_id] if job_id else self._store.waiting_job_ids():
            for entry in self._store.lane(each, now):
                if entry.next_request is not None and entry.in_flight is None:
                    self._retry_entry(entry, now)

    def _retry_entry(self, entry: PendingRun, now: Moment) -> None:
        run = self.builder.load_run(entry, now)
        entry.failures, entry.accepted_before = 0, None
        # its wait for a time in the future is over as well: who retries a run has looked at it
        entry.retry_at, entry.waits_for, entry.clock_wait_until = 0.0, "", now.steady
        if run is not None:
            self.builder.try_names_now(entry, run, now)
        if run is not None and run.not_before:
            self._store.persist(entry, replace(run, not_before=0), now)
        elif run is not None:
            self._store.schedule.reschedule(entry.job_id, now.steady)

    # ---- sending

    def _fill(self, channel: SendChannel, name: Channel, now: Moment) -> None:
        """Fill the workers of a channel; a failing channel gets one trial request at a time.

        A new run need not wait until those whose last request failed are tried again: it may be the
        witness against them.
        """
        for request in channel.recall():
            self.take_result(request, None, now)
        condition = self._health.state.channels[name].condition
        is_trial = not condition.is_up
        is_early = is_trial and now.steady < condition.retry_at
        if is_trial and (channel.is_waiting or (is_early and now.steady < channel.new_run_at)):
            return
        while (worker := channel.free_worker()) is not None:
            with_failed = not is_early and channel.may_send_failed(self._is_in_flight)
            entry = self._store.schedule.take_next(
                now.steady, stops=channel.stops, with_failed=with_failed
            )
            if entry is None:
                return
            if entry.has_failed:
                channel.note_failed(entry, worker)
            made = self.builder.build(entry, now, is_trial=is_trial)
            if made is not None:
                worker.ask(made)
                if is_trial:
                    channel.new_run_at = now.steady + NEW_RUN_SECONDS
                    return

    def _is_in_flight(self, entry: PendingRun) -> bool:
        """Return whether an entry is that of its run still, with a request in flight."""
        return bool(entry.in_flight) and self._store.schedule.get(*entry.key) is entry

    # ---- answers

    def _react(
        self, entry: PendingRun, request: SendRequest, reply: ApiReply, now: Moment
    ) -> Reaction | None:
        """Return the reaction of a run to an answer; None if the run cannot be read now."""
        verdict = reply.verdict
        channel = Channel.STOPS if request.kind is RequestKind.STOP else Channel.STARTS
        to_blame = request.kind is not RequestKind.EDIT_META and self._health.run_answered(
            channel,
            entry.key,
            verdict,
            now,
            accepted_before=entry.accepted_before,
            is_blamed=entry.is_blamed,
        )
        self._count_answer(entry, request, reply, channel=channel, now=now)
        run = self.builder.load_run(entry, now)
        if run is None:
            return None
        is_start = request.kind is RequestKind.START
        context = RequestContext(
            kind=request.kind,
            now=now.wall,
            cluster=request.cluster,
            status=reply.status,
            failures=entry.failures,
            is_to_blame=to_blame,
            can_be_slim=reply.sent and not entry.is_slim and run.has_texts and is_start,
            commit_seconds=self._policy.hold_seconds,
        )
        return react(run, verdict, context)

    def _count_answer(
        self,
        entry: PendingRun,
        request: SendRequest,
        reply: ApiReply,
        *,
        channel: Channel,
        now: Moment,
    ) -> None:
        """Count an answer for its run; answers to late texts are not counted."""
        self.counters.count_answer(entry, request.kind, reply.verdict.outcome, now)
        if sign_of(reply.verdict) is Sign.WELL:
            entry.failures, entry.accepted_before, entry.may_have_arrived = 0, None, False
            self._store.schedule.note_answered(entry)
            self.answered_count += 1
            return
        entry.failures += 1
        if request.kind is not RequestKind.EDIT_META:
            # If this number has grown when the run fails again, another run was accepted in
            # between: that is the witness against this run.
            entry.accepted_before = self._health.accepted(channel)
            # only an answer clears it: one of the attempts before may have arrived
            entry.may_have_arrived |= reply.sent and reply.verdict.reason is not Reason.UNREACHABLE

    def _apply(
        self,
        entry: PendingRun,
        request: SendRequest,
        reply: ApiReply,
        *,
        reaction: Reaction,
        now: Moment,
    ) -> None:
        """Apply a reaction to the store."""
        if request.kind is RequestKind.EDIT_META:
            self._texts_sent(entry, reaction, now)
            return
        # An answer ends every wait; the reaction may set the next one.
        entry.retry_at, entry.waits_for, entry.stays_due = 0.0, "", False
        entry.topology_wanted_at = 0.0  # a restart of the server may have brought a new one
        # A duplicate was looked up, and the run itself is listed: it has left the job cache.
        if any(row.start_time == entry.start_time for row in reply.rows or ()):
            entry.note_listed()
        self._note_texts(entry, reaction, reply.verdict, now)
        if reaction.action is not RunAction.WAIT:
            text = "job=%d cluster=%s start=%d call=%s outcome=%s"
            run = (entry.job_id, escape(request.cluster), entry.start_time)
            _log.info(text, *run, request.kind, reply.outcome)
        match reaction.action:
            case RunAction.WAIT:
                self._wait(entry, reply.verdict, reaction, now)
            case RunAction.SETTLE:
                self._settlement.begin(entry, reaction.run, reply, now)
            case RunAction.ARCHIVE:
                self._store.complete(entry, reaction.run, now)
            case RunAction.DEAD_LETTER:
                sent = replace(request, document=reply.document or request.document)  # as amended
                move_rejected_to_dead(self._store, entry, reaction.run, sent, now)
            case _:
                self._keep(entry, request, reply.verdict, reaction.run, now)

    def _keep(
        self, entry: PendingRun, request: SendRequest, verdict: ReplyVerdict, run: Run, now: Moment
    ) -> None:
        """Store the run that an answer changed, with the texts that are still to be sent."""
        if run.late_texts != entry.new_texts:
            run = replace(run, late_texts=entry.new_texts)
        self._store.persist(entry, run, now)
        self.builder.record_names(entry, request, verdict, now)
        self._store.schedule.reschedule(entry.job_id, now.steady)

    def _note_texts(
        self, entry: PendingRun, reaction: Reaction, verdict: ReplyVerdict, now: Moment
    ) -> None:
        """Record that a run is or was sent without its texts; they may be added later."""
        is_well = sign_of(verdict) is Sign.WELL
        was_slim = entry.note_slim(begins=reaction.is_slim, is_well=is_well, now=now.steady)
        if was_slim and verdict.outcome is Outcome.DELIVERED:
            entry.new_texts = TEXTS
            text = "job=%d start=%d was refused with script and description, accepted without them"
            _log.warning(text, *entry.key)

    def _wait(
        self, entry: PendingRun, verdict: ReplyVerdict, reaction: Reaction, now: Moment
    ) -> None:
        """Put a run back after a failed request that the server may have caused."""
        entry.retry_at, entry.stays_due = now.steady + reaction.wait_seconds, True
        entry.waits_for = f"its last request failed: {verdict.hint}"
        self._store.schedule.reschedule(entry.job_id, now.steady)

    def _texts_sent(self, entry: PendingRun, reaction: Reaction, now: Moment) -> None:
        """Continue with the next text; a text that cannot be added is skipped."""
        # A text is not worth a late stop: once the run has ended, one that fails is skipped.
        is_waiting = reaction.action is RunAction.WAIT and entry.end_time is None
        if is_waiting and entry.failures < MAX_META_FAILURES:
            entry.retry_at, entry.stays_due = now.steady + reaction.wait_seconds, True
        else:
            entry.new_texts, entry.failures = entry.new_texts[1:], 0
        if not entry.new_texts and reaction.run.late_texts:
            self._store.persist(entry, replace(reaction.run, late_texts=()), now)
        self._store.schedule.reschedule(entry.job_id, now.steady)
