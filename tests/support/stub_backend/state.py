"""The contents and the settings of one server; the rules are in the modules that use it."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

from stub_backend.auth import ACCOUNTS, PREFIX, Account, Gate
from stub_backend.release import Release, release
from stub_backend.tables import Key, Row, Table
from stub_backend.wire.answers import Answer

QUEUE_PLACES = 128
_ATTEMPTS_SECONDS = 5.0  # the queue's worker tries five times, a second apart
_INSERT_SECONDS = 0.003


class Worker(StrEnum):
    """How the queue of 1.4.0 and 1.4.1 is processed: one start after another."""

    INSTANT = "instant"  # before the next request
    MANUAL = "manual"  # by `work()` alone
    REAL = "real"  # by the clock, 5 s for each start that the database refuses


@dataclass
class Tag:
    """A tag as the server stores it."""

    id: int
    type: str
    name: str
    scope: str


@dataclass
class State:
    """One server. `hosts` and `clusters` empty: every host of `cluster` belongs to a subcluster."""

    version: str = "1.4.4"
    cluster: str = "lab"
    token: str = f"{PREFIX}api"
    hosts: frozenset[str] | None = None
    clusters: list[dict[str, Any]] = field(default_factory=list)
    job: MutableMapping[Key, Row] = field(default_factory=Table)
    cache: MutableMapping[Key, Row] = field(default_factory=Table)
    poison: dict[int, Answer] = field(default_factory=dict)
    everything: Answer | None = None
    accounts: dict[str, Account] = field(default_factory=lambda: dict(ACCOUNTS))
    users: dict[str, tuple[str, ...]] = field(default_factory=dict)
    validates_users: bool = False
    addresses: tuple[str, ...] | None = ("*",)
    nats: bool = False  # job events by NATS: start_job and stop_job are not routed
    worker: Worker = Worker.INSTANT
    commit_seconds: float | None = None  # None: `commit()` alone moves cached rows
    archives: bool = True  # False: the archiver does not run
    clock: Callable[[], float] = time.time
    tags: list[Tag] = field(default_factory=list)
    tagged: dict[int, list[int]] = field(default_factory=dict)  # row id to tag ids
    nodes: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    node_states: list[dict[str, Any]] = field(default_factory=list)
    queue: deque[Callable[[], bool]] = field(default_factory=deque)
    _worker_free_at: float = 0.0
    _commit_at: float | None = None

    def __post_init__(self) -> None:
        self.job = Table(self.job)
        self.cache = Table(self.cache)

    @property
    def release(self) -> Release:
        """The differences of this version, which may be changed at any time."""
        return release(self.version)

    @property
    def build(self) -> str:
        """The version as the login page shows it; a self-built server may show none."""
        return self.version

    @property
    def is_new(self) -> bool:
        """Return whether starts are cached and sharing is a word (from 1.5.0)."""
        return self.release.is_new

    @property
    def gate(self) -> Gate:
        """The access rules of this server."""
        tokens = {PREFIX + name: account for name, account in self.accounts.items()}
        tokens[self.token] = Account("api")
        return Gate(
            release=self.release,
            tokens=tokens,
            users=self.users,
            validates_users=self.validates_users,
            addresses=self.addresses,
        )

    @property
    def job_table(self) -> Table:
        """The main table, even if another mapping was assigned."""
        if not isinstance(self.job, Table):
            self.job = Table(self.job)
        return self.job

    @property
    def cache_table(self) -> Table:
        """The table of cached starts (from 1.5.0)."""
        if not isinstance(self.cache, Table):
            self.cache = Table(self.cache)
        return self.cache

    def subclusters(self, cluster: str) -> dict[str, dict[str, Any]]:
        """Return the subclusters of a configured cluster by name."""
        parts = (each["subClusters"] for each in self.clusters if each["name"] == cluster)
        return {part["name"]: part for each in parts for part in each}

    def commit(self) -> None:
        """Move the cached rows into the main table, except those that it already has."""
        for key, row in list(self.cache_table.items()):
            if key not in self.job_table:
                self.job_table[key] = {k: v for k, v in row.items() if k != "id"}
        self.cache_table.clear()

    def work(self, count: int = QUEUE_PLACES) -> bool:
        """Store some queued starts; False: the database refused one, which is lost.

        The worker stops after that one: it blocks all others for five seconds.
        """
        return all(self.queue.popleft()() for _ in range(min(count, len(self.queue))))

    def catch_up(self) -> None:
        """Do what is due by now: commit on the interval, process the queue."""
        if self.commit_seconds is not None:
            self._commit_if_due(self.commit_seconds)
        while self.queue and self.worker is Worker.INSTANT:
            self.work()
        while self.queue and self.worker is Worker.REAL and self._worker_free_at <= self.clock():
            self._worker_free_at += _INSERT_SECONDS if self.work(1) else _ATTEMPTS_SECONDS

    def enqueue(self, store: Callable[[], bool]) -> None:
        """Queue a function that stores a start; if the queue is full, store the oldest first."""
        if len(self.queue) >= QUEUE_PLACES:
            self.work(1)
        if not self.queue:
            self._worker_free_at = max(self._worker_free_at, self.clock() + _INSERT_SECONDS)
        self.queue.append(store)

    def _commit_if_due(self, seconds: float) -> None:
        now = self.clock()
        if self._commit_at is None:
            self._commit_at = now + seconds
        if now >= self._commit_at:
            self._commit_at = now + seconds
            self.commit()


def key_of(row: Row) -> Key:
    """Return the tuple that identifies a run."""
    return row.get("jobId", 0), row.get("cluster", ""), row.get("startTime", 0)


@cache
def nodes_of(nodes: str) -> frozenset[str]:
    """Return the nodes of a list with commas and ranges of fixed width: `n[01-04],m1`."""
    names: set[str] = set()
    for prefix, ranges in re.findall(r"([^,\[\]]+)(?:\[([^\]]*)\])?", nodes):
        if not ranges:
            names.add(prefix)
        for piece in filter(None, ranges.split(",")):
            first, _, last = piece.partition("-")
            numbers = range(int(first), int(last or first) + 1)
            names.update(f"{prefix}{number:0{len(first)}d}" for number in numbers)
    return frozenset(names)
