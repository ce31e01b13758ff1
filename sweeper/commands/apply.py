"""`cc-sweep apply`: repair what a sweep finds, through the spool."""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections import Counter
from dataclasses import replace

from slurm.decode.scontrol_config import active_elsewhere
from slurm.errors import SlurmError
from spool.commands.metrics import write_metrics
from spool.config import Config
from spool.errors import UsageError
from spool.exit_codes import OK, UNAVAILABLE
from spool.files.lock import take_lock
from spool.files.state_files import SWEEP_STATE_FILE
from spool.files.sweep_state import (
    SweepState,
    SweepSummary,
    begin_sweep_summary,
    read_sweep_state,
    write_sweep_state,
)
from sweeper.apply import WrittenEvent, wait_for_drain, write_events
from sweeper.commands.arguments import add_selection_arguments, positive_number, sweep_options
from sweeper.commands.assembly import drain_wait, open_context
from sweeper.commands.output import apply_code, print_plan, show_remaining
from sweeper.sweep import SweepContext, SweepResult, next_state, observe, plan_repairs

WAIT_SECONDS = 60
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_selection_arguments(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help="also send the stops that a safety check holds back; requires --stops",
    )
    parser.add_argument(
        "--stops",
        type=positive_number,
        metavar="N",
        help="with --force: send nothing if more than N stops are planned",
    )
    parser.add_argument(
        "--wait",
        type=int,
        default=WAIT_SECONDS,
        metavar="SECONDS",
        help=f"seconds to wait for the drain to deliver (default: {WAIT_SECONDS})",
    )


def run(config: Config, args: argparse.Namespace) -> int:
    """Run a sweep and apply its plan; return the exit code.

    Raises:
        UsageError: the arguments do not fit together or the plan, or a job is unknown.
        SpoolLockedError: another sweep is running.
        SpoolError, OSError: the spool or the state directory cannot be used.
    """
    if args.force != (args.stops is not None):
        raise UsageError("give --force and --stops N together, or neither")
    directory = config.spool.state_directory
    lock = take_lock(directory / "sweep.lock", directory / SWEEP_STATE_FILE)
    try:
        with open_context(config, args, stores_node_jobs=True) as context:
            return _sweep(config, args, context)
    finally:
        lock.release()
        write_metrics(config, args.token)


def _sweep(config: Config, args: argparse.Namespace, context: SweepContext) -> int:
    try:
        active = active_elsewhere(context.sources.slurm.ping())
    except SlurmError as error:
        _log.error("slurmctld does not answer, nothing was done: %s", error)
        return UNAVAILABLE
    if active is not None:
        _log.info("nothing to do: slurmctld is active on %s, so the sweep there acts", active)
        return OK
    # On disk before anything is asked: `status` can show a sweep that hangs, or was killed.
    state, summary = _begin(config)
    observation = observe(context, state, args.jobid)
    options = sweep_options(config, args)
    result = plan_repairs(context, state, observation, replace(options, force_stops=args.stops))
    written = _write(context, result)
    print_plan(result.decision.plan, as_json=args.json)
    _save_outcome(config, result, written, summary)
    return _finish(config, args, context, result, written=written)


def _begin(config: Config) -> tuple[SweepState, SweepSummary]:
    """Return the last sweep's state and a new summary; note on disk that this sweep has begun."""
    directory = config.spool.state_directory
    state = read_sweep_state(directory)
    summary = begin_sweep_summary(directory, started=time.time(), pid=os.getpid())
    write_sweep_state(directory, state, summary)
    return state, summary


def _write(context: SweepContext, result: SweepResult) -> list[WrittenEvent]:
    """Write the plan's events to the spool; return the changes whose delivery is waited for."""
    if not result.decision.may_apply:
        return []
    layout, plan = context.sources.layout, result.decision.plan
    written = write_events(layout, plan.changes)
    if len(written) == len(plan.changes):  # else the spool takes no more
        write_events(layout, plan.first_sightings)  # reported after the grace: not waited for
    return written


def _save_outcome(
    config: Config, result: SweepResult, written: list[WrittenEvent], summary: SweepSummary
) -> None:
    """Save the state and the summary of a sweep; one of single jobs keeps the site's results."""
    plan = result.decision.plan
    ended = replace(summary, finished=time.time())
    if not result.options.only_single_jobs:
        is_refused = any(not guard.is_transient for guard in plan.guards)
        guards = tuple(guard.name for guard in plan.guards)
        ended = replace(
            ended,
            refused=is_refused,
            guards=guards,
            drift=plan.drift,
            succeeded=summary.succeeded if is_refused else ended.finished,
            refusals=Counter(summary.refusals) + Counter(set(guards)),
        )
    state = next_state(result, [each.key for each in written])
    write_sweep_state(config.spool.state_directory, state, ended)


def _outcome(result: SweepResult) -> str:
    if not result.decision.may_apply:
        return "the first sweep changes nothing, the next one repairs"
    return "refused" if result.decision.plan.guards else "done"


def _finish(
    config: Config,
    args: argparse.Namespace,
    context: SweepContext,
    result: SweepResult,
    *,
    written: list[WrittenEvent],
) -> int:
    """Wait for the drain; return the exit code."""
    plan = result.decision.plan
    _log.info("sweep: %s (repairs: %d)", _outcome(result), len(written))
    pending = 0
    if written or plan.first_sightings or not plan.guards:
        with show_remaining() as show:
            wait = drain_wait(config, args, args.wait, show)
            pending = wait_for_drain(context.sources.layout, written, wait)
    left = len(plan.changes) - len(written) + plan.over_limit if result.decision.may_apply else 0
    if pending or left:
        text = "not delivered yet: %d; not written, left for the next sweep: %d"
        _log.warning(text, pending, left)
    return apply_code(plan, applied=len(written), pending=pending)
