"""`cc-spool status`: show what is pending, since when and why, and the last delivery.

All numbers are counted from names and times in the directories; the state of cc-backend and Slurm
comes from the drain's state file.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import time
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise

from ccbackend.errors import TokenError
from slurm.type_names import Any
from spool.commands.drain_view import DrainView, read_drain_view
from spool.commands.status_lines import COLOURS, node_lines, status_lines, sweep_line
from spool.config import Config
from spool.console import print_json, print_line
from spool.escaping import escape
from spool.exit_codes import OK
from spool.files.file_times import LISTED, waiting_times
from spool.files.layout import Directory, Layout
from spool.files.node_round import read_node_round
from spool.files.state_files import SWEEP_STATE_FILE, read_json
from spool.identity import MaskedToken

BOUNDS_MINUTES = (5, 10, 20, 40, 80, 160, 320, 640, 1280)
OLDER = "older"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "--json", action="store_true", help="write one JSON object with stable keys, for scripts"
    )


def run(config: Config, args: argparse.Namespace) -> int:
    """Print the state of the spool; return the exit code.

    Raises:
        SpoolError: the spool cannot be used.
    """
    now = time.time()
    state_directory = config.spool.state_directory
    view = read_drain_view(state_directory)
    with Layout(config.spool.directory) as layout:
        found = count_spool(layout, now)
    document = {
        "server_url": config.cc_backend.host,
        "cluster": config.clustername,
        **found,
        **_drain_document(view),
        "sweep": read_json(state_directory / SWEEP_STATE_FILE) or None,
        "token": _token(args.token),
    }
    for warning in config.warnings:
        logging.getLogger(__name__).warning("%s", warning)
    last = read_node_round(state_directory)
    document["nodes"] = None if last is None else dataclasses.asdict(last) | {"hosts": None}
    if args.json:
        print_json(document)
        return OK
    lines = [*status_lines(document, view, now), sweep_line(state_directory, now)]
    lines += node_lines(last, now, config.nodes.interval_seconds)
    for line in lines:
        print_line(line, colours=COLOURS)
    return OK


def count_spool(layout: Layout, now: float) -> dict[str, Any]:
    """Return number, oldest time and histogram of ages of each directory; open no file."""
    since = {str(directory): waiting_times(layout, directory) for directory in LISTED}
    return {
        "counts": {name: len(each) for name, each in since.items()}
        | {"tmp": sum(1 for _ in layout.names(Directory.TMP))},
        "oldest": {name: int(each[0]) if each else None for name, each in since.items()},
        "ages": {name: histogram([now - at for at in each]) for name, each in since.items()},
    }


def histogram(ages: Iterable[float]) -> dict[str, int]:
    """Count ages (seconds) in classes; the keys are upper bounds in minutes, and `older`."""
    ordered = sorted(ages)
    below = [bisect_left(ordered, minutes * 60) for minutes in BOUNDS_MINUTES]
    counts = [end - begin for begin, end in pairwise([0, *below, len(ordered)])]
    return dict(zip([*map(str, BOUNDS_MINUTES), OLDER], counts, strict=True))


def _drain_document(view: DrainView) -> dict[str, Any]:
    state, health = view.state, view.state.health
    is_stopped = view.is_halted or view.is_down
    trouble = {"since": health.since, "reason": escape(health.reason)}
    return {
        "unreported": state.unreported,
        "unreadable": state.unreadable_count,
        "unreadable_files": [dataclasses.asdict(file) for file in state.unreadable],
        "lock": {"state": str(view.lock), "pid": view.pid},
        "drain": {"running": view.is_running, "updated": state.updated, "version": state.version},
        "halted": trouble if view.is_halted else None,
        "down": trouble if view.is_down else None,
        "next_attempt": health.next_try if is_stopped else state.next_attempt,
        "server": {"version": state.server_version, "dialect": state.server_dialect}
        if state.server_version or state.server_dialect
        else None,
        "slurm_release": state.slurm_release,
        "slurm_silent_since": state.slurm_silent_since,
        "slurm_reason": state.slurm_reason,
        "accounting_silent_since": state.accounting_silent_since,
        "disk_full": state.disk_full,
        "disk_reason": state.disk_reason,
        "unknown_hosts": sum(cause.cause.startswith("host ") for cause in state.waiting),
        "waiting": [dataclasses.asdict(cause) for cause in state.waiting],
        "last_event": state.last_event,
        "last_delivery": state.last_delivery,
        "deliveries_last_hour": state.deliveries_last_hour,
        "due_since": state.due_since,
        "warnings": list(state.warnings),
        "polling_reason": escape(state.polling_reason),
    }


def _token(token: MaskedToken) -> dict[str, Any]:
    """Return the token's source and expiry, never the token."""
    source = "configuration" if token.path is None else str(token.path)
    try:
        return {"source": source, "expires_at": token.current().expires_at, "problem": None}
    except TokenError as error:
        return {"source": source, "expires_at": None, "problem": escape(error.problem)}
