"""Whom a sweep asks: Slurm, cc-backend, the spool, a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ccbackend.lookups import RunLookup
from ccbackend.replies import JobList
from slurm.decode.queue_snapshot import QueueSnapshot
from slurm.errors import SlurmError
from slurm.job import Job
from spool.files.layout import Layout
from spool.files.run import RunId

Settings = Mapping[str, tuple[str, ...]]


class SweepSlurm(Protocol):
    """What is asked of Slurm; `slurm.client.Slurm` answers."""

    @property
    def cluster(self) -> str:
        """Return Slurm's own name of the cluster."""

    def config(self) -> Settings:
        """Return the configuration as the controller sees it."""

    def ping(self) -> tuple[tuple[str, str, bool], ...]:
        """Return role, host and whether it is up of each controller."""

    def queue_snapshot(self) -> QueueSnapshot:
        """Return all jobs of the controller in short."""

    def jobs(self, ids: Iterable[int]) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records of some jobs."""

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of some jobs in a window."""

    def ended(self, *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run that ended in a window."""


class SweepBackend(RunLookup, Protocol):
    """What is asked of cc-backend; `ccbackend.client.BackendClient` answers."""

    def running_jobs(self, cluster: str) -> JobList:
        """List all running jobs of a cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSources:
    """Whom to ask.

    `clusters` are the names at cc-backend. `sees_all_jobs` judges by the configuration whether
    Slurm hides jobs from us, `was_reconfigured` whether slurmctld's start at a time was a mere
    reconfiguration. `find_delivered` returns which runs cc-backend has accepted. `on_step` gets the
    name of what is asked next, `on_queue` Slurm's list of jobs.
    """

    slurm: SweepSlurm
    backend: SweepBackend
    clusters: tuple[str, ...]
    layout: Layout
    sees_all_jobs: Callable[[Settings], bool]
    find_delivered: Callable[[Iterable[RunId]], frozenset[RunId]]
    clock: Callable[[], float]
    was_reconfigured: Callable[[int], bool] = lambda _boot_time: False
    on_step: Callable[[str], None] = lambda _what: None
    on_queue: Callable[[QueueSnapshot], None] = lambda _queue: None
