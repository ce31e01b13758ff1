"""Find the run in the spool that a record of Slurm shows, and its start time there. Pure.

A start differs by seconds between controller and accounting, and by minutes when nodes power up
late; a requeued job may run again within seconds. These cases are distinguished by, in this order:
the number of restarts, an end in between, and the start times in accounting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from slurm.job import Job
from spool.files.run import End, EndSource
from spool.resolve.slurm_runs import RunStage, match_start, run_stage, same_start

CLOCK_SLACK_SECONDS = 5  # Slurm's times are full seconds, an event's time is a file's mtime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """A run of the id in the spool, or delivered recently (then `end` is set).

    `restarts` is how often the job was requeued before this run, None if not known.
    """

    start_time: int
    end: int | None = None
    started: bool = False
    reported: bool = True
    restarts: int | None = None


@dataclass(frozen=True, slots=True)
class RunSpan:
    """A run whose state is certain: live (`end` None) or ended."""

    start_time: int
    end: End | None
    job: Job | None = None  # None: only the spool has the run

    def ended_by(self, time: float) -> bool:
        """Return whether the run had ended at a time, apart from the clocks' difference."""
        return self.end is not None and self.end.time <= time + CLOCK_SLACK_SECONDS


def span_of_record(
    job: Job, source: EndSource, runs: tuple[TrackedRun, ...], rows: Iterable[Job]
) -> RunSpan:
    """Return a run that Slurm shows, with its start time in the spool.

    A start moves when nodes power up late: the reported start time is kept if accounting (`rows`)
    has the run under the new start and nothing under the old one.
    """
    span = RunSpan(job.start_time or 0, _end_of(job, source), job)
    accounted = {row.start_time or 0 for row in rows}
    own = [run for run in runs if not _is_requeued_since(run, job)]
    for run in sorted(own, key=lambda run: run.start_time != span.start_time):
        claimed = run.start_time in accounted and span.start_time in accounted
        is_it = span.start_time == run.start_time
        if is_it or (not claimed and same_run(span, RunSpan(run.start_time, known_end(run)))):
            return replace(span, start_time=run.start_time)
    if may_have_moved(job, runs):
        old = runs[0].start_time
        if match_start(span.start_time, accounted) and match_start(old, accounted) is None:
            return replace(span, start_time=old)
    return span


def may_have_moved(job: Job, runs: tuple[TrackedRun, ...]) -> bool:
    """Return whether a record can be the only open run under a later start time."""
    if len(runs) != 1 or runs[0].end is not None or _is_requeued_since(runs[0], job):
        return False
    start = job.start_time or 0
    return runs[0].start_time < start and not same_start(runs[0].start_time, start)


def same_run(one: RunSpan, other: RunSpan) -> bool:
    """Return whether two views show one run: equal starts, or near ones and no end in between."""
    if one.start_time == other.start_time:
        return True
    first, second = sorted((one, other), key=lambda span: span.start_time)
    is_near = same_start(first.start_time, second.start_time)
    return is_near and (first.end is None or first.end.time > second.start_time)


def known_end(run: TrackedRun) -> End | None:
    """Return the end of a run that has ended in the spool; its state does not matter."""
    return None if run.end is None else End(time=run.end, state="", source=EndSource.EVENT)


def _is_requeued_since(run: TrackedRun, job: Job) -> bool:
    """Return whether the job was requeued between a known run and that of a record."""
    counts = (run.restarts, job.restart_count)
    return None not in counts and counts[0] != counts[1] and run.start_time != job.start_time


def _end_of(job: Job, source: EndSource) -> End | None:
    if run_stage(job) is not RunStage.ENDED or job.end_time is None or job.state is None:
        return None
    return End(time=job.end_time, state=job.state, source=source)
