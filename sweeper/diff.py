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
from spool.resolve.slurm_runs import END_STATES, match_start, same_start
from sweeper.values import Close, Job, Key, Report, Source, Start, Stop

FUTURE_SECONDS = 300  # an end further ahead is a clock gone wrong
SWEEPS_TO_CONFIRM = 2
DAY_SECONDS = 86400


class Standing(StrEnum):
    """What the spool has of a run; `known` in a plan counts by these words."""

    NOTHING = "nothing"
    QUEUED = "queued"  # an event, or a run in todo/
    TOLD = "told"  # a run in open/, started at cc-backend
    UNREPORTED = "unreported"  # left out by choice
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A run in the spool; `told` is when cc-backend took its start, `seen` its last sight."""

    standing: Standing = Standing.NOTHING
    told: int = 0
    seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the configuration says; `close_after` is seconds, None for never."""

    grace_seconds: float = 600
    close_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the sweeps before noted about single runs.

    `young` were stop candidates too young to act. `undecided` maps runs that nobody knows to when
    that was first seen. `told` maps runs whose end was queued to the number of the sweep that did,
    `asked` those over and never seen there to when they were queued. `sweep` counts sweeps.
    """

    sweep: int = 0
    young: frozenset[Key] = frozenset()
    undecided: Mapping[Key, int] = field(default_factory=lambda: MappingProxyType({}))
    told: Mapping[Key, int] = field(default_factory=lambda: MappingProxyType({}))
    asked: Mapping[Key, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Slurm, cc-backend and the spool, as far as they differ.

    `missing` run in Slurm and not at cc-backend, `ended` are over by accounting in the window since
    the last sweep and run nowhere. `orphans` run at cc-backend and not in Slurm. `there` are the
    rows in any state of the job ids of `missing` and `ended`. `records` are what the controller
    has of the orphans' job ids, `accounted` accounting's runs of them; None: it did not answer.
    `live` are start times of what runs under the orphans' ids. `delivered` are runs of which the
    spool noted that cc-backend took their end.
    """

    missing: tuple[Job, ...] = ()
    ended: tuple[Job, ...] = ()
    orphans: tuple[BackendRow, ...] = ()
    there: Mapping[int, tuple[BackendRow, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    records: Mapping[int, Job] = field(default_factory=lambda: MappingProxyType({}))
    accounted: Mapping[int, tuple[Job, ...]] | None = None
    live: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    holdings: Mapping[Key, Holding] = field(default_factory=lambda: MappingProxyType({}))
    delivered: frozenset[Key] = frozenset()


@dataclass(slots=True)
class Drift:
    """All that was found, in no order yet; `young` and `undecided` are for the next memory."""

    starts: list[Start] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    known: Counter[str] = field(default_factory=Counter)
    young: set[Key] = field(default_factory=set)
    undecided: dict[Key, int] = field(default_factory=dict)

    @property
    def candidates(self) -> int:
        """Return how many runs may be over: they run at cc-backend and not in Slurm."""
        proven = len(self.stops) + len(self.closes) + len(self.young)
        return proven + len(self.undecided.keys() - {close.key for close in self.closes})


def diff(
    facts: Facts,
    memory: Memory,
    policy: Policy,
    *,
    now: int,
    left_out: Callable[[Job], str | None],
) -> Drift:
    """Return what is to be done.

    Args:
        facts: of this sweep.
        memory: of the ones before.
        policy: of the site.
        now: by the controller's clock, which gave all the times.
        left_out: why a run is not to be reported, None if it is.
    """
    drift = Drift()
    moved = {row.job_id for row in facts.orphans if _has_moved(row, facts)}
    for job in facts.missing:
        if job.job_id in moved:
            drift.known["moved"] += 1
        elif now - job.start_time < policy.grace_seconds:
            drift.known["young"] += 1
        else:
            _missing(job, drift, facts, policy, now=now, reason=left_out(job))
    for job in facts.ended:
        _ended(job, drift, facts, memory, reason=left_out(job))
    for row in facts.orphans:
        if not _is_held(_key(row), drift, facts) and row.job_id not in moved:
            _orphan(row, drift, facts, memory, policy=policy, now=now)
    return drift


def _missing(
    job: Job, drift: Drift, facts: Facts, policy: Policy, *, now: int, reason: str | None
) -> None:
    """Judge a run that goes on in Slurm and is not among those that run at cc-backend."""
    holding = facts.holdings.get(job.key, Holding())
    if _is_held(job.key, drift, facts):
        return
    if reason is not None:
        drift.known[Standing.UNREPORTED] += 1
        return
    row = _same_run(job, facts.there.get(job.job_id, ()))
    if row is not None and row.state != "running":
        why = f"runs in Slurm, but cc-backend has it as {row.state} (row {row.db_id})"
        drift.reports.append(Report(key=job.key, user=job.user, why=why))
    elif row is not None or now - holding.told < policy.grace_seconds:
        drift.known["young"] += 1
    else:
        told = ", although it took the start" if holding.told else ""
        why = f"Slurm: {job.state}; cc-backend: no such run{told}"
        drift.starts.append(Start(job=job, why=why))


def _ended(job: Job, drift: Drift, facts: Facts, memory: Memory, *, reason: str | None) -> None:
    """Judge a run that is over by accounting."""
    rows = facts.there.get(job.job_id, ())
    if _same_run(job, rows) is not None or _is_held(job.key, drift, facts):
        return
    if any(abs(row.start_time - job.start_time) < DAY_SECONDS for row in rows):
        drift.known["requeued"] += 1  # the server holds one run of an id a day
        return
    if reason is not None or (job.key in memory.asked and job.key not in facts.delivered):
        drift.known[Standing.UNREPORTED] += 1  # the drain was asked before, and told nothing
        return
    why = f"accounting: {job.state} at {job.end_time}; cc-backend: never seen"
    drift.starts.append(Start(job=job, why=why))


def _orphan(
    row: BackendRow, drift: Drift, facts: Facts, memory: Memory, *, policy: Policy, now: int
) -> None:
    """Judge a run that runs at cc-backend and not in Slurm."""
    key = _key(row)
    proof = _proof(row, facts)
    if proof is None:
        _undecided(row, drift, facts, memory, policy=policy, now=now)
        return
    job, source = proof
    end = job.end_time or 0
    if end - now > FUTURE_SECONDS:
        why = f"ended {end - now} s in the future by {source}: compare the clocks"
        drift.reports.append(Report(key=key, user=job.user, why=why))
    elif memory.sweep + 1 - memory.told.get(key, -SWEEPS_TO_CONFIRM) < SWEEPS_TO_CONFIRM:
        drift.known["confirming"] += 1
    elif now - end < policy.grace_seconds and key not in memory.young:
        drift.young.add(key)
        drift.known["young"] += 1
    else:
        again = ", although its end was told" if key in memory.told else ""
        why = f"{source}: {job.state} at {end}; cc-backend: running{again}"
        drift.stops.append(Stop(job=job, proof=source, why=why))


def _undecided(
    row: BackendRow, drift: Drift, facts: Facts, memory: Memory, *, policy: Policy, now: int
) -> None:
    """Judge a run that nobody proves to be over: report it, close it if the site says so."""
    key = _key(row)
    if facts.accounted is None:
        why = "not in Slurm's queue; accounting does not answer"
        drift.reports.append(Report(key=key, why=why))
        return
    first = memory.undecided.get(key, now)
    drift.undecided[key] = first
    runs = facts.accounted.get(row.job_id, ())
    row_of_it = next((job for job in runs if same_start(job.start_time, row.start_time)), None)
    said = f"still has it as {row_of_it.state}" if row_of_it else "does not know it"
    why = f"not in Slurm's queue, and accounting {said}"
    if policy.close_after is not None and now - first >= policy.close_after:
        seen = facts.holdings.get(key, Holding()).seen
        end = max(seen, row.start_time + 1)
        drift.closes.append(Close(key=key, end_time=end, why=f"{why} since {first}"))
    else:
        drift.reports.append(Report(key=key, user=row_of_it.user if row_of_it else "", why=why))


def _is_held(key: Key, drift: Drift, facts: Facts) -> bool:
    """Tell whether the spool has a run in hand already; counts it."""
    standing = facts.holdings.get(key, Holding()).standing
    if standing in {Standing.NOTHING, Standing.TOLD}:
        return False
    drift.known[standing] += 1
    return True


def _proof(row: BackendRow, facts: Facts) -> tuple[Job, Source] | None:
    """Return the run of a row as it ended, under the row's start time; None: not proven."""
    runs = {job.start_time: job for job in (facts.accounted or {}).get(row.job_id, ())}
    start = match_start(row.start_time, runs)
    if start is not None and is_over(runs[start]):
        return _named(runs[start], row), Source.ACCOUNTING
    record = facts.records.get(row.job_id)
    if record is not None and is_over(record) and same_start(record.start_time, row.start_time):
        return _named(record, row), Source.CONTROLLER
    return None


def is_over(job: Job) -> bool:
    """Tell whether a run has an end state and an end."""
    return job.state in END_STATES and bool(job.end_time)


def _named(job: Job, row: BackendRow) -> Job:
    """Return a run under the start time by which cc-backend has it."""
    return Job(
        job_id=row.job_id,
        start_time=row.start_time,
        end_time=job.end_time,
        state=job.state,
        user=job.user,
        partition=job.partition,
        account=job.account,
        nodes=job.nodes,
    )


def _has_moved(row: BackendRow, facts: Facts) -> bool:
    """Tell whether a row is the live run of its id, whose start moved when nodes powered up.

    Then the spool has the run open under the old start, and accounting has one under the new start
    and none under the old one. A stranger's row under an id that was used again is no such run.
    """
    live = facts.live.get(row.job_id, 0)
    starts = [job.start_time for job in (facts.accounted or {}).get(row.job_id, ())]
    is_known = match_start(live, starts) is not None
    was_told = facts.holdings.get(_key(row), Holding()).standing is Standing.TOLD
    is_lost = match_start(row.start_time, starts) is None
    return was_told and row.start_time < live and is_known and is_lost


def _same_run(job: Job, rows: tuple[BackendRow, ...]) -> BackendRow | None:
    start = match_start(job.start_time, [row.start_time for row in rows])
    return next((row for row in rows if row.start_time == start), None)


def _key(row: BackendRow) -> Key:
    return Key(row.job_id, row.start_time)
