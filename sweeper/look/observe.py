"""Look at cc-backend, Slurm and the spool, in this order: the cost follows the drift.

A job that starts between the first two only looks missing, and its age protects it. Answers that
are not whole become guards, never short lists. Accounting is asked about candidates, and for what
ended since the last sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ccbackend.replies import BackendRow
from slurm.decode.job_rows import SqueueRow
from slurm.decode.queue_snapshot import QueueSnapshot
from spool.resolve.slurm_runs import END_STATES, same_start
from sweeper.diff import Facts, Policy
from sweeper.look.eye import Eye, Observation
from sweeper.look.holdings import holdings_of
from sweeper.look.sources import Sources
from sweeper.state import State
from sweeper.values import Job, Key


def observe(sources: Sources, state: State, policy: Policy) -> Observation:
    """Look at everything; never raises for an answer, asks nothing more after a failed one."""
    eye = Eye(sources, state.cluster)
    rows = eye.running()
    board = eye.queue_snapshot() if rows is not None else None
    if rows is None or board is None:
        return eye.closed()
    missing, orphans, live = _compare(board, rows)
    old = [job for job in missing if eye.now - job.start_time >= policy.grace_seconds]
    accounted = eye.accounted(orphans)
    ended, saw_window = eye.ended(state.mark, policy)
    ids = {job.job_id for job in ended}
    open_there = {Key(r.job_id, r.start_time) for r in rows if r.job_id in ids}
    ended = [job for job in ended if job.key not in open_there]
    there = eye.there([job.key for job in (*old, *ended)])
    unseen = eye.confirmed([job for job in ended if not _is_there(job, there)])
    wanted = [job.key for job in (*old, *unseen)] + [Key(r.job_id, r.start_time) for r in orphans]
    eye.sources.step("spool")
    facts = Facts(
        missing=tuple(missing if there is not None else ()),
        ended=tuple(unseen),
        orphans=tuple(orphans),
        there=there or {},
        records={job.job_id: job for row in orphans if (job := _record(board, row.job_id))},
        accounted=accounted,
        live=live,
        holdings=holdings_of(sources.layout, wanted),
        delivered=sources.delivered(j.key for j in unseen if j.key in state.memory.asked),
    )
    return Observation(
        facts=facts,
        answers=eye.answers(),
        now=eye.now,
        running=len(board.running),
        running_there=len(rows),
        accounts=eye.accounts,
        saw_window=saw_window and there is not None,
    )


def _compare(
    board: QueueSnapshot, rows: Iterable[BackendRow]
) -> tuple[list[Job], list[BackendRow], dict[int, int]]:
    """Return what runs only in Slurm, what runs only there, and what runs under those ids."""
    running, matched = board.running, set[int]()
    orphans: list[BackendRow] = []
    for row in rows:
        live = running.get(row.job_id)
        if live == row.start_time or (live and same_start(live, row.start_time)):
            matched.add(row.job_id)
        elif row.job_id not in board.unsettled:
            orphans.append(row)
    missing = [
        _listed(job)
        for job_id in running
        if job_id not in matched and (job := board.job(job_id)) is not None
    ]
    return missing, orphans, {r.job_id: running[r.job_id] for r in orphans if r.job_id in running}


def _listed(job: SqueueRow) -> Job:
    return Job(
        job_id=job.job_id,
        start_time=job.start_time or 0,
        end_time=job.end_time if job.state in END_STATES else None,
        state=job.state,
        user=job.user,
        partition=job.partition,
        account=job.account,
        nodes=(job.nodes,),
    )


def _record(board: QueueSnapshot, job_id: int) -> Job | None:
    found = board.job(job_id)
    return None if found is None else _listed(found)


def _is_there(job: Job, there: Mapping[int, tuple[BackendRow, ...]] | None) -> bool:
    """Tell whether a run has a row; yes where that is not known."""
    if there is None:
        return True
    return any(same_start(row.start_time, job.start_time) for row in there.get(job.job_id, ()))
