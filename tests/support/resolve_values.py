"""Records, rows and events of job 5, and their resolution."""

from __future__ import annotations

from dataclasses import replace

from slurm.job import Job
from spool.files.event import Event, EventKind, event_name
from spool.files.run import End, EndSource
from spool.resolve.job_query import JobQuery, SlurmAnswers
from spool.resolve.resolve_job import Resolution, resolve_job
from spool.resolve.run_match import TrackedRun

T = 1_767_225_600
HOUR, DAY = 3600, 24 * 3600
RUNNING = Job(job_id=5, state="RUNNING", start_time=T, nodes=("n1",))
OVER = replace(RUNNING, state="COMPLETED", end_time=T + 60)
PENDING = replace(RUNNING, state="PENDING", start_time=None, nodes=())
OPEN = TrackedRun(start_time=T, started=True)


def event(
    kind: EventKind, time: float, *, start: int | None = None, end: int | None = None
) -> Event:
    """Return an event of job 5."""
    name = event_name(kind, 5, start=start, end=end, pid=int(time))
    return Event(name=name, kind=kind, job_id=5, start=start, end=end, time=time)


START, STOP = event(EventKind.START, T), event(EventKind.STOP, T + 60)


def concluded(
    *events: Event,
    runs: tuple[TrackedRun, ...] = (),
    record: Job | None = None,
    rows: tuple[Job, ...] | None = None,
    now: float = T + 61,
    has_accounting: bool = True,
) -> Resolution:
    """Return the resolution of job 5 from events, known runs and the answers of Slurm."""
    query = JobQuery(job_id=5, events=events, runs=runs)
    answers = SlurmAnswers(record=record, rows=rows, has_accounting=has_accounting)
    return resolve_job(query, answers, now)


def by(source: EndSource, time: int, state: str = "COMPLETED") -> End:
    """Return an end of a run from some source."""
    return End(time=time, state=state, source=source)
