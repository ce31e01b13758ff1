"""What differs and what is to be done about each run. Pure: values and a clock in, values out.

Absence proves nothing: a run is stopped because Slurm says that it ended, with the same job id and
start, never because somebody is silent about it. What the spool already has in hand, what is too
young to be visible and what is left out by choice is counted as known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from ccbackend.replies import BackendRow
from spool.files.run import RunId
from spool.files.sweep_state import SweepMemory
from spool.resolve.slurm_runs import END_STATES, match_start, same_start
from sweeper.values import Close, EndProof, Report, SlurmRun, Start, Stop

FUTURE_SECONDS = 300  # an end further ahead is a clock gone wrong
SWEEPS_TO_CONFIRM = 2
DAY_SECONDS = 86400


class SpoolStatus(StrEnum):
    """What the spool has of a run; `skipped` in a plan counts by these words."""

    NOTHING = "nothing"
    QUEUED = "queued"  # an event, or a run in todo/
    STARTED = "told"  # a run in open/, started at cc-backend
    UNREPORTED = "unreported"  # left out by choice
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolEntry:
    """A run in the spool: when cc-backend took its start, and when it was last seen there."""

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

    `missing` run in Slurm and not at cc-backend, `ended` are over by accounting in the window since
    the last sweep and run nowhere. `orphans` run at cc-backend and not in Slurm. `backend_rows` are
    the rows in any state of the job ids of `missing` and `ended`. `controller_runs` are what the
    controller has of the orphans' job ids, `accounting_runs` accounting's runs of them; None: it
    did not answer. `running_starts` are start times of what runs under the orphans' ids.
    `delivered` are runs of which the spool noted that cc-backend took their end.
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


@dataclass(slots=True)
class Drift:
    """All that was found, in no order yet; the last two fields are for the next memory."""

    starts: list[Start] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    young_stops: set[RunId] = field(default_factory=set)
    unproven_since: dict[RunId, int] = field(default_factory=dict)

    @property
    def candidates(self) -> int:
        """Return how many runs may be over: they run at cc-backend and not in Slurm."""
        proven = len(self.stops) + len(self.closes) + len(self.young_stops)
        return proven + len(self.unproven_since.keys() - {close.key for close in self.closes})


def find_drift(
    differences: Differences,
    memory: SweepMemory,
    policy: Policy,
    *,
    now: int,
    exclusion_reason: Callable[[SlurmRun], str | None],
) -> Drift:
    """Return what is to be done.

    Args:
        differences: of this sweep.
        memory: of the ones before.
        policy: of the site.
        now: by the controller's clock, which gave all the times.
        exclusion_reason: why a run is not to be reported, None if it is.
    """
    drift = Drift()
    moved = {row.job_id for row in differences.orphans if _has_moved(row, differences)}
    for job in differences.missing:
        if job.job_id in moved:
            drift.skipped["moved"] += 1
        elif now - job.start_time < policy.grace_seconds:
            drift.skipped["young"] += 1
        else:
            _judge_missing(job, drift, differences, policy, now=now, reason=exclusion_reason(job))
    for job in differences.ended:
        _judge_ended(job, drift, differences, memory, reason=exclusion_reason(job))
    for row in differences.orphans:
        if not _count_if_in_spool(_key_of_row(row), drift, differences) and row.job_id not in moved:
            _judge_orphan(row, drift, differences, memory, policy=policy, now=now)
    return drift


def _judge_missing(
    job: SlurmRun,
    drift: Drift,
    differences: Differences,
    policy: Policy,
    *,
    now: int,
    reason: str | None,
) -> None:
    """Judge a run that goes on in Slurm and is not among those that run at cc-backend."""
    entry = differences.spool_entries.get(job.key, SpoolEntry())
    if _count_if_in_spool(job.key, drift, differences):
        return
    if reason is not None:
        drift.skipped[SpoolStatus.UNREPORTED] += 1
        return
    row = _row_of_run(job, differences.backend_rows.get(job.job_id, ()))
    if row is not None and row.state != "running":
        why = f"runs in Slurm, but cc-backend has it as {row.state} (row {row.db_id})"
        drift.reports.append(Report(key=job.key, user=job.user, why=why))
    elif row is not None or now - entry.started_at < policy.grace_seconds:
        drift.skipped["young"] += 1
    else:
        told = ", although it took the start" if entry.started_at else ""
        why = f"Slurm: {job.state}; cc-backend: no such run{told}"
        drift.starts.append(Start(job=job, why=why))


def _judge_ended(
    job: SlurmRun,
    drift: Drift,
    differences: Differences,
    memory: SweepMemory,
    *,
    reason: str | None,
) -> None:
    """Judge a run that is over by accounting."""
    rows = differences.backend_rows.get(job.job_id, ())
    if _row_of_run(job, rows) is not None or _count_if_in_spool(job.key, drift, differences):
        return
    if any(abs(row.start_time - job.start_time) < DAY_SECONDS for row in rows):
        drift.skipped["requeued"] += 1  # the server holds one run of an id a day
        return
    if reason is not None or (
        job.key in memory.starts_queued and job.key not in differences.delivered
    ):
        drift.skipped[SpoolStatus.UNREPORTED] += 1  # the drain was asked before, and told nothing
        return
    why = f"accounting: {job.state} at {job.end_time}; cc-backend: never seen"
    drift.starts.append(Start(job=job, why=why))


def _judge_orphan(
    row: BackendRow,
    drift: Drift,
    differences: Differences,
    memory: SweepMemory,
    *,
    policy: Policy,
    now: int,
) -> None:
    """Judge a run that runs at cc-backend and not in Slurm."""
    key = _key_of_row(row)
    proof = _proof_of_end(row, differences)
    if proof is None:
        _judge_unproven(row, drift, differences, memory, policy=policy, now=now)
        return
    job, source = proof
    end = job.end_time or 0
    if end - now > FUTURE_SECONDS:
        why = f"ended {end - now} s in the future by {source}: compare the clocks"
        drift.reports.append(Report(key=key, user=job.user, why=why))
    elif memory.sweep + 1 - memory.stops_queued.get(key, -SWEEPS_TO_CONFIRM) < SWEEPS_TO_CONFIRM:
        drift.skipped["confirming"] += 1
    elif now - end < policy.grace_seconds and key not in memory.young_stops:
        drift.young_stops.add(key)
        drift.skipped["young"] += 1
    else:
        again = ", although its end was told" if key in memory.stops_queued else ""
        why = f"{source}: {job.state} at {end}; cc-backend: running{again}"
        drift.stops.append(Stop(job=job, proof=source, why=why))


def _judge_unproven(
    row: BackendRow,
    drift: Drift,
    differences: Differences,
    memory: SweepMemory,
    *,
    policy: Policy,
    now: int,
) -> None:
    """Judge a run that nobody proves to be over: report it, close it if the site says so."""
    key = _key_of_row(row)
    if differences.accounting_runs is None:
        why = "not in Slurm's queue; accounting does not answer"
        drift.reports.append(Report(key=key, why=why))
        return
    first = memory.unproven_since.get(key, now)
    drift.unproven_since[key] = first
    runs = differences.accounting_runs.get(row.job_id, ())
    run_of_row = next((job for job in runs if same_start(job.start_time, row.start_time)), None)
    said = f"still has it as {run_of_row.state}" if run_of_row else "does not know it"
    why = f"not in Slurm's queue, and accounting {said}"
    if policy.close_after is not None and now - first >= policy.close_after:
        seen = differences.spool_entries.get(key, SpoolEntry()).last_seen
        end = max(seen, row.start_time + 1)
        drift.closes.append(Close(key=key, end_time=end, why=f"{why} since {first}"))
    else:
        drift.reports.append(Report(key=key, user=run_of_row.user if run_of_row else "", why=why))


def _count_if_in_spool(key: RunId, drift: Drift, differences: Differences) -> bool:
    """Tell whether the spool has a run in hand already; counts it."""
    status = differences.spool_entries.get(key, SpoolEntry()).status
    if status in {SpoolStatus.NOTHING, SpoolStatus.STARTED}:
        return False
    drift.skipped[status] += 1
    return True


def _proof_of_end(row: BackendRow, differences: Differences) -> tuple[SlurmRun, EndProof] | None:
    """Return the run of a row as it ended, under the row's start time; None: not proven."""
    runs = {job.start_time: job for job in (differences.accounting_runs or {}).get(row.job_id, ())}
    start = match_start(row.start_time, runs)
    if start is not None and is_over(runs[start]):
        return _with_start_of_row(runs[start], row), EndProof.ACCOUNTING
    record = differences.controller_runs.get(row.job_id)
    if record is not None and is_over(record) and same_start(record.start_time, row.start_time):
        return _with_start_of_row(record, row), EndProof.CONTROLLER
    return None


def is_over(job: SlurmRun) -> bool:
    """Tell whether a run has an end state and an end."""
    return job.state in END_STATES and bool(job.end_time)


def _with_start_of_row(job: SlurmRun, row: BackendRow) -> SlurmRun:
    """Return a run under the start time by which cc-backend has it."""
    return SlurmRun(
        job_id=row.job_id,
        start_time=row.start_time,
        end_time=job.end_time,
        state=job.state,
        user=job.user,
        partition=job.partition,
        account=job.account,
        nodes=job.nodes,
    )


def _has_moved(row: BackendRow, differences: Differences) -> bool:
    """Tell whether a row is the live run of its id, whose start moved when nodes powered up.

    Then the spool has the run open under the old start, and accounting has one under the new start
    and none under the old one. A stranger's row under an id that was used again is no such run.
    """
    live = differences.running_starts.get(row.job_id, 0)
    starts = [job.start_time for job in (differences.accounting_runs or {}).get(row.job_id, ())]
    live_start_known = match_start(live, starts) is not None
    start_delivered = (
        differences.spool_entries.get(_key_of_row(row), SpoolEntry()).status is SpoolStatus.STARTED
    )
    old_start_unknown = match_start(row.start_time, starts) is None
    return start_delivered and row.start_time < live and live_start_known and old_start_unknown


def _row_of_run(job: SlurmRun, rows: tuple[BackendRow, ...]) -> BackendRow | None:
    start = match_start(job.start_time, [row.start_time for row in rows])
    return next((row for row in rows if row.start_time == start), None)


def _key_of_row(row: BackendRow) -> RunId:
    return RunId(row.job_id, row.start_time)
