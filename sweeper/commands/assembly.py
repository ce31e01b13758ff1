"""A site put together from its configuration, for every subcommand of `cc-sweep`."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import logging
import os
import pwd
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ccbackend.client import BackendClient
from ccbackend.job_filters import JobFilters, NameFilter, exclusion_reason
from ccbackend.version import SharedServerInfo
from slurm.client import Slurm
from slurm.cluster_survey import ClusterSurvey, Rights
from slurm.decode.job_rows import QueueSnapshot
from slurm.decode.scontrol_config import private_data_of, slurm_user_of
from slurm.errors import SlurmError
from slurm.process import ProcessRunner
from spool.config import Config
from spool.config.backend_settings import job_filters, site_map
from spool.connections import backend_client, slurm_client, slurm_commands
from spool.files.layout import Layout
from spool.files.state_files import DELIVERED_DIRECTORY
from sweeper.apply import DrainWait
from sweeper.commands.output import show_steps
from sweeper.observe.sources import SweepSources
from sweeper.observe.spool_view import delivered_runs
from sweeper.sweep import SweepContext
from sweeper.values import Policy, SlurmRun

_log = logging.getLogger(__name__)


@contextmanager
def open_context(
    config: Config,
    args: argparse.Namespace,
    *,
    on_queue: Callable[[QueueSnapshot], None] = lambda _queue: None,
) -> Iterator[SweepContext]:
    """Open a site; `args.token` is the token as root read it; `on_queue` gets Slurm's job list.

    Raises:
        SpoolError: the spool cannot be opened.
    """
    slurm = slurm_client(config, ProcessRunner())
    backend = backend_client(config, args.token, SharedServerInfo())
    with Layout(config.spool.directory) as layout, show_steps() as step:
        sources = sweep_sources(config, slurm, backend, layout=layout, on_step=step)
        try:
            yield SweepContext(
                sources=dataclasses.replace(sources, on_queue=on_queue),
                policy=Policy(
                    grace_seconds=config.sweep.grace_seconds,
                    close_after=config.sweep.close_unknown_after,
                ),
                exclusion_reason=exclusion_rule(config),
            )
        finally:
            backend.close()


def sweep_sources(
    config: Config,
    slurm: Slurm,
    backend: BackendClient,
    *,
    layout: Layout,
    on_step: Callable[[str], None] = lambda _what: None,
) -> SweepSources:
    """Return whom to ask."""
    filters = job_filters(config)
    survey = ClusterSurvey(slurm_commands(config), config.slurm.sacctmgr, ProcessRunner())
    names = {config.clustername, *config.partition_clusters.values()}
    archive = config.spool.state_directory / DELIVERED_DIRECTORY
    return SweepSources(
        slurm=slurm,
        backend=backend,
        clusters=tuple(sorted(name for name in names if filters.clusters.allows(name))),
        layout=layout,
        sees_all_jobs=functools.partial(
            sees_all_jobs, user=_own_user(), admin_level=survey.admin_level
        ),
        was_reconfigured=functools.partial(was_reconfigured, survey.was_reconfigured),
        find_delivered=functools.partial(delivered_runs, archive),
        clock=time.time,
        on_step=on_step,
    )


def exclusion_rule(config: Config) -> Callable[[SlurmRun], str | None]:
    """Return the function that says why the site's filters exclude a run."""
    filters, site = job_filters(config), site_map(config)

    def reason(run: SlurmRun) -> str | None:
        known = _filters_of_known_facts(filters, run)
        return exclusion_reason(run, known, cluster=site.cluster_of(run.partition))

    return reason


def _filters_of_known_facts(filters: JobFilters, run: SlurmRun) -> JobFilters:
    """Return the filters without those for facts that the listing does not tell.

    A list of allowed names would exclude the run for good. The drain, which sees the job's whole
    record, applies all of them before anything is reported.
    """
    is_known = {
        "clusters": bool(run.partition),  # a partition may have a cluster of its own
        "partitions": bool(run.partition),
        "accounts": bool(run.account),
        "users": bool(run.user),
        "qos": run.qos is not None,
    }
    unknown: dict[str, Any] = {name: NameFilter() for name, known in is_known.items() if not known}
    return dataclasses.replace(filters, **unknown)


def sees_all_jobs(
    settings: Mapping[str, tuple[str, ...]],
    *,
    user: tuple[str, int],
    admin_level: Callable[[str], str | None],
) -> bool:
    """Return whether Slurm shows an account (name and uid) all jobs; no where it does not say."""
    hidden = private_data_of(settings)
    if "jobs" not in hidden:
        return True
    name, uid = user
    try:
        level = None if uid == 0 else admin_level(name)
    except SlurmError:
        level = None
    rights = Rights(
        user=name,
        uid=uid,
        slurm_user=slurm_user_of(settings),
        admin_level=level,
        hidden=hidden,
        hidden_accounting=None,
    )
    return rights.sees_jobs


def was_reconfigured(ask: Callable[[int], bool], boot_time: int) -> bool:
    """Return whether slurmctld's start was a reconfiguration; no where the nodes do not tell."""
    try:
        return ask(boot_time)
    except SlurmError as error:
        _log.debug("the nodes' start times are unknown: %s", error)
        return False


def _own_user() -> tuple[str, int]:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name, uid
    except KeyError:  # a container without this user
        return str(uid), uid


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
