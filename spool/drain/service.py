"""Run a drain as a service or once: housekeeping around its passes, and an orderly shutdown.

After SIGTERM no new request is sent; a request that does not end within 10 s is abandoned (its
outcome is unknown, and sending it again is harmless), all changes are made durable, and the exit
code is 0.
"""

from __future__ import annotations

import logging
from typing import Any

from spool.drain.event_watch import EventWatch
from spool.drain.externals import Externals
from spool.drain.loop import IDLE_SECONDS, Drain, DrainParts
from spool.drain.recovery import clean_tmp
from spool.drain.state_report import StateReport
from spool.drain.systemd import Watchdog, notify_systemd
from spool.files.drain_state import DrainStateFile
from spool.files.layout import Directory
from spool.worker import Worker

HOUSEKEEPING_SECONDS = 3600.0
# Two of the promised ten seconds are left to make everything durable; systemd kills after 20 s
# (TimeoutStopSec).
SHUTDOWN_SECONDS = 8.0
# The longest wait between two passes while inotify works. After a pause a pass takes several times
# as much CPU time, because its code has left the processor's caches. So an idle drain makes few
# passes, just enough to keep its state file fresh for `check`, which warns after 60 s.
WATCHED_SECONDS = 1.0
QUIET_SECONDS = 45.0
# longer than the periods that no time of `Drain` shows: the state report collects every 5 s
QUIET_AFTER_SECONDS = 6.0
ONCE_SECONDS = 30.0
ONCE_TRIES = 3
# A wait of a second is worth staying for. A stop that is held for minutes is delivered by the next
# `drain --once`.
SOON_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Service:
    """A drain with its housekeeping. `stop` may be called by a signal handler.

    `watch` wakes the loop on file changes and signals; None: it polls.
    """

    def __init__(
        self,
        drain: Drain,
        parts: DrainParts,
        externals: Externals,
        *,
        workers: tuple[Worker[Any, Any], ...],
        state_file: DrainStateFile,
        watch: EventWatch | None,
    ) -> None:
        self.drain = drain
        self.parts = parts
        self.workers = workers
        self._externals = externals
        self._state_file = state_file
        self._watch = watch
        self._report = StateReport(drain, parts, once=False)
        self._watchdog = Watchdog()
        self._stopping = False
        self._handed_over = False
        self._housekeeping_at = float("-inf")
        self._wake_ups_seen = 0
        self._quiet_at = parts.clocks.steady() + QUIET_AFTER_SECONDS

    def stop(self) -> None:
        """End the loop after the current pass."""
        self._stopping = True

    def hand_over(self) -> None:
        """End the loop after the current pass; another service follows in this process.

        systemd must not be notified of a stop: it would kill the successor (systemd v257,
        src/core/service.c, service_notify_message).
        """
        self._handed_over = True
        self.stop()

    def run(self) -> None:
        """Run passes until `stop` or `hand_over` is called, then shut down."""
        # Before READY: `check` after `systemctl start` must not find the state of the last drain.
        self._write_state()
        notify_systemd("READY=1")
        wait = 0.0  # the spool may be full of work
        while not self._stopping:
            self.run_pass(wait)
            wait = self._longest_wait()
        if not self._handed_over:
            notify_systemd("STOPPING=1")
        self.shut_down()

    def run_once(self) -> bool:
        """Do all that can be done now, then shut down; return whether `new/` and `todo/` are empty.

        If cc-backend is down, three probes within 30 s are tried. A backlog has no time limit.
        """
        self._report = StateReport(self.drain, self.parts, once=True)
        self._write_state()
        delivery, clocks = self.parts.delivery, self.parts.clocks
        until, answered, asked_early = clocks.steady() + ONCE_SECONDS, 0, False
        while not self._stopping:
            self.run_pass()
            # Each answer to a run extends the time: a backlog may take hours, a dead server not.
            if delivery.replies.answered_count > answered:
                until, answered = clocks.steady() + ONCE_SECONDS, delivery.replies.answered_count
            if self._is_idle():
                if not asked_early and delivery.questions.ask_held_early(clocks.now()):
                    asked_early = True
                    continue
                self.drain.flush()
                break
            if self._gives_up(until):
                break
        self.shut_down()
        names = self.parts.layout.names
        return not any(True for d in (Directory.NEW, Directory.TODO) for _ in names(d))

    def run_pass(self, longest_wait: float = IDLE_SECONDS) -> None:
        """Do one pass of the loop and the housekeeping that is due."""
        now = self.parts.clocks.now()
        if now.steady >= self._housekeeping_at:
            self._housekeeping_at = now.steady + HOUSEKEEPING_SECONDS
            self.parts.archive.expire(now.wall)
            clean_tmp(self.parts.layout, now)
        # Before the step, which then sends with the new token, and does not wait first.
        if self._externals.inputs_changed():
            self.parts.health.cause_changed(now)
            self._quiet_at = now.steady + QUIET_AFTER_SECONDS
            longest_wait = 0.0
        self.drain.step(longest_wait)
        self._write_state()
        self._watchdog.alive(self.parts.clocks.steady())

    def shut_down(self) -> None:
        """End the workers, take their last answers, make everything durable."""
        steady = self.parts.clocks.steady
        deadline = steady() + SHUTDOWN_SECONDS
        # First all are closed, then waited for: their last requests end at the same time.
        for worker in self.workers:
            worker.close()
        for worker in self.workers:
            if not worker.join(max(0.1, deadline - steady())):
                text = "%s: a request was unfinished at shutdown; the next drain sends it again"
                _log.warning(text, worker.name)
        # What cc-backend has answered must be stored, or the next drain sends it again.
        try:
            self.drain.take_answers(0.0)
        finally:  # an answer may be that a worker has failed
            self.drain.flush()
            self._write_state(at_once=True)

    def close(self) -> None:
        """Close files; the service is not used any more."""
        if self._watch is not None:
            self._watch.close()
        self.parts.crash_marker.close()

    def _longest_wait(self) -> float:
        """Return how long the next pass may wait for an answer or a change, in seconds."""
        watch, now = self._watch, self.parts.clocks.steady()
        if watch is None or watch.problem:
            return IDLE_SECONDS
        is_woken = watch.wake_up_count > self._wake_ups_seen
        self._wake_ups_seen = watch.wake_up_count
        is_busy = self.drain.is_busy or self._report.is_counting
        if is_woken or is_busy or not watch.is_watching_inputs:
            self._quiet_at = now + QUIET_AFTER_SECONDS
        # A change that is not in the file yet needs one more pass, not six: if it set `_quiet_at`,
        # each probe of an outage would keep the drain awake.
        is_quiet = now >= self._quiet_at and not self._state_file.is_behind
        wait = QUIET_SECONDS if is_quiet else WATCHED_SECONDS
        return min(wait, self._watchdog.remaining(now))

    def _write_state(self, *, at_once: bool = False) -> None:
        now = self.parts.clocks.now()
        # With a backlog there are hundreds of passes a second; another one follows in any case.
        if self.drain.is_busy and not at_once and not self._state_file.may_write(now.wall):
            return
        state = self._report.state(
            now,
            warnings=self._externals.warnings(),
            slurm_release=self._externals.slurm_release(),
            polling_reason=self._watch.problem if self._watch else "",
        )
        self._state_file.write(state, now.wall, at_once=at_once)

    def _is_idle(self) -> bool:
        """Return whether nothing is left to query or send within the next second."""
        parts, now = self.parts, self.parts.clocks.steady()
        times = (parts.resolver.next_time(), parts.store.schedule.next_time())
        is_soon = any(at is not None and at <= now + SOON_SECONDS for at in times)
        is_asking = any(worker.outstanding for worker in self.workers)
        return (
            not is_asking
            and not parts.scanner.is_waiting
            and not len(parts.texts)
            and not is_soon
            and parts.health.is_up
            and not parts.store.schedule.is_ready(now)
        )

    def _gives_up(self, until: float) -> bool:
        """Return whether `--once` gives up: deliveries halted, too many failures or time over."""
        server = self.parts.health.state.server
        # An administrator has to act first: thirty seconds more would not help a cron job.
        is_halted = server.health == "halted"
        return is_halted or server.failures >= ONCE_TRIES or self.parts.clocks.steady() >= until
