"""Create the clients of Slurm and cc-backend from the configuration; loads the HTTP library."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import requests

from ccbackend.client import BackendClient
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import ExchangeLimits, Transport
from slurm.client import Slurm
from slurm.commands import TIMEOUT_SECONDS, CommandPaths
from slurm.node_client import NodeClient
from slurm.process import ProcessRunner
from spool.config import Config
from spool.config.backend_settings import job_filters, site_map
from spool.files.node_round import read_node_jobs
from spool.nodes.reporter import NodeReporter, NodeSite


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
    session = requests.Session()
    if config.cc_backend.proxy:
        session.proxies = {"http": config.cc_backend.proxy, "https": config.cc_backend.proxy}
    ca_file = config.cc_backend.ca_file
    transport = Transport(
        session,
        config.cc_backend.host,
        token=token,
        ca_file=None if ca_file is None else str(ca_file),
        limits=limits,
    )
    return BackendClient(transport, shared)


def node_reporter(
    config: Config,
    runner: ProcessRunner,
    backend: BackendClient,
) -> NodeReporter:
    """Return the reporter of node states."""
    state = config.spool.state_directory
    site = NodeSite(
        site_of=partial(site_map, config),
        filters=job_filters(config),
        jobs=lambda: read_node_jobs(state, time.time()),
    )
    return NodeReporter(NodeClient(slurm_commands(config), runner), backend, site)


EDIT_LIMITS = ExchangeLimits(connect_seconds=1.0, read_seconds=3.0, deadline_seconds=4.0)
"""The limits of a change of metadata before a stop: it must not delay the stop."""

NODE_STATES_LIMITS = ExchangeLimits(read_seconds=30.0, deadline_seconds=45.0)
"""The limits of a request with node states: the server itself ends an answer after 20 s."""
