"""Clients, spool and rules of a site, from its configuration, for the sweep's subcommands."""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ccbackend.version import SharedServerInfo
from slurm.decode.job_rows import QueueSnapshot
from slurm.process import ProcessRunner
from spool.config import Config
from spool.connections import backend_client, slurm_client
from spool.files.layout import Layout
from spool.files.node_round import write_node_jobs
from spool.files.state_files import DELIVERED_DIRECTORY
from sweeper.apply import DrainWait
from sweeper.commands.output import show_steps
from sweeper.commands.site_rules import (
    exclusion_rule,
    reported_clusters,
    slurm_questions,
    sweep_policy,
)
from sweeper.observe.sources import SweepSources
from sweeper.observe.spool_view import delivered_runs
from sweeper.sweep import SweepContext


@contextmanager
def open_context(
    config: Config, args: argparse.Namespace, *, stores_node_jobs: bool = False
) -> Iterator[SweepContext]:
    """Open the spool and the clients of a site; yield what a sweep needs, then close them.

    Args:
        config: of the site.
        args: of the command; `args.token` is the token as root read it.
        stores_node_jobs: store the number of jobs by node, for the node states.

    Raises:
        SpoolError: the spool cannot be opened.
    """
    backend = backend_client(config, args.token, SharedServerInfo())
    sees_all_jobs, was_reconfigured = slurm_questions(config)
    archive = config.spool.state_directory / DELIVERED_DIRECTORY
    with Layout(config.spool.directory) as layout, show_steps() as step:
        sources = SweepSources(
            slurm=slurm_client(config, ProcessRunner()),
            backend=backend,
            clusters=reported_clusters(config),
            layout=layout,
            sees_all_jobs=sees_all_jobs,
            was_reconfigured=was_reconfigured,
            find_delivered=functools.partial(delivered_runs, archive),
            clock=time.time,
            on_step=step,
            on_queue=_node_jobs_writer(config) if stores_node_jobs else lambda _queue: None,
        )
        try:
            yield SweepContext(
                sources=sources,
                policy=sweep_policy(config),
                exclusion_reason=exclusion_rule(config),
            )
        finally:
            backend.close()


def _node_jobs_writer(config: Config) -> Callable[[QueueSnapshot], None]:
    """Return the function that stores the number of jobs per node, for the node states."""
    directory = config.spool.state_directory

    def write(queue: QueueSnapshot) -> None:
        if config.nodes.interval_seconds:
            write_node_jobs(directory, time.time(), queue.jobs_by_node())

    return write


def drain_wait(
    config: Config,
    args: argparse.Namespace,
    timeout_seconds: float,
    on_progress: Callable[[int], None] = lambda _left: None,
) -> DrainWait:
    """Return how long to wait and how to drain once."""

    def drain_once() -> object:
        from spool.commands import drain  # noqa: PLC0415 - only needed where no drain is running

        return drain.run(config, argparse.Namespace(**{**vars(args), "once": True}))

    return DrainWait(
        state_directory=config.spool.state_directory,
        timeout_seconds=timeout_seconds,
        drain_once=drain_once,
        clock=time.monotonic,
        sleep=time.sleep,
        on_progress=on_progress,
    )
