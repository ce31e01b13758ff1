"""Apply the answers of cc-backend to requests for runs: record, react, change the run store.

It runs in the loop's thread and never waits: a query to Slurm is made in a worker too.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from ccbackend.outcomes import Outcome, Reason, ReplyVerdict
from ccbackend.replies import ApiReply
from spool.deliver.backend_health import BackendHealth
from spool.deliver.counters import ActivityCounters
from spool.deliver.health_rules import Channel, Sign, sign_of
from spool.deliver.pending_run import PendingRun, RequestKind
from spool.deliver.reaction import Reaction, RequestContext, RunAction, react
from spool.deliver.rejected_runs import move_rejected_to_dead
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_store import RunStore
from spool.deliver.senders import SendRequest, SendResult
from spool.deliver.settlement import DeliveryPolicy, Settlement
from spool.escaping import escape
from spool.files.run import Run
from spool.moment import Moment

MAX_META_FAILURES = 3
TEXTS = ("script", "description")
_log = logging.getLogger(__name__)


class ReplyApplier:
    """The applier of cc-backend's answers to the run store; used only in the loop's thread."""

    def __init__(
        self,
        store: RunStore,
        health: BackendHealth,
        builder: RequestBuilder,
        *,
        policy: DeliveryPolicy,
        counters: ActivityCounters,
    ) -> None:
        self._store = store
        self._health = health
        self._builder = builder
        self._policy = policy
        self._counters = counters
        self._settlement = Settlement(store, builder, policy)
        self.answered_count = 0
        """How many requests for runs cc-backend has accepted or rejected."""

    def take_result(self, request: SendRequest, result: SendResult | None, now: Moment) -> None:
        """Apply the answer to a run's request to the run store; `result` None: it was not sent."""
        entry = self._store.get(request.job_id, request.start_time, now)
        if entry is None:  # its file was removed meanwhile, so there is nothing to change
            return
        if result is None:
            self._builder.put_back(entry, now)
            return
        entry.in_flight = None
        self._health.server_seen(result.server, now)
        reply = self._builder.names.adjust_reply(result.reply)
        is_to_blame = self._record(entry, request, reply, now)
        run = self._builder.load_run(entry, now)
        if run is None:
            return
        is_start = request.kind is RequestKind.START
        context = RequestContext(
            kind=request.kind,
            now=now.wall,
            cluster=request.cluster,
            status=reply.status,
            failures=entry.failures,
            is_to_blame=is_to_blame,
            can_be_slim=reply.sent and not entry.is_slim and run.has_texts and is_start,
            commit_seconds=self._policy.hold_seconds,
        )
        reaction = react(run, reply.verdict, context)
        if request.kind is RequestKind.EDIT_META:
            self._texts_sent(entry, reaction, now)
        else:
            self._apply(entry, request, reply, reaction=reaction, now=now)

    def _record(
        self, entry: PendingRun, request: SendRequest, reply: ApiReply, now: Moment
    ) -> bool:
        """Record an answer for its run and the server; return whether the run is to blame.

        A failed change of script or description blames neither the run nor the server.
        """
        verdict, is_edit = reply.verdict, request.kind is RequestKind.EDIT_META
        channel = Channel.STOPS if request.kind is RequestKind.STOP else Channel.STARTS
        is_to_blame = not is_edit and self._health.run_answered(
            channel,
            entry.key,
            verdict,
            now,
            accepted_before=entry.accepted_before,
            is_blamed=entry.is_blamed,
        )
        self._counters.count_answer(entry, request.kind, verdict.outcome, now)
        if sign_of(verdict) is Sign.ANSWERED:
            entry.failures, entry.accepted_before, entry.may_have_arrived = 0, None, False
            self._store.schedule.note_answered(entry)
            self.answered_count += 1
            return is_to_blame
        entry.failures += 1
        if not is_edit:
            # If this number has grown when the run fails again, another run was accepted in
            # between, so the server works and this run is the cause.
            entry.accepted_before = self._health.state.channels[channel].accepted
            # only an answer clears it: one of the attempts before may have arrived
            entry.may_have_arrived |= reply.sent and verdict.reason is not Reason.UNREACHABLE
        return is_to_blame

    def _apply(
        self,
        entry: PendingRun,
        request: SendRequest,
        reply: ApiReply,
        *,
        reaction: Reaction,
        now: Moment,
    ) -> None:
        """Carry out a reaction: retry, store, archive or settle the run, or move it to `dead/`."""
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
                self._builder.names.record(entry, request, reply.verdict, now)
                self._settlement.begin(entry, reaction.run, reply, now)
            case RunAction.ARCHIVE:
                self._store.complete(entry, reaction.run, now)
            case RunAction.DEAD_LETTER:
                document = reply.document or request.document  # as amended
                move_rejected_to_dead(self._store, entry, reaction.run, document, now)
            case _:
                self._keep(entry, request, reply.verdict, reaction.run, now)

    def _keep(
        self, entry: PendingRun, request: SendRequest, verdict: ReplyVerdict, run: Run, now: Moment
    ) -> None:
        """Store the run that an answer changed, with the texts that are still to be sent."""
        if run.late_texts != entry.new_texts:
            run = replace(run, late_texts=entry.new_texts)
        self._store.persist(entry, run, now)
        self._builder.names.record(entry, request, verdict, now)
        self._store.schedule.reschedule(entry.job_id, now.steady)

    def _note_texts(
        self, entry: PendingRun, reaction: Reaction, verdict: ReplyVerdict, now: Moment
    ) -> None:
        """Record whether the run is sent without script and description; they may follow later."""
        was_answered = sign_of(verdict) is Sign.ANSWERED
        was_slim = entry.note_slim(
            begins=reaction.is_slim, was_answered=was_answered, now=now.steady
        )
        if was_slim and verdict.outcome is Outcome.DELIVERED:
            entry.new_texts = TEXTS
            text = "job=%d start=%d was accepted only without script and description"
            _log.warning(text, *entry.key)

    def _wait(
        self, entry: PendingRun, verdict: ReplyVerdict, reaction: Reaction, now: Moment
    ) -> None:
        """Schedule the next try of a run after a failed request; its file stays as it is."""
        entry.retry_at, entry.stays_due = now.steady + reaction.wait_seconds, True
        entry.waits_for = f"the last request for it failed: {verdict.hint}"
        self._store.schedule.reschedule(entry.job_id, now.steady)

    def _texts_sent(self, entry: PendingRun, reaction: Reaction, now: Moment) -> None:
        """Apply the reply to a late text: retry it while allowed, else go on with the next one."""
        # A text is not worth a late stop: once the run has ended, one that fails is skipped.
        is_waiting = reaction.action is RunAction.WAIT and entry.end_time is None
        if is_waiting and entry.failures < MAX_META_FAILURES:
            entry.retry_at, entry.stays_due = now.steady + reaction.wait_seconds, True
        else:
            entry.new_texts, entry.failures = entry.new_texts[1:], 0
        if not entry.new_texts and reaction.run.late_texts:
            self._store.persist(entry, replace(reaction.run, late_texts=()), now)
        self._store.schedule.reschedule(entry.job_id, now.steady)
