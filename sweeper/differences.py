"""What a sweep compares, and what it finds: the values between observing and planning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from ccbackend.replies import BackendRow
from spool.files.run import RunId
from sweeper.values import Close, Report, SlurmRun, Start, Stop


class SpoolStatus(StrEnum):
    """What the spool has of a run; `skipped` in a plan counts by these words."""

    NOTHING = "nothing"
    QUEUED = "queued"  # an event, or a run in todo/
    CAPTURED = "captured"  # in todo/ since a sweep saw it first; the grace is not over
    STARTED = "started"  # a run in open/, started at cc-backend
    UNREPORTED = "unreported"  # excluded
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolEntry:
    """A run in the spool: when cc-backend accepted its start, and when it was last seen there."""

    status: SpoolStatus = SpoolStatus.NOTHING
    started_at: int = 0
    last_seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the configuration says; `close_after` is seconds, None for never."""

    grace_seconds: float = 600
    close_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Slurm, cc-backend and the spool, as far as they differ.

    `missing` run in Slurm and not at cc-backend. `ended` have ended by accounting in the window
    since the last sweep and run nowhere. `orphans` run at cc-backend and not in Slurm.
    `backend_rows` are the rows in any state of the job ids of `missing` and `ended`; of young runs
    they may be left out. `controller_runs` are what the controller has of the orphans' job ids,
    `accounting_runs` accounting's runs of them; None: it did not answer. `running_starts` are start
    times of what runs under the orphans' ids. `delivered` are runs of which the spool noted that
    cc-backend accepted their end.
    """

    missing: tuple[SlurmRun, ...] = ()
    ended: tuple[SlurmRun, ...] = ()
    orphans: tuple[BackendRow, ...] = ()
    backend_rows: Mapping[int, tuple[BackendRow, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    controller_runs: Mapping[int, SlurmRun] = field(default_factory=lambda: MappingProxyType({}))
    accounting_runs: Mapping[int, tuple[SlurmRun, ...]] | None = None
    running_starts: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    spool_entries: Mapping[RunId, SpoolEntry] = field(default_factory=lambda: MappingProxyType({}))
    delivered: frozenset[RunId] = frozenset()

    def spool_entry(self, key: RunId) -> SpoolEntry:
        """Return what the spool has of a run."""
        return self.spool_entries.get(key, SpoolEntry())


@dataclass(slots=True)
class Drift:
    """All that was found, in no order yet; the last two fields are for the next memory."""

    starts: list[Start] = field(default_factory=list)
    first_sightings: list[Start] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    young_stops: set[RunId] = field(default_factory=set)
    unproven_since: dict[RunId, int] = field(default_factory=dict)

    @property
    def candidates(self) -> int:
        """Return how many runs may have ended: they run at cc-backend and not in Slurm."""
        proven = len(self.stops) + len(self.closes) + len(self.young_stops)
        return proven + len(self.unproven_since.keys() - {close.key for close in self.closes})
