"""`cc-sweep backfill`: history from accounting, for sites that begin and after a long outage."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spool.commands import drain
from spool.config import Config
from spool.console import print_json, print_line
from spool.exit_codes import OK, TRY_AGAIN
from spool.files.lock import take_lock
from spool.files.state_files import read_json, write_json
from sweeper.apply import Waiting, is_draining, settle
from sweeper.backfill import CROWD, Pace, Tally, Window, backfill, crowd
from sweeper.commands.plan import usage_error
from sweeper.commands.site import progress, site_of
from sweeper.dates import FORMS, instant_of
from sweeper.sweep import Site

NAME = "backfill.json"
POLL_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 600
WAIT_SECONDS = 60
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("--since", required=True, metavar="TIME", help=f"begin: {FORMS}")
    parser.add_argument("--until", required=True, metavar="TIME", help="end, not included")
    parser.add_argument(
        "--monitoring-status",
        type=int,
        choices=(0, 1),
        help="0: there are no metrics of that time",
    )
    parser.add_argument("--dry-run", action="store_true", help="count only")
    parser.add_argument("--json", action="store_true", help="write the report as JSON")


def run(config: Config, args: argparse.Namespace) -> int:
    """Tell the history; return the exit code.

    Raises:
        SpoolLockedError: another backfill is at work.
        SpoolError, OSError: the spool or the state directory cannot be used.
    """
    try:
        window = window_of(args, now=time.time())
    except ValueError as error:
        return usage_error(error)
    if args.dry_run:
        with site_of(config, args) as site:
            return _told(backfill(site, window, _dry()), left=0, args=args)
    path = config.spool.state_directory / NAME
    lock = take_lock(path.with_name("backfill.lock"), path)
    try:
        with site_of(config, args) as site, progress() as step:
            return _backfill(config, args, site, window=window, step=step)
    finally:
        lock.release()


def window_of(args: argparse.Namespace, *, now: float) -> Window:
    """Return the window that the arguments name.

    Raises:
        ValueError: an instant that is none, or an empty window.
    """
    since, until = instant_of(args.since, now=now), instant_of(args.until, now=now)
    until = min(until, int(now))
    if since >= until:
        raise ValueError(f"--since {args.since} is not before --until {args.until} and now")
    return Window(since=since, until=until, monitoring_status=args.monitoring_status)


def _backfill(
    config: Config,
    args: argparse.Namespace,
    site: Site,
    *,
    window: Window,
    step: Callable[[str], None],
) -> int:
    path = config.spool.state_directory / NAME
    begun = _resumed(path, window)
    if begun.since > window.since:
        _log.info("goes on where the last call ended, at %d", begun.since)
    layout = site.sources.layout
    waiting = _waiting(config, args)

    def make_room() -> bool:
        step("waiting for the drain")
        return has_room(lambda: crowd(layout), waiting)

    def page_done(tally: Tally) -> None:
        step(f"{tally.told} told, {tally.there} there")
        _note(path, window, tally)

    _note(path, window, Tally(at=begun.since))
    tally = backfill(site, begun, Pace(make_room=make_room, page_done=page_done))
    left = settle(layout, list(tally.written), waiting)
    return _told(tally, left=left, args=args)


def has_room(count: Callable[[], int], waiting: Waiting) -> bool:
    """Wait until half of the events are resolved; False if nothing moves for ten minutes."""
    until, last = waiting.clock() + LONGEST_WAIT_SECONDS, count()
    while (now := count()) > CROWD // 2:
        if now < last:
            until, last = waiting.clock() + LONGEST_WAIT_SECONDS, now
        if not is_draining(waiting.state):
            waiting.drain_once()
            if count() >= now:
                return False
        elif waiting.clock() >= until:
            return False
        else:
            waiting.sleep(POLL_SECONDS)
    return True


def _resumed(path: Path, window: Window) -> Window:
    """Return the part of a window that the last, interrupted call has left."""
    found = read_json(path)
    at = found.get("at")
    is_same = found.get("window") == dataclasses.asdict(window)
    if is_same and isinstance(at, int) and window.since < at < window.until:
        return dataclasses.replace(window, since=at)
    return window


def _note(path: Path, window: Window, tally: Tally) -> None:
    document: dict[str, Any] = {"pid": os.getpid(), "window": dataclasses.asdict(window)}
    write_json(path, document | {"at": tally.at})


def _waiting(config: Config, args: argparse.Namespace) -> Waiting:
    once = argparse.Namespace(**{**vars(args), "once": True})
    return Waiting(
        state=config.spool.state_directory,
        seconds=WAIT_SECONDS,
        drain_once=lambda: drain.run(config, once),
        clock=time.monotonic,
        sleep=time.sleep,
    )


def _dry() -> Pace:
    return Pace(make_room=lambda: True, page_done=lambda _tally: None, dry_run=True)


def _told(tally: Tally, *, left: int, args: argparse.Namespace) -> int:
    """Report; return the exit code."""
    counts = {
        "seen": tally.seen,
        "there": tally.there,
        "known": tally.known,
        "left_out": tally.left_out,
        "told": tally.told,
        "waiting": left,
    }
    if args.json:
        print_json({**counts, "dry_run": args.dry_run, "at": tally.at, "failed": _words(tally)})
    else:
        told = "to be told" if args.dry_run else "told"
        print_line(
            f"{tally.seen} runs ended: {tally.there} there, {tally.known} in the spool,"
            f" {tally.left_out} left out, {tally.told} {told}, {left} waiting"
        )
    if tally.failed is not None:
        _log.error("%s; the same command goes on there", tally.failed.text)
        return tally.failed.exit_code
    return TRY_AGAIN if left else OK


def _words(tally: Tally) -> str | None:
    return None if tally.failed is None else tally.failed.text
