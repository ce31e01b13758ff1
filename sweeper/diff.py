"""Decide what is to be done about each run that differs. Pure: values and the time in.

Absence proves nothing: a run is stopped because Slurm says that it ended, with the same job id and
start time, never because a source does not show it. What the spool has already, what is too young
to be visible and what is excluded is counted and left alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from ccbackend.replies import BackendRow
from slurm.decode.fields.job_states import END_STATES
from slurm.light_dataclass import light_dataclass
from spool.files.run_id import RunId
from spool.files.sweep_state import SweepMemory
from spool.formatting import format_duration
from spool.resolve.slurm_runs import match_start, same_start
from sweeper.values import (
    Close,
    Differences,
    Drift,
    EndProof,
    Policy,
    Report,
    SlurmRun,
    SpoolStatus,
    Start,
    Stop,
    key_of_row,
)

# A stop that was sent cannot be corrected, so that a wrong clock must not decide its time. After an
# accepted stop the row may be listed as running for a while: the next sweep leaves it alone, the
# one after that stops it again.
FUTURE_SECONDS = 300  # an end further ahead means that a clock is wrong
SWEEPS_TO_CONFIRM = 2
DAY_SECONDS = 86400


@light_dataclass
class _Judge:
    """The inputs of each decision; `drift` collects the results, `now` is the controller's."""

    differences: Differences
    memory: SweepMemory
    policy: Policy
    now: int
    drift: Drift

    def is_young(self, time: int) -> bool:
        """Return whether a time is less than the grace period ago."""
        return self.now - time < self.policy.grace_seconds


def find_drift(
    differences: Differences,
    memory: SweepMemory,
    policy: Policy,
    *,
    now: int,
    exclusion_reason: Callable[[SlurmRun], str | None],
) -> Drift:
    """Return what is to be done about each run that differs.

    `now` is by the controller's clock, which gave all the times. `exclusion_reason` says why a run
    is not to be reported, None if it is.
    """
    drift = Drift()
    judge = _Judge(differences=differences, memory=memory, policy=policy, now=now, drift=drift)
    # A run whose start moved looks like two: one missing, one orphan. Neither may be judged alone:
    # the one would be reported twice, the other stopped while it runs.
    moved = {row.job_id for row in differences.orphans if _has_moved(row, differences)}
    for job in differences.missing:
        if job.job_id in moved:
            drift.skipped["moved"] += 1
        else:
            _judge_missing(judge, job, is_excluded=exclusion_reason(job) is not None)
    for job in differences.ended:
        _judge_ended(judge, job, is_excluded=exclusion_reason(job) is not None)
    # Last, and only the rows whose job has not moved: a stop is the one change that cannot be
    # undone.
    for row in differences.orphans:
        if not _count_if_in_spool(judge, key_of_row(row)) and row.job_id not in moved:
            _judge_orphan(judge, row)
    return drift


def _judge_missing(judge: _Judge, job: SlurmRun, *, is_excluded: bool) -> None:
    """Judge a run that is running in Slurm and not at cc-backend."""
    drift, entry = judge.drift, judge.differences.spool_entry(job.key)
    if _count_if_in_spool(judge, job.key):
        return
    if is_excluded:
        drift.skipped[SpoolStatus.UNREPORTED] += 1
        return
    row = _row_of_run(job, judge.differences.backend_rows.get(job.job_id, ()))
    # The walltime reaper of cc-backend (`stop-jobs-exceeding-walltime`) does not learn that a limit
    # was prolonged.
    if row is not None and row.state != "running":
        # The server ends runs that exceed their walltime. To revive the row, it would have to be
        # deleted first, and a sweep never deletes anything.
        why = f"running in Slurm, but {row.state} at cc-backend (row {row.db_id})"
        drift.reports.append(Report(key=job.key, user=job.user, why=why))
    elif row is None and entry.status is not SpoolStatus.STARTED and judge.is_young(job.start_time):
        _capture(judge, job, since=job.start_time)
    elif row is not None or judge.is_young(max(job.start_time, entry.started_at)):
        # Accepted jobs become visible in listings only minutes later (a cache in cc-backend 1.5).
        drift.skipped["young"] += 1
    else:
        accepted = ", although it accepted the start" if entry.started_at else ""
        why = f"{job.state} in Slurm, missing at cc-backend{accepted}"
        drift.starts.append(Start(job=job, why=why))


def _capture(judge: _Judge, job: SlurmRun, *, since: int) -> None:
    """Plan to store the facts of a too young run now, and to report it after the grace period.

    The hook's event may still be on its way, so the run is not reported yet. But slurmctld forgets
    an ended job after MinJobAge (300 s by default), sooner than the grace ends: cores, GPUs, script
    and sharing would be lost if they were asked for then.
    """
    not_before = since + math.ceil(judge.policy.grace_seconds)
    why = f"{job.state} in Slurm, missing at cc-backend, younger than sweep.grace_seconds"
    judge.drift.skipped["young"] += 1
    judge.drift.first_sightings.append(Start(job=job, why=why, not_before=not_before))


def _judge_ended(judge: _Judge, job: SlurmRun, *, is_excluded: bool) -> None:
    """Judge a run that has ended according to accounting."""
    drift, differences, key = judge.drift, judge.differences, job.key
    rows = differences.backend_rows.get(job.job_id, ())
    # A row in any state: the run was reported. One that is still running there is judged as an
    # orphan.
    if _row_of_run(job, rows) is not None or _count_if_in_spool(judge, key):
        return
    # The difference is signed: behind a later run of the id the server refuses any earlier one.
    if any(job.start_time - row.start_time < DAY_SECONDS for row in rows):
        drift.skipped["requeued"] += 1
        return
    # A delivered run that is missing again was lost by the server: it is queued again.
    was_queued = key in judge.memory.starts_queued and key not in differences.delivered
    if is_excluded or was_queued:
        # The drain got an event of this run before and reported nothing: it excluded the run, by
        # a fact that accounting does not show. Asking again at every sweep would change nothing.
        drift.skipped[SpoolStatus.UNREPORTED] += 1
    elif not judge.is_young(job.end_time or 0):
        why = f"{job.state} according to accounting, missing at cc-backend"
        drift.starts.append(Start(job=job, why=why))
    elif differences.spool_entry(key).status is SpoolStatus.STARTED:
        drift.skipped["young"] += 1  # the drain knows it and is about to report its end
    else:
        _capture(judge, job, since=job.end_time or 0)


def _judge_orphan(judge: _Judge, row: BackendRow) -> None:
    """Judge a run that is running at cc-backend and not in Slurm."""
    key, memory, drift = key_of_row(row), judge.memory, judge.drift
    proof = _proof_of_end(row, judge.differences)
    if proof is None:
        _judge_unproven(judge, row)
        return
    job, source = proof
    end = job.end_time or 0
    sweeps_since = memory.sweep + 1 - memory.stops_queued.get(key, -SWEEPS_TO_CONFIRM)
    if end - judge.now > FUTURE_SECONDS:
        ahead = format_duration(end - judge.now)
        clocks = "check the clocks of this host, slurmctld and slurmdbd"
        why = f"its end is {ahead} in the future according to {source}: {clocks}"
        drift.reports.append(Report(key=key, user=job.user, why=why))
    # Its stop was queued by the last sweep and may not be visible yet: another one would only be
    # refused.
    elif sweeps_since < SWEEPS_TO_CONFIRM:
        drift.skipped["confirming"] += 1
    elif judge.is_young(end) and key not in memory.young_stops:
        # The drain has its own time for this stop. If a second sweep still finds the row running,
        # the drain has missed the end, however young it is.
        drift.young_stops.add(key)
        drift.skipped["young"] += 1
    else:
        again = (
            ", although a sweep has already reported its end" if key in memory.stops_queued else ""
        )
        why = f"{job.state} according to {source}, still running at cc-backend{again}"
        drift.stops.append(Stop(job=job, proof=source, why=why))


def _judge_unproven(judge: _Judge, row: BackendRow) -> None:
    """Judge a run whose end is not proven: report it, or close it if the site has chosen so."""
    key, drift, differences = key_of_row(row), judge.drift, judge.differences
    if differences.accounting_runs is None:
        why = "not in Slurm's queue, and accounting does not answer: check slurmdbd"
        drift.reports.append(Report(key=key, why=why))
        return
    # Kept across sweeps: the wait for `sweep.close_unknown_after` must not begin anew each time.
    first = judge.memory.unproven_since.get(key, judge.now)
    drift.unproven_since[key] = first
    runs = differences.accounting_runs.get(row.job_id, ())
    run_of_row = next((job for job in runs if same_start(job.start_time, row.start_time)), None)
    shown = (
        f"accounting still shows it as {run_of_row.state}"
        if run_of_row
        else "accounting does not have it"
    )
    why = f"not in Slurm's queue, and {shown}"
    after = judge.policy.close_after
    if after is not None and judge.now - first >= after:
        # The true end is unknown: the last moment the run was seen is the least wrong one.
        # At least a second after the start: up to 1.4.2 cc-backend refuses an end that equals it.
        end = max(differences.spool_entry(key).last_seen, row.start_time + 1)
        why = f"{why} for longer than sweep.close_unknown_after"
        drift.closes.append(Close(key=key, end_time=end, why=why))
    else:
        drift.reports.append(Report(key=key, user=run_of_row.user if run_of_row else "", why=why))


def _count_if_in_spool(judge: _Judge, key: RunId) -> bool:
    """Return whether a sweep skips a run because of its state in the spool; count it then.

    A run that waits only for the end of the grace period is not skipped: only `-j` sees it as
    captured, and then it is to be reported now.
    """
    status = judge.differences.spool_entry(key).status
    if status in {SpoolStatus.NOTHING, SpoolStatus.STARTED, SpoolStatus.CAPTURED}:
        return False
    judge.drift.skipped[status] += 1
    return True


def _proof_of_end(row: BackendRow, differences: Differences) -> tuple[SlurmRun, EndProof] | None:
    """Return the ended run of a row, with the row's start time, and its proof; None: unproven."""
    runs = {job.start_time: job for job in (differences.accounting_runs or {}).get(row.job_id, ())}
    # Accounting first: the controller's record may be that of the next run of a requeued job, and
    # only accounting's word passes the safety check of many stops.
    # Near starts count as one run only if there is no second candidate.
    start = match_start(row.start_time, runs)
    if start is not None and is_over(runs[start]):
        return replace(runs[start], start_time=row.start_time), EndProof.ACCOUNTING
    record = differences.controller_runs.get(row.job_id)
    if record is not None and is_over(record) and same_start(record.start_time, row.start_time):
        return replace(record, start_time=row.start_time), EndProof.CONTROLLER
    return None


def is_over(job: SlurmRun) -> bool:
    """Return whether a run has an end state and an end."""
    return job.state in END_STATES and bool(job.end_time)


def _has_moved(row: BackendRow, differences: Differences) -> bool:
    """Return whether a row is the live run of its id, whose start moved when nodes powered up.

    Then the spool has the run open under the old start, and accounting has one under the new start
    and none under the old one. A row of another job under an id that was used again is no such run.
    """
    live = differences.running_starts.get(row.job_id, 0)
    starts = [job.start_time for job in (differences.accounting_runs or {}).get(row.job_id, ())]
    live_start_known = match_start(live, starts) is not None
    start_delivered = differences.spool_entry(key_of_row(row)).status is SpoolStatus.STARTED
    old_start_unknown = match_start(row.start_time, starts) is None
    return start_delivered and row.start_time < live and live_start_known and old_start_unknown


def _row_of_run(job: SlurmRun, rows: tuple[BackendRow, ...]) -> BackendRow | None:
    start = match_start(job.start_time, [row.start_time for row in rows])
    return next((row for row in rows if row.start_time == start), None)
