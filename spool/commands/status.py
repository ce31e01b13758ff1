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
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from ccbackend.errors import TokenError
from spool.checks.waiting import STUCK_SECONDS, waiting_line
from spool.commands.drain_view import DrainView, read_drain_view
from spool.commands.node_lines import node_lines
from spool.config import Config
from spool.console import Colour, print_json, print_line
from spool.escaping import escape
from spool.exit_codes import OK
from spool.files.drain_state import HealthState
from spool.files.file_times import LISTED, waiting_times
from spool.files.layout import Directory, Layout
from spool.files.node_round import read_node_round
from spool.files.state_files import SWEEP_STATE_FILE, read_json
from spool.files.sweep_state import SweepSummary, read_sweep_summary
from spool.formatting import format_age, format_duration, format_table, format_time, pluralize
from spool.identity import MaskedToken
from spool.type_names import Any

BOUNDS_MINUTES = (5, 10, 20, 40, 80, 160, 320, 640, 1280)
OLDER = "older"
HALTED, REFUSED = "HALTED", "REFUSED"
NO_DRAIN, NO_SERVER = "no drain is running", "cc-backend does not answer"
_COLOURS = dict.fromkeys((HALTED, REFUSED, NO_DRAIN, NO_SERVER), Colour.RED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "--json", action="store_true", help="write one JSON object with stable keys"
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
    lines = [*_lines(document, view, now), _sweep_line(state_directory, now)]
    lines += node_lines(last, now, config.nodes.interval_seconds)
    for line in lines:
        print_line(line, colours=_COLOURS)
    return OK


def count_spool(layout: Layout, now: float) -> dict[str, Any]:
    """Return counts, ages (seconds) and oldest instants by directory; no file is opened."""
    since = {str(directory): waiting_times(layout, directory) for directory in LISTED}
    return {
        "counts": {name: len(each) for name, each in since.items()}
        | {"tmp": sum(1 for _ in layout.names(Directory.TMP))},
        "oldest": {name: int(each[0]) if each else None for name, each in since.items()},
        "ages": {name: histogram([now - at for at in each]) for name, each in since.items()},
    }


def histogram(ages: Iterable[float]) -> dict[str, int]:
    """Return the number of ages (seconds) by their upper bound in minutes."""
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


def _lines(document: dict[str, Any], view: DrainView, now: float) -> Iterator[str]:
    yield from _head_lines(document, view, now)
    if view.is_running or view.state.once:
        yield from _waiting_lines(view, now)
        yield from _trouble_lines(view, now)
    yield ""
    yield from _age_table(document, now)
    yield ""
    if view.state.unreported:
        runs = pluralize(view.state.unreported, "run")
        yield f"{runs} deliberately not reported (`cc-spool list open --reason 'not reported'`)"
    yield _token_line(document["token"], now)


def _head_lines(document: dict[str, Any], view: DrainView, now: float) -> Iterator[str]:
    """Yield both sides with their versions, the last delivery, and the drain."""
    state = view.state
    version = escape(state.server_version or "unknown")
    dialect = f" ({escape(state.server_dialect)})" if state.server_dialect else ""
    yield f"cc-backend {document['server_url']}, version {version}{dialect}"
    yield f"cluster {document['cluster']}, Slurm {escape(state.slurm_release or 'release unknown')}"
    if state.last_delivery is None:
        yield "no delivery yet"
    else:
        when = f"{format_time(state.last_delivery)} ({format_age(state.last_delivery, now)} ago)"
        count = f", {state.deliveries_last_hour} in the last hour" if view.is_running else ""
        yield f"last delivery {when}{count}"
    yield _drain_line(view, now)


def _drain_line(view: DrainView, now: float) -> str:
    state = view.state
    if not view.is_running:
        last = f"; last seen {format_time(state.updated)}" if state.updated else ""
        sure = (
            NO_DRAIN
            if view.lock == "free"
            else "the drain's lock cannot be opened; run this as root"
        )
        return sure + last
    who = f"process {view.pid}" if view.pid else "a process of unknown id"
    alive = f", state updated {format_age(state.updated, now)} ago" if state.updated else ""
    return f"drain {escape(state.version or 'of unknown version')} is running ({who}{alive})"


def _waiting_lines(view: DrainView, now: float) -> Iterator[str]:
    """Yield the causes for which runs wait."""
    state = view.state
    if state.due_since is not None and now - state.due_since >= STUCK_SECONDS:
        since = format_time(state.due_since)
        yield f"nothing has been delivered since {since}, although runs are due"
    for cause in state.waiting:
        yield escape(f"waiting: {waiting_line(cause, now)}")


def _trouble_lines(view: DrainView, now: float) -> Iterator[str]:
    """Yield the problems that prevent deliveries."""
    state = view.state
    yield from _health_lines(view, now)
    for what, since in (
        ("Slurm", state.slurm_silent_since),
        ("Slurm's accounting", state.accounting_silent_since),
    ):
        if since is not None:
            why = f": {escape(state.slurm_reason)}" if state.slurm_reason else ""
            yield f"{what} has not answered since {format_time(since)}{why}"
    if state.disk_full:
        why = f": {escape(state.disk_reason)}" if state.disk_reason else ""
        yield f"the spool cannot be written{why}"
    if state.unreadable_count:
        yield f"{pluralize(state.unreadable_count, 'file')} cannot be read now:"
    for file in state.unreadable:
        yield f"  {escape(file.name)}: {escape(file.reason)}"
    for warning in state.warnings:
        yield f"warning: {escape(warning)}"
    if state.polling_reason:
        why = escape(state.polling_reason)
        yield f"inotify cannot be used ({why}): new/ is polled, which takes more CPU time"


def _health_lines(view: DrainView, now: float) -> Iterator[str]:
    state = view.state
    reports = [("", state.health)]
    if state.health.state is HealthState.UP:
        reports = [(" to starts", state.starts), (" to stops", state.stops)]
    words = {HealthState.HALTED: HALTED, HealthState.DOWN: NO_SERVER}
    for what, health in reports:
        if health.state in words:
            said = f"{words[health.state]}{what} since {format_time(health.since)}"
            yield f"{said}: {escape(health.reason)}"
    at = state.health.next_try if view.is_halted or view.is_down else state.next_attempt
    if at is not None:
        yield f"next attempt {format_time(at)} (in {format_duration(at - now)})"


def _age_table(document: dict[str, Any], now: float) -> Iterator[str]:
    head = ["minutes", "files", "oldest", *(f"<{m}" for m in BOUNDS_MINUTES), OLDER]
    rows: list[list[object]] = [
        [name, document["counts"][name], format_age(oldest, now), *ages.values()]
        for (name, ages), oldest in zip(
            document["ages"].items(), document["oldest"].values(), strict=True
        )
    ]
    yield from format_table([head, *rows])
    if document["counts"]["tmp"]:
        yield f"{pluralize(document['counts']['tmp'], 'file')} being written in tmp"


def _token_line(token: dict[str, Any], now: float) -> str:
    if token["problem"]:
        return f"token ({token['source']}): {token['problem']}"
    if token["expires_at"] is None:
        return f"token ({token['source']}) does not expire"
    left = token["expires_at"] - now
    words = (
        f"expires in {format_duration(left)}"
        if left > 0
        else f"expired {format_duration(-left)} ago"
    )
    return f"token ({token['source']}) {words}"


def _sweep_line(state_directory: Path, now: float) -> str:
    try:
        summary = read_sweep_summary(state_directory)
    except ValueError as error:
        return escape(f"last sweep: {error}", 1000)
    return "no sweep has run" if summary is None else _summary_line(summary, now)


def _summary_line(summary: SweepSummary, now: float) -> str:
    when = (
        "did not finish"
        if summary.finished is None
        else f"ended {format_age(summary.finished, now)} ago"
    )
    found = [f"{name} {count}" for name, count in summary.drift.items()]
    why = f": {', '.join(summary.guards)}" if summary.guards else ""
    refused = f"; {REFUSED}{why}" if summary.refused else ""
    return escape(f"last sweep {when}; differences: {', '.join(found) or 'unknown'}{refused}", 1000)
