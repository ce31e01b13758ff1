"""Conclude from a Slurm record whether a run is pending, live, ended, or does not exist. Pure.

Sources: state words `src/common/slurm_protocol_defs.c` (`job_state_string`), meaning of flags and
times `src/slurmctld/job_mgr.c` (`pack_job`), Slurm 21.08 ... 26.05.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum, auto

from slurm.decode.fields.job_states import END_STATES, LIVE_STATES
from slurm.job import NO_ERROR, REQUEUED, SCRONTAB_FLAG, Job

SAME_START_SECONDS = 5  # a start moves by a second or two between controller and accounting
_CONFIGURING_FLAGS = frozenset({"CONFIGURING", "POWER_UP_NODE"})


class RunStage(Enum):
    """The stage of a run that a record shows."""

    NOT_STARTED = auto()  # pending, or never ran: the record has no run
    CONFIGURING = auto()  # has nodes, its start time may still move
    UNSETTLED = auto()  # a flag hides the state, or the end is not there yet: ask again soon
    LIVE = auto()
    ENDED = auto()
    OTHER_CLUSTER = auto()  # a federation sibling runs elsewhere


CHANGING_STAGES = frozenset({RunStage.CONFIGURING, RunStage.UNSETTLED})
"""Stages that change soon: the record will show more."""


def run_stage(job: Job) -> RunStage:
    """Return the stage of the run in a record; the times in `Job` are never Slurm's estimates."""
    # First, because the record of a sibling has the state and the times of the run elsewhere.
    if job.state == "REVOKED" or "REVOKED" in job.flags:
        return RunStage.OTHER_CLUSTER
    if job.state == "PENDING":
        return RunStage.NOT_STARTED
    # Before the live states: such a job is RUNNING already, but its nodes boot, and Slurm sets a
    # new start time when they are ready.
    if _CONFIGURING_FLAGS.intersection(job.flags):
        return RunStage.CONFIGURING
    if job.state in LIVE_STATES:
        # During a resize the nodes still change; a start request cannot be corrected afterwards.
        is_complete = job.start_time and job.nodes and "RESIZING" not in job.flags
        return RunStage.LIVE if is_complete else RunStage.UNSETTLED
    # A flag hides the base state in text, for example COMPLETING alone. Soon it is visible.
    if job.state is None:
        return RunStage.UNSETTLED
    return _stage_of_end_state(job)


def _stage_of_end_state(job: Job) -> RunStage:
    """Return the stage of a record in an end state (an unknown word counts as one)."""
    if not job.start_time:
        return RunStage.NOT_STARTED
    if not job.end_time:
        return RunStage.UNSETTLED
    if not job.nodes:
        # A job cancelled while pending has start = end. Of a COMPLETING job Slurm lists only the
        # nodes that are still being cleaned up (`pack_job`), at last none.
        never_ran = job.end_time <= job.start_time and "COMPLETING" not in job.flags
        return RunStage.NOT_STARTED if never_ran else RunStage.ENDED
    return RunStage.ENDED


def same_start(one: int, other: int) -> bool:
    """Return whether two start times of one job id mean the same run."""
    return abs(one - other) <= SAME_START_SECONDS


def match_start(start: int, candidates: Iterable[int]) -> int | None:
    """Return the candidate that equals a start time, else the only one near it, else None."""
    near = [other for other in candidates if same_start(start, other)]
    if start in near:
        return start
    # Two near candidates: a guess could stop the run that still goes on, so there is no answer.
    return near[0] if len(near) == 1 else None


def runs_of_accounting(
    rows: Iterable[Job], job_id: int, *, starts: Iterable[int] = ()
) -> tuple[Job, ...]:
    """Return the runs of one job id, oldest first, from accounting rows (`sacct -D`).

    `starts` are start times from other sources: a row that lost its own (slurmctld was stopped
    before it sent the start to slurmdbd; seen with 22.05.8, a requeue) gets the only one of them
    between its submission and its end.

    A resize ends one row with state RESIZING and opens another: both belong to one run, which keeps
    the first start (`src/plugins/accounting_storage`, Slurm 21.08 ... 26.05). Rows that never ran
    are omitted.
    """
    own = [row for row in rows if row.job_id == job_id]
    starts = frozenset(starts)
    # Each row claims one start: another run may have begun within seconds of it.
    claimed = {match_start(row.start_time, starts) for row in own if row.start_time}
    lost = starts - claimed
    started = [each for row in own if (each := _with_start(row, lost)).start_time]
    runs: list[Job] = []
    resizing: Job | None = None
    # A row without an end is the last part of a run, so it comes after those of the same start.
    for row in sorted(started, key=lambda row: (row.start_time or 0, row.end_time or 1 << 62)):
        joined = row if resizing is None else _joined(resizing, row)
        resizing = joined if row.state == "RESIZING" else None
        if row.state != "RESIZING" and run_stage(joined) in {RunStage.LIVE, RunStage.ENDED}:
            runs.append(joined)
    return tuple(runs)


def _joined(first: Job, row: Job) -> Job:
    """Return a row with start and resources of the resized run that it continues, else unchanged.

    Such a row begins where the first part ended, or has the start of the run (21.08 ... 23.02).
    """
    start = row.start_time or 0
    if start != first.start_time and not same_start(first.end_time or 0, start):
        return row
    joined = replace(row, start_time=first.start_time, submit_time=first.submit_time)
    if not first.nodes:
        return joined
    # The first resources, all of them: cc-backend cannot change those of a row.
    return replace(
        joined, nodes=first.nodes, cpus=first.cpus, gpus=first.gpus, sharing=first.sharing
    )


def end_of_requeued(
    row: Job, record: Job | None, *, restarts: int | None, epilog_restarts: int | None
) -> Job:
    """Return accounting's row; a run that ended by itself gets its own end state for REQUEUED.

    A job of scrontab, and one whose exit code is in `RequeueExit`, is requeued *after* its run has
    ended: accounting then says REQUEUED, as for an interrupted run, and has the exit code (recorded
    with 24.11.5). The epilog distinguishes them: the restart count is raised before it if the run
    was interrupted, and after it if the run ended by itself. Without its event: the exit code of
    an interrupted run is 0:0, even if its script ended with another one (22.05.8, 24.11.5), or not
    known (`slurm.lookup.accounting`).

    `record` is the controller's record of the job now, `restarts` the restart count as known from
    the run's start, `epilog_restarts` the one in the event of its epilog.
    """
    if row.state != REQUEUED or row.exit_code is None:
        return row
    # Only both counts prove it. Without them the flag of scrontab decides: such a job is requeued
    # after each of its runs.
    if restarts is not None and epilog_restarts is not None:
        has_ended = epilog_restarts == restarts
    else:
        is_scrontab = record is not None and SCRONTAB_FLAG in record.flags
        has_ended = is_scrontab or row.exit_code != NO_ERROR
    if not has_ended:
        return row
    return replace(row, state="COMPLETED" if row.exit_code == NO_ERROR else "FAILED")


def own_ends(runs: Iterable[Job], record: Job | None) -> tuple[Job, ...]:
    """Return accounting's runs with their own end states (`end_of_requeued` without events)."""
    return tuple(end_of_requeued(run, record, restarts=None, epilog_restarts=None) for run in runs)


def _with_start(row: Job, starts: Iterable[int]) -> Job:
    """Return an ended row without a start time with the only one of `starts` that fits, if any."""
    end, submitted = row.end_time, row.submit_time
    if row.start_time or not end or submitted is None or row.state not in END_STATES:
        return row
    # More than one fitting start: a wrong one would give the end of one run to another.
    fitting = {start for start in starts if submitted <= start < end}
    return replace(row, start_time=fitting.pop()) if len(fitting) == 1 else row
