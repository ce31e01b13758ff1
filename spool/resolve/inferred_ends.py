"""Ends of runs that Slurm does not show as over: what events and later runs prove. Pure."""

from __future__ import annotations

from slurm.job import Job
from spool.files.event import Event, EventKind
from spool.files.run import End, EndSource
from spool.resolve.job_query import JobQuery, SlurmAnswers
from spool.resolve.run_match import CLOCK_SLACK_SECONDS, RunSpan
from spool.resolve.slurm_runs import RunStage, match_start, run_stage

PROVEN_END_DELAY_SECONDS = 300  # wait for accounting where epilog and next run show the end
ACCOUNTING_DELAY_SECONDS = 24 * 3600  # accounting may be late by as much


def ends_of_close_events(query: JobQuery, seen: tuple[RunSpan, ...]) -> dict[int, End]:
    """Return the ends that the sweeper's close events carry; Slurm's own word goes before."""
    shown = [span.start_time for span in seen]
    tracked = [run.start_time for run in query.runs]
    closes = (e for e in query.events if e.kind is EventKind.CLOSE and e.start and e.end)
    return {
        match_start(event.start or 0, tracked) or event.start or 0: End(
            time=event.end or 0, state="FAILED", source=EndSource.CLOSE
        )
        for event in closes
        if match_start(event.start or 0, shown) is None
    }


def inferred_ends(
    query: JobQuery,
    answers: SlurmAnswers,
    not_shown: list[int],
    seen: tuple[RunSpan, ...],
    now: float,
) -> dict[int, End]:
    """Return ends of runs that Slurm does not show although something proves them over.

    Proof is the epilog's event or a later run of the same id; accounting, which has the true end,
    is waited for by a day, and by minutes where both say so: the later run is not shown meanwhile.
    """
    if answers.rows is None:
        return {}
    is_waiting = answers.record is not None and is_queued(answers.record)
    later = sorted([s.start_time for s in seen] + [r.start_time for r in query.runs])
    ends: dict[int, End] = {}
    for start in not_shown:
        following = next((other for other in later if other > start), None)
        stop = _stop_event_of(start, following or now, query.events)
        is_evident = (
            not answers.has_accounting or now - (following or now) > PROVEN_END_DELAY_SECONDS
        )
        if stop and (is_evident or now - stop.time > ACCOUNTING_DELAY_SECONDS):
            is_requeued = is_waiting or following is not None
            ends[start] = end_by_event(stop, is_requeued=is_requeued)
        elif following and now - following > ACCOUNTING_DELAY_SECONDS:
            ends[start] = End(time=following, state="CANCELLED", source=EndSource.NEXT_RUN)
    return ends


def _stop_event_of(start: int, before: float, events: tuple[Event, ...]) -> Event | None:
    """Return the epilog's event of a run that was over before a time, as far as can be told."""
    for event in events:
        is_named = event.start is not None and match_start(event.start, [start]) is not None
        is_near = event.start is None and start <= event.time <= before + CLOCK_SLACK_SECONDS
        if event.kind is EventKind.STOP and (is_named or is_near):
            return event
    return None


def end_by_event(event: Event, *, is_requeued: bool) -> End:
    """Return the end that an epilog's event alone can tell: its time and exit code.

    That of a requeued run is 0 whatever became of it (slurm: SLURM_JOB_EXIT_CODE).
    """
    code = None if is_requeued else event.extras.get("exit_code")
    state = "CANCELLED" if code is None else "COMPLETED" if code == "0:0" else "FAILED"
    return End(time=event.end or int(event.time), state=state, source=EndSource.EVENT)


def is_queued(record: Job) -> bool:
    """Tell whether a job waits in the queue: after a run, it was requeued."""
    return run_stage(record) is RunStage.NOT_STARTED
