"""Account for every run of one job id: what its events and open runs mean. Pure.

An event names a job id, not a run. Known of the id are its waiting events, the runs in the spool,
the controller's record and, where that leaves something unexplained, accounting's rows. The answer
is which runs are new, which are over, which events are dealt with. Silence proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from slurm.job import Job
from spool.files.event import Event, Kind
from spool.files.run import End, Source
from spool.resolve.explain import EPILOG_SECONDS, explained
from spool.resolve.slurm_runs import Stage, match_start, runs_of_accounting, stage
from spool.resolve.spans import SLACK_SECONDS, Span, Tracked, known_as, same_run, told_end

__all__ = ["Account", "Knowledge", "Question", "Tracked", "account"]

QUIET_SECONDS = 3600  # when Slurm says that nothing happened, an event is let go after this
EVIDENT_SECONDS = 300  # accounting is waited for where epilog and next run show that a run is over
FORGOTTEN_SECONDS = 24 * 3600  # accounting may be late by as much


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A job id, its waiting events (oldest first) and the runs of it that are known."""

    job_id: int
    events: tuple[Event, ...] = ()
    runs: tuple[Tracked, ...] = ()

    def starts(self) -> set[int]:
        """Return the start times that are known of unfinished runs, by events or by the spool."""
        open_runs = {run.start_time for run in self.runs if run.end is None}
        return open_runs | {event.start for event in self.events if event.start}

    def since(self) -> int:
        """Return from when on every run of the id must be accounted for, Unix seconds."""
        times = [event.start or int(event.time) for event in self.events]
        times += [run.start_time for run in self.runs if run.end is None]
        return max(0, min(times, default=0) - EPILOG_SECONDS)

    def latest(self) -> float:
        """Return the time of the last event, Unix seconds."""
        return max((event.time for event in self.events), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Slurm's answers: `record` None is *unknown to the controller*, `rows` None *not asked*."""

    record: Job | None
    rows: tuple[Job, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What follows from Slurm's answers.

    `new` are runs the spool does not know, with their end if over. `ended` maps start times of
    tracked runs to their ends. `again` are started runs whose start is to be told once more.
    `finished` events are dealt with as soon as the rest is durable; `waiting` ones need accounting
    (`ask_accounting`) or another look; `lost` ones nobody knows, for long enough to bury them.
    `vanished` are start times of tracked runs that Slurm shows neither running nor over.
    """

    new: tuple[tuple[Job, End | None], ...] = ()
    ended: Mapping[int, End] = field(default_factory=dict)
    again: tuple[int, ...] = ()
    finished: tuple[Event, ...] = ()
    waiting: tuple[Event, ...] = ()
    lost: tuple[Event, ...] = ()
    vanished: tuple[int, ...] = ()
    ask_accounting: bool = False
    stage: Stage | None = None


def account(question: Question, knowledge: Knowledge, now: float) -> Account:
    """Return what Slurm's answers mean for a job id; `now` in Unix seconds."""
    at = None if knowledge.record is None else stage(knowledge.record)
    if at is Stage.FOREIGN:
        return Account(finished=question.events, stage=at)
    seen = tuple(_seen(question, knowledge))
    shown = {span.start_time for span in seen}
    open_runs = [run.start_time for run in question.runs if run.end is None]
    vanished = [start for start in open_runs if start not in shown]
    closed = {**_closed(question, seen), **_forgotten(question, knowledge, vanished, seen, now)}
    spans = (*seen, *(Span(start, end) for start, end in closed.items()), *_delivered(question))
    hidden = knowledge.record is None and now - question.latest() < QUIET_SECONDS
    waiting = tuple(e for e in question.events if not explained(e, spans, is_hidden=hidden))
    gone = tuple(event for event in waiting if _let_go(event, knowledge, now))
    known = {run.start_time for run in question.runs}
    lost = gone if knowledge.record is None else ()
    over = {span.start_time: span.end for span in seen if span.end is not None}
    unfinished = {event.name for event in waiting if event not in gone or event in lost}
    finished = tuple(event for event in question.events if event.name not in unfinished)
    still = tuple(event for event in waiting if event not in gone)
    new = tuple((span.job, span.end) for span in seen if span.job and span.start_time not in known)
    left = tuple(start for start in vanished if start not in closed)
    return Account(
        new=new + _unknown_closes(closed, known, question.job_id),
        ended={start: end for start, end in {**closed, **over}.items() if start in open_runs},
        again=_again(question, finished, seen),
        finished=finished,
        waiting=still,
        lost=lost,
        vanished=left,
        ask_accounting=knowledge.rows is None
        and at not in {Stage.CONFIGURING, Stage.UNSETTLED}
        and bool(still or left),
        stage=at,
    )


def _seen(question: Question, knowledge: Knowledge) -> Iterator[Span]:
    """Yield the runs Slurm shows, under the start time the spool knows them by.

    The controller's record comes first and wins: it has cores and GRES. Of accounting's rows only
    ended ones count: a live one may be late, or a runaway.
    """
    seen: list[Span] = []
    shown: list[Span] = []  # under Slurm's own start times
    record = knowledge.record
    rows = runs_of_accounting(knowledge.rows or (), question.job_id, starts=question.starts())
    if record is not None and stage(record) in {Stage.LIVE, Stage.ENDED}:
        seen.append(known_as(record, Source.CONTROLLER, question.runs, rows))
        shown.append(replace(seen[0], start_time=record.start_time or 0))
    since = question.since()
    for row in rows:
        span = known_as(row, Source.ACCOUNTING, question.runs, ())
        is_shown = any(same_run(span, other) for other in (*seen, *shown))
        if span.end is not None and span.end.time >= since and not is_shown:
            seen.append(span)
    yield from seen


def _delivered(question: Question) -> Iterator[Span]:
    """Yield the runs whose end the spool knows already."""
    for run in question.runs:
        if run.end is not None:
            yield Span(run.start_time, told_end(run))


def _closed(question: Question, seen: tuple[Span, ...]) -> dict[int, End]:
    """Return the ends that the sweeper's close events carry; Slurm's own word goes before."""
    shown = [span.start_time for span in seen]
    tracked = [run.start_time for run in question.runs]
    closes = (e for e in question.events if e.kind is Kind.CLOSE and e.start and e.end)
    return {
        match_start(event.start or 0, tracked) or event.start or 0: End(
            time=event.end or 0, state="FAILED", source=Source.CLOSE
        )
        for event in closes
        if match_start(event.start or 0, shown) is None
    }


def _unknown_closes(
    closed: Mapping[int, End], known: set[int], job_id: int
) -> tuple[tuple[Job, End], ...]:
    """Return runs that only the sweeper knows: their rows are to be closed."""
    return tuple(
        (Job(job_id=job_id, start_time=start, end_time=end.time), end)
        for start, end in closed.items()
        if start not in known
    )


def _forgotten(
    question: Question,
    knowledge: Knowledge,
    vanished: list[int],
    seen: tuple[Span, ...],
    now: float,
) -> dict[int, End]:
    """Return ends of runs that Slurm does not show although something proves them over.

    Proof is the epilog's event or a later run of the same id; accounting, which has the true end,
    is waited for by a day, and by minutes where both say so: the later run is not shown meanwhile.
    """
    if knowledge.rows is None:
        return {}
    later = sorted([s.start_time for s in seen] + [r.start_time for r in question.runs])
    ends: dict[int, End] = {}
    for start in vanished:
        following = next((other for other in later if other > start), None)
        stop = _stop_of(start, following or now, question.events)
        is_evident = now - (following or now) > EVIDENT_SECONDS
        if stop and (is_evident or now - stop.time > FORGOTTEN_SECONDS):
            ends[start] = _end_by_event(stop, is_requeued=following is not None)
        elif following and now - following > FORGOTTEN_SECONDS:
            ends[start] = End(time=following, state="CANCELLED", source=Source.NEXT_RUN)
    return ends


def _stop_of(start: int, before: float, events: tuple[Event, ...]) -> Event | None:
    """Return the epilog's event of a run that was over before a time, as far as can be told."""
    for event in events:
        is_named = event.start is not None and match_start(event.start, [start]) is not None
        is_near = event.start is None and start <= event.time <= before + SLACK_SECONDS
        if event.kind is Kind.STOP and (is_named or is_near):
            return event
    return None


def _end_by_event(event: Event, *, is_requeued: bool) -> End:
    """Return the end that an epilog's event alone can tell: its time and exit code.

    That of a requeued run is 0 whatever became of it (slurm: SLURM_JOB_EXIT_CODE).
    """
    code = None if is_requeued else event.extras.get("exit_code")
    state = "CANCELLED" if code is None else "COMPLETED" if code == "0:0" else "FAILED"
    return End(time=event.end or int(event.time), state=state, source=Source.EVENT)


def _let_go(event: Event, knowledge: Knowledge, now: float) -> bool:
    """Tell whether Slurm's answers leave nothing to hope for an unexplained event."""
    if knowledge.rows is None:
        return False
    if knowledge.record is None:
        return now - event.time > FORGOTTEN_SECONDS
    unsettled = stage(knowledge.record) in {Stage.CONFIGURING, Stage.UNSETTLED}
    return not unsettled and now - event.time > QUIET_SECONDS


def _again(
    question: Question, finished: tuple[Event, ...], seen: tuple[Span, ...]
) -> tuple[int, ...]:
    """Return the started live runs that a start event speaks of."""
    live = {span.start_time for span in seen if span.end is None}
    told = {run.start_time for run in question.runs if run.started and run.reported}
    starts = any(event.kind is Kind.START for event in finished)
    return tuple(sorted(live & told)) if starts else ()
