"""The identity of a run; not in module `run`, which must not load `typing` (2 ms)."""

from __future__ import annotations

from typing import NamedTuple


class RunId(NamedTuple):
    """The identity of a run: Slurm's job id and the start time in the spool."""

    job_id: int
    start_time: int
