"""The job ids to ask Slurm about, and the outages of Slurm's daemons."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum, auto

from slurm.job import Job
from spool.files.event import Event
from spool.moment import Moment

MAX_FAILURE_DELAY_SECONDS = 2.0  # MinJobAge may be as short as 20 s
_log = logging.getLogger(__name__)


class QueryPhase(Enum):
    """The answer that a job id waits for."""

    NONE = auto()
    CONTROLLER = auto()
    ACCOUNTING_WANTED = auto()
    ACCOUNTING = auto()


@dataclass(slots=True)
class PendingJob:
    """A job id to ask Slurm about: its events, the time of the query, and its contents."""

    job_id: int
    next_query: float
    since: float
    events: tuple[Event, ...] = ()
    queries_sent: int = 0
    warned: bool = False
    phase: QueryPhase = QueryPhase.NONE
    asked: tuple[Event, ...] = ()
    record: Job | None = None
    needs_all: bool = False


@dataclass(slots=True)
class SourceSilence:
    """An outage of a source: since when, and when to try again; monotonic seconds."""

    name: str
    since: Moment | None = None
    reason: str = ""
    failures: int = 0
    next_try: float = 0.0

    def failed(self, reason: str, now: Moment) -> None:
        """Record a query without an answer, and delay the next one."""
        if self.since is None:
            self.since = now
            _log.warning("%s does not answer: %s", self.name, reason)
        self.reason = reason
        self.failures += 1
        delay = min(0.25 * 2.0 ** min(self.failures, 20), MAX_FAILURE_DELAY_SECONDS)
        self.next_try = now.steady + delay

    def answered(self, now: Moment) -> None:
        """Record an answer; log the end of an outage once."""
        if self.since is not None:
            seconds = now.steady - self.since.steady
            text = "%s answers again after %.0f s (failed queries: %d)"
            _log.info(text, self.name, seconds, self.failures)
        self.since, self.reason, self.failures, self.next_try = None, "", 0, 0.0
