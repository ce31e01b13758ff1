"""A swept site without differences, ended runs in it, and an answer that fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep_world import SweptWorld

from slurm.errors import FailureReason, SlurmError
from spool.files.run_id import RunId

GONE = SlurmError("away", reason=FailureReason.UNREACHABLE)


def world_in_order(root: Path) -> SweptWorld:
    """Return a site without differences: one job runs in Slurm and at cc-backend."""
    made = SweptWorld(root)
    job = made.world.job(1, start_time=int(made.world.now) - 7000)
    made.slurm.records[1] = job
    made.slurm.rows.append(job)
    made.world.backend.rows[1, job.start_time or 0] = "running"
    return made


def over(world: SweptWorld, job_id: int, ago: int = 1500, **facts: Any) -> RunId:
    """Add a run to accounting that ended so many seconds ago; return its id."""
    job = world.world.job(job_id, start_time=int(world.world.now) - 7000)
    end = int(world.world.now) - ago
    world.slurm.rows.append(replace(job, **{"state": "COMPLETED", "end_time": end, **facts}))
    return RunId(job_id, job.start_time or 0)
