"""Create the clients of Slurm and cc-backend from the configuration; loads the HTTP library."""

from __future__ import annotations

from collections.abc import Callable

import requests

from ccbackend.client import BackendClient
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import Transport
from slurm.client import Slurm
from slurm.commands import TIMEOUT_SECONDS, CommandPaths
from slurm.process import ProcessRunner
from spool.config import Config


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
    config: Config, token: Callable[[], str], shared: SharedServerInfo
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
    )
    return BackendClient(transport, shared)
