"""Pending runs, a schedule of them, and the runs that it lets be sent."""

from __future__ import annotations

from slurm.job import Job
from spool.deliver.pending_run import PendingRun
from spool.deliver.schedule import Schedule
from spool.files.layout import Directory
from spool.files.run import Run

NOW = 10_000.0
RUN = Run(job=Job(job_id=1, nodes=("n1",)), start_time=100)


def entry(job_id: int, start: int, **facts: object) -> PendingRun:
    """Return a pending run in `todo/` whose start is to be sent."""
    made = PendingRun(job_id=job_id, start_time=start, stored=Directory.TODO)
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def schedule(*entries: PendingRun, hold: float = 0.0) -> Schedule:
    """Return a schedule of some pending runs."""
    made = Schedule(hold)
    for each in entries:
        made.add(each, NOW)
    return made


def taken(made: Schedule, *, stops: bool, now: float = NOW) -> list[tuple[int, int]]:
    """Take all runs that may be sent before any answer; return job ids and start times."""
    found = []
    while (each := made.take_next(now, stops=stops)) is not None:
        found.append((each.job_id, each.start_time))
    return found
