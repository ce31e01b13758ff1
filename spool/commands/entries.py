"""What lies in the spool, as operators ask for it and as `list` and `show` tell it.

An ID is a file's name or a job id: then all that belongs to it. ALL is written in upper case, so
that no job name or shell accident means everything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from spool.commands.drain_state import DrainState
from spool.commands.formatting import format_duration, format_time
from spool.errors import BadFileError, NewerFormatError
from spool.escaping import escape
from spool.files.event import parse_event_name
from spool.files.inventory import BadFile, EventFile, RunFile, read_dead, read_events, read_runs
from spool.files.layout import Directory, Layout
from spool.files.run import LastError, Run, parse_run_name

Entry = RunFile | EventFile | BadFile
ALL = "ALL"
LISTED = (Directory.NEW, Directory.TODO, Directory.OPEN, Directory.DEAD)
REPAIR_HINT = "mend the file and `cc-spool retry` it, or `cc-spool discard` it"


def entries(layout: Layout, directories: Collection[Directory] = LISTED) -> Iterator[Entry]:
    """Yield what lies in some directories, one at a time: runs may be large."""
    if Directory.NEW in directories:
        yield from read_events(layout)
    if {Directory.TODO, Directory.OPEN} & set(directories):
        runs = read_runs(layout, (Directory.TODO, Directory.OPEN))
        yield from (run for run in runs if run.directory in directories)
    if Directory.DEAD in directories:
        yield from read_dead(layout)


def matching(found: Iterable[Entry], wanted: str) -> list[Entry]:
    """Return the entries that an ID means."""
    return [entry for entry in found if wanted in _ids(entry)]


def _ids(entry: Entry) -> set[str]:
    return {entry.name, escape(entry.name), str(job_id_of(entry))}


def job_id_of(entry: Entry) -> int | None:
    """Return the job an entry is about, by its name where it cannot be read."""
    if isinstance(entry, RunFile):
        return entry.run.job_id
    if isinstance(entry, EventFile):
        return entry.event.job_id
    name = entry.why.name if entry.why else entry.name
    try:
        return parse_run_name(name)[0]
    except BadFileError:
        return _job_id_of_event(name)


def entry_document(entry: Entry, drain_state: DrainState, now: float) -> dict[str, Any]:
    """Return an entry as `list --json` and `show --json` have it, without scripts."""
    run = entry.run if isinstance(entry, RunFile) else None
    event = entry.event if isinstance(entry, EventFile) else None
    error = run.last_error if run else None
    return {
        "id": escape(entry.name),
        "job_id": job_id_of(entry),
        "start": run.start_time if run else event.start if event else None,
        "end": (run.end and run.end.time) if run else event.end if event else None,
        "state": str(entry.directory),
        "kind": "run" if run else f"{event.kind} event" if event else "file",
        "reported": run.reported if run else None,
        "attempts": run.attempts if run else 0,
        "not_before": (run.not_before or None) if run else None,
        "last_error": dataclasses.asdict(error) if error else None,
        "since": int(entry_since(entry)),
        "waits": wait_reason(entry, drain_state, now),
    }


def entry_since(entry: Entry) -> float:
    """Return since when an entry waits for what comes next, Unix seconds."""
    if isinstance(entry, RunFile) and entry.directory is not Directory.DEAD:
        return _due_since(entry.run) or entry.time
    return entry.time


def wait_reason(entry: Entry, drain_state: DrainState, now: float) -> str:
    """Return why an entry lies where it lies."""
    if isinstance(entry, BadFile):
        return _unreadable_reason(entry)
    if isinstance(entry, EventFile):
        return _event_reason(entry, drain_state)
    run = entry.run
    if entry.directory is Directory.DEAD:
        return f"refused: {_error_text(run.last_error)}"
    if not run.reported:
        return f"not reported: {run.reason or 'no reason is noted'}; until Slurm proves its end"
    if entry.directory is Directory.OPEN:
        return "started; waits for its end"
    return f"{next_delivery(run)} to be told; {_pending_reason(run, drain_state, now)}"


def next_delivery(run: Run) -> str:
    """Return what is to be told of a run."""
    if run.started is None:
        return "replaced row, start" if run.replaces else "start"
    return "stop" if run.end is not None else "nothing"


def _pending_reason(run: Run, drain_state: DrainState, now: float) -> str:
    if not drain_state.is_running:
        return "no drain is running"
    if drain_state.is_halted:
        return f"all deliveries are halted: {drain_state.reason}"
    if drain_state.is_down:
        return f"cc-backend does not answer: {drain_state.reason}"
    if run.not_before > now:
        after = f" after: {_error_text(run.last_error)}" if run.last_error else ""
        return f"next attempt {format_time(run.not_before)}{after}"
    if run.started is not None:
        return "cc-backend may need a while before it can close the run"
    return "its turn comes"


def _event_reason(entry: EventFile, drain_state: DrainState) -> str:
    if entry.directory is Directory.DEAD:
        return entry.why.reason if entry.why else "no reason lies beside it"
    if not drain_state.is_running:
        return "no drain is running"
    if drain_state.slurm_silent_since is not None:
        return f"Slurm does not answer since {format_time(drain_state.slurm_silent_since)}"
    return "Slurm is asked about it"


def _unreadable_reason(entry: BadFile) -> str:
    if entry.why is not None:
        return entry.why.reason
    return f"cannot be used: {entry.reason}"


def _error_text(error: LastError | None) -> str:
    if error is None:
        return "no reason is noted"
    return f"{error.reason}: {error.message}" if error.message else error.reason


def _due_since(run: Run) -> float:
    """Return when the next thing of a run was to be told, or since when it waits for its end."""
    if run.started is not None and run.end is None:
        return run.started
    happened = run.end.time if run.end is not None and run.started is not None else run.start_time
    return max(run.seen, happened)


def _job_id_of_event(name: str) -> int | None:
    try:
        return parse_event_name(name, time=0).job_id
    except (BadFileError, NewerFormatError):
        return None


def waiting_time(entry: Entry, now: float) -> str:
    """Return how long an entry waits."""
    return format_duration(now - entry_since(entry))
