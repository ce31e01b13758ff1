"""The connections of a channel (starts or stops); the next is used when one does not answer.

So a request that the server accepts and never answers delays only its own run.
"""

from __future__ import annotations

from collections.abc import Callable

from spool.deliver.pending_run import PendingRun
from spool.deliver.senders import SendRequest, SendResult
from spool.worker import Worker

DEPTH = 4  # queued requests of a worker, to keep it busy between two passes of the loop
NEW_RUN_SECONDS = 2.0  # between trials of new runs in a channel that fails
# cc-backend answers a start or a stop within 1 to 5 ms (measured with 1.4.4 and 1.5.4 on SQLite),
# and a request may take a minute: three seconds of silence mean that it hangs.
SILENT_SECONDS = 3.0

SendWorker = Worker[SendRequest, SendResult]


class SendChannel:
    """Three workers for one channel (starts or stops); used only in the loop's thread."""

    def __init__(self, workers: tuple[SendWorker, ...], *, stops: bool) -> None:
        self.workers = workers
        self.stops = stops
        self._failed: list[tuple[PendingRun, SendWorker]] = []
        self.new_run_at = float("-inf")
        """When a run that has not failed may be tried, though the channel fails; monotonic."""

    @property
    def outstanding(self) -> int:
        """Return how many requests have no answer yet."""
        return sum(worker.outstanding for worker in self.workers)

    @property
    def is_waiting(self) -> bool:
        """Return whether some worker has waited for its answer for less than three seconds."""
        return any(worker.outstanding and not is_silent(worker) for worker in self.workers)

    def free_worker(self) -> SendWorker | None:
        """Return the worker for the next request; None if its queue is full or all are silent."""
        # The first one that is not silent: a healthy server has one request of a channel at a time,
        # because cc-backend handles starts one after the other anyway.
        # A second connection gains at most 25 % for starts and nothing for stops (measured).
        worker = next((each for each in self.workers if not is_silent(each)), None)
        return worker if worker is not None and worker.outstanding < DEPTH else None

    def note_failed(self, entry: PendingRun, worker: SendWorker) -> None:
        """Record which worker got a run whose last request failed."""
        self._failed.append((entry, worker))

    def may_send_failed(self, is_in_flight: Callable[[PendingRun], bool]) -> bool:
        """Return whether a run whose last request failed may be sent.

        Such a request may be silent for a minute. So one is sent at a time, and another one while
        that is silent, but never by the last worker that is left for runs that have not failed.
        """
        # Cleaned up here, so that answers need not be reported to the channel.
        self._failed = [pair for pair in self._failed if is_in_flight(pair[0])]
        silent = [worker for worker in self.workers if is_silent(worker)]
        has_reserve = len(silent) < len(self.workers) - 1
        return has_reserve and all(worker in silent for _, worker in self._failed)

    def recall(self) -> list[SendRequest]:
        """Remove and return the unsent requests queued behind a silent one (see `is_silent`)."""
        # Behind a silent request the others would wait for a minute. They were not sent yet, so it
        # is safe to take them back and give them to another worker.
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
    """Return whether a worker's current request has had no answer for three seconds."""
    return worker.busy_seconds() >= SILENT_SECONDS
