"""Slurm and cc-backend as the configuration names them; loads the HTTP library."""

from __future__ import annotations

from collections.abc import Callable

import requests

from ccbackend.client import Backend, Known
from ccbackend.wire.session import Link
from slurm.ask import Commands
from slurm.client import Slurm
from slurm.command import ProcessRunner
from spool.config import Config


def commands_of(config: Config) -> Commands:
    """Return Slurm's commands."""
    return Commands(
        squeue=config.slurm.squeue,
        sacct=config.slurm.sacct,
        scontrol=config.slurm.scontrol,
        conf=config.slurm.conf,
    )


def slurm_of(config: Config, runner: ProcessRunner) -> Slurm:
    """Return Slurm by the configured commands."""
    return Slurm(commands_of(config), runner)


def backend_of(config: Config, token: Callable[[], str], known: Known) -> Backend:
    """Return cc-backend by a session of its own."""
    session = requests.Session()
    if config.cc_backend.proxy:
        session.proxies = {"http": config.cc_backend.proxy, "https": config.cc_backend.proxy}
    ca_file = config.cc_backend.ca_file
    link = Link(
        session,
        config.cc_backend.host,
        token=token,
        ca_file=None if ca_file is None else str(ca_file),
    )
    return Backend(link, known)
