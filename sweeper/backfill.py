"""Past jobs from accounting, a day at a time: what cc-backend does not have goes into the spool.

Oldest first, at most `MAX_PENDING` events at once in `new/`. A day that is done is noted, so that
an interrupted backfill continues there. Where a day has very many runs it goes by the hour.
Repeating it is harmless: what cc-backend has is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace

from slurm.errors import SlurmError
from slurm.light_dataclass import light_dataclass
from spool.files.durable_files import NewFile, create_files
from spool.files.event import EventKind
from spool.files.layout import Directory, Layout
from spool.files.new_events import new_event
from spool.resolve.slurm_runs import same_start
from sweeper.apply import AGAIN, WrittenEvent
from sweeper.diff import DAY_SECONDS, is_over
from sweeper.observe.accounting_runs import runs_by_job_id
from sweeper.observe.collector import Collector
from sweeper.observe.sources import slurm_failure
from sweeper.observe.spool_view import spool_entries_of
from sweeper.sweep import SweepContext
from sweeper.values import FailureCause, GuardFinding, GuardKind, SlurmRun, SpoolStatus

WINDOW_SECONDS = 86400
SMALL_WINDOW_SECONDS = 3600
LARGE_WINDOW_RUNS = 100_000
MAX_PENDING = 1000
CHECK_EVERY = 100
_TOO_MANY_PENDING = GuardFinding(
    name="crowd",
    kind=GuardKind.SIZE,
    text=f"{MAX_PENDING} events wait in new/ and the drain reads none; `cc-spool status` shows"
    " why; then repeat the command",
    cause=FailureCause.BUSY,
)


@light_dataclass
class BackfillWindow:
    """Which runs to report: those that ended from `since` on and before `until`, Unix seconds.

    `monitoring_status` 0 says that there are no metrics of that time.
    """

    since: int
    until: int
    monitoring_status: int | None = None


@light_dataclass
class BackfillProgress:
    """The progress of a backfill, in numbers of runs.

    `written` are the newest events, `resume_at` is where to continue (Unix seconds), `failure` why
    it stopped before the end.
    """

    seen: int = 0
    at_backend: int = 0
    in_spool: int = 0
    excluded: int = 0
    queued: int = 0
    resume_at: int = 0
    failure: GuardFinding | None = None
    written: tuple[WrittenEvent, ...] = field(default=(), repr=False)


@light_dataclass
class BackfillControl:
    """How to run a backfill: `make_room` waits until `new/` has room; False: the drain is stuck.

    `window_done` gets the progress after each day.
    """

    make_room: Callable[[], bool]
    window_done: Callable[[BackfillProgress], None]
    dry_run: bool = False


def backfill(
    context: SweepContext,
    window: BackfillWindow,
    control: BackfillControl,
    *,
    known_cluster: str | None = None,
) -> BackfillProgress:
    """Report the runs of a window; stop at the first question without an answer.

    `known_cluster` is Slurm's name of the cluster at the last sweep, None before the first one.
    """
    progress = BackfillProgress(resume_at=window.since)
    collector = Collector(context.sources, known_cluster)
    if not collector.identify_controller():
        return replace(progress, failure=collector.first_failure)
    if (refusal := collector.start_refusal) is not None:
        return replace(progress, failure=refusal)
    # Day by day: one question about a year of jobs would be gigabytes, and an interruption would
    # lose all of it.
    end, span = window.since, 0
    while end < window.until:
        try:
            span = span or _first_span(context, window)
            begin, end = end, min(end + span, window.until)
            over = _ended_runs(context, begin, end)
        except SlurmError as error:
            return replace(progress, failure=slurm_failure("accounting", error))
        progress = _backfill_window(
            context, collector, over, progress, window=window, control=control
        )
        if len(over) > LARGE_WINDOW_RUNS:  # each needs some 2 KiB of memory
            span = SMALL_WINDOW_SECONDS
        del over  # before the answer about the next window comes
        if progress.failure is not None:
            return progress
        progress = replace(progress, resume_at=end)
        control.window_done(progress)
    return progress


def _first_span(context: SweepContext, window: BackfillWindow) -> int:
    """Return the length of the first window in seconds: an hour if very many runs end, or a day.

    Raises:
        SlurmError: accounting gave no complete answer.
    """
    end = min(window.since + SMALL_WINDOW_SECONDS, window.until)
    # Not counted over a day: the answer about a day is what may be too large.
    runs = len(_ended_runs(context, window.since, end))
    is_large = runs * WINDOW_SECONDS > LARGE_WINDOW_RUNS * SMALL_WINDOW_SECONDS
    return SMALL_WINDOW_SECONDS if is_large else WINDOW_SECONDS


def _ended_runs(context: SweepContext, begin: int, end: int) -> list[SlurmRun]:
    """Return the runs that ended in a window.

    sacct shows all runs that touch the window. Each belongs to the window in which it ended, so
    none is counted twice.

    Raises:
        SlurmError: accounting gave no complete answer.
    """
    rows = context.sources.slurm.ended(since=begin, until=end)
    runs = (run for own in runs_by_job_id(rows).values() for run in own)
    return [run for run in runs if is_over(run) and begin <= (run.end_time or 0) < end]


def _backfill_window(
    context: SweepContext,
    collector: Collector,
    runs: Sequence[SlurmRun],
    progress: BackfillProgress,
    *,
    window: BackfillWindow,
    control: BackfillControl,
) -> BackfillProgress:
    """Queue the runs of one window that are neither at cc-backend nor in the spool."""
    chosen = [run for run in runs if context.exclusion_reason(run) is None]
    rows_there = collector.backend_rows([run.key for run in chosen])
    rows = {} if rows_there is None else rows_there
    absent = [
        run
        for run in chosen
        if not any(
            same_start(row.start_time, run.start_time)
            # A requeue within a day, or a later run of the id: cc-backend refuses this one.
            or run.start_time - row.start_time < DAY_SECONDS
            for row in rows.get(run.job_id, ())
        )
    ]
    # A window cuts a resized run: asked for by id, accounting shows all its parts.
    missing = collector.recheck(absent if rows_there is not None else [])
    held = spool_entries_of(context.sources.layout, [run.key for run in missing])
    wanted = [run for run in missing if run.key not in held or held[run.key].status in _QUEUEABLE]
    progress = replace(
        progress,
        seen=progress.seen + len(runs),
        at_backend=progress.at_backend + len(chosen) - len(absent),
        in_spool=progress.in_spool + len(missing) - len(wanted),
        excluded=progress.excluded + len(runs) - len(chosen),
        failure=collector.first_failure,
    )
    if progress.failure is not None:
        return progress
    return _queue_runs(context.sources.layout, wanted, progress, window=window, control=control)


_QUEUEABLE = frozenset({SpoolStatus.NOTHING, SpoolStatus.STARTED})


def _queue_runs(
    layout: Layout,
    runs: Sequence[SlurmRun],
    progress: BackfillProgress,
    *,
    window: BackfillWindow,
    control: BackfillControl,
) -> BackfillProgress:
    ordered = sorted(runs, key=lambda run: (run.start_time, run.job_id))
    if control.dry_run:
        return replace(progress, queued=progress.queued + len(ordered))
    extras = AGAIN | ({"monitoring_status": "0"} if window.monitoring_status == 0 else {})
    written: list[WrittenEvent] = []
    for first in range(0, len(ordered), CHECK_EVERY):
        # The drain is given work in portions: with all of it at once, jobs that start now would
        # wait behind a year of history.
        if count_events(layout) > MAX_PENDING - CHECK_EVERY and not control.make_room():
            return replace(
                progress, failure=_TOO_MANY_PENDING, queued=progress.queued + len(written)
            )
        portion = [
            (run.key, _start_event(run, extras)) for run in ordered[first : first + CHECK_EVERY]
        ]
        # Durable, because a window that is done is not read again.
        create_files(layout, Directory.NEW, [event for _, event in portion])
        written += [WrittenEvent(key=key, event=event.name) for key, event in portion]
    return replace(
        progress, queued=progress.queued + len(written), written=tuple(written) or progress.written
    )


def _start_event(run: SlurmRun, extras: Mapping[str, str]) -> NewFile:
    kind, (job_id, start) = EventKind.START, run.key
    return new_event(kind, job_id, start=start, end=run.end_time, extras=extras)


def count_events(layout: Layout) -> int:
    """Return how many events wait in `new/`."""
    return sum(1 for _ in layout.names(Directory.NEW))
