"""The job ids to ask Slurm about, the inputs for resolving one, and outages of Slurm's daemons."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum, auto

from slurm.job import Job
from slurm.light_dataclass import light_dataclass
from spool.backoff import backoff
from spool.escaping import escape
from spool.files.event import Event, EventKind
from spool.moment import Moment
from spool.resolve.run_match import EPILOG_DELAY_SECONDS, TrackedRun
from spool.resolve.slurm_runs import RunStage


@light_dataclass
class JobQuery:
    """A job id with its waiting events (oldest first) and its known runs."""

    job_id: int
    events: tuple[Event, ...] = ()
    runs: tuple[TrackedRun, ...] = ()

    def known_starts(self) -> set[int]:
        """Return the start times of unfinished runs in the spool, and those that events name."""
        open_runs = {run.start_time for run in self.runs if run.end is None}
        return open_runs | {event.start for event in self.events if event.start}

    def since(self) -> int:
        """Return the time from which on accounting is asked for the id's runs, Unix seconds."""
        # where the clock was set back a run may end before it began
        times = [min(event.start or int(event.time), int(event.time)) for event in self.events]
        # An open run extends the window to its start, so that accounting can show its end even if
        # it ran for weeks.
        times += [run.start_time for run in self.runs if run.end is None]
        return max(0, min(times, default=0) - EPILOG_DELAY_SECONDS)

    def may_have_run(self) -> bool:
        """Return whether a run of the job began on this cluster: it is open, or it has an epilog.

        In a federation a requeued job may run on another cluster next.
        """
        stops = any(event.kind is EventKind.STOP for event in self.events)
        return stops or any(run.end is None for run in self.runs)

    def asks_end_only(self) -> bool:
        """Return whether only the end of a known run is missing."""
        stops = all(event.kind is EventKind.STOP for event in self.events)
        return stops and any(run.end is None for run in self.runs)


@light_dataclass
class SlurmAnswers:
    """Slurm's answers: `record` None is *unknown to the controller*, `rows` None *not asked*.

    Without accounting (`has_accounting` False) there will never be rows: then events are used.
    """

    record: Job | None
    rows: tuple[Job, ...] | None = None
    has_accounting: bool = True


WARN_CHANGING_SECONDS = 3600.0
ACCOUNTING_AFTER_SECONDS = 60.0  # of an unsettled record: then accounting is asked, too
ACCOUNTING_EVERY_SECONDS = 300.0  # between two such questions
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
    """A job id to ask Slurm about: its events, the time of the next query, and what was asked.

    `seen` is when its last event, or a doubt about a run of it, came. `record` is the controller's
    last one. `accounting_at` (monotonic) is when accounting may be asked although the record is
    unsettled; None: not set yet.
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
    accounting_at: float | None = None
    needs_all: bool = False

    def wall_time(self, now: Moment) -> float:
        """Return the time to compare events with, Unix seconds: it follows the monotonic clock.

        A wall clock that is set forward makes no event old.
        """
        return self.seen.wall + now.steady - self.seen.steady

    def query(self, runs: tuple[TrackedRun, ...]) -> JobQuery:
        """Return the query of the id, without delivered runs that a sweep reports as missing."""
        # A sweep writes such an event when cc-backend lost the row of a run. Among the delivered
        # runs the run would count as known, and nothing would be sent.
        named = {event.start for event in self.asked if event.extras.get("again") == "1"}
        runs = tuple(run for run in runs if run.end is None or run.start_time not in named)
        return JobQuery(job_id=self.job_id, events=self.asked, runs=runs)

    def take_accounting_turn(self, stage: RunStage | None, now: Moment) -> bool:
        """Return whether to ask accounting now; if so, set the time of the next question.

        While the record is unsettled, accounting is asked only if that stage lasts.
        """
        if stage is not RunStage.UNSETTLED:
            return True
        # A job may be COMPLETING for days if its node does not answer, and accounting has its end.
        # Mostly it is over within seconds, and to ask the controller again is cheaper.
        if self.accounting_at is None:
            self.accounting_at = now.steady + ACCOUNTING_AFTER_SECONDS
        if now.steady < self.accounting_at:
            return False
        self.accounting_at = now.steady + ACCOUNTING_EVERY_SECONDS
        return True

    def warn_if_changing_long(self, now: Moment) -> None:
        """Log once that the record of a job has been in a changing stage for over an hour."""
        if self.record and not self.warned and now.steady - self.since > WARN_CHANGING_SECONDS:
            self.warned = True
            words = [word for word in (self.record.state, *self.record.flags) if word]
            text = (
                "job=%d: its start or end cannot be reported yet: for over an hour Slurm has shown"
                " no final nodes and times (state: %s); check it with `scontrol show job %d`"
            )
            _log.warning(text, self.job_id, escape(",".join(words)), self.job_id)


@dataclass(slots=True)
class SourceSilence:
    """An outage of slurmctld or accounting: since when (None: none), and when to ask again."""

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
        # Short, because slurmctld forgets ended jobs after MinJobAge, and what it forgets during an
        # outage of ours has no cores and GPUs any more.
        delay = backoff(self.failures, first=0.25, longest=MAX_FAILURE_DELAY_SECONDS)
        self.next_try = now.steady + delay

    def answered(self, now: Moment) -> None:
        """Record that a Slurm daemon answered; log the end of its outage, if there was one."""
        if self.since is not None:
            seconds = now.steady - self.since.steady
            text = "%s answers again after %.0f s (failed queries: %d)"
            _log.info(text, self.name, seconds, self.failures)
        self.since, self.reason, self.failures, self.next_try = None, "", 0, 0.0
