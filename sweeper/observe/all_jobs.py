"""Observe all jobs at cc-backend, in Slurm and in the spool, in this order.

A job that starts between the first two queries only looks missing, and its age protects it. In the
other order, a job that ends in between would look like one to be stopped. Accounting is asked only
about jobs that Slurm does not show running, and for what ended since the last sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ccbackend.replies import BackendRow
from slurm.decode.fields.hostlist import readable_hosts
from slurm.decode.fields.job_states import END_STATES
from slurm.decode.job_rows import QueueSnapshot, SqueueRow
from spool.files.sweep_state import SweepState
from spool.resolve.slurm_runs import same_start
from sweeper.observe.collector import Collector, Observation
from sweeper.observe.sources import SweepSources
from sweeper.observe.spool_view import spool_entries_of
from sweeper.values import Differences, Policy, SlurmRun, key_of_row


def observe_all_jobs(sources: SweepSources, state: SweepState, policy: Policy) -> Observation:
    """Observe all jobs; a failed query is a finding; without both job lists nothing is seen."""
    collector = Collector(sources, state.cluster)
    rows = collector.running_rows()
    queue = collector.queue_snapshot() if rows is not None else None
    if rows is None or queue is None:
        return collector.empty_observation()
    missing, orphans, running_starts = _compare(queue, rows)
    grace = policy.grace_seconds
    # Young runs are not looked up at cc-backend: its job cache (>= 1.5) hides them, so that the
    # answer would prove nothing.
    old = [job for job in missing if collector.now - job.start_time >= grace]
    accounting_runs = collector.accounting_runs_of_rows(orphans)
    ended, ends_read_until = collector.ended_since(state, grace)
    ended = _without_open(ended, rows)
    rows_by_id = collector.backend_rows([job.key for job in (*old, *ended)])
    # After a failed look-up nothing counts as unseen: all that ended would be reported once more.
    unseen = collector.recheck([job for job in ended if not _is_there(job, rows_by_id)])
    wanted = [*(job.key for job in (*missing, *unseen)), *map(key_of_row, orphans)]
    # Of a burst of thousands of young runs the names are enough: nothing is decided about them.
    names_only = {job.key for job in missing} - {job.key for job in old}
    collector.sources.on_step("spool")
    differences = Differences(
        missing=tuple(missing if rows_by_id is not None else ()),
        ended=tuple(unseen),
        orphans=tuple(orphans),
        backend_rows=rows_by_id or {},
        controller_runs={job.job_id: job for row in orphans if (job := _record(queue, row.job_id))},
        accounting_runs=accounting_runs,
        running_starts=running_starts,
        spool_entries=spool_entries_of(sources.layout, wanted, names_only=names_only),
        delivered=collector.delivered_of(unseen, state),
    )
    return Observation(
        differences=differences,
        answers=collector.answer_check_input(),
        now=collector.now,
        # All of them, not only those that differ: the safety checks compare these numbers.
        running_in_slurm=len(queue.running),
        running_at_backend=len(rows),
        has_accounting=collector.has_accounting,
        ends_read_until=None if rows_by_id is None else ends_read_until,
    )


def _compare(
    queue: QueueSnapshot, rows: Iterable[BackendRow]
) -> tuple[list[SlurmRun], list[BackendRow], dict[int, int]]:
    """Return missing runs, orphans, and start times of running jobs that have an orphan's id."""
    running, matched = queue.running, set[int]()
    orphans: list[BackendRow] = []
    for row in rows:
        live = running.get(row.job_id)
        if live == row.start_time or (live and same_start(live, row.start_time)):
            matched.add(row.job_id)
        # A job whose state does not say whether it runs is left to the next sweep.
        elif row.job_id not in queue.unsettled:
            orphans.append(row)
    missing = [
        _run_of_listed(job)
        for job_id in running
        if job_id not in matched and (job := queue.job(job_id)) is not None
    ]
    return missing, orphans, {r.job_id: running[r.job_id] for r in orphans if r.job_id in running}


def _run_of_listed(job: SqueueRow) -> SlurmRun:
    return SlurmRun(
        job_id=job.job_id,
        start_time=job.start_time or 0,
        end_time=job.end_time if job.state in END_STATES else None,
        state=job.state,
        user=job.user,
        partition=job.partition,
        account=job.account,
        nodes=readable_hosts(job.nodes),  # the drain reads its own
    )


def _record(queue: QueueSnapshot, job_id: int) -> SlurmRun | None:
    found = queue.job(job_id)
    return None if found is None else _run_of_listed(found)


def _without_open(ended: list[SlurmRun], rows: Iterable[BackendRow]) -> list[SlurmRun]:
    """Return the ended runs without those that still run at cc-backend (orphans)."""
    ids = {job.job_id for job in ended}
    open_there = {key_of_row(row) for row in rows if row.job_id in ids}
    return [job for job in ended if job.key not in open_there]


def _is_there(job: SlurmRun, rows_by_id: Mapping[int, tuple[BackendRow, ...]] | None) -> bool:
    """Return whether cc-backend has a row of a run; True if that is not known."""
    if rows_by_id is None:
        return True
    return any(same_start(row.start_time, job.start_time) for row in rows_by_id.get(job.job_id, ()))
