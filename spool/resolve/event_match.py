"""Match events with runs: only their times identify them, and the times differ. Pure."""

from __future__ import annotations

from spool.files.event import Event, EventKind
from spool.resolve.run_match import CLOCK_SLACK_SECONDS, RunSpan, same_run

EPILOG_DELAY_SECONDS = 60  # an epilog, or a delayed prolog, runs at most this late
HIDDEN_RUN_SECONDS = 1  # a start later than this after an end may belong to a run not shown yet


def event_matches(event: Event, spans: tuple[RunSpan, ...], *, may_hide_run: bool) -> bool:
    """Return whether an event belongs to some run whose state is known.

    `may_hide_run`: a newer run may exist that nobody shows yet.
    """
    if event.kind is EventKind.CLOSE:
        return True
    if event.kind is EventKind.START:
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

    Without a start time in the event (before Slurm 23.02) it is the last run that began before it.
    One that began within the same second may be the next run of a requeued job.
    """
    if event.start is not None:
        named = RunSpan(event.start, None)
        return any(span.ended_by(event.time) for span in spans if same_run(named, span))
    if any(span.end is None and span.start_time < event.time - 1 for span in spans):
        return False
    return any(span.ended_by(event.time) and span.start_time <= event.time + 1 for span in spans)
