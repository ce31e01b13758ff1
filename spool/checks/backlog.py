"""Check how many files wait in the spool and for how long, and the free space on its disk."""

from __future__ import annotations

from collections.abc import Iterator

from slurm.light_dataclass import light_dataclass
from spool.checks.result import (
    AgeLimits,
    CheckResult,
    CheckStatus,
    PerfData,
    finding,
    passed,
)
from spool.files.file_times import list_names, waiting_times
from spool.files.layout import Directory, Layout
from spool.formatting import format_duration, pluralize

LOW_INODES = 1000
MIN_EVENT_BYTES = 64 * 1024  # with less space a hook's event may not fit
_LIST_HINT = "`cc-spool status` and `cc-spool list` show why they wait"


@light_dataclass
class Backlog:
    """Counts by directory, and since when the oldest file waits (Unix seconds; None: no file).

    `free_inodes` is None on a file system that does not count them.
    """

    events: int = 0
    oldest_event: float | None = None
    runs: int = 0
    oldest_run: float | None = None
    open: int = 0
    dead: int = 0
    free_bytes: int = 0
    free_inodes: int | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether the spool has no files at all."""
        return not (self.events or self.runs or self.open or self.dead)


def read_backlog(layout: Layout) -> Backlog:
    """Return the backlog of a spool; no file is opened, nothing is locked or changed.

    Raises:
        OSError: a directory cannot be read.
    """
    events, runs = (waiting_times(layout, each) for each in (Directory.NEW, Directory.TODO))
    return Backlog(
        events=len(events),
        oldest_event=events[0] if events else None,
        runs=len(runs),
        oldest_run=runs[0] if runs else None,
        open=sum(1 for _ in layout.names(Directory.OPEN)),
        dead=len(list_names(layout, Directory.DEAD)),
        free_bytes=layout.free_bytes(),
        free_inodes=layout.free_inodes(),
    )


def check_backlog(
    backlog: Backlog, now: float, limits: AgeLimits, *, min_free_bytes: int, held_stops: int
) -> Iterator[CheckResult]:
    """Yield the results for events, runs, dead letters and disk space.

    `held_stops` are stops that deliberately wait for cc-backend's job cache.
    """
    yield _check_age("events", backlog.events, backlog.oldest_event, now=now, limits=limits)
    yield _check_age("runs", backlog.runs, backlog.oldest_run, now=now, limits=limits)
    yield passed(
        "open runs",
        f"{pluralize(backlog.open, 'run')} in open/ (started, or excluded until the job ends);"
        f" {pluralize(held_stops, 'stop')} held until cc-backend has stored the start",
        PerfData(label="open", value=backlog.open),
        PerfData(label="held", value=held_stops),
    )
    yield _dead_letters(backlog.dead)
    yield _disk_space(backlog.free_bytes, min_free_bytes)
    if backlog.free_inodes is not None:
        yield _inodes(backlog.free_inodes)


def _check_age(
    name: str, count: int, since: float | None, *, now: float, limits: AgeLimits
) -> CheckResult:
    age = 0.0 if since is None else max(0.0, now - since)
    perfdata = (PerfData(label=name, value=count), limits.perfdata(f"{name}_age", age))
    oldest = "" if since is None else f", the oldest for {format_duration(age)}"
    text = f"{count} pending{oldest}"
    status = limits.status_at(age)
    if status is CheckStatus.OK:
        return passed(name, text, *perfdata)
    return finding(status, name, text, _LIST_HINT, *perfdata)


def _dead_letters(count: int) -> CheckResult:
    figure = PerfData(label="dead", value=count, warning=1)
    if count:
        text = f"{pluralize(count, 'dead letter')}: rejected by cc-backend, or damaged files"
        hint = "`cc-spool list dead` shows why; then `cc-spool retry ID` or `cc-spool discard ID`"
        return finding(CheckStatus.WARNING, "dead letters", text, hint, figure)
    return passed("dead letters", "none", figure)


def _disk_space(free_bytes: int, min_free_bytes: int) -> CheckResult:
    figure = PerfData(
        label="free", value=free_bytes, unit="B", warning=min_free_bytes, lower_is_worse=True
    )
    text = f"{free_bytes // 2**20} MiB free for the spool"
    if free_bytes < MIN_EVENT_BYTES:
        hint = "make room on the spool's file system: the hooks cannot write events"
        return finding(CheckStatus.CRITICAL, "disk space", text, hint, figure)
    if free_bytes < min_free_bytes:
        hint = (
            "make room there: while less than spool.min_free_bytes is free, scripts and"
            " descriptions are not stored"
        )
        return finding(CheckStatus.WARNING, "disk space", text, hint, figure)
    return passed("disk space", text, figure)


def _inodes(free: int) -> CheckResult:
    figure = PerfData(
        label="free_inodes", value=free, warning=LOW_INODES, critical=1, lower_is_worse=True
    )
    text = f"{pluralize(free, 'inode')} free for the spool"
    if free >= LOW_INODES:
        return passed("inodes", text, figure)
    status = CheckStatus.WARNING if free else CheckStatus.CRITICAL
    hint = "remove files on the spool's file system: without inodes the hooks cannot write events"
    return finding(status, "inodes", text, hint, figure)
