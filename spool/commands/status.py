"""`cc-spool status`: how much waits, since when, and why.

All numbers are counted in the directories now; only what is believed of cc-backend comes from the
drain's state file.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ccbackend.errors import TokenError
from spool.commands.drain_state import DrainState, number, read_drain_state
from spool.commands.entries import LISTED, Entry, entries, entry_since
from spool.commands.formatting import format_duration, format_table, format_time, pluralize
from spool.config import Config
from spool.console import print_json, print_line
from spool.escaping import escape
from spool.exit_codes import OK
from spool.files.inventory import BadFile, RunFile
from spool.files.layout import Directory, Layout
from spool.files.state_files import SWEEP_STATE_FILE, read_json
from spool.identity import MaskedToken

BOUNDS_MINUTES = (5, 10, 20, 40, 80, 160, 320, 640, 1280)
OLDER = "older"
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("--json", action="store_true", help="one object with stable keys")


def run(config: Config, args: argparse.Namespace) -> int:
    """Tell the state of the spool; return the exit code.

    Raises:
        SpoolError: the spool cannot be used.
    """
    now = time.time()
    drain_state = read_drain_state(config.spool.state_directory)
    with Layout(config.spool.directory) as layout:
        found = count_spool(layout, now)
    document = {
        **found,
        **_drain_document(drain_state, found["next_run"]),
        "sweep": read_sweep(config.spool.state_directory),
        "token": _token(args.token),
    }
    del document["next_run"]
    for warning in config.warnings:
        _log.warning("%s", warning)
    if args.json:
        print_json(document)
        return OK
    for line in _lines(document, drain_state, now):
        print_line(line)
    return OK


def count_spool(layout: Layout, now: float) -> dict[str, Any]:
    """Return counts, ages (seconds) and oldest instants by directory."""
    ages: dict[str, list[float]] = {str(directory): [] for directory in LISTED}
    unreported = unreadable = 0
    due: list[float] = []
    for entry in entries(layout):
        ages[entry.directory].append(now - entry_since(entry))
        unreported += isinstance(entry, RunFile) and not entry.run.reported
        unreadable += isinstance(entry, BadFile) and entry.directory is not Directory.DEAD
        if (at := _next_attempt(entry)) > now:
            due.append(at)
    return {
        "counts": {name: len(each) for name, each in ages.items()}
        | {"tmp": sum(1 for _ in layout.names(Directory.TMP))},
        "oldest": {name: int(now - max(each)) if each else None for name, each in ages.items()},
        "ages": {name: histogram(each) for name, each in ages.items()},
        "unreported": unreported,
        "unreadable": unreadable,
        "next_run": min(due, default=None),
    }


def histogram(ages: Iterable[float]) -> dict[str, int]:
    """Return how many ages (seconds) lie below each bound, in minutes, and above the one before."""
    found = dict.fromkeys([*map(str, BOUNDS_MINUTES), OLDER], 0)
    for age in ages:
        bound = next((str(m) for m in BOUNDS_MINUTES if age < m * 60), OLDER)
        found[bound] += 1
    return found


def read_sweep(state_directory: Path) -> dict[str, Any] | None:
    """Return what the last sweep left; None if there is nothing to read."""
    return read_json(state_directory / SWEEP_STATE_FILE) or None


def _drain_document(drain_state: DrainState, next_run: float | None) -> dict[str, Any]:
    is_stopped = drain_state.is_halted or drain_state.is_down
    trouble = {"since": drain_state.since, "reason": escape(drain_state.reason)}
    return {
        "lock": {"state": str(drain_state.lock), "pid": drain_state.pid},
        "drain": {"running": drain_state.is_running, "updated": drain_state.updated},
        "halted": trouble if drain_state.is_halted else None,
        "down": trouble if drain_state.is_down else None,
        "next_attempt": drain_state.next_probe if is_stopped else next_run,
        "server": {"version": drain_state.version, "dialect": drain_state.dialect}
        if drain_state.version or drain_state.dialect
        else None,
        "slurm_silent_since": drain_state.slurm_silent_since,
        "disk_full": drain_state.disk_full,
        "unknown_hosts": drain_state.unknown_hosts,
    }


def _token(token: MaskedToken) -> dict[str, Any]:
    """Return where the token is and when it ends; never the token."""
    source = "configuration" if token.path is None else str(token.path)
    try:
        return {"source": source, "expires_at": token.current().expires_at, "problem": None}
    except TokenError as error:
        return {"source": source, "expires_at": None, "problem": escape(error.problem)}


def _next_attempt(entry: Entry) -> float:
    is_waiting = isinstance(entry, RunFile) and entry.directory is Directory.TODO
    return entry.run.not_before if is_waiting and isinstance(entry, RunFile) else 0.0


def _lines(document: dict[str, Any], drain_state: DrainState, now: float) -> Iterator[str]:
    yield _drain_line(drain_state, now)
    yield from _trouble_lines(document, now)
    yield ""
    yield from _age_table(document, now)
    yield ""
    if document["unreported"]:
        yield f"{pluralize(document['unreported'], 'run')} not reported by choice (`cc-spool list`)"
    if document["unreadable"]:
        yield f"{pluralize(document['unreadable'], 'file')} cannot be read (`cc-spool list`)"
    yield _token_line(document["token"], now)
    yield _sweep_line(document["sweep"], now)


def _drain_line(drain_state: DrainState, now: float) -> str:
    if not drain_state.is_running:
        last = (
            f"; one was last seen {format_time(drain_state.updated)}" if drain_state.updated else ""
        )
        sure = (
            "no drain is running" if drain_state.lock == "free" else "the lock cannot be looked at"
        )
        return sure + last
    who = (
        f"process {drain_state.pid}"
        if drain_state.pid
        else "a process that does not tell its number"
    )
    version = f"cc-backend {drain_state.version or 'of unknown version'}"
    dialect = f" ({escape(drain_state.dialect)})" if drain_state.dialect else ""
    alive = (
        f", last sign of life {format_duration(now - drain_state.updated)} ago"
        if drain_state.updated
        else ""
    )
    return f"drain is running ({who}{alive}), {escape(version)}{dialect}"


def _trouble_lines(document: dict[str, Any], now: float) -> Iterator[str]:
    """Yield what stands in the way of deliveries."""
    for key, words in (("halted", "HALTED"), ("down", "cc-backend does not answer")):
        if document[key]:
            yield f"{words} since {format_time(document[key]['since'])}: {document[key]['reason']}"
    if document["next_attempt"] is not None:
        at = document["next_attempt"]
        yield f"next attempt {format_time(at)} (in {format_duration(at - now)})"
    if document["slurm_silent_since"] is not None:
        yield f"Slurm does not answer since {format_time(document['slurm_silent_since'])}"
    if document["disk_full"]:
        yield "the spool's disk is full"
    if document["unknown_hosts"]:
        yield f"{pluralize(document['unknown_hosts'], 'host')} unknown to cc-backend"


def _age_table(document: dict[str, Any], now: float) -> Iterator[str]:
    head = ["minutes", "files", "oldest", *(f"<{m}" for m in BOUNDS_MINUTES), OLDER]
    rows: list[list[object]] = [
        [
            name,
            document["counts"][name],
            format_duration(now - oldest) if oldest is not None else "-",
            *ages.values(),
        ]
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


def _sweep_line(sweep: dict[str, Any] | None, now: float) -> str:
    if sweep is None:
        return "no sweep has run"
    finished = number(sweep.get("finished"))
    when = "did not finish" if finished is None else f"ended {format_duration(now - finished)} ago"
    drift = sweep.get("drift")
    found = [f"{name} {n}" for name, n in drift.items()] if isinstance(drift, dict) else []
    guards = sweep.get("guards")
    why = f": {', '.join(map(str, guards))}" if isinstance(guards, list) and guards else ""
    held = f"; REFUSED{why}" if sweep.get("refused") is True else ""
    return escape(f"last sweep {when}; drift: {', '.join(found) or 'unknown'}{held}", 1000)
