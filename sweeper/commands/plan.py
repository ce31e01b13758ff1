"""`cc-sweep plan`: what a sweep would do. Changes nothing."""

from __future__ import annotations

import argparse
import logging

from spool.config import Config
from spool.console import print_json, print_line
from spool.exit_codes import USAGE
from spool.files.sweep_state import read_sweep_state
from sweeper.commands.assembly import open_context
from sweeper.observe.single_jobs import UnknownJobsError
from sweeper.plan import MAX_CHANGES, ForceError, SweepOptions
from sweeper.plan_format import plan_document, plan_lines
from sweeper.sweep import run_sweep
from sweeper.values import Plan

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_selection_arguments(parser)


def add_selection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `plan` and `apply` have in common; the letters are the predecessor's."""
    parser.add_argument(
        "-j",
        "--jobid",
        type=positive_number,
        action="append",
        default=[],
        metavar="ID",
        help="look at this job alone; may be repeated",
    )
    parser.add_argument(
        "-l",
        "--limit",
        type=positive_number,
        default=MAX_CHANGES,
        metavar="N",
        help=f"at most so many changes in one run (default: {MAX_CHANGES})",
    )
    parser.add_argument(
        "--direction",
        choices=("start", "stop", "both"),
        default="both",
        help="look for missing starts or missing stops only",
    )
    parser.add_argument("--json", action="store_true", help="write the plan as JSON")


def positive_number(text: str) -> int:
    """Return a number above 0.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


_DIGITS = 12


def run(config: Config, args: argparse.Namespace) -> int:
    """Show the plan; return its exit code."""
    options = SweepOptions(
        limit=args.limit, direction=args.direction, require_force=config.sweep.require_force
    )
    state = read_sweep_state(config.spool.state_directory)
    with open_context(config, args) as context:
        try:
            result = run_sweep(context, state, options, args.jobid)
        except (UnknownJobsError, ForceError) as error:
            return report_usage_error(error)
    plan = result.decision.plan
    print_plan(plan, as_json=args.json)
    return plan.exit_code


def report_usage_error(error: Exception) -> int:
    """Tell what was asked for in vain; return the exit code."""
    _log.error("%s", error)
    return USAGE


def print_plan(plan: Plan, *, as_json: bool) -> None:
    """Write a plan to stdout, the words of its guards to stderr."""
    if as_json:
        print_json(plan_document(plan))
    else:
        for line in plan_lines(plan):
            print_line(line)
    for guard in plan.guards:
        _log.error("%s", guard.text)
