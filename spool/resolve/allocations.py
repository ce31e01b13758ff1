"""The cores and GRES of jobs that were configuring when Slurm last showed them."""

from __future__ import annotations

from dataclasses import replace

from slurm.job import Job
from spool.resolve.resolve_job import Resolution
from spool.resolve.slurm_runs import RunStage


class RememberedAllocations:
    """The records of configuring jobs: a later record may lack cores and GRES."""

    def __init__(self) -> None:
        self._records: dict[int, Job] = {}

    def note(self, result: Resolution, record: Job | None) -> None:
        """Keep the allocations of a configuring job; forget those that are not needed any more."""
        if record is None:
            return
        if result.stage in {RunStage.CONFIGURING, RunStage.UNSETTLED} and record.allocations:
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
