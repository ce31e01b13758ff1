"""Put a drain together from plain parts; where they come from is the caller's business."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from random import random
from typing import Protocol

from slurm.errors import SlurmError
from slurm.job import Job
from spool.deliver.backend_health import BackendHealth
from spool.deliver.compose import PayloadComposer
from spool.deliver.delivery import Delivery, DeliveryPolicy
from spool.deliver.reaction import DAY_SECONDS
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import Schedule
from spool.deliver.senders import Sender, SenderBackend, SendResult
from spool.drain.apply_resolutions import Describer, ResolutionApplier
from spool.drain.loop import Drain, DrainParts
from spool.drain.recover import recover
from spool.drain.service import ListedJob, Service, ServiceParts
from spool.drain.state_writer import DrainStateWriter
from spool.files.archive import DeliveredArchive
from spool.files.durable_files import WriteBatch
from spool.files.layout import Layout
from spool.files.run import Run
from spool.files.state_files import DELIVERED_DIRECTORY, DRAIN_STATE_FILE, CrashMarker
from spool.resolve.event_scanner import EventScanner
from spool.resolve.resolver import Resolver, ResolverSlurm
from spool.resolve.slurm_runs import match_start, runs_of_accounting


class DrainSlurm(ResolverSlurm, Protocol):
    """All that a drain asks of Slurm; `slurm.client.Slurm` answers."""

    def listing(self) -> Iterable[ListedJob]:
        """Return all jobs the controller has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainSettings:
    """What is particular to a site; durations in seconds but for `keep_days`."""

    spool: Path
    state: Path
    hold_seconds: float
    replace_earlier: bool
    keep_days: float
    min_free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Externals:
    """What a drain speaks to, and the world's clocks and names."""

    slurm: DrainSlurm
    backends: tuple[SenderBackend, SenderBackend]
    describe: Describer
    user_name: Callable[[int], str | None]
    inputs_changed: Callable[[], bool]
    clock: Callable[[], float] = time.time
    new_batch: Callable[[Layout], WriteBatch] = WriteBatch


def assemble(
    settings: DrainSettings, composer: PayloadComposer, externals: Externals, *, layout: Layout
) -> Service:
    """Return a service that has taken up the spool; the caller holds the lock.

    Raises:
        OSError: the state directory cannot be written.
    """
    now = externals.clock()
    crash_marker = CrashMarker(settings.state / "handling")
    archive = DeliveredArchive(settings.state / DELIVERED_DIRECTORY, keep_days=settings.keep_days)
    store = RunStore(layout, Schedule(), archive, new_batch=externals.new_batch)
    results: Queue[SendResult] = Queue()
    starts, stops = externals.backends
    senders = (Sender("starts", starts, results), Sender("stops", stops, results))
    backend_health = BackendHealth(random)
    policy = DeliveryPolicy(
        hold_seconds=settings.hold_seconds,
        replace_earlier=settings.replace_earlier,
        prove_same_job=SameJobProof(store, externals.slurm, externals.clock),
    )
    delivery = Delivery(
        store, backend_health, composer, senders=senders, crash_marker=crash_marker, policy=policy
    )
    event_scanner, resolver = EventScanner(layout, crash_marker), Resolver(externals.slurm)
    parts = DrainParts(
        layout=layout,
        crash_marker=crash_marker,
        event_scanner=event_scanner,
        resolver=resolver,
        applier=ResolutionApplier(
            store,
            event_scanner,
            resolver=resolver,
            describe=externals.describe,
            user_name=externals.user_name,
            clock=externals.clock,
        ),
        store=store,
        backend_health=backend_health,
        delivery=delivery,
        results=results,
        min_free_bytes=settings.min_free_bytes,
    )
    drain = Drain(parts, externals.clock)
    drain.add_recovered(recover(layout, crash_marker, now))
    service_parts = ServiceParts(
        senders=senders,
        archive=archive,
        state_writer=DrainStateWriter(settings.state / DRAIN_STATE_FILE, now=now),
        listing=externals.slurm.listing,
        inputs_changed=externals.inputs_changed,
        clock=externals.clock,
    )
    return Service(drain, parts, service_parts)


class SameJobProof:
    """Which rows of cc-backend are other runs of the very same job.

    A run that is no restart has no earlier runs: such rows are another job's, whose id was used
    again, and must not be deleted. Else the spool's memory (of a later run only within a day: ids
    are used again) or accounting must know the run, with the same user.
    """

    def __init__(self, store: RunStore, slurm: ResolverSlurm, clock: Callable[[], float]) -> None:
        self._store = store
        self._slurm = slurm
        self._clock = clock

    def __call__(self, run: Run, others: Iterable[int]) -> set[int]:
        """Return the start times that are proven."""
        is_first = run.job.restart_count == 0
        wanted = {other for other in others if other > run.start_time or not is_first}
        remembered = {tracked.start_time for tracked in self._store.tracked(run.job_id)}
        known = {other for other in wanted & remembered if other - run.start_time < DAY_SECONDS}
        missing = wanted - known
        return known | (self._accounted(run, missing) if missing else set())

    def _accounted(self, run: Run, missing: set[int]) -> set[int]:
        since, until = min(missing) - 60, int(self._clock()) + 1
        try:
            rows = self._slurm.accounting([run.job_id], since=since, until=until)
        except SlurmError:
            return set()
        own = [row for row in rows if _is_same_job(row, run)]
        runs = runs_of_accounting(own, run.job_id, starts=missing)  # a row may have lost its start
        starts = [row.start_time for row in (*runs, *own) if row.start_time]
        return {start for start in missing if match_start(start, starts) is not None}


def _is_same_job(row: Job, run: Run) -> bool:
    return row.job_id == run.job_id and row.user == run.job.user
