"""All checks of local state: configuration, spool, drain, sweep, node states, token.

They use no network, no Slurm and no lock, and change nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ccbackend.errors import TokenError
from slurm.light_dataclass import light_dataclass
from spool.checks.backlog import check_backlog, read_backlog
from spool.checks.configuration import check_config_problems, check_config_warnings, check_token
from spool.checks.drain_health import check_drain_files
from spool.checks.last_sweep import AGE_SECONDS, check_sweep_file
from spool.checks.node_states import check_nodes
from spool.checks.result import AgeLimits, CheckResult, unreadable
from spool.config import Config
from spool.config.paths import check_paths
from spool.errors import SpoolError
from spool.files.layout import Layout
from spool.files.node_round import read_node_round
from spool.files.state_files import DELIVERED_DIRECTORY
from spool.identity import MaskedToken, credentials_directory


@light_dataclass
class CheckContext:
    """The settings of the checks: limits, the time (Unix seconds), whether `--full` was given."""

    limits: AgeLimits
    sweep_age_seconds: float = AGE_SECONDS
    now: float
    full: bool = False


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
    """Yield the checks of spool, drain, sweep and node states; an error in one stops no other."""
    directory = config.spool.state_directory
    state, of_drain = check_drain_files(
        directory, context.now, limits=context.limits, before_first_start=context.full
    )
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
    yield from of_drain
    has_seen_jobs = state is not None and (state.last_event or state.last_delivery) is not None
    has_runs = backlog is not None and not backlog.is_empty
    is_needed = has_seen_jobs or has_runs or (directory / DELIVERED_DIRECTORY).is_dir()
    age_seconds = context.sweep_age_seconds
    yield check_sweep_file(directory, context.now, age_seconds, is_needed=is_needed)
    interval = config.nodes.interval_seconds
    yield from check_nodes(read_node_round(directory), state, context.now, interval)


def _is_service(state: Path) -> bool:
    """Return whether we run as the service user; then a file that we cannot open is an error."""
    try:
        return state.stat().st_uid == os.geteuid()
    except OSError:
        return os.geteuid() == 0
