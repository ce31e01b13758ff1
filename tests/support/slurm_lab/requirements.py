"""Check whether this machine can run a cluster; otherwise skip the test with the reason."""

from __future__ import annotations

import os
import shutil

import pytest

DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "squeue", "sacct", "sacctmgr", "scontrol", "srun", "ip", "nsenter", "unshare")
PREFIX = os.environ.get("SLURM_LAB_PREFIX", "")
"""Directory of a self-built Slurm, with `bin` and `sbin`; empty: the installed Slurm."""
PATH = f"{PREFIX}/sbin:{PREFIX}/bin:" if PREFIX else ""
PATH += "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONF = "/etc/slurm/slurm.conf"
"""Path of the lab's slurm.conf inside; a self-built Slurm has another default path."""


def what_is_missing() -> str:
    """Return what this machine lacks to run the lab, or an empty text."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [name for name in (*DAEMONS, *CLIENTS) if shutil.which(name, path=PATH) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def require_slurm() -> None:
    """Skip the test if no cluster can run here; fail it if `REQUIRE_SLURM=1` is set."""
    missing = what_is_missing()
    if missing and os.environ.get("REQUIRE_SLURM") == "1":
        pytest.fail(f"REQUIRE_SLURM is set, but: {missing}")
    if missing:
        pytest.skip(f"no real Slurm here: {missing}")
