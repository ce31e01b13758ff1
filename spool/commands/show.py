"""`cc-spool show ID`: what it is, why it lies there, what cc-backend said, what to do."""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

from spool.commands.drain_state import DrainState, read_drain_state
from spool.commands.entries import (
    REPAIR_HINT,
    Entry,
    entries,
    entry_document,
    matching,
    waiting_time,
)
from spool.commands.formatting import format_time
from spool.config import Config
from spool.console import print_json, print_line
from spool.escaping import escape
from spool.exit_codes import OK, USAGE
from spool.files import codec
from spool.files.inventory import EventFile, RunFile
from spool.files.layout import Directory, Layout
from spool.files.run import Run

_TEXT_CHARACTERS = 2000
_LINE_CHARACTERS = 10_000
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("id", metavar="ID", help="a file's name, or a job id: all of its runs")
    parser.add_argument("--json", action="store_true", help="a list of objects")


def run(config: Config, args: argparse.Namespace) -> int:
    """Show what an ID means; return the exit code.

    Raises:
        SpoolError: the spool cannot be used.
    """
    now = time.time()
    drain_state = read_drain_state(config.spool.state_directory)
    with Layout(config.spool.directory) as layout:
        found = matching(entries(layout), args.id)
    if not found:
        _log.error("%s: nothing in the spool has this name or job id; told runs leave it", args.id)
        return USAGE
    if args.json:
        print_json([_document(entry, drain_state, now) for entry in found])
        return OK
    for position, entry in enumerate(found):
        if position:
            print_line()
        for line in _entry_lines(entry, drain_state, now):
            print_line(line)
    return OK


def _document(entry: Entry, drain_state: DrainState, now: float) -> dict[str, Any]:
    """Return an entry as JSON: its row, what to do, and the facts, of long texts only the names."""
    document = entry_document(entry, drain_state, now) | {"to_do": next_step(entry, drain_state)}
    if isinstance(entry, RunFile):
        document["facts"] = _slurm_record(entry.run)
        document["holds"] = [name for name in ("script", "description") if getattr(entry.run, name)]
        document["request"] = _last_request(entry.run)
    return document


def _entry_lines(entry: Entry, drain_state: DrainState, now: float) -> Iterator[str]:
    shown = entry_document(entry, drain_state, now)
    yield f"{entry.directory}/{escape(entry.name)}"
    yield f"  what     {escape(_description(entry))}"
    yield f"  since    {format_time(shown['since'])} ({waiting_time(entry, now)})"
    yield f"  why      {escape(shown['waits'], _TEXT_CHARACTERS)}"
    if isinstance(entry, RunFile):
        yield from _delivery_lines(entry.run)
    yield f"  to do    {escape(next_step(entry, drain_state), _TEXT_CHARACTERS)}"


def _delivery_lines(run: Run) -> Iterator[str]:
    """Yield what a run was and what cc-backend said to it."""
    yield f"  told     {_delivery_state(run)}"
    error = run.last_error
    if error is not None:
        status = f" (HTTP {error.status})" if error.status is not None else ""
        why = f"{error.outcome}, {error.reason}{status}"
        yield f"  asked    {error.call} at {format_time(error.time)}: {why}"
        yield f"  said     {escape(error.message, _TEXT_CHARACTERS)}"
    if error is not None and error.request is not None:
        yield f"  request  {escape(error.request, _LINE_CHARACTERS)}"
    yield f"  facts    {escape(json.dumps(_slurm_record(run)), _LINE_CHARACTERS)}"


def _delivery_state(run: Run) -> str:
    start = f"start {format_time(run.started)}" if run.started else "no start"
    under = f" under cluster {escape(run.cluster)}" if run.cluster else ""
    return f"{start}{under}, attempts since the last success: {run.attempts}"


def _description(entry: Entry) -> str:
    if isinstance(entry, RunFile):
        job, end = entry.run.job, entry.run.end
        over = f"ended {format_time(end.time)} {end.state}" if end else "not known to be over"
        whose = f"user {job.user}, account {job.account}, partition {job.partition}"
        return (
            f"run of job {job.job_id}, {whose}, started {format_time(entry.run.start_time)}, {over}"
        )
    if isinstance(entry, EventFile):
        event = entry.event
        when = f"start {format_time(event.start)}, end {format_time(event.end)}"
        return (
            f"{event.kind} event of job {event.job_id}, {when}, written {format_time(event.time)}"
        )
    return "a file that is neither event nor run"


def next_step(entry: Entry, drain_state: DrainState) -> str:
    """Return what an operator may do about an entry."""
    if entry.directory is Directory.DEAD:
        return _dead_letter_step(entry)
    if isinstance(entry, RunFile) and entry.directory is Directory.OPEN:
        return "nothing"
    if not drain_state.is_running:
        return "start the drain"
    if drain_state.is_halted:
        return "remove the cause of the halt; a new token or configuration is taken up at once"
    return "nothing; it is tried again by itself"


def _dead_letter_step(entry: Entry) -> str:
    if isinstance(entry, RunFile):
        error = entry.run.last_error
        return (error.hint if error else "") or "`cc-spool retry` or `cc-spool discard` it"
    return entry.why.hint if entry.why else REPAIR_HINT


def _last_request(run: Run) -> Any:
    """Return the request that was refused; it never held more than the facts."""
    text = run.last_error.request if run.last_error else None
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def _slurm_record(run: Run) -> Any:
    """Return Slurm's facts as the run file has them."""
    return json.loads(codec.encode(run))["job"]
