"""Create the clients of Slurm and cc-backend from the configuration; loads the HTTP library."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ccbackend.client import BackendClient
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import ExchangeLimits, Transport, new_session
from slurm.client import Slurm
from slurm.commands import TIMEOUT_SECONDS, CommandPaths
from slurm.process import ProcessRunner
from spool.config import Config
from spool.config.backend_settings import job_filters, site_maps
from spool.files.node_round import read_node_jobs
from spool.nodes.reporter import NodeReporter, NodeSite

if TYPE_CHECKING:
    from ccbackend.nats_api.publish import Broker


def slurm_commands(config: Config) -> CommandPaths:
    """Return the paths of Slurm's commands."""
    return CommandPaths(
        squeue=config.slurm.squeue,
        sacct=config.slurm.sacct,
        scontrol=config.slurm.scontrol,
        conf=config.slurm.conf,
    )


def slurm_client(
    config: Config, runner: ProcessRunner, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> Slurm:
    """Return a client of Slurm with the configured commands."""
    return Slurm(slurm_commands(config), runner, timeout_seconds=timeout_seconds)


def backend_client(
    config: Config,
    token: Callable[[], str],
    shared: SharedServerInfo,
    *,
    limits: ExchangeLimits | None = None,
) -> BackendClient:
    """Return a client of cc-backend with a session of its own."""
    return BackendClient(_transport(config, token, limits), shared)


def broker(config: Config) -> Broker:
    """Return the connection to the configured NATS brokers, which opens with the first message."""
    # asyncio and the client library take 6 MB and 0.1 s: loaded only where NATS is configured
    from ccbackend.nats_api.publish import Broker, BrokerSettings  # noqa: PLC0415 - see above

    nats = config.nats
    settings = BrokerSettings(
        servers=nats.servers,
        subject=nats.subject or "",
        user=nats.user,
        password_file=nats.password_file,
        creds_file=nats.creds_file,
        ca_file=nats.ca_file,
        cert_file=nats.cert_file,
        key_file=nats.key_file,
    )
    return Broker(settings)


def job_clients(
    config: Config, token: Callable[[], str], shared: SharedServerInfo, stack: ExitStack
) -> Callable[[], BackendClient]:
    """Return a function that creates a client for each worker that delivers runs.

    Args:
        config: selects REST, NATS, or REST with notifications by NATS.
        token: returns the token for cc-backend.
        shared: the server's version, which all clients share.
        stack: closes the clients, and the NATS connection that they share.
    """
    make = _job_client_maker(config, token, shared, stack)

    def new_client() -> BackendClient:
        client = make()
        stack.callback(client.close)
        return client

    return new_client


def _job_client_maker(
    config: Config, token: Callable[[], str], shared: SharedServerInfo, stack: ExitStack
) -> Callable[[], BackendClient]:
    if not config.nats.servers:
        return lambda: backend_client(config, token, shared)
    from ccbackend.nats_api.nats_client import NatsClient  # noqa: PLC0415 - as in `broker`
    from ccbackend.nats_api.notifier import Notifier, NotifyingClient  # noqa: PLC0415 - the same

    connection = broker(config)
    stack.callback(connection.close)
    if config.nats.mode == "transport":
        return lambda: NatsClient(_transport(config, token), shared, connection)
    notifier = Notifier(connection)
    stack.callback(notifier.close)
    return lambda: NotifyingClient(_transport(config, token), shared, notifier)


def _transport(
    config: Config, token: Callable[[], str], limits: ExchangeLimits | None = None
) -> Transport:
    ca_file = config.cc_backend.ca_file
    return Transport(
        new_session(config.cc_backend.proxy),
        config.cc_backend.host,
        token=token,
        ca_file=None if ca_file is None else str(ca_file),
        limits=limits,
    )


def node_reporter(
    config: Config,
    runner: ProcessRunner,
    backend: BackendClient,
) -> NodeReporter:
    """Return the reporter of node states."""
    state = config.spool.state_directory
    site = NodeSite(
        site_of=site_maps(config),
        filters=job_filters(config),
        jobs=lambda: read_node_jobs(state, time.time()),
    )
    return NodeReporter(slurm_client(config, runner), backend, site)


EDIT_LIMITS = ExchangeLimits(connect_seconds=1.0, read_seconds=3.0, deadline_seconds=4.0)
"""The limits of a change of metadata before a stop: it must not delay the stop."""

NODE_STATES_LIMITS = ExchangeLimits(read_seconds=30.0, deadline_seconds=45.0)
"""The limits of a request with node states: the server itself ends an answer after 20 s."""
