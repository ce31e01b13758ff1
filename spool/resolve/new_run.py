"""Make a run that can be reported from Slurm's record of a job.

Facts that the record lacks are taken from the event's extras, which come from slurmctld, or from an
earlier record. A run that still lacks a needed fact is refused here, with a reason, before
cc-backend would refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from slurm.decode.hook_facts import parse_hook_facts
from slurm.job import Job
from spool.files.event import Event, EventKind
from spool.files.run import End, EndSource, Run
from spool.resolve.inferred_ends import exit_code_of
from spool.resolve.resolve_job import Resolution
from spool.resolve.slurm_runs import CHANGING_STAGES, RunStage, same_start

_INSTANT = re.compile(r"[0-9]{1,12}", re.ASCII)


class IncompleteRunError(Exception):
    """A run that cannot be reported: `reason` says what is missing."""

    def __init__(self, run: Run, reason: str) -> None:
        super().__init__(reason)
        self.run = run
        self.reason = reason


class RememberedAllocations:
    """The records of configuring jobs: a later record may lack cores and GRES."""

    def __init__(self) -> None:
        self._records: dict[int, Job] = {}

    def note(self, result: Resolution, record: Job | None) -> None:
        """Keep the allocations of a configuring job; forget those that are not needed any more."""
        if record is None:
            return
        if result.stage in CHANGING_STAGES and record.allocations:
            # Slurm prints GRES only while the job is RUNNING or SUSPENDED (`_pack_job_gres`,
            # `src/slurmctld/job_mgr.c`), and a configuring job is looked at only every ten seconds
            # in the end: a short one may be over when it is next seen.
            self._records[record.job_id] = record
        elif not (result.new_runs or result.pending_events) or self._never_ran(result, record):
            self._records.pop(record.job_id, None)

    def restore(self, job: Job) -> Job:
        """Return a record with the allocations remembered from before, if it has none."""
        # `pop`: the remembered cores are for one run. The next run of a requeued job may get others
        # on the same nodes.
        seen = self._records.pop(job.job_id, None)
        # Other nodes than remembered: the job was requeued to them, and the cores do not fit.
        if seen is None or job.allocations or job.nodes not in {(), seen.nodes}:
            return job
        sharing = job.sharing or seen.sharing
        return replace(job, nodes=seen.nodes, allocations=seen.allocations, sharing=sharing)

    def _never_ran(self, result: Resolution, record: Job) -> bool:
        """Return whether a configuring job was requeued before it ran."""
        seen = self._records.get(record.job_id)
        is_waiting = result.stage is RunStage.NOT_STARTED
        return is_waiting and seen is not None and seen.restart_count == record.restart_count


def admit(job: Job, end: End | None, *, events: tuple[Event, ...], now: float) -> Run:
    """Return the run of a record, seen at `now` (Unix seconds); a uid gets its name later.

    Raises:
        IncompleteRunError: no user, no node or no start time can be found.
    """
    extras = _merged_extras(events, job.start_time)
    seen = parse_hook_facts(extras)
    # Slurm's record first: the hook's file may be written by anybody who can become SlurmUser.
    code = job.exit_code
    if end is not None and code is None:
        # Of an end that the controller shows only the epilog's event has the exit code.
        code = exit_code_of(end, job.start_time or 0, events)
    full = replace(
        job,
        exit_code=code,
        user=job.user or seen.user,
        account=job.account or seen.account,
        partition=job.partition or seen.partition,
        array_job_id=job.array_job_id or seen.array_job_id,
        # not `or`: the first task of an array has the number 0
        array_task_id=job.array_task_id if job.array_job_id else seen.array_task_id,
        nodes=job.nodes or seen.nodes,
        sharing=seen.sharing or job.sharing,  # that of accounting is deduced from CPUs
    )
    # The run counts as started, and the facts of a start are not needed. Its start would be refused
    # for ever if cc-backend does not have one of its hosts any more.
    has_row = end is not None and _has_row(job.start_time or 0, end, events)
    run = Run(
        job=full,
        start_time=job.start_time or 0,
        end=end,
        monitoring_status=0 if extras.get("monitoring_status") == "0" else None,
        not_before=report_time(events, job.start_time),
        # the sweep saw the row in a job list, so its stop needs no hold
        started=min(int(now), job.start_time or 0) if has_row else None,
        seen=int(now),
    )
    if not has_row and (missing := _missing_fields(run)):
        raise IncompleteRunError(run, missing)
    return run


def _has_row(start_time: int, end: End, events: Iterable[Event]) -> bool:
    """Return whether a sweep saw the row of this ended run as still running at cc-backend.

    It writes close events and, where the end is proven, stop events only for such rows. If the row
    has vanished since, cc-backend's answer to the stop says so, and the start is sent.
    """
    # Equal start times, not near ones: the stop must name the row by the time that it has.
    is_seen = any(
        event.kind is EventKind.STOP
        and event.extras.get("again") == "1"
        and event.start == start_time
        for event in events
    )
    return is_seen or end.source is EndSource.CLOSE


def report_time(events: Iterable[Event], start_time: int | None) -> int:
    """Return the time before which a run must not be reported, Unix seconds; 0: report at once.

    A sweep writes an event with `not_before` when it first sees a run: the facts are stored at
    once, because Slurm forgets them, and the run is reported after the grace period. Any other
    event of the run, from a hook or a later sweep, allows the report now, so the earliest time
    counts.
    """
    own = (
        event
        for event in events
        if event.start is None or start_time is None or same_start(event.start, start_time)
    )
    return min(map(_not_before, own), default=0)


def _not_before(event: Event) -> int:
    text = event.extras.get("not_before", "")
    return int(text) if _INSTANT.fullmatch(text) else 0


def _missing_fields(run: Run) -> str:
    """Return the facts that a run lacks to be reported, or ""."""
    lacks = {
        "Slurm does not show whose job it is": not run.job.user and run.job.uid is None,
        "Slurm lists no nodes of the job": not run.job.nodes,
        "Slurm shows no start time for the job": not run.start_time,
    }
    return "; ".join(what for what, is_missing in lacks.items() if is_missing)


def _merged_extras(events: Iterable[Event], start_time: int | None) -> Mapping[str, str]:
    """Return the extras of the events of one run; later events override earlier ones."""
    merged: dict[str, str] = {}
    for event in events:
        if event.start is None or same_start(event.start, start_time or 0):
            merged.update(event.extras)
    return merged
