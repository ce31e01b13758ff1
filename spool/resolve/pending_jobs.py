"""The job ids to ask Slurm about, and the outages of Slurm's daemons."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum, auto

from slurm.job import Job
from spool.files.event import Event
from spool.moment import Moment
from spool.resolve.job_query import JobQuery
from spool.resolve.run_match import TrackedRun

WARN_CONFIGURING_SECONDS = 3600.0
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
    """A job id to ask Slurm about: its events, the time of the query, and its contents.

    `seen` is when its last event, or a doubt about a run of it, came.
    """

    job_id: int
    next_query: float
    since: float
    seen: Moment
    events: tuple[Event, ...] = ()
    queries_sent: int = 0
    warned: bool = False
    phase: QueryPhase = QueryPhase.NONE
    asked: tuple[Event, ...] = ()
    record: Job | None = None
    needs_all: bool = False

    def wall_time(self, now: Moment) -> float:
        """Return the time to compare events with, Unix seconds: it follows the monotonic clock.

        A wall clock that is set forward makes no event old.
        """
        return self.seen.wall + now.steady - self.seen.steady

    def query(self, runs: tuple[TrackedRun, ...]) -> JobQuery:
        """Return its query, without delivered runs that a sweep reports as missing."""
        named = {event.start for event in self.asked if event.extras.get("again") == "1"}
        runs = tuple(run for run in runs if run.end is None or run.start_time not in named)
        return JobQuery(job_id=self.job_id, events=self.asked, runs=runs)

    def warn_configuring(self, now: Moment) -> None:
        """Log once that a job has been CONFIGURING for more than an hour."""
        if not self.warned and now.steady - self.since > WARN_CONFIGURING_SECONDS:
            self.warned = True
            _log.warning("job=%d is CONFIGURING for over an hour; check its nodes", self.job_id)


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
