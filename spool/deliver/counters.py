"""Count events, answers and latencies for monitoring; used only in the loop's thread."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping

from ccbackend.outcomes import Outcome
from spool.deliver.pending_run import PendingRun, RequestKind
from spool.files.drain_counters import LATENCY_BOUNDS, DrainCounters, LatencyCounts
from spool.files.event import Event
from spool.moment import Moment

_ACCEPTED = frozenset({Outcome.DELIVERED, Outcome.ALREADY_THERE})


class ActivityCounters:
    """The counters of a drain; they continue those of the previous drain."""

    def __init__(self, previous: DrainCounters, *, last_delivery: float | None) -> None:
        self._events = _nested(previous.events)
        self._answers = _nested(previous.answers)
        self._retries = Counter(previous.retries)
        self._latencies = dict(previous.latencies)
        self.delivered = 0
        """How many requests for runs cc-backend has accepted since this drain began."""
        self.last_delivery = last_delivery
        """When it last accepted one, Unix seconds; also one of an earlier drain."""

    def count_event(self, event: Event) -> None:
        """Count an event that was found in `new/`."""
        source = "hook" if event.is_of_hook else "command"
        self._events[source][str(event.kind)] += 1

    def count_answer(
        self, entry: PendingRun, kind: RequestKind, outcome: Outcome, now: Moment
    ) -> None:
        """Count an answer to a run's request; to be called before `entry.failures` is updated."""
        self._answers[str(kind)][str(outcome)] += 1
        if entry.failures:
            self._retries[str(kind)] += 1
        if outcome not in _ACCEPTED:
            return
        self.delivered += 1
        self.last_delivery = now.wall
        since = entry.hook_times.pop(kind, None)
        if since is not None:
            self._count_latency(str(kind), max(0.0, now.steady - since))

    def value(self) -> DrainCounters:
        """Return the current counts."""
        return DrainCounters(
            events={name: dict(counts) for name, counts in self._events.items()},
            answers={name: dict(counts) for name, counts in self._answers.items()},
            retries=dict(self._retries),
            latencies=dict(self._latencies),
        )

    def _count_latency(self, kind: str, seconds: float) -> None:
        old = self._latencies.get(kind, LatencyCounts())
        counts = list(old.counts)
        counts[bisect_left(LATENCY_BOUNDS, seconds)] += 1
        new = LatencyCounts(counts=tuple(counts), seconds=old.seconds + seconds)
        self._latencies[kind] = new


def _nested(old: Mapping[str, Mapping[str, int]]) -> defaultdict[str, Counter[str]]:
    counts = {name: Counter(each) for name, each in old.items()}
    return defaultdict(Counter, counts)
