"""Which event a run accounts for: both are known by times alone, and times differ. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from slurm.job import Job
from spool.files.event import Event, Kind
from spool.files.run import End
from spool.resolve.slurm_runs import same_start

SLACK_SECONDS = 5  # times of Slurm are whole seconds, an event's is a file's mtime
EPILOG_SECONDS = 60  # an epilog, or a prolog that waited, follows the fact within this


@dataclass(frozen=True, slots=True)
class Span:
    """A run whose state is known for sure: live (`end` None) or over."""

    start_time: int
    end: End | None
    job: Job | None = None  # None: known to the spool alone

    def over_by(self, time: float) -> bool:
        """Tell whether it was over at a moment, Unix seconds."""
        return self.end is not None and self.end.time <= time + SLACK_SECONDS


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
        return same_start(event.start, span.start_time) or span.start_time > event.time
    if span.start_time > event.time + SLACK_SECONDS:
        return True  # the run it told of was rolled back, or its start moved
    return span.end is None or span.end.time >= event.time - late_seconds


def _explains_stop(event: Event, spans: tuple[Span, ...]) -> bool:
    """Tell whether the run that an epilog speaks of is over.

    Without a start time in the event (before Slurm 23.02) it is the last run that began before it.
    One that began within the same second may be the next run of a requeued job.
    """
    if event.start is not None:
        own = [span for span in spans if same_start(event.start, span.start_time)]
        return any(span.over_by(event.time) for span in own)
    if any(span.end is None and span.start_time < event.time - 1 for span in spans):
        return False
    return any(span.over_by(event.time) and span.start_time <= event.time + 1 for span in spans)
