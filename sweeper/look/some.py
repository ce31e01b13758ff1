"""Look at single jobs by their ids, and load nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ccbackend.replies import BackendRow
from slurm.errors import SlurmError
from slurm.job import Job as Record
from spool.resolve.slurm_runs import RunStage, run_stage, same_start
from sweeper.diff import Facts, is_over
from sweeper.look.eye import Eye, Observation, job_of
from sweeper.look.failures import backend_failure, slurm_failure
from sweeper.look.holdings import holdings_of, knows
from sweeper.look.sources import Sources
from sweeper.state import State
from sweeper.values import Job, Key

DAY_SECONDS = 86400
HISTORY_DAYS = 7


class UnknownJobsError(Exception):
    """Neither Slurm, accounting, the spool nor cc-backend knows a job id."""


def observe_some(sources: Sources, state: State, ids: Sequence[int]) -> Observation:
    """Look at some jobs: at their rows in any state, their records, and their last week.

    Raises:
        UnknownJobsError: nobody knows one of them.
    """
    eye = Eye(sources, state.cluster)
    rows = _rows(eye, ids)
    records = _records(eye, ids) if rows is not None else None
    if rows is None or records is None:
        return eye.closed()
    open_there = [row for found in rows.values() for row in found if row.state == "running"]
    open_keys = [Key(row.job_id, row.start_time) for row in open_there]
    since = min([eye.now - HISTORY_DAYS * DAY_SECONDS, *(key.start_time for key in open_keys)])
    accounted = eye.history(ids, since=since, starts=open_keys)
    _check_known(sources, ids, (rows, records, accounted or {}))
    live = {i: job_of(r) for i, r in records.items() if run_stage(r) is RunStage.LIVE}
    there = {job_id: tuple(found) for job_id, found in rows.items()}
    orphans = [row for row in open_there if not _is_live(row, live)]
    known = {job.key for job in live.values()}
    missing = [job for job in live.values() if not _is_open(job, open_there)]
    over = _over(records, accounted or {})
    ended = [job for job in over if job.key not in known and not _is_open(job, open_there)]
    keys = [job.key for job in (*missing, *ended)]
    keys += [Key(row.job_id, row.start_time) for row in orphans]
    facts = Facts(
        missing=tuple(missing),
        ended=tuple(ended),
        orphans=tuple(orphans),
        there=there,
        records={job_id: job_of(record) for job_id, record in records.items()},
        accounted=accounted,
        live={job_id: job.start_time for job_id, job in live.items()},
        holdings=holdings_of(sources.layout, keys),
        delivered=sources.delivered(j.key for j in ended if j.key in state.memory.asked),
    )
    return replace(eye.closed(), facts=facts, running=len(live), running_there=len(open_there))


def _rows(eye: Eye, ids: Iterable[int]) -> dict[int, list[BackendRow]] | None:
    rows: defaultdict[int, list[BackendRow]] = defaultdict(list)
    eye.sources.step("cc-backend")
    for cluster in eye.sources.clusters:
        for job_id in ids:
            listing = eye.sources.backend.lookup(job_id, cluster)
            if listing.rows is None:
                eye.fail(backend_failure(listing.reply))
                return None
            rows[job_id] += listing.rows
    return rows


def _records(eye: Eye, ids: Iterable[int]) -> dict[int, Record] | None:
    if not eye.introduce():
        return None
    try:
        found = eye.sources.slurm.jobs(ids)
    except SlurmError as error:
        eye.fail(slurm_failure("slurm", error))
        return None
    for record in found.values():
        if isinstance(record, SlurmError):
            eye.fail(slurm_failure("slurm", record))
    return {i: record for i, record in found.items() if not isinstance(record, SlurmError)}


def _check_known(
    sources: Sources, ids: Iterable[int], answers: tuple[Mapping[int, object], ...]
) -> None:
    for job_id in ids:
        seen = any(answer.get(job_id) for answer in answers)
        if not seen and not knows(sources.layout, job_id):
            raise UnknownJobsError(
                f"job {job_id} is unknown: to Slurm's controller, to accounting (last"
                f" {HISTORY_DAYS} days), to the spool and to cc-backend"
            )


def _over(records: Mapping[int, Record], accounted: Mapping[int, tuple[Job, ...]]) -> list[Job]:
    """Return the runs that are over, by accounting or where that is late by the controller."""
    runs = {job.key: job for each in accounted.values() for job in each if is_over(job)}
    for record in records.values():
        job = job_of(record)
        near = any(same_start(job.start_time, k.start_time) for k in runs if k.job_id == job.job_id)
        if run_stage(record) is RunStage.ENDED and not near:
            runs[job.key] = job
    return list(runs.values())


def _is_live(row: BackendRow, live: Mapping[int, Job]) -> bool:
    job = live.get(row.job_id)
    return job is not None and same_start(job.start_time, row.start_time)


def _is_open(job: Job, rows: Iterable[BackendRow]) -> bool:
    return any(r.job_id == job.job_id and same_start(r.start_time, job.start_time) for r in rows)
