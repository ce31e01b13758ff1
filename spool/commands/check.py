"""`cc-spool check [--full]`: a monitoring plugin; `--full` verifies the complete setup.

Without `--full` it uses no network, no Slurm and no lock, and changes nothing. It exits like a
plugin with 0, 1, 2 or 3, and a configuration that cannot be used is a result, not an error. `-c`
names the configuration as in all commands, so the limits are `-w` and `--critical`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ccbackend.errors import TokenError
from spool import console
from spool.checks.backlog import check_backlog, read_backlog
from spool.checks.configuration import check_config_problems, check_config_warnings, check_token
from spool.checks.drain_health import check_drain, unreadable
from spool.checks.last_sweep import AGE_SECONDS, check_sweep
from spool.checks.node_states import check_nodes
from spool.checks.result import (
    AgeLimits,
    CheckResult,
    CheckStatus,
    finding,
    plugin_lines,
    results_document,
    worst_status,
)
from spool.config import Config, load
from spool.config.paths import check_paths
from spool.errors import BadFileError, ConfigError, SpoolError
from spool.files.drain_state import DrainState, read_drain_state
from spool.files.layout import Layout
from spool.files.lock import LockState, lock_state
from spool.files.node_round import read_node_round
from spool.files.state_files import (
    DELIVERED_DIRECTORY,
    DRAIN_LOCK_FILE,
    DRAIN_STATE_FILE,
    SWEEP_STATE_FILE,
)
from spool.files.sweep_state import read_sweep_summary
from spool.identity import MaskedToken, become_service, credentials_directory, open_token
from spool.light_dataclass import light_dataclass
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


@light_dataclass
class CheckContext:
    """The settings of a check: limits, time (Unix seconds), whether before the first start."""

    limits: AgeLimits
    sweep_age_seconds: float = AGE_SECONDS
    now: float
    full: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    usual = AgeLimits()
    parser.add_argument(
        "-w",
        "--warning",
        type=_seconds,
        metavar="SECONDS",
        default=usual.warning_seconds,
        help="warn if a run is pending, or Slurm or cc-backend is down, for this long "
        "(default: %(default)g)",
    )
    parser.add_argument(
        "--critical",
        type=_seconds,
        metavar="SECONDS",
        default=usual.critical_seconds,
        help="the same limit for CRITICAL (default: %(default)g); -c is the configuration file",
    )
    parser.add_argument(
        "--sweep-age",
        type=_seconds,
        metavar="SECONDS",
        default=AGE_SECONDS,
        help="warn if the last sweep ended longer ago than this (default: %(default)g)",
    )
    parser.add_argument(
        "--full", action="store_true", help="also verify Slurm, cc-backend and the hooks"
    )
    parser.add_argument("--json", action="store_true", help="write the results as JSON")


def run_without_config(args: argparse.Namespace) -> int:
    """Print the results of all checks; return a plugin's exit code."""
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


def local_results(
    config: Config, token: MaskedToken, context: CheckContext
) -> Iterator[CheckResult]:
    """Yield the results of all checks of local state."""
    problems, warnings = check_paths(config, credentials=credentials_directory())
    as_service = _is_service(config.spool.state_directory)
    yield from check_config_problems(problems, as_service=as_service)
    if not problems:
        found = (*config.warnings, *warnings)
        yield from check_config_warnings(str(config.path), found, strict=context.full)
    yield from _spool_results(config, context)
    with suppress(TokenError):  # it is one of the configuration's problems
        yield check_token(token.current(), context.now)


def _spool_results(config: Config, context: CheckContext) -> Iterator[CheckResult]:
    """Yield the checks of spool and state directory, which do not depend on each other."""
    directory = config.spool.state_directory
    state, problem = _drain_state(directory)
    backlog = None
    try:
        with Layout(config.spool.directory) as layout:
            backlog = read_backlog(layout)
    except (SpoolError, OSError) as error:
        yield unreadable("spool", config.spool.directory, error)
    if backlog is not None:
        yield from check_backlog(
            backlog,
            context.now,
            context.limits,
            min_free_bytes=config.spool.min_free_bytes,
            held_stops=state.held_stops if state else 0,
        )
    yield from problem or _drain(directory, state, context)
    has_seen_jobs = state is not None and (state.last_event or state.last_delivery) is not None
    has_runs = backlog is not None and not backlog.is_empty
    is_needed = has_seen_jobs or has_runs or (directory / DELIVERED_DIRECTORY).is_dir()
    yield _sweep(directory, context, is_needed=is_needed)
    interval = config.nodes.interval_seconds
    yield from check_nodes(read_node_round(directory), state, context.now, interval)


def _drain_state(directory: Path) -> tuple[DrainState | None, tuple[CheckResult, ...]]:
    """Return the drain's state, or the result that says why it is not known."""
    path = directory / DRAIN_STATE_FILE
    try:
        return read_drain_state(path), ()
    except (BadFileError, OSError) as error:
        return None, (unreadable("drain", path, error),)


def _drain(
    directory: Path, state: DrainState | None, context: CheckContext
) -> Iterator[CheckResult]:
    held = lock_state(directory / DRAIN_LOCK_FILE)
    if held is LockState.UNKNOWN:
        hint = "run the command as root or as the service user"
        text = f"{directory / DRAIN_LOCK_FILE} cannot be opened (permission denied)"
        yield finding(CheckStatus.UNKNOWN, "drain", text, hint)
        return
    yield from check_drain(
        state,
        context.now,
        is_running=held is LockState.HELD,
        limits=context.limits,
        before_first_start=context.full,
    )


def _sweep(directory: Path, context: CheckContext, *, is_needed: bool) -> CheckResult:
    try:
        summary = read_sweep_summary(directory)
    except (OSError, ValueError) as error:
        return unreadable("sweep", directory / SWEEP_STATE_FILE, error)
    return check_sweep(summary, context.now, context.sweep_age_seconds, is_needed=is_needed)


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
    """Report why the check was not made, in one line."""
    if as_json:
        return _report([result], as_json=True)
    console.print_line(f"{plugin_lines([result], '')[0]}; {result.hint}")
    return result.status.value


def _is_service(state: Path) -> bool:
    """Return whether we run as the service user; then a file that we cannot open is an error."""
    try:
        return state.stat().st_uid == os.geteuid()
    except OSError:
        return os.geteuid() == 0


def _seconds(text: str) -> float:
    """Read a limit.

    Raises:
        argparse.ArgumentTypeError: not a positive number.
    """
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds such as 600, got {text!r}")
    return found
