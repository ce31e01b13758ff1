"""`cc-spool discard ID|ALL`: give dead letters up, for good."""

from __future__ import annotations

import argparse
import logging
import sys

from spool.commands import letters
from spool.commands.words import count
from spool.config import Config
from spool.exit_codes import OK, USAGE
from spool.files import dead_letter_actions
from spool.files.layout import Layout

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    letters.add_arguments(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask; needed off a terminal")


def run(config: Config, args: argparse.Namespace) -> int:
    """Discard dead letters; return the exit code.

    Raises:
        SpoolError, OSError: the spool cannot be used.
    """
    with Layout(config.spool.directory) as layout:
        chosen = letters.choose(layout, args.id)
        if not chosen:
            return letters.usage_unless(chosen)
        if not (args.yes or args.dry_run):
            if not sys.stdin.isatty():
                _log.error("nobody can be asked: say --yes, or --dry-run to see what would happen")
                return USAGE
            if not _is_wanted(len(chosen)):
                _log.info("nothing was discarded")
                return OK
        return letters.treat(layout, chosen, dead_letter_actions.discard, args=args)


def _is_wanted(number: int) -> bool:
    """Ask on the terminal."""
    sys.stderr.write(f"discard {count(number, 'dead letter')} for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
