"""A real Slurm cluster on one machine, for tests: `with Lab() as lab: lab.jobs.sbatch()`.

Everything runs in namespaces and below one temporary directory, so that several labs can run at
the same time and nothing is left behind, even if the test process is killed.
"""

from __future__ import annotations

from slurm_lab.files import Settings
from slurm_lab.lab import Lab
from slurm_lab.requirements import require_slurm
from slurm_lab.trees import RELEASES, require_tree
from slurm_lab.wait import LabError, wait_until

__all__ = [
    "RELEASES",
    "Lab",
    "LabError",
    "Settings",
    "require_slurm",
    "require_tree",
    "wait_until",
]
