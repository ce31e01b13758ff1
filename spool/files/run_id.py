"""The identity of a run; apart from `run`, because `typing` takes 2 ms to load."""

from __future__ import annotations

from typing import NamedTuple


class RunId(NamedTuple):
    """The identity of a run: Slurm's job id and the start time in the spool."""

    job_id: int
    start_time: int
