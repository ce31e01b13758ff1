"""`cc-sweep plan`: what a sweep would do. Changes nothing."""

from __future__ import annotations

import argparse
import logging

from spool.config import Config
from spool.console import print_json, print_line
from spool.exit_codes import USAGE
from sweeper.commands.site import site_of
from sweeper.look.some import UnknownJobsError
from sweeper.plan import LIMIT, ForceError, Options
from sweeper.show import document, table
from sweeper.state import read_state
from sweeper.sweep import look
from sweeper.values import Plan

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_selection(parser)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add what `plan` and `apply` have in common; the letters are the predecessor's."""
    parser.add_argument(
        "-j",
        "--jobid",
        type=positive,
        action="append",
        default=[],
        metavar="ID",
        help="look at this job alone; may be repeated",
    )
    parser.add_argument(
        "-l",
        "--limit",
        type=positive,
        default=LIMIT,
        metavar="N",
        help=f"at most so many changes in one run (default: {LIMIT})",
    )
    parser.add_argument(
        "--direction",
        choices=("start", "stop", "both"),
        default="both",
        help="look for missing starts or missing stops only",
    )
    parser.add_argument("--json", action="store_true", help="write the plan as JSON")


def positive(text: str) -> int:
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
    options = Options(
        limit=args.limit, direction=args.direction, require_force=config.sweep.require_force
    )
    state = read_state(config.spool.state_directory)
    with site_of(config, args) as site:
        try:
            sight = look(site, state, options, args.jobid)
        except (UnknownJobsError, ForceError) as error:
            return usage_error(error)
    plan = sight.decision.plan
    show(plan, as_json=args.json)
    return plan.exit_code


def usage_error(error: Exception) -> int:
    """Tell what was asked for in vain; return the exit code."""
    _log.error("%s", error)
    return USAGE


def show(plan: Plan, *, as_json: bool) -> None:
    """Write a plan to stdout, the words of its guards to stderr."""
    if as_json:
        print_json(document(plan))
    else:
        for line in table(plan):
            print_line(line)
    for guard in plan.guards:
        _log.error("%s", guard.text)
