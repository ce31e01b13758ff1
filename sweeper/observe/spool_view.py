"""What the spool has of some runs: by file names, so that 100 000 open runs cost little.

Only an open run that a sweep has doubts about is read. Nothing is changed; a file that vanishes
while we look was moved by the drain, which deals with it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable
from pathlib import Path

from spool.errors import BadFileError, UnusableFileError
from spool.files.archive import archive_lines
from spool.files.codec import load_run
from spool.files.event import parse_event_name
from spool.files.layout import Directory, Layout
from spool.files.run import parse_run_name, run_name
from spool.files.run_id import RunId
from spool.resolve.slurm_runs import match_start, same_start
from sweeper.values import SpoolEntry, SpoolStatus

_JOB_ID = re.compile(rb'"job_id":(\d+)')
_START_TIME = re.compile(rb'"start_time":(\d+)')
_STATUS_OF_DIRECTORY = {
    Directory.TODO: SpoolStatus.QUEUED,
    Directory.OPEN: SpoolStatus.STARTED,
    Directory.DEAD: SpoolStatus.DEAD,
}


def spool_entries_of(
    layout: Layout, keys: Iterable[RunId], *, names_only: Container[RunId] = ()
) -> dict[RunId, SpoolEntry]:
    """Return the spool's entries of some runs; runs that are not in the spool are absent.

    The files of those in `names_only` are not read: one in open/ counts as started.
    """
    wanted = sorted(set(keys))
    if not wanted:
        return {}  # no listing of 100 000 open runs where nothing differs
    ids = {str(key.job_id) for key in wanted}
    # Before the directories: the drain writes a run before it removes the event, so that a run on
    # its way is seen in one of the two places.
    event_starts = _starts_in_events(layout, ids)
    found: dict[RunId, SpoolEntry] = {}
    # Runs leave todo/ for the others and come back from open/, so it is listed at both ends. The
    # last one wins.
    for directory in (Directory.TODO, Directory.DEAD, Directory.OPEN, Directory.TODO):
        starts = _starts_in_directory(layout, directory, ids)
        for key in wanted:
            start = match_start(key.start_time, starts.get(key.job_id, ()))
            if start is not None:
                is_read = directory is Directory.OPEN and key not in names_only
                found[key] = (
                    _open_entry(layout, run_name(key.job_id, start))
                    if is_read
                    else SpoolEntry(status=_STATUS_OF_DIRECTORY[directory])
                )
    # An event wins: what it leads to is not decided yet.
    for key in wanted:
        # An event without a start (up to Slurm 22.05) may be of any run of its id.
        starts_of_events = event_starts.get(key.job_id, ())
        if any(s is None or same_start(s, key.start_time) for s in starts_of_events):
            found[key] = SpoolEntry(status=SpoolStatus.QUEUED)
    return found


def captured_runs(layout: Layout, keys: Iterable[RunId], *, now: float) -> frozenset[RunId]:
    """Return which of some runs in todo/ wait only for the end of the grace period."""
    return frozenset(key for key in keys if _is_captured(layout, key, now))


def _is_captured(layout: Layout, key: RunId, now: float) -> bool:
    starts = _starts_in_directory(layout, Directory.TODO, {str(key.job_id)})
    start = match_start(key.start_time, starts.get(key.job_id, ()))
    if start is None:
        return False
    try:
        run = load_run(layout, Directory.TODO, run_name(key.job_id, start))
    except (OSError, UnusableFileError):
        return False  # moved, or the drain will set it aside
    return run.not_before > now and run.started is None and run.last_error is None


def spool_has_job(layout: Layout, job_id: int) -> bool:
    """Return whether the spool has a file of a job id."""
    ids = {str(job_id)}
    directories = (Directory.TODO, Directory.OPEN, Directory.DEAD)
    return bool(_starts_in_events(layout, ids)) or any(
        _starts_in_directory(layout, d, ids) for d in directories
    )


def delivered_runs(directory: Path, keys: Iterable[RunId]) -> frozenset[RunId]:
    """Return which of some runs are in the archive of what cc-backend has accepted."""
    wanted = {(b"%d" % key.job_id, b"%d" % key.start_time): key for key in keys}
    ids = {job_id for job_id, _ in wanted}
    found: set[RunId] = set()
    # Only the first match of a line is looked for, and the archive may be large: a run's job id is
    # near the begin of its line, before any text of a user.
    for line in archive_lines(directory) if wanted else ():
        match = _JOB_ID.search(line)
        if match is not None and match[1] in ids:
            starts = _START_TIME.findall(line)
            found |= {wanted[each] for start in starts if (each := (match[1], start)) in wanted}
    return frozenset(found)


def _starts_in_events(layout: Layout, ids: set[str]) -> dict[int, list[int | None]]:
    """Return the start times in waiting events by job id; None for an event without one."""
    event_starts: defaultdict[int, list[int | None]] = defaultdict(list)
    for name in layout.names(Directory.NEW):
        if ids.intersection(name.split("-", 3)[2:3]):  # version, kind, id, rest
            try:
                event = parse_event_name(name, time=0)
            except UnusableFileError:
                continue
            event_starts[event.job_id].append(event.start)
    return event_starts


def _starts_in_directory(
    layout: Layout, directory: Directory, ids: set[str]
) -> dict[int, list[int]]:
    runs: defaultdict[int, list[int]] = defaultdict(list)
    for name in layout.names(directory):
        if name.partition("-")[0] in ids:
            try:
                job_id, start = parse_run_name(name)
            except BadFileError:
                continue
            runs[job_id].append(start)
    return runs


def _open_entry(layout: Layout, name: str) -> SpoolEntry:
    try:
        run = load_run(layout, Directory.OPEN, name)
    except (OSError, UnusableFileError):
        return SpoolEntry(status=SpoolStatus.QUEUED)  # moved, or the drain will set it aside
    if not run.reported:
        return SpoolEntry(status=SpoolStatus.UNREPORTED)
    return SpoolEntry(status=SpoolStatus.STARTED, started_at=run.started or 0, last_seen=run.seen)
