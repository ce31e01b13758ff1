"""Whether this machine can hold a cluster; a test that cannot run says so."""

from __future__ import annotations

import os
import shutil

import pytest

DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "squeue", "sacct", "sacctmgr", "scontrol", "srun", "ip", "nsenter", "unshare")
PREFIX = os.environ.get("SLURM_LAB_PREFIX", "")
"""Directory with a Slurm built by oneself, in `bin` and `sbin`; empty: the machine's own."""
PATH = f"{PREFIX}/sbin:{PREFIX}/bin:" if PREFIX else ""
PATH += "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONF = "/etc/slurm/slurm.conf"
"""Where the lab's file lies inside; a Slurm of one's own looks elsewhere by itself."""


def what_is_missing() -> str:
    """Name what keeps this machine from running the lab, or return an empty text."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [name for name in (*DAEMONS, *CLIENTS) if shutil.which(name, path=PATH) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def require_slurm() -> None:
    """Skip the test where no cluster can run; fail it where `REQUIRE_SLURM=1` says it must."""
    missing = what_is_missing()
    if missing and os.environ.get("REQUIRE_SLURM") == "1":
        pytest.fail(f"REQUIRE_SLURM is set, but: {missing}")
    if missing:
        pytest.skip(f"no real Slurm here: {missing}")
