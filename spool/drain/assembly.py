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
from spool.deliver.book import Book
from spool.deliver.compose import SiteComposer
from spool.deliver.delivery import Delivery, Terms
from spool.deliver.link import Link
from spool.deliver.reaction import DAY_SECONDS
from spool.deliver.schedule import Schedule
from spool.deliver.senders import Backend, Reply, Sender
from spool.drain.beacon import Beacon
from spool.drain.conclusions import Conclusions, Describer
from spool.drain.loop import Drain, Parts
from spool.drain.recover import recover
from spool.drain.service import Listed, Service, Surroundings
from spool.files.archive import DeliveredArchive
from spool.files.durable_files import WriteBatch
from spool.files.layout import Layout
from spool.files.run import Run
from spool.files.state_files import DELIVERED_DIRECTORY, DRAIN_STATE_FILE, CrashMarker
from spool.resolve.event_scanner import EventScanner
from spool.resolve.resolver import Resolver, ResolverSlurm
from spool.resolve.slurm_runs import match_start, runs_of_accounting


class SlurmSide(ResolverSlurm, Protocol):
    """All that a drain asks of Slurm; `slurm.client.Slurm` answers."""

    def listing(self) -> Iterable[Listed]:
        """Return all jobs the controller has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is particular to a site; durations in seconds but for `keep_days`."""

    spool: Path
    state: Path
    hold_seconds: float
    replace_earlier: bool
    keep_days: float
    min_free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a drain speaks to, and the world's clocks and names."""

    slurm: SlurmSide
    backends: tuple[Backend, Backend]
    describe: Describer
    user_name: Callable[[int], str | None]
    watch: Callable[[], bool]
    clock: Callable[[], float] = time.time
    new_batch: Callable[[Layout], WriteBatch] = WriteBatch


def assemble(site: Site, composer: SiteComposer, outside: Outside, *, layout: Layout) -> Service:
    """Return a service that has taken up the spool; the caller holds the lock.

    Raises:
        OSError: the state directory cannot be written.
    """
    now = outside.clock()
    crash_marker = CrashMarker(site.state / "handling")
    archive = DeliveredArchive(site.state / DELIVERED_DIRECTORY, keep_days=site.keep_days)
    book = Book(layout, Schedule(), archive, new_batch=outside.new_batch)
    replies: Queue[Reply] = Queue()
    starts, stops = outside.backends
    senders = (Sender("starts", starts, replies), Sender("stops", stops, replies))
    link = Link(random)
    terms = Terms(
        hold_seconds=site.hold_seconds,
        replace_earlier=site.replace_earlier,
        prove=Proof(book, outside.slurm, outside.clock),
    )
    delivery = Delivery(
        book, link, composer, senders=senders, crash_marker=crash_marker, terms=terms
    )
    event_scanner, resolver = EventScanner(layout, crash_marker), Resolver(outside.slurm)
    parts = Parts(
        layout=layout,
        crash_marker=crash_marker,
        event_scanner=event_scanner,
        resolver=resolver,
        conclusions=Conclusions(
            book,
            event_scanner,
            resolver=resolver,
            describe=outside.describe,
            user_name=outside.user_name,
            clock=outside.clock,
        ),
        book=book,
        link=link,
        delivery=delivery,
        replies=replies,
        min_free_bytes=site.min_free_bytes,
    )
    drain = Drain(parts, outside.clock)
    drain.take_up(recover(layout, crash_marker, now))
    surroundings = Surroundings(
        senders=senders,
        archive=archive,
        beacon=Beacon(site.state / DRAIN_STATE_FILE, now=now),
        listing=outside.slurm.listing,
        watch=outside.watch,
        clock=outside.clock,
    )
    return Service(drain, parts, surroundings)


class Proof:
    """Which rows of cc-backend are other runs of the very same job.

    A run that is no restart has no earlier runs: such rows are another job's, whose id was used
    again, and must not be deleted. Else the spool's memory (of a later run only within a day: ids
    are used again) or accounting must know the run, with the same user.
    """

    def __init__(self, book: Book, slurm: ResolverSlurm, clock: Callable[[], float]) -> None:
        self._book = book
        self._slurm = slurm
        self._clock = clock

    def __call__(self, run: Run, others: Iterable[int]) -> set[int]:
        """Return the start times that are proven."""
        is_first = run.job.restart_count == 0
        wanted = {other for other in others if other > run.start_time or not is_first}
        remembered = {tracked.start_time for tracked in self._book.tracked(run.job_id)}
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
