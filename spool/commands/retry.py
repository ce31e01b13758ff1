"""`cc-spool retry ID|ALL`: have dead letters tried again, after their cause was mended."""

from __future__ import annotations

import argparse

from spool.commands import dead_letters
from spool.config import Config
from spool.files import dead_letter_actions
from spool.files.layout import Layout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    dead_letters.add_arguments(parser)


def run(config: Config, args: argparse.Namespace) -> int:
    """Retry dead letters, oldest first; may be interrupted and repeated. Return the exit code.

    Raises:
        SpoolError, OSError: the spool cannot be used.
    """
    with Layout(config.spool.directory) as layout:
        selected = dead_letters.select(layout, args.id)
        if not selected:
            return dead_letters.report_no_selection(selected, as_json=args.json)
        return dead_letters.apply_action(layout, selected, dead_letter_actions.retry, args=args)
