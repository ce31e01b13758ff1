"""The two connections of one channel: the second is used only while the first is silent.

So a request that the server accepts and never answers delays only its own run.
"""

from __future__ import annotations

from spool.deliver.senders import SendRequest, SendResult
from spool.worker import Worker

DEPTH = 4  # queued requests of a worker, to keep it busy between two passes of the loop
NEW_RUN_SECONDS = 2.0  # between trials of new runs in a channel that fails
SILENT_SECONDS = 3.0

SendWorker = Worker[SendRequest, SendResult]


class SendChannel:
    """Two workers for one kind of requests; for the loop's thread."""

    def __init__(self, first: SendWorker, second: SendWorker, *, stops: bool) -> None:
        self.workers = (first, second)
        self.stops = stops
        self.new_run_at = float("-inf")
        """When a run that has not failed may be tried, though the channel fails; monotonic."""

    @property
    def outstanding(self) -> int:
        """Return how many requests have no answer yet."""
        return sum(worker.outstanding for worker in self.workers)

    @property
    def is_waiting(self) -> bool:
        """Return whether an answer may come soon: the current request is not silent yet."""
        return any(worker.outstanding and not is_silent(worker) for worker in self.workers)

    def free_worker(self) -> SendWorker | None:
        """Return the worker for the next request; None if both are busy."""
        # The first one that is not silent: a healthy server has one request of a channel at a time,
        # because cc-backend handles starts one after the other anyway.
        worker = next((each for each in self.workers if not is_silent(each)), None)
        return worker if worker is not None and worker.outstanding < DEPTH else None

    def recall(self) -> list[SendRequest]:
        """Remove and return the requests queued behind one that has been silent for long."""
        # Behind a silent request the others would wait for a minute. They were not sent yet, so it
        # is safe to take them back and give them to the other worker.
        return [
            request
            for worker in self.workers
            if worker.outstanding > 1 and is_silent(worker)
            for request in worker.recall()
        ]

    def next_time(self) -> float | None:
        """Return the monotonic time at which a worker without an answer counts as silent."""
        times = [w.busy_since + SILENT_SECONDS for w in self.workers if w.outstanding]
        return min((t for t in times if t > self.workers[0].clock()), default=None)


def is_silent(worker: SendWorker) -> bool:
    """Return whether the current request has had no answer for long."""
    return worker.busy_seconds() >= SILENT_SECONDS
