"""Pass a resolver's questions to a Slurm in memory that answers immediately, or is silent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from slurm.errors import SlurmError
from slurm.job import Job
from spool.files.event import Event, EventKind, event_name
from spool.moment import Moment
from spool.resolve.resolver import Resolved, Resolver, Tracked
from spool.resolve.run_match import TrackedRun
from spool.resolve.slurm_worker import RecordsQuery, RecordsReply, RowsQuery, RowsReply

T = 1_767_225_600.0
RUNNING = Job(job_id=5, state="RUNNING", start_time=int(T), nodes=("n1",))
OVER = replace(RUNNING, state="COMPLETED", end_time=int(T) + 9)
SILENT = RecordsReply(error="no answer")
NO_ROWS = RowsReply(error="no answer")


def at(seconds: float) -> Moment:
    """Return a moment so many seconds after noon, where the monotonic clock begins."""
    return Moment(T + seconds, seconds)


def nothing_tracked(_job_id: int) -> tuple[TrackedRun, ...]:
    """Return no runs, for a resolver without tracked runs."""
    return ()


def event(
    job_id: int = 5,
    seconds: float = 0.0,
    *,
    kind: EventKind = EventKind.START,
    pid: int = 1,
    **extras: str,
) -> Event:
    """Return an event without times in its name."""
    name = event_name(kind, job_id, start=None, end=None, pid=pid)
    return Event(
        name=name,
        kind=kind,
        job_id=job_id,
        start=None,
        end=None,
        time=T + seconds,
        extras=extras,
    )


@dataclass
class Asker:
    """A stand-in for the drain's loop that gets answers for a resolver from a Slurm in memory."""

    resolver: Resolver = field(default_factory=Resolver)
    records: dict[int, Job | SlurmError] = field(default_factory=lambda: {5: RUNNING})
    rows: tuple[Job, ...] = ()
    silent: bool = False
    accounting_silent: bool = False
    has_accounting: bool = True
    tracked: Tracked = nothing_tracked
    asked: list[RecordsQuery] = field(default_factory=list)
    rows_asked: list[RowsQuery] = field(default_factory=list)

    def ask(self, seconds: float) -> list[Resolved]:
        """Ask controller and accounting all due questions; return the resolved jobs."""
        return [*self.ask_controller(seconds), *self.ask_accounting(seconds)]

    def ask_controller(self, seconds: float) -> list[Resolved]:
        """Ask only the controller; return the resolved jobs."""
        query = self.resolver.next_records(at(seconds), self.tracked)
        if query is None:
            return []
        self.asked.append(query)
        found = {i: self.records[i] for i in query.job_ids if i in self.records}
        reply = SILENT if self.silent else RecordsReply(records=found)
        return self.resolver.take_records(query, reply, at(seconds), self.tracked)

    def ask_accounting(self, seconds: float) -> list[Resolved]:
        """Ask only accounting; return the resolved jobs."""
        query = self.resolver.next_rows(at(seconds), self.tracked)
        if query is None:
            return []
        self.rows_asked.append(query)
        rows = tuple(row for row in self.rows if row.job_id in query.job_ids)
        reply = RowsReply(rows=rows, has_accounting=self.has_accounting)
        if self.accounting_silent:
            reply = NO_ROWS
        return self.resolver.take_rows(query, reply, at(seconds), self.tracked)

    def waits(self, times: int, *, now: float = 0.0) -> list[float]:
        """Ask so many times, each when the resolver wants it; return the seconds between."""
        moments = [now]
        for _ in range(times):
            wanted = self.resolver.next_time()
            assert wanted is not None
            moments.append(wanted)
            self.ask(wanted)
        return [round(later - earlier, 3) for earlier, later in pairwise(moments)]
