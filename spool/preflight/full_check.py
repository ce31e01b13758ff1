"""The queries of `cc-spool check --full` to cc-backend and Slurm; they change nothing.

Each query may fail; then the failure is one result, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Protocol

from ccbackend.errors import TokenError
from ccbackend.token import Token
from ccbackend.version import SharedServerInfo
from slurm.process import ProcessRunner, Runner
from spool.checks.result import CheckResult
from spool.config import Config
from spool.connections import broker, job_clients
from spool.identity import MaskedToken
from spool.preflight.hardware import compare_nodes
from spool.preflight.permissions import SystemUser, current_user
from spool.preflight.server import ServerQueries, check_broker, check_server
from spool.preflight.slurm_checks import SlurmChecks


class ServerConnection(ServerQueries, Protocol):
    """A connection to cc-backend that can be closed."""

    def close(self) -> None:
        """Close the connection."""


def full_check_results(
    config: Config,
    token: MaskedToken,
    *,
    runner: Runner | None = None,
    backend: ServerConnection | None = None,
    user: SystemUser | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> list[CheckResult]:
    """Query cc-backend and Slurm; return the results.

    `runner` and `backend` None: the real ones. `user` is whose rights are checked; None: our own.
    `progress` is called with the name of the service being queried.
    """
    progress("cc-backend")
    names = tuple(dict.fromkeys((config.clustername, *config.partition_clusters.values())))
    with ExitStack() as stack:
        new_client = job_clients(config, token, SharedServerInfo(), stack)
        server = stack.enter_context(closing(backend or new_client()))
        results, clusters = check_server(server, _token(token), names)
    results += _broker(config)
    progress("Slurm")
    questions = SlurmChecks(config, runner or ProcessRunner(), user or current_user())
    results += questions.results()
    results += compare_nodes(config, clusters or (), questions.nodes)
    return results


def _broker(config: Config) -> Iterator[CheckResult]:
    """Yield the check of the NATS broker in mode `notify`; `check_server` checks `transport`."""
    if config.nats.servers and config.nats.mode == "notify":
        from ccbackend.nats_api.event_lines import PROBE  # noqa: PLC0415 - only where configured

        with closing(broker(config)) as connection:
            yield check_broker(connection.publish(PROBE))


def _token(token: MaskedToken) -> Token | None:
    try:
        return token.current()
    except TokenError:
        return None
