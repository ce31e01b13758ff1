"""History from accounting, page by page: what ended and is not at cc-backend goes into the spool.

Oldest first, at most so many events at once in `new/`; a page that is done is noted, so that an
interrupted backfill goes on there. Repeating it is harmless: what is there is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from slurm.errors import SlurmError
from spool.exit_codes import TRY_AGAIN
from spool.files.enqueue import enqueue
from spool.files.event import EventKind
from spool.files.layout import Directory, Layout
from spool.resolve.slurm_runs import same_start
from sweeper.apply import AGAIN, Written
from sweeper.diff import DAY_SECONDS, Standing, is_over
from sweeper.look.eye import Eye, runs_by_id
from sweeper.look.failures import slurm_failure
from sweeper.look.holdings import holdings_of
from sweeper.sweep import Site
from sweeper.values import Guard, GuardKind, Job

PAGE_SECONDS = 86400
CROWD = 1000
CHUNK = 100
_CROWDED = Guard(
    name="crowd",
    kind=GuardKind.SIZE,
    text=f"{CROWD} events wait in new/ and none is resolved: see cc-spool status",
    exit_code=TRY_AGAIN,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What to tell: runs that ended from `since` on and before `until`, Unix seconds.

    `monitoring_status` 0 says that there are no metrics of that time.
    """

    since: int
    until: int
    monitoring_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How it went. `written` are the newest events; `at` is where to go on, `failed` why."""

    seen: int = 0
    there: int = 0
    known: int = 0
    left_out: int = 0
    told: int = 0
    at: int = 0
    failed: Guard | None = None
    written: tuple[Written, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast: `make_room` waits until `new/` takes more events, False if it never will.

    `page_done` is told where the next page begins.
    """

    make_room: Callable[[], bool]
    page_done: Callable[[Tally], None]
    dry_run: bool = False


def backfill(site: Site, window: Window, pace: Pace) -> Tally:
    """Tell the history of a window; stop at the first question without an answer."""
    tally = Tally(at=window.since)
    eye = Eye(site.sources, None)
    if not eye.introduce():
        return replace(tally, failed=_first(eye))
    for begin in range(window.since, window.until, PAGE_SECONDS):
        end = min(begin + PAGE_SECONDS, window.until)
        try:
            rows = site.sources.slurm.ended(since=begin, until=end)
        except SlurmError as error:
            return replace(tally, failed=slurm_failure("accounting", error))
        runs = [run for own in runs_by_id(rows).values() for run in own]
        over = [run for run in runs if is_over(run) and begin <= (run.end_time or 0) < end]
        tally = _page(site, eye, over, tally, window=window, pace=pace)
        if tally.failed is not None:
            return tally
        tally = replace(tally, at=end)
        pace.page_done(tally)
    return tally


def _page(
    site: Site, eye: Eye, runs: Sequence[Job], tally: Tally, *, window: Window, pace: Pace
) -> Tally:
    """Tell the runs of one page that are missing."""
    chosen = [run for run in runs if site.left_out(run) is None]
    there = eye.there([run.key for run in chosen])
    rows = {} if there is None else there
    absent = [
        run
        for run in chosen
        if not any(
            same_start(row.start_time, run.start_time)
            or abs(row.start_time - run.start_time) < DAY_SECONDS
            for row in rows.get(run.job_id, ())
        )
    ]
    missing = eye.confirmed(absent if there is not None else [])
    held = holdings_of(site.sources.layout, [run.key for run in missing])
    wanted = [run for run in missing if run.key not in held or held[run.key].standing in _TELL]
    tally = replace(
        tally,
        seen=tally.seen + len(runs),
        there=tally.there + len(chosen) - len(absent),
        known=tally.known + len(missing) - len(wanted),
        left_out=tally.left_out + len(runs) - len(chosen),
        failed=_first(eye),
    )
    if tally.failed is not None:
        return tally
    return _tell(site.sources.layout, wanted, tally, window=window, pace=pace)


_TELL = frozenset({Standing.NOTHING, Standing.TOLD})


def _tell(
    layout: Layout, runs: Sequence[Job], tally: Tally, *, window: Window, pace: Pace
) -> Tally:
    ordered = sorted(runs, key=lambda run: (run.start_time, run.job_id))
    if pace.dry_run:
        return replace(tally, told=tally.told + len(ordered))
    written: list[Written] = []
    for number, run in enumerate(ordered):
        if number % CHUNK == 0 and crowd(layout) > CROWD - CHUNK and not pace.make_room():
            return replace(tally, failed=_CROWDED, told=tally.told + len(written))
        name = enqueue(
            layout,
            EventKind.START,
            run.job_id,
            start=run.start_time,
            end=run.end_time,
            extras=_extras(window),
        )
        written.append(Written(key=run.key, event=name))
    return replace(tally, told=tally.told + len(written), written=tuple(written) or tally.written)


def _extras(window: Window) -> dict[str, str]:
    return {**AGAIN, "monitoring_status": "0"} if window.monitoring_status == 0 else {**AGAIN}


def crowd(layout: Layout) -> int:
    """Return how many events wait in `new/`."""
    return sum(1 for _ in layout.names(Directory.NEW))


def _first(eye: Eye) -> Guard | None:
    return next(iter(eye.answers().failed), None)
