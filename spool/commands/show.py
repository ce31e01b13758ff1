"""`cc-spool show ID`: show a file's facts, its state, cc-backend's answer, and what to do."""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator

from slurm.type_names import Any
from spool.commands.drain_view import DrainView, read_drain_view
from spool.commands.entries import (
    Entry,
    cause_of,
    entry_document,
    read_entries,
)
from spool.config import Config
from spool.console import print_json, print_line
from spool.escaping import escape
from spool.exit_codes import OK, USAGE
from spool.files import codec
from spool.files.dead_letter_reason import REPAIR_HINT
from spool.files.drain_state import HALT_HINT
from spool.files.inventory import BadFile, EventFile, RunFile
from spool.files.layout import Directory, Layout
from spool.files.run import Run
from spool.formatting import format_age, format_time, pluralize

_TEXT_CHARACTERS = 2000
_LINE_CHARACTERS = 10_000
_RETRY_STEP = "then wait for the next attempt, or type `cc-spool retry ID`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("id", metavar="ID", help="a file name, or a job id (all its runs)")
    parser.add_argument("--json", action="store_true", help="write a JSON list")


def run(config: Config, args: argparse.Namespace) -> int:
    """Show the files that match an ID; return the exit code.

    Raises:
        SpoolError: the spool cannot be used.
    """
    now = time.time()
    view = read_drain_view(config.spool.state_directory)
    with Layout(config.spool.directory) as layout:
        found = read_entries(layout, args.id)
    if not found:
        text = "%s: no file in the spool has this name or job id; `cc-sweep explain %s` asks Slurm"
        logging.getLogger(__name__).error(
            text, args.id, args.id if args.id.isdecimal() else "JOBID"
        )
        return USAGE
    if args.json:
        print_json([_document(entry, view, now) for entry in found])
        return OK
    for position, entry in enumerate(found):
        if position:
            print_line()
        for line in _entry_lines(entry, view, now):
            print_line(line)
    return OK


def _document(entry: Entry, view: DrainView, now: float) -> dict[str, Any]:
    """Return an entry for `show --json`: the fields of `list --json`, next step and facts."""
    document = entry_document(entry, view, now) | {"to_do": next_step(entry, view)}
    if isinstance(entry, RunFile):
        document["facts"] = _slurm_record(entry.run)
        document["holds"] = [name for name in ("script", "description") if getattr(entry.run, name)]
        document["request"] = _last_request(entry.run)
    return document


def _entry_lines(entry: Entry, view: DrainView, now: float) -> Iterator[str]:
    shown = entry_document(entry, view, now)
    yield f"{entry.directory}/{escape(entry.name)}"
    yield f"  what      {escape(_description(entry))}"
    since = f"{format_time(shown['since'])} ({format_age(entry.time, now)})"
    yield f"  since     {since}, in {entry.directory}/"
    yield f"  why       {escape(shown['waits'], _TEXT_CHARACTERS)}"
    if isinstance(entry, RunFile):
        yield from _delivery_lines(entry.run)
    yield f"  to do     {escape(next_step(entry, view), _TEXT_CHARACTERS)}"


def _delivery_lines(run: Run) -> Iterator[str]:
    """Yield the state of a run's delivery and cc-backend's answer."""
    yield f"  delivered {_delivery_state(run)}"
    error = run.last_error
    if error is not None:
        status = f" (HTTP {error.status})" if error.status is not None else ""
        why = f"outcome {error.outcome}, reason {error.reason}{status}"
        yield f"  request   {error.call}, attempted {format_time(error.time)}: {why}"
        yield f"  answer    {escape(error.message, _TEXT_CHARACTERS)}"
    if error is not None and error.request is not None:
        yield f"  sent      {escape(error.request, _LINE_CHARACTERS)}"
    yield f"  facts     {escape(json.dumps(_slurm_record(run)), _LINE_CHARACTERS)}"


def _delivery_state(run: Run) -> str:
    start = f"start {format_time(run.started)}" if run.started else "nothing"
    under = f" under cluster {escape(run.cluster)}" if run.cluster else ""
    tried = f"; {pluralize(run.attempts, 'attempt')} of the next request" if run.attempts else ""
    return f"{start}{under}{tried}"


def _description(entry: Entry) -> str:
    if isinstance(entry, RunFile):
        job, end = entry.run.job, entry.run.end
        over = f"ended {format_time(end.time)} {end.state}" if end else "not known to have ended"
        account = "" if job.account is None else f", account {job.account}"
        whose = f"user {job.user}{account}, partition {job.partition}"
        return (
            f"run of job {job.job_id}, {whose}, started {format_time(entry.run.start_time)}, {over}"
        )
    if isinstance(entry, EventFile):
        event = entry.event
        when = f"start {format_time(event.start)}, end {format_time(event.end)}"
        what = f"{event.kind} event of job {event.job_id}" if event.job_id else "retry of all runs"
        return f"{what}, {when}, written {format_time(event.time)}"
    return "a file that is neither an event nor a run"


def next_step(entry: Entry, view: DrainView) -> str:
    """Return what an administrator can do about an entry."""
    if entry.directory is Directory.DEAD:
        return _dead_letter_step(entry)
    if isinstance(entry, BadFile):
        return f"{entry.reason}: correct this; the drain then reads the file again by itself"
    if entry.directory is Directory.OPEN:
        return "nothing"
    if not view.is_running:
        return "start the drain: `systemctl start cc-spool`"
    if view.is_halted:
        return HALT_HINT
    return _pending_step(entry, view)


def _pending_step(entry: RunFile | EventFile, view: DrainView) -> str:
    """Return what to do about a pending file: remove the cause, if the drain names one."""
    if isinstance(entry, RunFile):
        cause, error = cause_of(entry.run, view), entry.run.last_error
        if entry.run.started is None and cause is not None:
            return f"remove the cause ({cause.cause}), {_RETRY_STEP}"
        if error is not None and error.hint:
            names_it = "cc-spool retry" in error.hint
            return error.hint if names_it else f"{error.hint}, {_RETRY_STEP}"
    return "nothing; it is retried automatically"


def _dead_letter_step(entry: Entry) -> str:
    if isinstance(entry, RunFile):
        error = entry.run.last_error
        return (error.hint if error else "") or "`cc-spool retry ID` or `cc-spool discard ID`"
    return entry.why.hint if entry.why else REPAIR_HINT


def _last_request(run: Run) -> Any:
    """Return the rejected request, parsed from JSON if possible; None if there is none."""
    text = run.last_error.request if run.last_error else None
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def _slurm_record(run: Run) -> Any:
    """Return the facts from Slurm as the object `job` of the run file."""
    return json.loads(codec.encode(run))["job"]
