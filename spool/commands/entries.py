"""The files of the spool as `list` and `show` select and print them.

An ID is a file name or a job id, which matches all files of the job. ALL must be upper case, so
that a job name or a typing error does not match everything. Names and times of the files are enough
to select them; a file is read only when it is printed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator

from slurm.type_names import Any
from spool.commands.drain_view import DrainView
from spool.errors import UnusableFileError
from spool.escaping import escape
from spool.files.drain_state import WaitingCause
from spool.files.event import EventKind, parse_event_name
from spool.files.file_times import LISTED
from spool.files.inventory import BadFile, EventFile, RunFile, read_file
from spool.files.layout import Directory, Layout
from spool.files.run import LastError, Run, is_run_name, parse_run_name
from spool.formatting import format_time

Entry = RunFile | EventFile | BadFile
ALL = "ALL"
_WORD = r"[A-Za-z0-9_.-]+"


def matching_names(
    layout: Layout, wanted: str, directories: Collection[Directory] = LISTED
) -> Iterator[tuple[Directory, str]]:
    """Yield directory and name of each file that matches an ID; no file is opened."""
    is_escaped = "\\x" in wanted or wanted.endswith("...")
    for directory in directories:
        for name in layout.names(directory):
            # the cheap comparison comes first: there may be 100 000 names
            is_meant = wanted in name and wanted in {name, str(job_id_of(name))}
            if is_meant or (is_escaped and escape(name) == wanted):
                yield directory, name


def read_entries(layout: Layout, wanted: str) -> list[Entry]:
    """Return the files that match an ID, sorted by directory (`new/` first), then oldest first."""
    files = matching_names(layout, wanted)
    found = {
        (entry.directory, entry.name): entry
        for directory, name in files
        if (entry := read_file(layout, directory, name)) is not None
    }
    return sorted(
        found.values(), key=lambda entry: (LISTED.index(entry.directory), entry.time, entry.name)
    )


def job_id_of(name: str) -> int | None:
    """Return the job id in a file's name, None if there is none."""
    if is_run_name(name):
        return parse_run_name(name)[0]
    try:
        return parse_event_name(name, time=0).job_id or None
    except UnusableFileError:
        return None


def entry_document(entry: Entry, view: DrainView, now: float) -> dict[str, Any]:
    """Return an entry as in `list --json` and `show --json`, without scripts."""
    run = entry.run if isinstance(entry, RunFile) else None
    event = entry.event if isinstance(entry, EventFile) else None
    error = run.last_error if run else None
    return {
        "id": escape(entry.name),
        "job_id": job_id_of(entry.name),
        "user": user_of(entry),
        "start": run.start_time if run else event.start if event else None,
        "end": (run.end and run.end.time) if run else event.end if event else None,
        "state": str(entry.directory),
        "kind": "run" if run else f"{event.kind} event" if event else "file",
        "reported": run.reported if run else None,
        "attempts": run.attempts if run else 0,
        "not_before": (run.not_before or None) if run else None,
        "last_error": dataclasses.asdict(error) if error else None,
        "since": int(entry.time),
        "waits": wait_reason(entry, view, now),
    }


def user_of(entry: Entry) -> str | None:
    """Return the login name of an entry's user; None if it is not in the entry."""
    if isinstance(entry, RunFile):
        return entry.run.job.user
    return entry.event.extras.get("user") if isinstance(entry, EventFile) else None


def wait_reason(entry: Entry, view: DrainView, now: float) -> str:
    """Return why an entry waits in its directory."""
    if isinstance(entry, BadFile):
        return entry.why.reason if entry.why else f"cannot be used: {entry.reason}"
    if isinstance(entry, EventFile):
        return _event_reason(entry, view)
    run = entry.run
    if entry.directory is Directory.DEAD:
        return f"rejected: {_error_text(run.last_error)}"
    if not run.reported:
        reason = run.reason or "no reason recorded"
        return f"not reported: {reason}; its file is kept until the job has ended in Slurm"
    if entry.directory is Directory.OPEN:
        return "its start was delivered; it waits for the end of the job"
    return f"{next_delivery(run)} is pending; {_pending_reason(run, view, now)}"


def next_delivery(run: Run) -> str:
    """Return the next delivery of a run as text: a start, a stop or nothing."""
    if run.started is None:
        return "start (after deletion of the replaced run)" if run.replaces else "start"
    return "stop" if run.end is not None else "nothing"


def cause_of(run: Run, view: DrainView) -> WaitingCause | None:
    """Return the waiting cause that names a host or the cluster of this run; None if none does."""
    named = {*run.job.nodes, run.cluster, run.job.cluster} - {None, ""}
    return next(
        (
            cause
            for cause in view.state.waiting
            if named.intersection(re.findall(_WORD, cause.cause))
        ),
        None,
    )


def _pending_reason(run: Run, view: DrainView, now: float) -> str:
    if (reason := _stop_reason(view)) is not None:
        return reason
    if run.started is None and (cause := cause_of(run, view)) is not None:
        since = f" (since {format_time(cause.since)})" if cause.since is not None else ""
        return f"waits because {cause.cause}{since}"
    after = f"; last error: {_error_text(run.last_error)}" if run.last_error else ""
    if run.not_before > now:
        return f"next attempt {format_time(run.not_before)}{after}"
    if run.started is not None:
        return f"cc-backend may need some time before it accepts the stop{after}"
    return f"it will be delivered next{after}"


def _stop_reason(view: DrainView) -> str | None:
    """Return why no run is delivered now; None if runs may be delivered."""
    if not view.is_running:
        return "no drain is running"
    if view.is_halted:
        return f"all deliveries are halted: {view.state.health.reason}"
    if view.is_down:
        return f"cc-backend does not answer: {view.state.health.reason}"
    return None


def _event_reason(entry: EventFile, view: DrainView) -> str:
    if entry.directory is Directory.DEAD:
        return entry.why.reason if entry.why else "reason unknown: its .why file is missing"
    if not view.is_running:
        return "no drain is running"
    if entry.event.kind is EventKind.RETRY:
        return "the drain is about to process it"
    if view.state.slurm_silent_since is not None:
        why = f": {view.state.slurm_reason}" if view.state.slurm_reason else ""
        return f"Slurm has not answered since {format_time(view.state.slurm_silent_since)}{why}"
    return "Slurm is being asked about the job"


def _error_text(error: LastError | None) -> str:
    if error is None:
        return "no reason recorded"
    return f"{error.reason}: {error.message}" if error.message else error.reason
