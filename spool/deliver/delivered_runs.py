"""The recently delivered runs, because accounting may show one again with a later run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator

from spool.resolve.run_match import TrackedRun

MAX_REMEMBERED_JOBS = 10_000


class DeliveredRuns:
    """Start and end (Unix seconds) of the delivered runs of the last 10 000 jobs."""

    def __init__(self, recent: Iterable[tuple[int, int, int]]) -> None:
        self._ends: OrderedDict[int, dict[int, int]] = OrderedDict()
        for job_id, start, end in recent:
            self.add(job_id, start, end)

    def add(self, job_id: int, start: int, end: int) -> None:
        """Add a run; drop the oldest jobs above the limit."""
        self._ends.setdefault(job_id, {})[start] = end
        while len(self._ends) > MAX_REMEMBERED_JOBS:
            self._ends.popitem(last=False)

    def tracked(self, job_id: int, *, known_starts: Collection[int]) -> Iterator[TrackedRun]:
        """Yield the delivered runs of a job id, except those that start at `known_starts`."""
        for start, end in self._ends.get(job_id, {}).items():
            if start not in known_starts:
                yield TrackedRun(start_time=start, end=end, started=True)
