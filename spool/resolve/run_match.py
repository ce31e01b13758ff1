"""Find the run in the spool that a record of Slurm or an event shows, and its start time. Pure.

A start differs by seconds between controller and accounting, and by minutes when nodes power up
late; a requeued job may run again within seconds. These cases are distinguished by, in this order:
the number of restarts, an end in between, and the start times in accounting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from slurm.job import Job
from spool.files.event import Event, EventKind
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
        """Return whether the run ended before a time, or up to `CLOCK_SLACK_SECONDS` later."""
        return self.end is not None and self.end.time <= time + CLOCK_SLACK_SECONDS


def span_of_record(
    job: Job, source: EndSource, runs: tuple[TrackedRun, ...], rows: Iterable[Job]
) -> RunSpan:
    """Return the run of a Slurm record; its start time is the spool's if the spool has the run.

    A start moves when nodes power up late: the reported start time is kept if accounting (`rows`)
    has the run under the new start and nothing under the old one.
    """
    span = RunSpan(job.start_time or 0, _end_of(job, source), job)
    accounted = {row.start_time or 0 for row in rows}
    # A requeued job may run again within seconds under the same id. Then the starts say nothing,
    # and the restart count, where both sides have it, decides alone.
    own = [run for run in runs if not _is_requeued_since(run, job)]
    # The exact start first: of two runs that are near, the record belongs to that one.
    for run in sorted(own, key=lambda run: run.start_time != span.start_time):
        # accounting shows both starts, so they are two runs, however near
        claimed = run.start_time in accounted and span.start_time in accounted
        is_it = span.start_time == run.start_time
        if is_it or (not claimed and same_run(span, RunSpan(run.start_time, known_end(run)))):
            return replace(span, start_time=run.start_time)
    # Powering up nodes moves a start by minutes, too far for `same_run`. The reported start must
    # be kept: cc-backend knows the run by it.
    if may_have_moved(job, runs):
        old = runs[0].start_time
        if match_start(span.start_time, accounted) and match_start(old, accounted) is None:
            return replace(span, start_time=old)
    return span


def may_have_moved(job: Job, runs: tuple[TrackedRun, ...]) -> bool:
    """Return whether a record can be the spool's only open run, whose start has moved later."""
    # Nodes of a cloud or in power saving are allocated before they are up, and slurmctld sets the
    # start to now when they are ready (`job_config_fini`, `src/slurmctld/job_mgr.c`, 21.08 ...
    # 26.05). With two runs of the id it is unknown which one has moved.
    if len(runs) != 1 or runs[0].end is not None or _is_requeued_since(runs[0], job):
        return False
    start = job.start_time or 0
    return runs[0].start_time < start and not same_start(runs[0].start_time, start)


def same_run(one: RunSpan, other: RunSpan) -> bool:
    """Return whether two views show one run: equal starts, or near ones and no end in between."""
    if one.start_time == other.start_time:
        return True
    # Near starts alone are not enough: a job that fails at once and is requeued runs again within
    # seconds. An end between the two starts proves that they are two runs.
    first, second = sorted((one, other), key=lambda span: span.start_time)
    is_near = same_start(first.start_time, second.start_time)
    # Slurm's times are full seconds: an end in the second of the next start is an end in between.
    return is_near and (first.end is None or first.end.time > second.start_time)


def known_end(run: TrackedRun) -> End | None:
    """Return the end of a run in the spool, with an empty state; None if it has not ended."""
    return None if run.end is None else End(time=run.end, state="", source=EndSource.EVENT)


def _is_requeued_since(run: TrackedRun, job: Job) -> bool:
    """Return whether the job was requeued between a known run and that of a record."""
    counts = (run.restarts, job.restart_count)
    return None not in counts and counts[0] != counts[1] and run.start_time != job.start_time


def _end_of(job: Job, source: EndSource) -> End | None:
    if run_stage(job) is not RunStage.ENDED or job.end_time is None or job.state is None:
        return None
    return End(time=job.end_time, state=job.state, source=source)


# Up to Slurm 22.05 an event names no run. A start event within a minute after an end may be a late
# prolog of the ended run, or that of the next run. Where a run may be hidden only a second counts:
# else a job that is requeued and ends again at once would lose its second run.
EPILOG_DELAY_SECONDS = 60  # an epilog, or a delayed prolog, runs at most this late
HIDDEN_RUN_SECONDS = 1  # a start later than this after an end may belong to a run not shown yet


def event_matches(event: Event, spans: tuple[RunSpan, ...], *, may_hide_run: bool) -> bool:
    """Return whether an event belongs to some run whose state is known.

    `may_hide_run`: a newer run may exist that Slurm does not show yet.
    """
    if event.kind is EventKind.CLOSE:
        return True
    if event.kind is EventKind.START:
        # If a newer run may exist, a start event soon after an end is most likely that of the newer
        # run: to settle it with the old one would lose the newer run until the next sweep.
        late = HIDDEN_RUN_SECONDS if may_hide_run else EPILOG_DELAY_SECONDS
        return any(_matches_start(event, span, late) for span in spans)
    return _matches_stop(event, spans)


def _matches_start(event: Event, span: RunSpan, late_seconds: int) -> bool:
    if event.start is not None:
        return same_run(RunSpan(event.start, None), span) or span.start_time > event.time
    if span.start_time > event.time + CLOCK_SLACK_SECONDS:
        return True  # the event's run was rolled back, or its start moved
    return span.end is None or span.end.time >= event.time - late_seconds


def _matches_stop(event: Event, spans: tuple[RunSpan, ...]) -> bool:
    """Return whether the run of an epilog's event has ended.

    An event without a start time (before Slurm 23.02) is of the last run that began before it. A
    run that began within the same second may be the next run of a requeued job.
    """
    if event.start is not None:
        named = RunSpan(event.start, None)
        return any(span.ended_by(event.time) for span in spans if same_run(named, span))
    # A run that began before the event and has no end yet: the epilog is most likely its own, and
    # the controller will show the end soon.
    if any(span.end is None and span.start_time < event.time - 1 for span in spans):
        return False
    # One second of tolerance on both sides: Slurm's times are truncated to seconds, the event's is
    # not.
    return any(span.ended_by(event.time) and span.start_time <= event.time + 1 for span in spans)
