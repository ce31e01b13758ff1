"""Report node states at each interval, in a separate worker; requests about jobs go first.

A call about 10 000 nodes lets job starts wait at cc-backend for half a second. So a round waits
until no job request is due or in flight, for one interval at most: otherwise a site that always has
job requests would never get new node states.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from spool.deliver.backend_health import BackendHealth
from spool.deliver.delivery import Delivery
from spool.deliver.schedule import Schedule
from spool.files.node_round import NodeRound, read_node_round, write_node_round
from spool.files.system_calls import SystemCalls
from spool.moment import Moment
from spool.worker import Worker

FIRST_SECONDS = 10.0
JITTER_SECONDS = 10.0  # so that controllers restarted together do not call together
REFUSED_SECONDS = 3600.0
_log = logging.getLogger(__name__)

NodesWorker = Worker[NodeRound, NodeRound]


class NodeRounds:
    """The schedule of node state reports, used only in the loop's thread; no worker: no reports.

    A round is one report of all nodes; its result is written into the directory `state`.
    """

    def __init__(
        self,
        worker: NodesWorker | None,
        now: Moment,
        *,
        interval_seconds: float,
        state: Path,
        system_calls: SystemCalls,
        random: Callable[[], float],
    ) -> None:
        self._worker = worker
        self._interval = interval_seconds
        self._state = state
        self._system_calls = system_calls
        self._last = NodeRound()
        self._next_at = float("inf")
        if worker is None:
            return
        self._last = read_node_round(state) or NodeRound()
        due = now.steady_at(self._last.tried + interval_seconds, longest=interval_seconds)
        self._next_at = max(due, now.steady + FIRST_SECONDS + random() * JITTER_SECONDS)

    def ask(
        self, now: Moment, health: BackendHealth, schedule: Schedule, delivery: Delivery
    ) -> None:
        """Begin a due round if cc-backend answers; job requests delay it one interval at most."""
        if self._worker is None or now.steady < self._next_at or self._worker.outstanding:
            return
        is_busy = bool(delivery.outstanding) or schedule.is_ready(now.steady)
        if not health.is_up or (is_busy and now.steady < self._next_at + self._interval):
            return
        self._next_at = now.steady + self._interval
        self._worker.ask(self._last)

    def next_time(self, now: Moment) -> float | None:
        """Return when the next round is due, by the monotonic clock; None: it is already due."""
        return self._next_at if self._next_at > now.steady else None

    def take(self, answer: NodeRound | None, now: Moment) -> None:
        """Store the result of a round and log what changed; None: the worker was closed."""
        if answer is None:
            return
        before, self._last = self._last, answer
        if answer.is_refused:
            self._next_at = now.steady + REFUSED_SECONDS
        _log_change(before, answer)
        try:
            write_node_round(self._state, answer, self._system_calls)
        except OSError as error:
            _log.warning("the result of the node report cannot be written: %s", error)


def _log_change(before: NodeRound, after: NodeRound) -> None:
    """Log the first accepted round, each new problem, and the end of problems, once each."""
    if after.problem:
        if after.problem != before.problem:
            level = logging.INFO if after.unsupported else logging.WARNING
            _log.log(level, "node states are not reported: %s", after.problem)
    elif before.problem or before.accepted is None:
        _log.info("node states are reported (nodes: %d)", after.nodes)
