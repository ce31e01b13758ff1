"""`cc-spool list`: what lies in the spool, a line each."""

from __future__ import annotations

import argparse
import time
from typing import Any

from spool.commands.drain_state import read_drain_state
from spool.commands.entries import LISTED, entries, entry_document
from spool.commands.formatting import format_duration, format_table, format_time
from spool.config import Config
from spool.console import print_json, print_line
from spool.escaping import escape
from spool.exit_codes import OK
from spool.files.layout import Directory, Layout

_HEAD = ("in", "id", "job", "start", "waits for", "why")
_ORDER = {str(directory): position for position, directory in enumerate(LISTED)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "directory", nargs="?", choices=[str(each) for each in LISTED], help="only what lies there"
    )
    parser.add_argument("--json", action="store_true", help="a list of objects")


def run(config: Config, args: argparse.Namespace) -> int:
    """List the spool; return the exit code.

    Raises:
        SpoolError: the spool cannot be used.
    """
    now = time.time()
    drain_state = read_drain_state(config.spool.state_directory)
    directories = [Directory(args.directory)] if args.directory else LISTED
    with Layout(config.spool.directory) as layout:
        found = [entry_document(entry, drain_state, now) for entry in entries(layout, directories)]
    found.sort(key=lambda each: (_ORDER[each["state"]], each["since"], each["id"]))
    if args.json:
        print_json(found)
    elif found:
        for line in format_table([_HEAD, *(_cells(each, now) for each in found)]):
            print_line(line)
    return OK


def _cells(shown: dict[str, Any], now: float) -> tuple[object, ...]:
    return (
        shown["state"],
        shown["id"],
        shown["job_id"] or "-",
        format_time(shown["start"]),
        format_duration(now - shown["since"]),
        escape(shown["waits"]),
    )
