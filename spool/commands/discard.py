"""`cc-spool discard ID|ALL`: give dead letters up, for good."""

from __future__ import annotations

import argparse
import logging
import sys

from spool.commands import dead_letters
from spool.commands.formatting import pluralize
from spool.config import Config
from spool.exit_codes import USAGE
from spool.files import dead_letter_actions
from spool.files.layout import Layout

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    dead_letters.add_arguments(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask; needed off a terminal")


def run(config: Config, args: argparse.Namespace) -> int:
    """Discard dead letters; return the exit code.

    Raises:
        SpoolError, OSError: the spool cannot be used.
    """
    with Layout(config.spool.directory) as layout:
        selected = dead_letters.select(layout, args.id)
        if not selected:
            return dead_letters.report_no_selection(selected, as_json=args.json)
        if not (args.yes or args.dry_run):
            if not sys.stdin.isatty():
                _log.error("nobody can be asked: say --yes, or --dry-run to see what would happen")
                return USAGE
            if not _confirm(len(selected)):
                _log.info("nothing was discarded")
                return dead_letters.report_no_selection([], as_json=args.json)
        return dead_letters.apply_action(layout, selected, dead_letter_actions.discard, args=args)


def _confirm(number: int) -> bool:
    """Ask on the terminal."""
    sys.stderr.write(f"discard {pluralize(number, 'dead letter')} for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
