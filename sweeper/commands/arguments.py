"""Arguments that several subcommands of `cc-sweep` have in common."""

from __future__ import annotations

import argparse

from sweeper.plan import MAX_CHANGES

_MAX_DIGITS = 12


def add_selection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choice of jobs and changes; the letters are the predecessor's."""
    parser.add_argument(
        "-j",
        "--jobid",
        type=positive_number,
        action="append",
        default=[],
        metavar="ID",
        help="compare only this job, however young it is; may be repeated",
    )
    parser.add_argument(
        "-l",
        "--limit",
        type=positive_number,
        default=MAX_CHANGES,
        metavar="N",
        help=f"at most N starts and at most N stops in one sweep (default: {MAX_CHANGES})",
    )
    parser.add_argument(
        "--direction",
        choices=("start", "stop", "both"),
        default="both",
        help="repair only missing starts, or only missing stops (default: both)",
    )
    parser.add_argument("--json", action="store_true", help="write the plan as JSON")


def positive_number(text: str) -> int:
    """Return a number above 0.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
