"""`cc-spool discard ID|ALL`: delete dead letters permanently."""

from __future__ import annotations

import argparse
import logging
import sys

from spool.commands import dead_letters
from spool.commands.entries import ALL
from spool.config import Config
from spool.exit_codes import USAGE
from spool.files.dead_letters import plan_discard
from spool.files.layout import Layout
from spool.formatting import pluralize

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    dead_letters.add_arguments(parser)
    parser.add_argument(
        "--yes",
        action="store_true",
        help="do not ask for confirmation; required when not run interactively",
    )


def run(config: Config, args: argparse.Namespace) -> int:
    """Discard dead letters; return the exit code.

    Raises:
        SpoolError, OSError: the spool cannot be used.
    """
    with Layout(config.spool.directory) as layout:
        names = dead_letters.select(layout, args.id)
        if not names:
            return dead_letters.report_nothing(layout, args.id, as_json=args.json)
        if not (args.yes or args.dry_run):
            if not sys.stdin.isatty():
                _log.error(
                    "this is not a terminal: add --yes, or --dry-run to see what would be done"
                )
                return USAGE
            if not _confirm(len(names)):
                _log.info("nothing was discarded")
                return dead_letters.report_nothing(layout, ALL, as_json=args.json)
        done = dead_letters.apply_plan(layout, names, plan_discard, args=args)
    return dead_letters.summarize(done, args=args)


def _confirm(number: int) -> bool:
    """Ask for confirmation on the terminal."""
    sys.stderr.write(f"discard {pluralize(number, 'dead letter')} permanently? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
