"""Arguments of the subcommands of `cc-sweep`: common ones, numbers, times as people write them."""

from __future__ import annotations

import argparse
import re
from datetime import datetime

from spool.config import Config
from spool.errors import UsageError
from spool.formatting import UNIT_SECONDS
from sweeper.plan import MAX_CHANGES, SweepOptions

_MAX_DIGITS = 12


def add_selection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--jobid`, `--limit`, `--direction`, `--json`; `-j` and `-l` are the predecessor's."""
    parser.add_argument(
        "-j",
        "--jobid",
        type=positive_number,
        action="append",
        default=[],
        metavar="ID",
        help="compare only this job, even if it has just started; may be given several times",
    )
    parser.add_argument(
        "-l",
        "--limit",
        type=positive_number,
        default=MAX_CHANGES,
        metavar="N",
        help=f"at most N starts and N stops in one sweep (default: {MAX_CHANGES})",
    )
    parser.add_argument(
        "--direction",
        choices=("start", "stop", "both"),
        default="both",
        help="only missing starts, or only missing stops (default: both)",
    )
    parser.add_argument("--json", action="store_true", help="write the plan as JSON")


def sweep_options(config: Config, args: argparse.Namespace) -> SweepOptions:
    """Return the options of a sweep from the arguments and the configuration."""
    return SweepOptions(
        limit=args.limit, direction=args.direction, require_force=config.sweep.require_force
    )


def positive_number(text: str) -> int:
    """Parse a whole number above 0.

    Raises:
        ArgumentTypeError: the text is no such number.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and int(text)):
        raise argparse.ArgumentTypeError(f"expected a number above 0 such as 4711, got {text!r}")
    return int(text)


_EPOCH = re.compile(r"@?([0-9]{9,11})")
_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
DATE_FORMS = (
    "2026-03-29, 2026-03-29T14:05[:30][Z|+01:00], @1774793100, now, or 36h or 7d for so long ago"
)


def parse_instant(text: str, *, now: float) -> int:
    """Parse a time to Unix seconds; a date without an offset is in this machine's time zone.

    Raises:
        UsageError: the text has none of the forms in `DATE_FORMS`.
    """
    if text == "now":
        return int(now)
    if (found := _EPOCH.fullmatch(text)) is not None:
        return int(found[1])
    if (found := _AGO.fullmatch(text)) is not None:
        return int(now) - int(found[1]) * UNIT_SECONDS[found[2]]
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"expected a time such as {DATE_FORMS}, got {text!r}") from error
