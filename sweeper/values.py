"""What a sweep thinks in: runs, what is to be done about them, and a plan. Plain frozen values.

A run is named by its `RunId`. Instants are Unix seconds. `why` is the evidence from both sides in
one sentence, for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from spool.exit_codes import DRIFT, OK, REFUSED
from spool.files.run import RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmRun:
    """One run as Slurm shows it; `end_time` only of a run that is over."""

    job_id: int
    start_time: int
    end_time: int | None = None
    state: str = ""
    user: str = ""
    partition: str = ""
    account: str = ""
    nodes: tuple[str, ...] = ()

    @property
    def key(self) -> RunId:
        """Return the run's name."""
        return RunId(self.job_id, self.start_time)


class EndProof(StrEnum):
    """Who proves that a run is over."""

    CONTROLLER = "controller"
    ACCOUNTING = "accounting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Tell a run that cc-backend does not have: its start, and its end if `job` is over."""

    job: SlurmRun
    why: str

    @property
    def key(self) -> RunId:
        """Return the run's name."""
        return self.job.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Tell the proven end of a run that runs at cc-backend."""

    job: SlurmRun
    proof: EndProof
    why: str

    @property
    def key(self) -> RunId:
        """Return the run's name."""
        return self.job.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Close a run at cc-backend without proof: nobody knows it, for long enough."""

    key: RunId
    end_time: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Something that a person should know; nothing is done about it."""

    key: RunId
    user: str = ""
    why: str


Change = Start | Stop | Close


class GuardKind(StrEnum):
    """What a guard looks at: answers void all stops, sizes hold them until a second look."""

    ANSWER = "answer"
    SIZE = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardFinding:
    """A guard that has spoken: `text` names the numbers, the threshold and the next step."""

    name: str
    kind: GuardKind
    text: str
    exit_code: int = REFUSED


def _none() -> Mapping[str, int]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sweep would do. Its parts are in a fixed order: oldest run first.

    `held_back` are stops and closes that guards on the size keep back until the next sweep.
    `skipped` counts what differs and needs nothing. `over_limit` counts changes beyond the limit of
    one run. `running_counts` are runs that go on by Slurm and by cc-backend, None where not known.
    """

    changes: tuple[Change, ...] = ()
    reports: tuple[Report, ...] = ()
    held_back: tuple[Stop | Close, ...] = ()
    guards: tuple[GuardFinding, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=_none)
    over_limit: int = 0
    running_counts: tuple[int | None, int | None] = (None, None)

    @property
    def is_refused(self) -> bool:
        """Tell whether a guard has spoken."""
        return bool(self.guards)

    @property
    def drift(self) -> Mapping[str, int]:
        """Return how many of each kind were found, held ones too."""
        found = {"start": 0, "stop": 0, "close": 0, "report": len(self.reports)}
        for change in (*self.changes, *self.held_back):
            found[type(change).__name__.lower()] += 1
        return found

    @property
    def exit_code(self) -> int:
        """Return the code of a plan that nobody applies."""
        if self.guards:
            return self.guards[0].exit_code
        return DRIFT if self.changes or self.reports or self.over_limit else OK
