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
from spool.files.sweep_state import (
    SweepState,
    SweepSummary,
    begin_sweep_summary,
    read_sweep_state,
    write_sweep_state,
)
from sweeper.apply import DrainWait, WrittenEvent, wait_for_drain, write_events
from sweeper.commands.assembly import active_elsewhere, open_context
from sweeper.commands.plan import (
    add_selection_arguments,
    positive_number,
    print_plan,
    report_usage_error,
)
from sweeper.observe.single_jobs import UnknownJobsError
from sweeper.plan import ForceError, SweepOptions
from sweeper.sweep import SweepContext, SweepResult, next_state, run_sweep

WAIT_SECONDS = 60
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_selection_arguments(parser)
    parser.add_argument(
        "--force", action="store_true", help="do not hold stops back, however many they are"
    )
    parser.add_argument(
        "--stops", type=positive_number, metavar="N", help="with --force: how many stops are meant"
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
        return report_usage_error(ValueError("--force and --stops N go together"))
    directory = config.spool.state_directory
    lock = take_lock(directory / "sweep.lock", directory / SWEEP_STATE_FILE)
    try:
        with open_context(config, args) as context:
            return _sweep(config, args, context)
    except (UnknownJobsError, ForceError) as error:
        return report_usage_error(error)
    finally:
        lock.release()


def _sweep(config: Config, args: argparse.Namespace, context: SweepContext) -> int:
    try:
        active = active_elsewhere(context.sources.slurm.ping())
    except SlurmError as error:
        _log.error("no controller answers: %s", error)
        return UNAVAILABLE
    if active is not None:
        _log.info("the controller on %s is active: the sweep there acts, this one does not", active)
        return OK
    directory = config.spool.state_directory
    state = read_sweep_state(directory)
    summary = begin_sweep_summary(directory, started=time.time(), pid=os.getpid())
    write_sweep_state(directory, state, summary)
    options = SweepOptions(
        limit=args.limit,
        direction=args.direction,
        force_stops=args.stops,
        require_force=config.sweep.require_force,
    )
    result = run_sweep(context, state, options, args.jobid)
    plan = result.decision.plan
    layout = context.sources.layout
    written = write_events(layout, plan.changes) if result.decision.may_apply else []
    print_plan(plan, as_json=args.json)
    _save_outcome(config, result, written, summary)
    _log.info("sweep: %s, %d applied", "refused" if plan.is_refused else "done", len(written))
    is_usable = written or not plan.is_refused
    left = wait_for_drain(layout, written, _drain_wait(config, args)) if is_usable else 0
    return _exit_code(result, written, left)


def _save_outcome(
    config: Config, result: SweepResult, written: list[WrittenEvent], summary: SweepSummary
) -> None:
    """Leave what the next sweep and `status` need; single jobs say nothing about the site."""
    plan = result.decision.plan
    state: SweepState = next_state(result, [each.key for each in written])
    ended = replace(summary, finished=time.time())
    done = (
        ended
        if result.options.only_single_jobs
        else replace(
            ended,
            refused=plan.is_refused,
            guards=tuple(guard.name for guard in plan.guards),
            drift=plan.drift,
        )
    )
    write_sweep_state(config.spool.state_directory, state, done)


def _drain_wait(config: Config, args: argparse.Namespace) -> DrainWait:
    once = argparse.Namespace(**{**vars(args), "once": True})
    on_progress = _show_remaining if is_terminal(sys.stderr) else _show_nothing
    return DrainWait(
        state_directory=config.spool.state_directory,
        timeout_seconds=args.wait,
        drain_once=lambda: drain.run(config, once),
        clock=time.monotonic,
        sleep=time.sleep,
        on_progress=on_progress,
    )


def _show_remaining(left: int) -> None:
    sys.stderr.write(f"\rwaiting for the drain: {left} left " if left else "\r\x1b[K")
    sys.stderr.flush()


def _show_nothing(_left: int) -> None:
    """Say nothing."""


def _exit_code(result: SweepResult, written: list[WrittenEvent], left: int) -> int:
    plan = result.decision.plan
    if plan.guards:
        return plan.guards[0].exit_code
    missed = len(plan.changes) - len(written)
    if left or missed or plan.over_limit:
        _log.warning(
            "%d changes wait in the spool, %d are left for the next sweep",
            left,
            missed + plan.over_limit,
        )
        return TRY_AGAIN
    return OK
