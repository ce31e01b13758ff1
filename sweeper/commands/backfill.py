"""`cc-sweep backfill`: report past jobs from Slurm accounting.

For new sites, and after an outage that was longer than the window of the sweeps.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spool.config import Config
from spool.console import print_json, print_line
from spool.errors import UsageError
from spool.exit_codes import OK, TRY_AGAIN
from spool.files.lock import take_lock
from spool.files.state_files import read_json, write_json
from spool.files.sweep_state import read_sweep_state
from spool.formatting import format_time, pluralize
from sweeper.apply import DrainWait, is_drain_running, wait_for_drain
from sweeper.backfill import (
    MAX_PENDING,
    BackfillControl,
    BackfillProgress,
    BackfillWindow,
    backfill,
    count_events,
)
from sweeper.commands.arguments import DATE_FORMS, parse_instant
from sweeper.commands.assembly import drain_wait, open_context
from sweeper.commands.output import failure_code, show_steps
from sweeper.sweep import SweepContext

PROGRESS_FILE = "backfill.json"
POLL_SECONDS = 0.5
STALL_SECONDS = 600
WAIT_SECONDS = 60
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "--since",
        required=True,
        metavar="TIME",
        help=f"report jobs that ended at this time or later: {DATE_FORMS}",
    )
    parser.add_argument(
        "--until",
        required=True,
        metavar="TIME",
        help="report jobs that ended before this time, in the same format as --since",
    )
    parser.add_argument(
        "--monitoring-status",
        type=int,
        choices=(0, 1),
        help="whether cc-backend has metrics of these jobs: 0 = no, 1 = yes",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only count the runs that would be reported"
    )
    parser.add_argument("--json", action="store_true", help="write the report as JSON")


def run(config: Config, args: argparse.Namespace) -> int:
    """Report past jobs; return the exit code.

    Raises:
        UsageError: a time cannot be read, or the window is empty.
        SpoolLockedError: another backfill is running.
        SpoolError, OSError: the spool or the state directory cannot be used.
    """
    window = window_of(args, now=time.time())
    if args.dry_run:
        with open_context(config, args) as context:
            control = BackfillControl(
                make_room=lambda: True, window_done=lambda _progress: None, dry_run=True
            )
            progress = backfill(context, window, control, known_cluster=_known_cluster(config))
            return _print_result(progress, left=0, args=args)
    path = config.spool.state_directory / PROGRESS_FILE
    lock = take_lock(path.with_name("backfill.lock"), path)
    try:
        with open_context(config, args) as context, show_steps() as step:
            return _backfill(config, args, context, window=window, step=step)
    finally:
        lock.release()


def window_of(args: argparse.Namespace, *, now: float) -> BackfillWindow:
    """Return the window that the arguments name.

    Raises:
        UsageError: a time that cannot be read, or an empty window.
    """
    since, until = parse_instant(args.since, now=now), parse_instant(args.until, now=now)
    until = min(until, int(now))
    if since >= until:
        wanted = f"must be in the past and before --until {args.until}"
        raise UsageError(f"--since {args.since} {wanted}")
    return BackfillWindow(since=since, until=until, monitoring_status=args.monitoring_status)


def _backfill(
    config: Config,
    args: argparse.Namespace,
    context: SweepContext,
    *,
    window: BackfillWindow,
    step: Callable[[str], None],
) -> int:
    path = config.spool.state_directory / PROGRESS_FILE
    begun = _remaining_window(path, window)
    if begun.since > window.since:
        _log.info("continuing at %s, where the last backfill ended", format_time(begun.since))
    layout = context.sources.layout
    wait = drain_wait(config, args, WAIT_SECONDS)

    def make_room() -> bool:
        step("waiting for the drain")
        return has_room(lambda: count_events(layout), wait)

    def window_done(progress: BackfillProgress) -> None:
        step(f"{progress.queued} runs queued, {progress.at_backend} already at cc-backend")
        _save_progress(path, window, progress)

    # At once: it has our pid, which a second backfill names as the holder of the lock.
    _save_progress(path, window, BackfillProgress(resume_at=begun.since))
    progress = backfill(
        context,
        begun,
        BackfillControl(make_room=make_room, window_done=window_done),
        known_cluster=_known_cluster(config),
    )
    left = wait_for_drain(layout, list(progress.written), wait)
    return _print_result(progress, left=left, args=args)


def _known_cluster(config: Config) -> str | None:
    return read_sweep_state(config.spool.state_directory).cluster


def has_room(count: Callable[[], int], drain_wait: DrainWait) -> bool:
    """Wait until half of the events in `new/` are resolved; return False if the drain is stuck."""
    until, last = drain_wait.clock() + STALL_SECONDS, count()
    while (now := count()) > MAX_PENDING // 2:
        if now < last:
            until, last = drain_wait.clock() + STALL_SECONDS, now
        if not is_drain_running(drain_wait.state_directory):
            drain_wait.drain_once()
            # A whole pass has resolved nothing: Slurm does not answer, and to wait does not help.
            if count() >= now:
                return False
        elif drain_wait.clock() >= until:
            return False
        else:
            drain_wait.sleep(POLL_SECONDS)
    return True


def _remaining_window(path: Path, window: BackfillWindow) -> BackfillWindow:
    """Return the part of the window that an interrupted backfill of it did not reach, or all."""
    found = read_json(path)
    at = found.get("at")
    is_same = found.get("window") == dataclasses.asdict(window)
    if is_same and isinstance(at, int) and window.since < at < window.until:
        return dataclasses.replace(window, since=at)
    return window


def _save_progress(path: Path, window: BackfillWindow, progress: BackfillProgress) -> None:
    document: dict[str, Any] = {"pid": os.getpid(), "window": dataclasses.asdict(window)}
    write_json(path, document | {"at": progress.resume_at})


def _print_result(progress: BackfillProgress, *, left: int, args: argparse.Namespace) -> int:
    """Print the result of a backfill; return the exit code."""
    counts = {
        "seen": progress.seen,
        "at_backend": progress.at_backend,
        "in_spool": progress.in_spool,
        "excluded": progress.excluded,
        "queued": progress.queued,
        "pending": left,
    }
    if args.json:
        print_json(
            {
                **counts,
                "dry_run": args.dry_run,
                "at": progress.resume_at,
                "failed": progress.failure and progress.failure.text,
            }
        )
    else:
        queued = "would be reported" if args.dry_run else "queued"
        print_line(
            f"{pluralize(progress.seen, 'run')} ended between --since and --until:"
            f" {progress.at_backend} already at cc-backend, {progress.in_spool} already in the"
            f" spool, {progress.excluded} excluded, {progress.queued} {queued}, {left} not yet"
            " taken by the drain"
        )
    if progress.failure is not None:
        # an answer about another cluster will be the same at the next attempt
        can_continue = not progress.failure.voids_starts
        hint = "; repeat the same command to continue from here" if can_continue else ""
        _log.error("%s%s", progress.failure.text, hint)
        return failure_code(progress.failure)
    return TRY_AGAIN if left else OK
