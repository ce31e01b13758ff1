"""`cc-spool retry ID|ALL`: requeue dead letters, and deliver pending runs now."""

from __future__ import annotations

import argparse
from typing import Any

from spool.commands import dead_letters
from spool.commands.entries import ALL, job_id_of, matching_names
from spool.config import Config
from spool.console import print_line
from spool.escaping import escape
from spool.files.dead_letters import plan_retry
from spool.files.durable_files import create_file
from spool.files.event import EventKind
from spool.files.layout import Directory, Layout
from spool.files.lock import LockState, lock_state
from spool.files.new_events import new_event
from spool.files.run import is_run_name
from spool.files.state_files import DRAIN_LOCK_FILE
from spool.formatting import pluralize

_NOW = "{} delivered now: the drain is running"
_LATER = "{} delivered when the drain runs (see `cc-spool status`)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    dead_letters.add_arguments(parser)


def run(config: Config, args: argparse.Namespace) -> int:
    """Retry dead letters and pending runs, oldest first; safe to interrupt and repeat.

    Returns:
        the exit code.

    Raises:
        SpoolError, OSError: the spool cannot be used.
    """
    lock = config.spool.state_directory / DRAIN_LOCK_FILE
    words = _NOW if lock_state(lock) is LockState.HELD else _LATER
    words = words.format("would be" if args.dry_run else "is")
    with Layout(config.spool.directory) as layout:
        dead = dead_letters.select(layout, args.id)
        pending = _pending_runs(layout, args.id)
        if not dead and not pending:
            return dead_letters.report_nothing(layout, args.id, as_json=args.json)
        done = dead_letters.apply_plan(layout, dead, plan_retry, args=args)
        if pending:
            done += _retry_pending(layout, pending, words, args=args)
    return dead_letters.summarize(done, args=args)


def _pending_runs(layout: Layout, wanted: str) -> list[str]:
    """Return the names of the pending runs that match an ID."""
    if wanted == ALL:
        return sorted(filter(is_run_name, layout.names(Directory.TODO)))
    found = matching_names(layout, wanted, [Directory.TODO])
    return sorted(name for _, name in found if is_run_name(name))


def _retry_pending(
    layout: Layout, names: list[str], words: str, *, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Write events that ask the drain to deliver runs now: one for each job, or one for all."""
    job_ids = {0} if args.id == ALL else {job_id_of(name) or 0 for name in names}
    for job_id in () if args.dry_run else sorted(job_ids):
        create_file(layout, Directory.NEW, new_event(EventKind.RETRY, job_id), durable=False)
    if args.id == ALL and not args.json:
        print_line(f"{pluralize(len(names), 'run')} in todo/: each {words}")
    elif not args.json:
        for name in names:
            print_line(f"{escape(name)} {words}")
    return [
        {"id": escape(name), "job_id": job_id_of(name), "done": True, "words": words}
        for name in names
    ]
