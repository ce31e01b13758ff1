"""The rules of a site for sweeps, by its and Slurm's configuration: exclusions, waits, rights."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Callable
from typing import Any

from ccbackend.job_filters import JobFilters, NameFilter, exclusion_reason
from slurm.cluster_survey import ClusterSurvey, Rights
from slurm.decode.scontrol_config import SlurmSettings, private_data_of, slurm_user_of
from slurm.errors import SlurmError
from slurm.process import ProcessRunner
from spool.config import Config
from spool.config.backend_settings import job_filters, site_map
from spool.connections import slurm_commands
from spool.preflight.permissions import user_name
from sweeper.values import Policy, SlurmRun

_log = logging.getLogger(__name__)


def sweep_policy(config: Config) -> Policy:
    """Return how long a sweep waits before it reports or closes a run."""
    return Policy(
        grace_seconds=config.sweep.grace_seconds, close_after=config.sweep.close_unknown_after
    )


def reported_clusters(config: Config) -> tuple[str, ...]:
    """Return the names at cc-backend of the clusters that the filters do not exclude."""
    filters = job_filters(config)
    names = {config.clustername, *config.partition_clusters.values()}
    return tuple(sorted(name for name in names if filters.clusters.allows(name)))


def exclusion_rule(config: Config) -> Callable[[SlurmRun], str | None]:
    """Return the function that says why the site's filters exclude a run."""
    filters, site = job_filters(config), site_map(config)

    def reason(run: SlurmRun) -> str | None:
        known = _filters_of_known_facts(filters, run)
        return exclusion_reason(run, known, cluster=site.cluster_of(run.partition))

    return reason


def _filters_of_known_facts(filters: JobFilters, run: SlurmRun) -> JobFilters:
    """Return the filters without those for facts that the listing does not contain.

    An unknown name would be on no list of allowed names and exclude the run for good. The drain,
    which sees the job's whole record, applies all filters before anything is reported.
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


def slurm_questions(
    config: Config,
) -> tuple[Callable[[SlurmSettings], bool], Callable[[int], bool]]:
    """Return `sees_all_jobs` and `was_reconfigured` of `SweepSources`; they query Slurm."""
    survey = ClusterSurvey(slurm_commands(config), config.slurm.sacctmgr, ProcessRunner())
    user = (user_name(os.geteuid()), os.geteuid())
    return (
        functools.partial(sees_all_jobs, user=user, admin_level=survey.admin_level),
        functools.partial(was_reconfigured, survey.was_reconfigured),
    )


def sees_all_jobs(
    settings: SlurmSettings,
    *,
    user: tuple[str, int],
    admin_level: Callable[[str], str | None],
) -> bool:
    """Return whether Slurm shows all jobs to a user (name and uid); False if unknown."""
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
    """Return whether slurmctld's start was only a reconfiguration; False if unknown."""
    try:
        return ask(boot_time)
    except SlurmError as error:
        _log.debug("the start times of the nodes' slurmd are unknown: %s", error)
        return False
