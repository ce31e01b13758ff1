"""Give the due requests to the workers; `apply_replies` applies their answers.

It runs in the loop's thread and never waits.
"""

from __future__ import annotations

from dataclasses import replace

from spool.deliver.apply_replies import ReplyApplier
from spool.deliver.backend_health import BackendHealth
from spool.deliver.channel import NEW_RUN_SECONDS, SendChannel
from spool.deliver.counters import ActivityCounters
from spool.deliver.health_rules import Channel
from spool.deliver.pending_run import PendingRun
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_store import RunStore
from spool.deliver.server_questions import BackendWorkers, ServerQuestions
from spool.deliver.settlement import DeliveryPolicy
from spool.moment import Moment


class Delivery:
    """The delivery of requests to cc-backend; used only in the loop's thread."""

    def __init__(
        self,
        store: RunStore,
        health: BackendHealth,
        builder: RequestBuilder,
        *,
        workers: BackendWorkers,
        policy: DeliveryPolicy,
        counters: ActivityCounters,
    ) -> None:
        self._store = store
        self._health = health
        self.workers = workers
        self._policy = policy
        self.builder = builder
        self.questions = ServerQuestions(store.schedule, health, builder.names, workers)
        self.replies = ReplyApplier(store, health, builder, policy=policy, counters=counters)

    @property
    def outstanding(self) -> int:
        """Return how many requests for runs have no answer yet."""
        return self.workers.starts.outstanding + self.workers.stops.outstanding

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
            self._fill(self.workers.starts, Channel.STARTS, now)
        self._fill(self.workers.stops, Channel.STOPS, now)
        self.questions.ask_wanted(now)

    def next_time(self, now: Moment) -> float | None:
        """Return when a request may become due by time alone, without an answer or an event.

        A retry time in the past does not count: that retry waits for a run. The time of a probe
        counts until the probe is sent, because it may come while a pass is running.
        """
        state, workers = self._health.state, self.workers
        times = [workers.starts.next_time(), workers.stops.next_time(), self.questions.next_time()]
        if state.server.is_up:
            channels = [each.condition for each in state.channels.values()]
            times += [each.retry_at for each in channels if not each.is_up]
        later = [time for time in times if time is not None and time > now.steady]
        if not state.server.is_up and not workers.probe.outstanding:
            later.append(state.server.retry_at)
        return min(later, default=None)

    def retry_now(self, job_id: int, now: Moment) -> None:
        """Cancel all waits of the runs of a job id (0: of all runs), except stop holds."""
        if not job_id:
            self._health.cause_changed(now)
            self.builder.names.release_all(now)
        for each in [job_id] if job_id else self._store.waiting_job_ids():
            for entry in self._store.lane(each, now):
                if entry.next_request is not None and entry.in_flight is None:
                    self._retry_entry(entry, now)

    def _retry_entry(self, entry: PendingRun, now: Moment) -> None:
        run = self.builder.load_run(entry, now)
        entry.failures, entry.accepted_before = 0, None
        # its wait for a time in the future is over as well: who retries a run has looked at it
        entry.retry_at, entry.waits_for, entry.clock_wait_until = 0.0, "", now.steady
        if run is None:
            return
        self.builder.names.try_now(entry, run, now)
        if run.not_before:
            self._store.persist(entry, replace(run, not_before=0), now)
        else:
            self._store.schedule.reschedule(entry.job_id, now.steady)

    # ---- sending

    def _fill(self, channel: SendChannel, name: Channel, now: Moment) -> None:
        """Fill the workers of a channel; a failing channel gets one trial request at a time.

        A failing channel may send a new run before it retries the runs that failed: if the new one
        is accepted and they fail once more, they are the cause.
        """
        for request in channel.recall():
            self.replies.take_result(request, None, now)
        condition = self._health.state.channels[name].condition
        is_trial = not condition.is_up
        is_early = is_trial and now.steady < condition.retry_at
        if is_trial and (channel.is_waiting or (is_early and now.steady < channel.new_run_at)):
            return
        # Only starts wait for stops, so only for them the stops are counted.
        with_ended = channel.stops or not (
            self.workers.stops.is_waiting and self._store.has_many_stops(now)
        )
        while (worker := channel.free_worker()) is not None:
            with_failed = not is_early and channel.may_send_failed(
                self._store.schedule.is_in_flight
            )
            entry = self._store.schedule.take_next(
                now.steady, stops=channel.stops, with_failed=with_failed, with_ended=with_ended
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
