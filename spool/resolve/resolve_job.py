"""Resolve one job id: conclude from Slurm's answers which runs are new and which have ended. Pure.

An event names a job id, not a run. The inputs are the waiting events of the id, its runs in the
spool, the controller's record and, if these leave an event or a run unexplained, accounting's rows.
The result says which runs are new, which have ended, and which events are settled. A missing answer
proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace

from slurm.decode.fields.scalars import digits
from slurm.job import Job
from slurm.light_dataclass import light_dataclass
from spool.files.event import Event, EventKind
from spool.files.run import End, EndSource
from spool.resolve.inferred_ends import (
    ACCOUNTING_DELAY_SECONDS,
    end_by_event,
    ends_of_close_events,
    has_left_run,
    inferred_ends,
)
from spool.resolve.job_query import JobQuery, SlurmAnswers
from spool.resolve.run_match import (
    RunSpan,
    event_matches,
    known_end,
    same_run,
    span_of_record,
)
from spool.resolve.slurm_runs import (
    CHANGING_STAGES,
    RunStage,
    end_of_requeued,
    match_start,
    run_stage,
    runs_of_accounting,
)

HOOK_SECONDS = 60  # a hook writes its event this long after it was due, at the latest
EVENT_EXPIRY_SECONDS = 3600  # an event that Slurm's answers contradict is dropped after this


@light_dataclass
class Resolution:
    """The conclusions from Slurm's answers about one job id.

    `new_runs` are runs that the spool does not have, with their end if they have ended. `ends` maps
    start times of tracked runs to their ends. `starts_to_resend` are start times of delivered runs
    whose start is sent once more. `settled_events` can be removed when the rest is durable;
    `pending_events` need accounting (`needs_accounting`) or another query; `unknown_events` belong
    to a job that Slurm has not known for so long that they are moved to dead/. `missing_starts` are
    start times of tracked runs that Slurm shows neither as running nor as ended.
    """

    new_runs: tuple[tuple[Job, End | None], ...] = ()
    ends: Mapping[int, End] = field(default_factory=dict)
    starts_to_resend: tuple[int, ...] = ()
    settled_events: tuple[Event, ...] = ()
    pending_events: tuple[Event, ...] = ()
    unknown_events: tuple[Event, ...] = ()
    missing_starts: tuple[int, ...] = ()
    needs_accounting: bool = False
    stage: RunStage | None = None


def resolve_job(query: JobQuery, answers: SlurmAnswers, now: float) -> Resolution:
    """Conclude the runs, ends and settled events of a job id; `now` in Unix seconds."""
    record_stage = None if answers.record is None else run_stage(answers.record)
    if record_stage is RunStage.OTHER_CLUSTER and not query.may_have_run():
        # a federation sibling runs the job, and reports it with its own hooks
        return Resolution(settled_events=query.events, stage=record_stage)
    # In the order of trust: what Slurm shows, what events and later runs prove, and what is left.
    seen = tuple(_shown_runs(query, answers))
    shown = {span.start_time for span in seen}
    open_runs = [run.start_time for run in query.runs if run.end is None]
    not_shown = [start for start in open_runs if start not in shown]
    # an inferred end replaces that of a close event: it has proof, the close event has none
    closed = {
        **ends_of_close_events(query, seen),
        **inferred_ends(query, answers, not_shown, seen, now),
    }
    # All runs whose state is certain: an event of one of them adds nothing.
    spans = (*seen, *(RunSpan(start, end) for start, end in closed.items()), *_ended_runs(query))
    may_hide_run = _may_hide_run(query, answers, now)
    missing = tuple(start for start in not_shown if start not in closed)
    unmatched = tuple(_unmatched_events(query, spans, missing, may_hide_run=may_hide_run))
    expired = tuple(event for event in unmatched if _is_expired(event, answers, now))
    # An expired event of a job that Slurm knows is settled, because the record shows the truth. If
    # Slurm does not know the job, nothing explains the event: it is moved to dead/ with a reason.
    unknown = expired if answers.record is None else ()
    unfinished = {event.name for event in unmatched if event not in expired or event in unknown}
    settled = tuple(event for event in query.events if event.name not in unfinished)
    pending = tuple(event for event in unmatched if event not in expired)
    # Slurm's own end wins over an inferred one: a stop that was sent cannot be corrected
    ends = closed | {span.start_time: span.end for span in seen if span.end is not None}
    return Resolution(
        new_runs=tuple(_new_runs(query, seen, closed)),
        ends={start: end for start, end in ends.items() if start in open_runs},
        starts_to_resend=_starts_to_resend(query, settled, seen),
        settled_events=settled,
        pending_events=pending,
        unknown_events=unknown,
        missing_starts=missing,
        # nothing about a configuring run; about an unsettled one the caller decides
        needs_accounting=answers.rows is None
        and record_stage is not RunStage.CONFIGURING
        and bool(pending or missing),
        stage=record_stage,
    )


def _may_hide_run(query: JobQuery, answers: SlurmAnswers, now: float) -> bool:
    """Return whether a run may have begun that is neither in Slurm's answers nor in the spool.

    Then a start event is not matched with a run that ended just before it. The controller should
    still have the record of a job with a recent event. The record of a requeued job counts its
    runs; accounting shows the last of them, perhaps later.
    """
    if answers.record is None:
        return any(now - event.time < EVENT_EXPIRY_SECONDS for event in query.events)
    # an unsettled record may be that of the next run
    if answers.rows is None or run_stage(answers.record) is RunStage.UNSETTLED:
        return True
    # A count of 2 in the record means that runs 0 and 1 have begun. If a run with count 1 is in the
    # spool, the last one is known, and no run can be hidden.
    counts = [run.restarts for run in query.runs]
    total = answers.record.restart_count
    # Only the record of a requeued job is already that of the next run.
    if total is None or not has_left_run(answers.record):
        return False
    return all(count is None or count + 1 < total for count in counts)


def _unmatched_events(
    query: JobQuery,
    spans: tuple[RunSpan, ...],
    missing: tuple[int, ...],
    *,
    may_hide_run: bool,
) -> Iterator[Event]:
    """Yield the events that belong to no run whose state is known.

    An epilog without a start time (before 23.02) may be of a run that Slurm does not show: one of
    the `missing` ones, or that of an earlier start event. Then it matches no earlier run.
    """
    # A run that Slurm does not show may be running: it may claim an epilog, but it settles nothing.
    unproven = tuple(RunSpan(start, None) for start in missing)
    has_begun = False
    for event in query.events:
        # Only for epilogs: any run whose start fits explains a start event.
        is_stop = event.kind is EventKind.STOP
        candidates = (*spans, *unproven) if is_stop else spans
        waits = has_begun and is_stop and event.start is None
        if waits or not event_matches(event, candidates, may_hide_run=may_hide_run):
            yield event
            has_begun |= event.kind is EventKind.START


def _shown_runs(query: JobQuery, answers: SlurmAnswers) -> Iterator[RunSpan]:
    """Yield the runs that Slurm shows, with their start times in the spool.

    The controller's record comes first and wins: it has cores and GRES. Only ended rows of
    accounting count, because a live row may be outdated, or a runaway job.
    """
    seen: list[RunSpan] = []
    shown: list[RunSpan] = []  # under Slurm's own start times
    record = answers.record
    rows = runs_of_accounting(answers.rows or (), query.job_id, starts=query.known_starts())
    # Records in other stages have no run, or one whose start may still move: its row at cc-backend
    # could not be corrected later.
    if record is not None and run_stage(record) in {RunStage.LIVE, RunStage.ENDED}:
        seen.append(span_of_record(record, EndSource.CONTROLLER, query.runs, rows))
        shown.append(replace(seen[0], start_time=record.start_time or 0))
    since = query.since()
    for row in rows:
        restarts, epilog_restarts = _restart_counts(row, query)
        ended = end_of_requeued(row, record, restarts=restarts, epilog_restarts=epilog_restarts)
        span = span_of_record(ended, EndSource.ACCOUNTING, query.runs, ())
        # the spool's start time and Slurm's may differ, and a row may be near either of them
        is_shown = any(same_run(span, other) for other in (*seen, *shown))
        # Older rows are runs that were delivered long ago, or runs of another job with the same id
        # before it was reused. To report them is the task of `cc-sweep backfill`.
        if span.end is not None and span.end.time >= since and not is_shown:
            seen.append(span)
    # Slurm shows no run of the job: without accounting, events are the only source
    if not answers.has_accounting and (record is None or has_left_run(record)):
        seen += _runs_of_events(query, seen, record)
    yield from seen


def _runs_of_events(query: JobQuery, seen: list[RunSpan], record: Job | None) -> Iterator[RunSpan]:
    """Yield ended runs that only events show: Slurm has forgotten them, and there is no accounting.

    A record is that of a requeued job: it has the facts of the job, not of the run. The start must
    be known, from the epilog's event (Slurm >= 23.02) or the prolog's event.
    """
    for event in query.events:
        start = _start_of(event, query.events)
        if event.kind is not EventKind.STOP or start is None:
            continue
        end = end_by_event(event, is_requeued=record is not None)
        # state, flags and restart count of the record are those of the next run
        base = record or Job(job_id=query.job_id)
        job = replace(
            base,
            start_time=start,
            end_time=end.time,
            state=end.state,
            flags=(),
            restart_count=None,
        )
        span = RunSpan(start, end, job)
        is_known = any(run.start_time == start for run in query.runs)
        if not is_known and not any(same_run(span, other) for other in seen):
            yield span


def _start_of(stop: Event, events: tuple[Event, ...]) -> int | None:
    """Return the start time of the run that an epilog's event ends; None if no event has it."""
    if stop.start is not None:
        return stop.start
    # The latest start before this epilog: one job id runs once at a time.
    begun = [e for e in events if e.kind is EventKind.START and e.time <= stop.time]
    return (begun[-1].start or int(begun[-1].time)) if begun else None


def _restart_counts(row: Job, query: JobQuery) -> tuple[int | None, int | None]:
    """Return the restart counts of a run at its start and at its epilog; None if not known."""
    start, end = row.start_time or 0, row.end_time or 0
    # In the epilog of an interrupted run Slurm has already raised the count
    # (SLURM_JOB_RESTART_COUNT, tested with 22.05.8), so that of the start comes from the spool or
    # the prolog.
    known = [run.restarts for run in query.runs if match_start(start, [run.start_time])]
    first = known[0] if known else None
    if first is None:
        first = _restart_count(query.events, EventKind.START, start=start, at=start)
    return first, _restart_count(query.events, EventKind.STOP, start=start, at=end)


def _restart_count(events: Iterable[Event], kind: EventKind, *, start: int, at: int) -> int | None:
    """Return the restart count in the event of a run's hook; None if there is none.

    Up to 22.05 the hook does not know the start: then its event is the first one that was written
    within seconds after the hook was due.
    """
    own = [event for event in events if event.kind is kind]
    named = [e for e in own if e.start and match_start(e.start, [start]) is not None]
    unnamed = [e for e in own if not e.start and -1 <= e.time - at <= HOOK_SECONDS]
    # The first of the unnamed events: a later one within the minute may be that of the next run.
    found = named[-1:] or sorted(unnamed, key=lambda event: event.time)[:1]
    return digits(found[0].extras.get("restart_count", "")) if found else None


def _ended_runs(query: JobQuery) -> Iterator[RunSpan]:
    """Yield the runs whose end is already in the spool."""
    for run in query.runs:
        if run.end is not None:
            yield RunSpan(run.start_time, known_end(run))


def _new_runs(
    query: JobQuery, seen: tuple[RunSpan, ...], closed: Mapping[int, End]
) -> Iterator[tuple[Job, End | None]]:
    """Yield the runs that the spool does not have, with their end if they have ended."""
    known = {run.start_time for run in query.runs}
    for span in seen:
        if span.job and span.start_time not in known:
            yield span.job, span.end
    # Those that are only in a close event: their rows at cc-backend are to be closed.
    for start, end in closed.items():
        if start not in known:
            yield Job(job_id=query.job_id, start_time=start, end_time=end.time), end


def _is_expired(event: Event, answers: SlurmAnswers, now: float) -> bool:
    """Return whether an unexplained event has waited so long that no answer will explain it."""
    if answers.rows is None:
        return False
    if answers.record is None:
        # slurmdbd may be down for hours while slurmctld keeps its rows and sends them later: a day
        # must pass before "unknown to Slurm" is a fact.
        return now - event.time > ACCOUNTING_DELAY_SECONDS
    # Nodes may need an hour to boot: the start event of such a job explains itself when it runs.
    is_final = run_stage(answers.record) not in CHANGING_STAGES
    return is_final and now - event.time > EVENT_EXPIRY_SECONDS


def _starts_to_resend(
    query: JobQuery, settled: tuple[Event, ...], seen: tuple[RunSpan, ...]
) -> tuple[int, ...]:
    """Return the start times of live, delivered runs if a start event asks to send them again."""
    # Only live runs: the start of an ended run is part of its delivery and needs no event.
    live = {span.start_time for span in seen if span.end is None}
    delivered = {run.start_time for run in query.runs if run.started and run.reported}
    starts = any(event.kind is EventKind.START for event in settled)
    return tuple(sorted(live & delivered)) if starts else ()
