"""Convert Slurm's records to the runs of a sweep. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from slurm.job import Job
from spool.files.run_id import RunId
from spool.resolve.slurm_runs import own_ends, runs_of_accounting
from sweeper.values import SlurmRun


def runs_by_job_id(
    rows: Iterable[Job],
    starts: Iterable[RunId] = (),
    records: Mapping[int, Job] = MappingProxyType({}),
) -> dict[int, tuple[SlurmRun, ...]]:
    """Return the runs in accounting's rows by job id, oldest first.

    `records` are the controller's records of jobs with a requeued run: a run of scrontab has ended
    by itself and gets its own end state.
    """
    by_id: defaultdict[int, list[Job]] = defaultdict(list)
    for row in rows:
        by_id[row.job_id].append(row)
    known: defaultdict[int, list[int]] = defaultdict(list)
    for job_id, start in starts:
        known[job_id].append(start)
    found: dict[int, tuple[SlurmRun, ...]] = {}
    for job_id, own in by_id.items():
        runs = runs_of_accounting(own, job_id, starts=known[job_id])
        ends = own_ends(runs, records.get(job_id))
        found[job_id] = tuple(map(run_of_record, ends))
    return found


def run_of_record(record: Job) -> SlurmRun:
    """Return the run of a record; its start time is 0 if it has not started."""
    return SlurmRun(
        job_id=record.job_id,
        start_time=record.start_time or 0,
        end_time=record.end_time,
        state=record.state or "",
        user=record.user or "",
        partition=record.partition or "",
        account=record.account or "",
        nodes=record.nodes,
        qos=record.qos,
        admin_comment=record.admin_comment,
        comment=record.comment,
    )
