"""The inputs for resolving a job id: its events and runs, and Slurm's answers."""

from __future__ import annotations

from dataclasses import dataclass

from slurm.job import Job
from spool.files.event import Event, EventKind
from spool.resolve.event_match import EPILOG_DELAY_SECONDS
from spool.resolve.run_match import TrackedRun


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """A job id with its waiting events (oldest first) and its known runs."""

    job_id: int
    events: tuple[Event, ...] = ()
    runs: tuple[TrackedRun, ...] = ()

    def known_starts(self) -> set[int]:
        """Return the start times of unfinished runs that events or the spool know."""
        open_runs = {run.start_time for run in self.runs if run.end is None}
        return open_runs | {event.start for event in self.events if event.start}

    def since(self) -> int:
        """Return the time from which on the id's runs must be explained, Unix seconds."""
        times = [event.start or int(event.time) for event in self.events]
        times += [run.start_time for run in self.runs if run.end is None]
        return max(0, min(times, default=0) - EPILOG_DELAY_SECONDS)

    def asks_end_only(self) -> bool:
        """Return whether only the end of a known run is missing."""
        stops = all(event.kind is EventKind.STOP for event in self.events)
        return stops and any(run.end is None for run in self.runs)

    def last_event_time(self) -> float:
        """Return the time of the last event, Unix seconds."""
        return max((event.time for event in self.events), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmAnswers:
    """Slurm's answers: `record` None is *unknown to the controller*, `rows` None *not asked*.

    Without accounting (`has_accounting` False) there will never be rows: then events are used.
    """

    record: Job | None
    rows: tuple[Job, ...] | None = None
    has_accounting: bool = True
