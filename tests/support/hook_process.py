"""Run the hooks as processes under each shell that `/bin/sh` may be."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

HOOKS = Path(__file__).resolve().parents[2] / "hooks"
SHELLS = {"dash": ["dash"], "bash as sh": ["bash", "--posix"], "busybox sh": ["busybox", "sh"]}
ENVIRONMENT = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NODELIST": "n2cn[001-003],n2gpu01",
    "SLURM_JOB_USER": "ada",
    "SLURM_JOB_PARTITION": "cpu",
    "SLURM_CLUSTER_NAME": "lab",
}


def installed_shell(name: str) -> list[str]:
    """Return the command of a shell; skip the test if it is not installed."""
    command = SHELLS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return command


def run_hook(
    shell: list[str],
    spool: Path,
    *,
    kind: str = "prolog",
    stub: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a hook and return its exit code and its output."""
    script = stub or HOOKS / f"{kind}_slurmctld"
    return subprocess.run(
        [*shell, str(script)],
        env={**ENVIRONMENT, "CC_SLURM_SYNC_SPOOL": str(spool), **(environment or {})},
        capture_output=True,
        timeout=10,
        check=False,
    )


def events(spool: Path) -> list[str]:
    """Return the names of the events without their pid."""
    return sorted(path.name.rpartition("-")[0] for path in (spool / "new").iterdir())


def was_harmless(done: subprocess.CompletedProcess[bytes]) -> bool:
    """Return whether a hook exited with 0 and printed nothing."""
    return (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
