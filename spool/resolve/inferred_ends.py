"""Infer ends of runs that Slurm does not show as ended, from events and later runs. Pure."""

from __future__ import annotations

from slurm.job import Job
from spool.files.event import Event, EventKind
from spool.files.run import End, EndSource
from spool.resolve.job_query import JobQuery, SlurmAnswers
from spool.resolve.run_match import CLOCK_SLACK_SECONDS, RunSpan
from spool.resolve.slurm_runs import CHANGING_STAGES, RunStage, match_start, run_stage

PROVEN_END_DELAY_SECONDS = 300  # if epilog and next run show the end, wait this long for accounting
# Of a run that it interrupts (requeue, preemption, node failure) Slurm writes 0:0, whatever the
# script returned: these states are not here.
_WITH_EXIT_CODE = frozenset(
    {"CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT"}
)
ACCOUNTING_DELAY_SECONDS = 24 * 3600  # accounting may be late by this much


def ends_of_close_events(query: JobQuery, seen: tuple[RunSpan, ...]) -> dict[int, End]:
    """Return the ends from the sweeper's close events, except for runs that Slurm shows."""
    shown = [span.start_time for span in seen]
    tracked = [run.start_time for run in query.runs]
    closes = (e for e in query.events if e.kind is EventKind.CLOSE and e.start and e.end)
    return {
        # Under the start time in the spool: cc-backend knows the row by it. FAILED, because it is
        # unknown how the run ended, and COMPLETED would claim success.
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
    """Return ends of runs that Slurm does not show but that are proven to have ended.

    The epilog's event or a later run of the same id is a proof. Accounting has the true end and may
    be late, so it gets a day before a proof is used, but only five minutes if both proofs exist,
    because the later run has to wait meanwhile.
    """
    # Accounting was not asked or did not answer: it may still show the true end.
    if answers.rows is None:
        return {}
    # A pending record after a run means a requeue: then the exit code in the epilog's event is not
    # that of the run.
    has_left = answers.record is not None and has_left_run(answers.record)
    # Such a record will show the true end itself, though it may take hours.
    is_changing = answers.record is not None and run_stage(answers.record) in CHANGING_STAGES
    # One id runs once at a time: a later start proves that the earlier run has ended.
    later = sorted([s.start_time for s in seen] + [r.start_time for r in query.runs])
    ends: dict[int, End] = {}
    for start in not_shown:
        following = next((other for other in later if other > start), None)
        # Only an epilog before the next run: a later one is that of the next run.
        stop = _stop_event_of(start, following or now, query.events)
        # without a later run `following or now` is now, so only the day after the epilog can pass
        is_evident = not is_changing and (
            not answers.has_accounting or now - (following or now) > PROVEN_END_DELAY_SECONDS
        )
        if stop and (is_evident or now - stop.time > ACCOUNTING_DELAY_SECONDS):
            is_requeued = has_left or following is not None
            ends[start] = end_by_event(stop, is_requeued=is_requeued)
        elif following and now - following > ACCOUNTING_DELAY_SECONDS:
            # no epilog was seen: the true end is before the next start, and its state is unknown
            ends[start] = End(time=following, state="CANCELLED", source=EndSource.NEXT_RUN)
    return ends


def _stop_event_of(start: int, before: float, events: tuple[Event, ...]) -> Event | None:
    """Return the epilog's event of a run that ended before a time; None if there is none."""
    for event in events:
        is_named = event.start is not None and match_start(event.start, [start]) is not None
        # Up to Slurm 22.05 the epilog does not know when its run began (SLURM_JOB_START_TIME came
        # with 23.02), so only the time of its event shows it.
        is_near = event.start is None and start <= event.time <= before + CLOCK_SLACK_SECONDS
        if event.kind is EventKind.STOP and (is_named or is_near):
            return event
    return None


def end_by_event(event: Event, *, is_requeued: bool) -> End:
    """Return the end from an epilog's event alone: its time, and a state from the exit code.

    The exit code of a requeued run is always 0 (Slurm's SLURM_JOB_EXIT_CODE), so it is ignored.
    """
    code = None if is_requeued else event.extras.get("exit_code")
    state = "CANCELLED" if code is None else "COMPLETED" if code == "0:0" else "FAILED"
    return End(time=event.end or int(event.time), state=state, source=EndSource.EVENT)


def exit_code_of(end: End, start: int, events: tuple[Event, ...]) -> str | None:
    """Return the exit code (`1:0`) that the epilog's event of a run has; None if not known.

    That of an interrupted run is always 0 (Slurm's SLURM_JOB_EXIT_CODE2), so it is ignored.
    """
    event = _stop_event_of(start, end.time, events)
    if event is None or end.state not in _WITH_EXIT_CODE:
        return None
    return event.extras.get("exit_code")


def has_left_run(record: Job) -> bool:
    """Return whether the record shows no run here: it is pending, or a federation sibling has it.

    After a run this means that the job was requeued.
    """
    return run_stage(record) in {RunStage.NOT_STARTED, RunStage.OTHER_CLUSTER}
