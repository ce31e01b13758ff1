"""One sweep's questions: what comes back whole is returned, what does not becomes a guard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ccbackend.lookups import lookup_runs
from ccbackend.replies import BackendRow
from slurm.decode.queue_snapshot import QueueSnapshot
from slurm.decode.scontrol_config import AS_OF, config_time
from slurm.errors import SlurmError
from slurm.job import Job as Record
from spool.resolve.slurm_runs import runs_of_accounting
from sweeper.diff import Facts, Policy, is_over
from sweeper.guard import Answers
from sweeper.look.failures import backend_failure, slurm_failure
from sweeper.look.sources import Settings, Sources
from sweeper.values import Guard, Job, Key

SLACK_SECONDS = 60
OVERLAP_SECONDS = 3600
PAGE_SECONDS = 86400
ENOUGH = 10_000  # runs that ended unseen: the rest waits for the next sweeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen.

    `now` is the controller's clock. `running` and `running_there` count what runs by Slurm and by
    cc-backend, None where that was not seen. `saw_window` tells whether all that ended since the
    last sweep was looked at.
    """

    facts: Facts = field(default_factory=Facts)
    answers: Answers
    now: int
    running: int | None = None
    running_there: int | None = None
    accounts: bool = True
    saw_window: bool = False


class Eye:
    """Asks, and keeps what was suspicious about the answers; for one sweep."""

    def __init__(self, sources: Sources, known_cluster: str | None) -> None:
        self.sources = sources
        self.now = int(sources.clock())
        self.accounts = True
        self._known_cluster = known_cluster
        self._failed: dict[str, Guard] = {}
        self._settings: Settings = {}
        self._clock = self.now
        self._foreign: str | None = None

    def fail(self, guard: Guard) -> None:
        """Note a question without a whole answer; of those of one kind the first."""
        self._failed.setdefault(guard.name, guard)

    def running(self) -> list[BackendRow] | None:
        """Return what runs at cc-backend; None if it is not known."""
        self.sources.step("cc-backend")
        rows: list[BackendRow] = []
        for cluster in self.sources.clusters:
            listing = self.sources.backend.running_jobs(cluster)
            if listing.rows is None:
                self.fail(backend_failure(listing.reply))
                return None
            foreign = {row.cluster for row in listing.rows} - {cluster}
            self._foreign = min(foreign, default=self._foreign)
            rows += listing.rows
        return rows

    def queue_snapshot(self) -> QueueSnapshot | None:
        """Return all jobs of the controller, and note who it is; None if it does not say."""
        if not self.introduce():
            return None
        self.sources.step("squeue")
        try:
            return self.sources.slurm.queue_snapshot()
        except SlurmError as error:
            self.fail(slurm_failure("slurm", error))
            return None

    def introduce(self) -> bool:
        """Ask the controller who and how it is; False if it does not say."""
        self.sources.step("controller")
        try:
            self._settings = self.sources.slurm.config()
        except SlurmError as error:
            self.fail(slurm_failure("slurm", error))
            return False
        self._clock = int(self.sources.clock())
        clock = config_time(self._settings, AS_OF)
        self.now = self._clock if clock is None else clock
        kind = self._settings.get("AccountingStorageType") or ("accounting_storage/none",)
        self.accounts = not kind[0].endswith("none")
        return True

    def accounted(self, rows: Sequence[BackendRow]) -> Mapping[int, tuple[Job, ...]] | None:
        """Return accounting's runs of the job ids of some rows; None if it does not answer."""
        if not rows:
            return {}
        return self.history(
            {row.job_id for row in rows},
            since=min(row.start_time for row in rows) - SLACK_SECONDS,
            starts=[Key(row.job_id, row.start_time) for row in rows],
        )

    def history(
        self, ids: Iterable[int], *, since: int, starts: Iterable[Key] = ()
    ) -> Mapping[int, tuple[Job, ...]] | None:
        """Return accounting's runs of some job ids; None if it does not answer.

        `starts` are runs that are known otherwise, for rows that have lost their start.
        """
        self.sources.step("accounting")
        wanted = set(ids)
        try:
            rows = self.sources.slurm.accounting(wanted, since=max(1, since), until=self.now + 1)
        except SlurmError as error:
            self.fail(slurm_failure("accounting", error))
            return None
        return runs_by_id((row for row in rows if row.job_id in wanted), starts)

    def ended(self, mark: int | None, policy: Policy) -> tuple[list[Job], bool]:
        """Return the runs that ended since the mark; and whether that is all.

        The newest are left out: the drain may be at them.
        """
        if mark is None or not self.accounts:
            return [], mark is not None
        last = self.now - int(policy.grace_seconds)
        since = min(mark, self.now) - OVERLAP_SECONDS - int(policy.grace_seconds)
        found: dict[Key, Job] = {}
        for begin in range(since, self.now, PAGE_SECONDS):
            self.sources.step("accounting window")
            try:
                end = min(begin + PAGE_SECONDS, self.now)
                rows = self.sources.slurm.ended(since=begin, until=end)
            except SlurmError as error:
                self.fail(slurm_failure("accounting", error))
                return [], False
            jobs = (job for runs in runs_by_id(rows).values() for job in runs)
            found |= {job.key: job for job in jobs if is_over(job) and (job.end_time or 0) <= last}
            if len(found) >= ENOUGH:
                return list(found.values()), False
        return list(found.values()), True

    def there(self, keys: Sequence[Key]) -> dict[int, tuple[BackendRow, ...]] | None:
        """Return the rows of some runs' job ids in any state; None if they are not known."""
        rows: defaultdict[int, tuple[BackendRow, ...]] = defaultdict(tuple)
        self.sources.step("look-up")
        for cluster in self.sources.clusters if keys else ():
            listing = lookup_runs(self.sources.backend, keys, cluster)
            if listing.rows is None:
                self.fail(backend_failure(listing.reply))
                return None
            for row in listing.rows:
                rows[row.job_id] += (row,)
        return dict(rows)

    def confirmed(self, jobs: Sequence[Job]) -> list[Job]:
        """Return runs as accounting has them when asked for their ids: a window cuts resized ones.

        Nothing if it does not answer.
        """
        if not jobs:
            return []
        since = min(job.start_time for job in jobs) - SLACK_SECONDS
        runs = self.history({job.job_id for job in jobs}, since=since) or {}
        wanted = {job.key for job in jobs}
        return [run for each in runs.values() for run in each if run.key in wanted and is_over(run)]

    def answers(self) -> Answers:
        """Return what was suspicious."""
        asked = bool(self._settings)
        return Answers(
            failed=tuple(self._failed.values()),
            sees_all=not asked or self.sources.sees_all(self._settings),
            booted=config_time(self._settings, "BOOT_TIME"),
            controller_clock=config_time(self._settings, AS_OF),
            clock=self._clock,
            cluster=self.sources.slurm.cluster if asked else "",
            known_cluster=self._known_cluster if asked else None,
            foreign=self._foreign,
        )

    def closed(self) -> Observation:
        """Return what can be said where nothing was seen."""
        return Observation(answers=self.answers(), now=self.now, accounts=self.accounts)


def runs_by_id(rows: Iterable[Record], starts: Iterable[Key] = ()) -> dict[int, tuple[Job, ...]]:
    """Return the runs in accounting's rows by job id, oldest first."""
    by_id: defaultdict[int, list[Record]] = defaultdict(list)
    for row in rows:
        by_id[row.job_id].append(row)
    known: defaultdict[int, list[int]] = defaultdict(list)
    for job_id, start in starts:
        known[job_id].append(start)
    return {
        job_id: tuple(map(job_of, runs_of_accounting(own, job_id, starts=known[job_id])))
        for job_id, own in by_id.items()
    }


def job_of(record: Record) -> Job:
    """Return a run that has begun."""
    return Job(
        job_id=record.job_id,
        start_time=record.start_time or 0,
        end_time=record.end_time,
        state=record.state or "",
        user=record.user or "",
        partition=record.partition or "",
        account=record.account or "",
        nodes=record.nodes,
    )
