"""`cc-spool check [--full]`: a monitoring plugin; `--full` verifies the complete setup.

Without `--full` it uses no network, no Slurm and no lock, and changes nothing. It exits like a
plugin with 0, 1, 2 or 3, and a configuration that cannot be used is a result, not an error. `-c`
names the configuration as in all commands, so the limits are `-w` and `--critical`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from spool import console
from spool.checks.configuration import check_config_problems
from spool.checks.last_sweep import AGE_SECONDS
from spool.checks.local import CheckContext, local_results
from spool.checks.result import (
    AgeLimits,
    CheckResult,
    CheckStatus,
    plugin_lines,
    results_document,
    unreadable,
    worst_status,
)
from spool.config import load
from spool.errors import ConfigError, SpoolError
from spool.identity import become_service, open_token
from spool.program import open_log

_SUMMARY = ("runs", "cc-backend", "deliveries")
_COLOURS = {
    f"[{status.name}]": colour
    for status, colour in (
        (CheckStatus.OK, console.Colour.GREEN),
        (CheckStatus.WARNING, console.Colour.YELLOW),
        (CheckStatus.CRITICAL, console.Colour.RED),
        (CheckStatus.UNKNOWN, console.Colour.MAGENTA),
    )
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    usual = AgeLimits()
    parser.add_argument(
        "-w",
        "--warning",
        type=_seconds,
        metavar="SECONDS",
        default=usual.warning_seconds,
        help="warn if a run has been pending, or Slurm or cc-backend down, for this long "
        "(default: %(default)g)",
    )
    parser.add_argument(
        "--critical",
        type=_seconds,
        metavar="SECONDS",
        default=usual.critical_seconds,
        help=(
            "the same limit for CRITICAL (default: %(default)g); it has no short form, because -c"
            " is the configuration file"
        ),
    )
    parser.add_argument(
        "--sweep-age",
        type=_seconds,
        metavar="SECONDS",
        default=AGE_SECONDS,
        help="warn if the last sweep ended more than so many seconds ago (default: %(default)g)",
    )
    parser.add_argument(
        "--full", action="store_true", help="also verify Slurm, cc-backend and the hooks"
    )
    parser.add_argument("--json", action="store_true", help="write the results as JSON")


def run_without_config(args: argparse.Namespace) -> int:
    """Run `check`, which loads the configuration itself; return the plugin's exit code."""
    try:
        config = load(args.config)
    except ConfigError as error:
        if args.full and isinstance(error.__cause__, PermissionError):
            from spool.preflight.permissions import not_allowed  # noqa: PLC0415 - needed for --full

            return _report_wrong_caller(not_allowed("the service user"), as_json=args.json)
        named = [replace(each, path=f"{error.path}: {each.path}") for each in error.problems]
        return _report(list(check_config_problems(named, as_service=False)), as_json=args.json)
    if args.full:
        from spool.preflight.permissions import wrong_caller  # noqa: PLC0415 - needed for --full

        if (wrong := wrong_caller(config)) is not None:
            return _report_wrong_caller(wrong, as_json=args.json)
    token = open_token(config)
    with suppress(SpoolError, PermissionError):  # the configuration's checks report it
        become_service(config.spool.state_directory)
    try:
        open_log(config, args)
    except OSError as error:
        return _report([unreadable("log", args.log_file, error)], as_json=args.json)
    context = CheckContext(
        limits=AgeLimits(warning_seconds=args.warning, critical_seconds=args.critical),
        sweep_age_seconds=args.sweep_age,
        now=time.time(),
        full=args.full,
    )
    results = list(local_results(config, token, context))
    if args.full:
        from spool.preflight.full_check import full_check_results  # noqa: PLC0415 - loads requests

        with _progress() as progress:
            results += full_check_results(config, token, progress=progress)
    return _report(results, as_json=args.json)


@contextmanager
def _progress() -> Iterator[Callable[[str], object]]:
    """Yield a function that shows on a terminal what is being queried, on one line."""
    if not console.is_terminal(sys.stderr):
        yield lambda _: None
        return
    try:
        yield lambda what: sys.stderr.write(f"\r\x1b[Kquerying {what} ...")
    finally:
        sys.stderr.write("\r\x1b[K")


def _report(results: list[CheckResult], *, as_json: bool) -> int:
    if as_json:
        console.print_json(results_document(results))
    else:
        summary = "; ".join(f"{r.name}: {r.text}" for r in results if r.name in _SUMMARY)
        for line in plugin_lines(results, summary):
            console.print_line(line, colours=_COLOURS)
    return worst_status(results).value


def _report_wrong_caller(result: CheckResult, *, as_json: bool) -> int:
    """Print why this user cannot run `check --full`; return a plugin's exit code."""
    if as_json:
        return _report([result], as_json=True)
    console.print_line(f"{plugin_lines([result], '')[0]}; {result.hint}")
    return result.status.value


def _seconds(text: str) -> float:
    """Parse a limit in seconds.

    Raises:
        argparse.ArgumentTypeError: not a positive number.
    """
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        reason = f"expected a number of seconds above 0, such as 600, got {text!r}"
        raise argparse.ArgumentTypeError(reason)
    return found
