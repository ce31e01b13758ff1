"""Which event a run accounts for: both are known by times alone, and times differ. Pure."""

from __future__ import annotations

from spool.files.event import Event, Kind
from spool.resolve.spans import SLACK_SECONDS, Span, same_run

EPILOG_SECONDS = 60  # an epilog, or a prolog that waited, follows the fact within this


def explained(event: Event, spans: tuple[Span, ...], *, is_hidden: bool) -> bool:
    """Tell whether some run whose state is known accounts for an event.

    `is_hidden`: the controller shows no job although it ought to remember one.
    """
    if event.kind is Kind.CLOSE:
        return True
    if event.kind is Kind.START:
        late = SLACK_SECONDS if is_hidden else EPILOG_SECONDS
        return any(_explains_start(event, span, late) for span in spans)
    return _explains_stop(event, spans)


def _explains_start(event: Event, span: Span, late_seconds: int) -> bool:
    if event.start is not None:
        return same_run(Span(event.start, None), span) or span.start_time > event.time
    if span.start_time > event.time + SLACK_SECONDS:
        return True  # the run it told of was rolled back, or its start moved
    return span.end is None or span.end.time >= event.time - late_seconds


def _explains_stop(event: Event, spans: tuple[Span, ...]) -> bool:
    """Tell whether the run that an epilog speaks of is over.

    Without a start time in the event (before Slurm 23.02) it is the last run that began before it.
    One that began within the same second may be the next run of a requeued job.
    """
    if event.start is not None:
        named = Span(event.start, None)
        return any(span.over_by(event.time) for span in spans if same_run(named, span))
    if any(span.end is None and span.start_time < event.time - 1 for span in spans):
        return False
    return any(span.over_by(event.time) and span.start_time <= event.time + 1 for span in spans)
