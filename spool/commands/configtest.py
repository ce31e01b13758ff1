"""`cc-spool configtest [FILE]`: check a configuration file alone, for example for Ansible."""

from __future__ import annotations

import argparse
from pathlib import Path

from spool import console
from spool.config import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="configuration file to check (default: the file given with -c)",
    )


def run_without_config(args: argparse.Namespace) -> int:
    """Check the keys and values of the file; `check --full` checks the files that it names.

    Raises:
        ConfigError: all problems of the file; the exit code is 78.
    """
    path = args.file or args.config
    for warning in load(path).warnings:
        console.print_line(f"warning: {warning}", colours={"warning:": console.Colour.YELLOW})
    valid = "the configuration is valid"
    console.print_line(f"{path}: {valid}", colours={valid: console.Colour.GREEN})
    return 0
