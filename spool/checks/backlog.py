"""What waits in the spool and for how long; counts and ages come from the directories alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spool.checks.result import (
    AgeLimits,
    CheckResult,
    CheckStatus,
    PerfData,
    age_text,
    finding,
    passed,
)
from spool.errors import BadFileError, NewerFormatError
from spool.files.durable_files import load_run
from spool.files.inventory import list_files
from spool.files.layout import Directory, Layout
from spool.files.run import Run

MAX_RUNS_READ = 5000  # more would take too long; of the rest the file's time counts
_LIST_HINT = "`cc-spool status` and `cc-spool list` say why"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Counts, and when the oldest began to wait (Unix seconds; None where nothing waits).

    `held` are ends that wait on purpose for cc-backend's job cache.
    """

    events: int = 0
    oldest_event: float | None = None
    runs: int = 0
    oldest_run: float | None = None
    held: int = 0
    open: int = 0
    dead: int = 0
    free_bytes: int = 0


def read_backlog(layout: Layout, now: float, hold_seconds: float) -> Backlog:
    """Return what waits; nothing is locked or changed.

    Raises:
        OSError: a directory cannot be read.
    """
    events = [file.time for file in list_files(layout, Directory.NEW)]
    todo = list_files(layout, Directory.TODO)
    since: list[float] = []
    held = 0
    for position, file in enumerate(todo):
        run = _load_run(layout, file.name) if position < MAX_RUNS_READ else None
        if run is not None and _is_held(run, now, hold_seconds):
            held += 1
        else:
            since.append(file.time if run is None else pending_since(run, file.time))
    return Backlog(
        events=len(events),
        oldest_event=min(events, default=None),
        runs=len(todo),
        oldest_run=min(since, default=None),
        held=held,
        open=sum(1 for _ in layout.names(Directory.OPEN)),
        dead=len(list_files(layout, Directory.DEAD)),
        free_bytes=layout.free_bytes(),
    )


def pending_since(run: Run, file_time: float) -> float:
    """Return since when something of a run is to be told.

    A file is rewritten after each refusal, so its time (`stored`) counts until the first one.
    """
    if run.last_error is None:
        return file_time
    began = run.end.time if run.started is not None and run.end else run.seen or run.start_time
    return min(file_time, float(began))


def check_backlog(
    backlog: Backlog, now: float, limits: AgeLimits, min_free_bytes: int
) -> Iterator[CheckResult]:
    """Yield the verdicts on events, runs, dead letters and room on the disk."""
    yield _check_age("events", backlog.events, backlog.oldest_event, now=now, limits=limits)
    yield _check_age("runs", backlog.runs, backlog.oldest_run, now=now, limits=limits)
    yield passed(
        "open runs",
        f"{backlog.open} started, {backlog.held} ends held for cc-backend's cache",
        PerfData(label="open", value=backlog.open),
        PerfData(label="held", value=backlog.held),
    )
    yield _dead_letters(backlog.dead)
    yield _disk_space(backlog.free_bytes, min_free_bytes)


def _check_age(
    name: str, count: int, since: float | None, *, now: float, limits: AgeLimits
) -> CheckResult:
    age = 0.0 if since is None else max(0.0, now - since)
    perfdata = (
        PerfData(label=name, value=count),
        PerfData(
            label=f"{name}_age",
            value=age,
            unit="s",
            warning=limits.warning_seconds,
            critical=limits.critical_seconds,
        ),
    )
    text = f"{count} waiting" + (f", the oldest for {age_text(age)}" if since is not None else "")
    status = limits.status_at(age)
    if status is CheckStatus.OK:
        return passed(name, text, *perfdata)
    return finding(status, name, text, _LIST_HINT, *perfdata)


def _dead_letters(count: int) -> CheckResult:
    figure = PerfData(label="dead", value=count, warning=1)
    if count:
        hint = "`cc-spool list dead` and `show ID` say why; then `retry ID` or `discard ID`"
        return finding(
            CheckStatus.WARNING, "dead letters", f"{count} refused for good", hint, figure
        )
    return passed("dead letters", "none", figure)


def _disk_space(free_bytes: int, min_free_bytes: int) -> CheckResult:
    figure = PerfData(
        label="free", value=free_bytes, unit="B", warning=min_free_bytes, lower_is_worse=True
    )
    text = f"{free_bytes // 2**20} MiB free for the spool"
    if free_bytes < min_free_bytes:
        hint = "free space: below spool.min_free_bytes jobs lose their script and description"
        return finding(CheckStatus.WARNING, "disk space", text, hint, figure)
    return passed("disk space", text, figure)


def _is_held(run: Run, now: float, hold_seconds: float) -> bool:
    return run.started is not None and run.end is not None and now < run.started + hold_seconds


def _load_run(layout: Layout, name: str) -> Run | None:
    """Return a run; None for one that vanished or cannot be read, which the drain sets aside."""
    try:
        return load_run(layout, Directory.TODO, name)
    except (OSError, BadFileError, NewerFormatError):
        return None
