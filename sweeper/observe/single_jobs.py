"""Observe single jobs by their ids, without any list of all jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ccbackend.replies import BackendRow
from slurm.errors import SlurmError
from slurm.job import Job
from spool.errors import UsageError
from spool.files.run_id import RunId
from spool.files.sweep_state import SweepState
from spool.resolve.slurm_runs import RunStage, run_stage, same_start
from sweeper.diff import DAY_SECONDS, is_over
from sweeper.observe.accounting_runs import run_of_record
from sweeper.observe.collector import Collector, Observation
from sweeper.observe.sources import SweepSources, backend_failure, slurm_failure
from sweeper.observe.spool_view import captured_runs, spool_entries_of, spool_has_job
from sweeper.values import (
    Differences,
    SlurmRun,
    SpoolEntry,
    SpoolStatus,
    key_of_row,
)

HISTORY_DAYS = 7


def observe_single_jobs(
    sources: SweepSources, state: SweepState, ids: Sequence[int]
) -> Observation:
    """Observe some jobs: rows at cc-backend, records, and at least a week of accounting.

    Raises:
        UsageError: one of them is unknown to all sides.
    """
    collector = Collector(sources, state.cluster)
    rows = _rows(collector, ids)
    records = _records(collector, ids) if rows is not None else None
    # Half of the answers prove nothing: a missing row or record may only not have been shown.
    if rows is None or records is None:
        return replace(collector.empty_observation(), only_single_jobs=True)
    open_there = [row for found in rows.values() for row in found if row.state == "running"]
    open_keys = [key_of_row(row) for row in open_there]
    # an open row may be of a run that began before the history that is looked at
    since = min(
        [collector.now - HISTORY_DAYS * DAY_SECONDS, *(key.start_time for key in open_keys)]
    )
    accounting_runs = collector.accounting_runs(ids, since=since, starts=open_keys)
    _check_known(sources, ids, (rows, records, accounting_runs or {}))
    live = {i: run_of_record(r) for i, r in records.items() if run_stage(r) is RunStage.LIVE}
    over = _over(records, accounting_runs or {})
    missing, ended, orphans = _compare(live, over, open_there)
    keys = [*(job.key for job in (*missing, *ended)), *map(key_of_row, orphans)]
    differences = Differences(
        missing=tuple(missing),
        ended=tuple(ended),
        orphans=tuple(orphans),
        backend_rows={job_id: tuple(found) for job_id, found in rows.items()},
        controller_runs={job_id: run_of_record(record) for job_id, record in records.items()},
        accounting_runs=accounting_runs,
        running_starts={job_id: job.start_time for job_id, job in live.items()},
        spool_entries=_spool_entries(collector, keys),
        delivered=collector.delivered_of(ended, state),
    )
    return replace(
        collector.empty_observation(),
        differences=differences,
        running_in_slurm=len(live),
        running_at_backend=len(open_there),
        only_single_jobs=True,
    )


def _spool_entries(collector: Collector, keys: Sequence[RunId]) -> dict[RunId, SpoolEntry]:
    """Return the spool's entries; a run that waits only for the grace period is `CAPTURED`."""
    layout = collector.sources.layout
    found = spool_entries_of(layout, keys)
    queued = [key for key, entry in found.items() if entry.status is SpoolStatus.QUEUED]
    captured = captured_runs(layout, queued, now=collector.sources.clock())
    return found | {key: SpoolEntry(status=SpoolStatus.CAPTURED) for key in captured}


def _rows(collector: Collector, ids: Iterable[int]) -> dict[int, list[BackendRow]] | None:
    rows: defaultdict[int, list[BackendRow]] = defaultdict(list)
    collector.sources.on_step("cc-backend")
    for cluster in collector.sources.clusters:
        for job_id in ids:
            listing = collector.sources.backend.lookup(job_id, cluster)
            if listing.rows is None:
                collector.record_failure(backend_failure(listing.reply))
                return None
            rows[job_id] += listing.rows
    return rows


def _records(collector: Collector, ids: Iterable[int]) -> dict[int, Job] | None:
    if not collector.identify_controller():
        return None
    try:
        found = collector.sources.slurm.jobs(ids)
    except SlurmError as error:
        collector.record_failure(slurm_failure("slurm", error))
        return None
    for record in found.values():
        if isinstance(record, SlurmError):
            collector.record_failure(slurm_failure("slurm", record))
    return {i: record for i, record in found.items() if not isinstance(record, SlurmError)}


def _check_known(
    sources: SweepSources, ids: Iterable[int], answers: tuple[Mapping[int, object], ...]
) -> None:
    for job_id in ids:
        seen = any(answer.get(job_id) for answer in answers)
        if not seen and not spool_has_job(sources.layout, job_id):
            raise UsageError(
                f"job {job_id} is unknown to slurmctld, to accounting (last {HISTORY_DAYS} days),"
                " to the spool and to cc-backend"
            )


def _over(
    records: Mapping[int, Job], accounting_runs: Mapping[int, tuple[SlurmRun, ...]]
) -> list[SlurmRun]:
    """Return the ended runs of accounting, and those that only the controller shows yet."""
    runs = {job.key: job for each in accounting_runs.values() for job in each if is_over(job)}
    for record in records.values():
        job = run_of_record(record)
        near = any(same_start(job.start_time, k.start_time) for k in runs if k.job_id == job.job_id)
        if run_stage(record) is RunStage.ENDED and not near:
            runs[job.key] = job
    return list(runs.values())


def _compare(
    live: Mapping[int, SlurmRun], over: Iterable[SlurmRun], open_there: Sequence[BackendRow]
) -> tuple[list[SlurmRun], list[SlurmRun], list[BackendRow]]:
    """Return missing runs, ended runs that are not running at cc-backend, and orphans."""
    known = {job.key for job in live.values()}
    return (
        [job for job in live.values() if not _is_open(job, open_there)],
        [job for job in over if job.key not in known and not _is_open(job, open_there)],
        [row for row in open_there if not _is_live(row, live)],
    )


def _is_live(row: BackendRow, live: Mapping[int, SlurmRun]) -> bool:
    job = live.get(row.job_id)
    return job is not None and same_start(job.start_time, row.start_time)


def _is_open(job: SlurmRun, rows: Iterable[BackendRow]) -> bool:
    return any(r.job_id == job.job_id and same_start(r.start_time, job.start_time) for r in rows)
