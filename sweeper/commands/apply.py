"""`cc-sweep apply`: repair what a sweep finds, through the spool."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from dataclasses import replace

from slurm.errors import SlurmError
from spool.commands import drain
from spool.config import Config
from spool.console import is_terminal
from spool.exit_codes import OK, TRY_AGAIN, UNAVAILABLE
from spool.files.lock import take_lock
from spool.files.state_files import SWEEP_STATE_FILE
from sweeper.apply import Waiting, Written, put, settle
from sweeper.commands.plan import add_selection, positive, show, usage_error
from sweeper.commands.site import active_elsewhere, site_of
from sweeper.look.some import UnknownJobsError
from sweeper.plan import ForceError, Options
from sweeper.state import State, Summary, read_state, read_summary, write_state
from sweeper.sweep import Sight, Site, look, successor

WAIT_SECONDS = 60
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_selection(parser)
    parser.add_argument(
        "--force", action="store_true", help="do not hold stops back, however many they are"
    )
    parser.add_argument(
        "--stops", type=positive, metavar="N", help="with --force: how many stops are meant"
    )
    parser.add_argument(
        "--wait",
        type=int,
        default=WAIT_SECONDS,
        metavar="SECONDS",
        help=f"how long to wait for the drain (default: {WAIT_SECONDS})",
    )


def run(config: Config, args: argparse.Namespace) -> int:
    """Sweep; return the exit code.

    Raises:
        SpoolLockedError: another sweep is at work.
        SpoolError, OSError: the spool or the state directory cannot be used.
    """
    if args.force != (args.stops is not None):
        return usage_error(ValueError("--force and --stops N go together"))
    directory = config.spool.state_directory
    lock = take_lock(directory / "sweep.lock", directory / SWEEP_STATE_FILE)
    try:
        with site_of(config, args) as site:
            return _sweep(config, args, site)
    except (UnknownJobsError, ForceError) as error:
        return usage_error(error)
    finally:
        lock.release()


def _sweep(config: Config, args: argparse.Namespace, site: Site) -> int:
    try:
        active = active_elsewhere(site.sources.slurm.ping())
    except SlurmError as error:
        _log.error("no controller answers: %s", error)
        return UNAVAILABLE
    if active is not None:
        _log.info("the controller on %s is active: the sweep there acts, this one does not", active)
        return OK
    directory = config.spool.state_directory
    state = read_state(directory)
    summary = read_summary(directory, started=time.time(), pid=os.getpid())
    write_state(directory, state, summary)
    options = Options(
        limit=args.limit,
        direction=args.direction,
        force_stops=args.stops,
        require_force=config.sweep.require_force,
    )
    sight = look(site, state, options, args.jobid)
    plan = sight.decision.plan
    layout = site.sources.layout
    written = put(layout, plan.changes) if sight.decision.applies else []
    show(plan, as_json=args.json)
    _note(config, sight, written, summary)
    _log.info("sweep: %s, %d applied", "refused" if plan.is_refused else "done", len(written))
    is_usable = written or not plan.is_refused
    left = settle(layout, written, _waiting(config, args)) if is_usable else 0
    return _exit_code(sight, written, left)


def _note(config: Config, sight: Sight, written: list[Written], summary: Summary) -> None:
    """Leave what the next sweep and `status` need; single jobs say nothing about the site."""
    plan = sight.decision.plan
    state: State = successor(sight, [each.key for each in written])
    ended = replace(summary, finished=time.time())
    done = (
        ended
        if sight.options.only_some
        else replace(
            ended,
            refused=plan.is_refused,
            guards=tuple(guard.name for guard in plan.guards),
            drift=plan.drift,
        )
    )
    write_state(config.spool.state_directory, state, done)


def _waiting(config: Config, args: argparse.Namespace) -> Waiting:
    once = argparse.Namespace(**{**vars(args), "once": True})
    told = _progress if is_terminal(sys.stderr) else _silence
    return Waiting(
        state=config.spool.state_directory,
        seconds=args.wait,
        drain_once=lambda: drain.run(config, once),
        clock=time.monotonic,
        sleep=time.sleep,
        told=told,
    )


def _progress(left: int) -> None:
    sys.stderr.write(f"\rwaiting for the drain: {left} left " if left else "\r\x1b[K")
    sys.stderr.flush()


def _silence(_left: int) -> None:
    """Say nothing."""


def _exit_code(sight: Sight, written: list[Written], left: int) -> int:
    plan = sight.decision.plan
    if plan.guards:
        return plan.guards[0].exit_code
    missed = len(plan.changes) - len(written)
    if left or missed or plan.left:
        _log.warning(
            "%d changes wait in the spool, %d are left for the next sweep",
            left,
            missed + plan.left,
        )
        return TRY_AGAIN
    return OK
