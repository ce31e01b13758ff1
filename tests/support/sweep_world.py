"""A site in memory for sweeps: Slurm, drain and cc-backend of drain_world, and the sweeper."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from drain_world import World
from fake_backend import FakeBackend
from fake_slurm import FakeSlurm
from sweep_values import run_sweep

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow, JobList
from slurm.decode.job_rows import QueueSnapshot, parse_queue_snapshot
from slurm.decode.scontrol_config import AS_OF
from slurm.errors import SlurmError
from slurm.job import Job
from spool.files.layout import Layout
from spool.files.run_id import RunId
from spool.files.sweep_state import SweepState
from sweeper.apply import write_events
from sweeper.observe.sources import SweepSources
from sweeper.observe.spool_view import delivered_runs
from sweeper.plan import SweepOptions
from sweeper.sweep import SweepContext, SweepResult, next_state
from sweeper.values import Policy

CLUSTER = "alex"
UNKNOWN = JobList(
    ApiReply(call=ApiCall.GRAPHQL, verdict=ReplyVerdict(Reason.QUERY_FAILED, "cut"), status=200)
)
LISTED = ApiReply(call=ApiCall.GRAPHQL, verdict=ReplyVerdict(Reason.LISTED), status=200)


@dataclass
class SweptSlurm(FakeSlurm):
    """A fake Slurm that answers sweeps too; `hidden` ids are not listed."""

    world: World | None = None
    settings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failures: dict[str, SlurmError] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    arrays: dict[int, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    booted: int | None = None
    listed_nodes: str = "n1"
    cluster: str = "lab"
    odd: dict[int, SlurmError] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """The time of the controller's clock."""
        return int(self.world.now) if self.world else 0

    def config(self) -> dict[str, tuple[str, ...]]:
        """Return the configuration."""
        self._ask("config")
        booted = self.now - 9999 if self.booted is None else self.booted
        base = {
            "ClusterName": (self.cluster,),
            "AccountingStorageType": ("accounting_storage/slurmdbd",),
            "BOOT_TIME": (str(booted),),
            AS_OF: (str(self.now),),
        }
        return base | self.settings

    def ping(self) -> tuple[tuple[str, str, bool], ...]:
        """Return the one controller."""
        self._ask("ping")
        return (("primary", "ctl01", True),)

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the records of some ids; `odd` ones are errors."""
        wanted = tuple(ids)
        found = dict(super().jobs(wanted, states_only=states_only))
        return {**found, **{i: self.odd[i] for i in wanted if i in self.odd}}

    def queue_snapshot(self) -> QueueSnapshot:
        """Return what squeue lists."""
        self._ask("queue_snapshot")
        shown = {i: job for i, job in self.records.items() if i not in self.hidden}
        lines = (
            _line(replace(job, job_id=i), self.arrays.get(i, i), self.listed_nodes)
            for i, job in shown.items()
        )
        return parse_queue_snapshot(b"".join(lines))

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return the rows of some ids."""
        self._ask("accounting")
        return super().accounting(ids, since=since, until=until)

    def ended(self, *, since: int, until: int) -> tuple[Job, ...]:
        """Return the rows that ended in a window."""
        self._ask("ended")
        return tuple(r for r in self.rows if r.end_time and since <= r.end_time <= until)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if what in self.failures:
            raise self.failures[what]


def _line(job: Job, array: int, nodes: str) -> bytes:
    start, end = job.start_time or "N/A", job.end_time or "NONE"
    text = f"{job.job_id}|{array}|N/A|{job.state}|{start}|{end}|1|1|{job.partition}|"
    return f"{text}{job.user}|{job.account}|{nodes}\n".encode()


@dataclass
class SweptBackend:
    """Lists the rows of drain_world's backend; `listing` replaces its answer."""

    backend: FakeBackend
    listing: JobList | None = None
    lookups: int = 0
    silent: bool = False

    def running_jobs(self, cluster: str) -> JobList:
        """List the running rows."""
        if self.listing is not None:
            return self.listing
        rows = [r for r in self._rows(cluster) if r.state == "running"]
        return JobList(LISTED, tuple(rows))

    def list_runs(self, job_ids: Iterable[int], cluster: str) -> JobList:
        """List the rows of some ids."""
        self.lookups += 1
        if self.silent:
            return UNKNOWN
        wanted = set(job_ids)
        return JobList(LISTED, tuple(r for r in self._rows(cluster) if r.job_id in wanted))

    def lookup(self, job_id: int, cluster: str, start_time: int | None = None) -> JobList:
        """List the rows of one id."""
        found = self.list_runs([job_id], cluster)
        rows = found.rows or ()
        own = tuple(row for row in rows if start_time in (None, row.start_time))
        return found if found.rows is None else JobList(LISTED, own)

    def _rows(self, cluster: str) -> list[BackendRow]:
        found = self.backend.rows.items()
        return [BackendRow(i, cluster, start, state, i * 10) for (i, start), state in found]


class SweptWorld:
    """A site with sweeps, and with a drain that runs only when the test calls it."""

    def __init__(self, root: Path, *, grace: int = 600, close_after: int | None = None) -> None:
        root.mkdir(exist_ok=True)
        self.world = World(root)
        old = self.world.slurm
        self.slurm = SweptSlurm(old.records, old.rows, world=self.world)
        self.world.slurm = self.slurm
        self.world.boot()
        self.backend = SweptBackend(self.world.backend)
        self.layout = Layout(root)
        self.state = SweepState(mark=int(self.world.now) - 3600)
        self.skew = 0.0
        self.sees_all_jobs = True
        self.sources = SweepSources(
            slurm=self.slurm,
            backend=self.backend,
            clusters=(CLUSTER,),
            layout=self.layout,
            sees_all_jobs=lambda _settings: self.sees_all_jobs,
            find_delivered=lambda keys: delivered_runs(self.world.state / "delivered", keys),
            clock=lambda: self.world.now + self.skew,
        )
        self.site = SweepContext(
            sources=self.sources,
            policy=Policy(grace_seconds=grace, close_after=close_after),
            exclusion_reason=lambda job: "filtered" if job.partition == "quiet" else None,
        )

    def plan(self, *ids: int, **options: Any) -> SweepResult:
        """Observe and plan, and change nothing."""
        return run_sweep(self.site, self.state, replace(SweepOptions(), **options), ids)

    def sweep(self, *ids: int, **options: object) -> SweepResult:
        """Sweep, let the drain work, and let ten minutes pass; return the sweep's result."""
        result = self.plan(*ids, **options)
        changes = result.decision.plan.changes if result.decision.may_apply else ()
        written = write_events(self.layout, changes)
        if result.decision.may_apply:
            write_events(self.layout, result.decision.plan.first_sightings)
        self.state = next_state(result, [each.key for each in written])
        self.drain()
        self.world.now += 600
        return result

    def apply_and_resolve(self) -> None:
        """Sweep, and let the drain ask Slurm about what the sweep has written."""
        plan = self.plan().decision.plan
        write_events(self.layout, (*plan.changes, *plan.first_sightings))
        self.world.run(2)

    def drain(self) -> None:
        """Run the drain until nothing is pending, for an hour at most."""
        for _ in range(720):
            self.world.drain.step(0.0)
            if not {"new", "todo"} & self.world.files().keys():
                break
            self.world.now += 5

    def rows(self) -> dict[RunId, str]:
        """Return the state of each row at cc-backend."""
        return {RunId(*key): state for key, state in self.world.backend.rows.items()}
