"""The true facts of each run of the simulated site, and what cc-backend got of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

END_STATES = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "TIMEOUT": "timeout",
    "OUT_OF_MEMORY": "out_of_memory",
    "PREEMPTED": "preempted",
    "REQUEUED": "cancelled",
}
NEW_END_STATES = END_STATES | {"NODE_FAIL": "node_fail"}
OLD_END_STATES = END_STATES | {"NODE_FAIL": "failed"}


@dataclass(slots=True)
class Run:
    """One run of a job: the facts, and what happened to it.

    Times that end in `_at` are of the steady clock: `start_at` and `end_at` are when its events
    appeared. `was_requeued`: Slurm put its job back into the queue; `requeued`: it was, before or
    after this run. Exceptions: an `is_optional` run may be omitted by the policy for requeued jobs,
    an `is_excluded` run must not be reported, the start or stop of an `is_poison` run fails, an
    `is_silent` run is never answered, an `is_forbidden` run is rejected with its script.
    """

    job_id: int
    start: int
    document: dict[str, Any]
    script: str | None
    start_at: float
    requeued: bool = False
    was_requeued: bool = False
    is_excluded: bool = False
    is_optional: bool = False
    is_poison: bool = False
    is_silent: bool = False
    is_forbidden: bool = False
    is_nameless: bool = False
    host: str = ""
    end: int | None = None
    state: str = ""
    end_at: float = float("inf")
    started_at: float | None = None
    stopped_at: float | None = None
    deleted_at: float | None = None
    stored_at: float | None = None
    future_until: float = 0.0

    @property
    def key(self) -> tuple[int, int]:
        """Return job id and start time."""
        return self.job_id, self.start

    @property
    def name(self) -> str:
        """Return the name of its run file."""
        return f"{self.job_id}-{self.start}.json"
