"""The values of a sweep: runs, differences, what is to be done about them, a plan. Frozen data.

A run is identified by its `RunId`. Instants are Unix seconds. `why` is the evidence from both
sides in one sentence, for people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from ccbackend.replies import BackendRow
from slurm.light_dataclass import light_dataclass
from spool.files.run_id import RunId


def key_of_row(row: BackendRow) -> RunId:
    """Return the identity of the run that a row of cc-backend shows."""
    return RunId(row.job_id, row.start_time)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmRun:
    """One run as Slurm shows it; `end_time` only of a run that has ended.

    `nodes` are single names. Empty and None mean *not known from this source*: the listing of all
    jobs has neither QOS nor comments; if a name contains `|`, also no user, partition, account.
    """

    job_id: int
    start_time: int
    end_time: int | None = None
    state: str = ""
    user: str = ""
    partition: str = ""
    account: str = ""
    nodes: tuple[str, ...] = ()
    qos: str | None = None
    admin_comment: str | None = None
    comment: str | None = None

    @property
    def key(self) -> RunId:
        """Return the run's identity."""
        return RunId(self.job_id, self.start_time)


class EndProof(StrEnum):
    """The source that proves the end of a run."""

    CONTROLLER = "controller"
    ACCOUNTING = "accounting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Report a run that cc-backend does not have: its start, and its end if `job` has ended.

    `not_before` is when it is reported at the earliest: the facts of a run that is too young are
    stored at once, because Slurm forgets them; 0 for a run that is reported now.
    """

    job: SlurmRun
    why: str
    not_before: int = 0

    @property
    def key(self) -> RunId:
        """Return the run's identity."""
        return self.job.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Report the proven end of a run that is running at cc-backend."""

    job: SlurmRun
    proof: EndProof
    why: str

    @property
    def key(self) -> RunId:
        """Return the run's identity."""
        return self.job.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """End a run at cc-backend without proof: Slurm has not shown it for long enough."""

    key: RunId
    end_time: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A difference that an administrator should know; a sweep does nothing about it."""

    key: RunId
    user: str = ""
    why: str


Change = Start | Stop | Close


class GuardKind(StrEnum):
    """The kind of a safety check: what it examines, and so what it holds back.

    Doubt about an answer voids all stops, and all else if it is about another cluster. A surprising
    number of stops holds them back until a second sweep. Before the first sweep everything waits.
    """

    ANSWER = "answer"
    SIZE = "size"
    FIRST = "first"


class FailureCause(Enum):
    """The cause of a failed safety check, which decides the exit code."""

    REFUSED = auto()  # the answers are not believed, or the plan is too large
    UNAVAILABLE = auto()  # Slurm or cc-backend does not answer
    NO_PERMISSION = auto()  # cc-backend refuses the token
    MISCONFIGURED = auto()
    BUSY = auto()  # the spool is full of work


@light_dataclass
class GuardFinding:
    """A failed safety check: `text` names the numbers, the threshold and the next step.

    `is_transient`: it passes by itself within minutes, so no alarm is needed. `voids_starts`: the
    answers are about another cluster, so that starts are as wrong as stops.
    """

    name: str
    kind: GuardKind
    text: str
    cause: FailureCause = FailureCause.REFUSED
    is_transient: bool = False
    voids_starts: bool = False


@light_dataclass
class Plan:
    """What a sweep would do. Its parts are in a fixed order: oldest run first.

    `first_sightings` are runs too young to be reported: applying stores their facts, and they are
    reported after the grace. They are no drift. `held_back` are stops and closes that a safety
    check holds back. `skipped` counts what differs and needs nothing, by reason. `over_limit`
    counts changes beyond the limit. `ends_read_until` is until when the runs that ended were looked
    at (Unix seconds), None if none are left. `running_counts` are the running jobs of Slurm and of
    cc-backend, None where not known.
    """

    changes: tuple[Change, ...] = ()
    first_sightings: tuple[Start, ...] = ()
    reports: tuple[Report, ...] = ()
    held_back: tuple[Stop | Close, ...] = ()
    guards: tuple[GuardFinding, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    over_limit: int = 0
    ends_read_until: int | None = None
    running_counts: tuple[int | None, int | None] = (None, None)

    @property
    def is_refused(self) -> bool:
        """Return whether a safety check keeps stops back or voids them."""
        return any(guard.kind is not GuardKind.FIRST for guard in self.guards)

    @property
    def has_more(self) -> bool:
        """Return whether changes or ended runs are left for the next sweep."""
        return bool(self.over_limit or self.ends_read_until)

    @property
    def drift(self) -> Mapping[str, int]:
        """Return the number of changes (also held back) and reports, by kind."""
        found = {"start": 0, "stop": 0, "close": 0, "report": len(self.reports)}
        for change in (*self.changes, *self.held_back):
            found[type(change).__name__.lower()] += 1
        return found


class SpoolStatus(StrEnum):
    """The state of a run in the spool; `skipped` in a plan counts by these words, among others."""

    NOTHING = "nothing"
    QUEUED = "queued"  # an event, or a run in todo/
    CAPTURED = "captured"  # in todo/ since a sweep saw it first; the grace is not over
    STARTED = "started"  # a run in open/, started at cc-backend
    UNREPORTED = "unreported"  # excluded
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolEntry:
    """A run in the spool: when cc-backend accepted its start, and when the drain stored it."""

    status: SpoolStatus = SpoolStatus.NOTHING
    started_at: int = 0
    last_seen: int = 0


@light_dataclass
class Policy:
    """The configured waiting times of a sweep; `close_after` is seconds, None for never."""

    grace_seconds: float = 600
    close_after: float | None = None


@light_dataclass
class Differences:
    """The runs that differ between Slurm and cc-backend, with what each source has of them.

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
    backend_rows: Mapping[int, tuple[BackendRow, ...]] = field(default_factory=dict)
    controller_runs: Mapping[int, SlurmRun] = field(default_factory=dict)
    accounting_runs: Mapping[int, tuple[SlurmRun, ...]] | None = None
    running_starts: Mapping[int, int] = field(default_factory=dict)
    spool_entries: Mapping[RunId, SpoolEntry] = field(default_factory=dict)
    delivered: frozenset[RunId] = frozenset()

    def spool_entry(self, key: RunId) -> SpoolEntry:
        """Return the spool's entry of a run; its status is `NOTHING` if there is none."""
        return self.spool_entries.get(key, SpoolEntry())


@dataclass(slots=True)
class Drift:
    """The unordered results of a sweep; the last two fields are for the next sweep's memory."""

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
