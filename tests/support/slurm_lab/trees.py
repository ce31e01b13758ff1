"""Other releases of Slurm: Debian's packages of another suite, in a directory tree of their own.

A tree is built once, from the mirror that this machine's apt is set up with, and kept. If a suite
is not available, the test is skipped with the reason.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

HERE = "here"
SUITES = {"24.11": "trixie", "26.05": "forky"}
RELEASES = (HERE, *SUITES)
CACHE = Path("/var/cache/cc-slurm-sync-lab")
PACKAGES = "slurmctld,slurmd,slurm-client,slurmdbd,munge,mariadb-server"
BUILD_SECONDS = 900
_MIRROR = re.compile(r"^(?:URIs:|deb)\s+(?:\[[^]]*\]\s+)?(https?://\S+)", re.MULTILINE)


def require_tree(release: str) -> Path | None:
    """Return the tree of a release, None for the Slurm of this machine; skip if there is none.

    It is built where SLURM_LAB_BUILD=1 is set, and kept below SLURM_LAB_CACHE.
    """
    if release == HERE:
        return None
    suite = SUITES[release]
    tree = Path(os.environ.get("SLURM_LAB_CACHE", CACHE)) / suite
    if tree.is_dir():
        return tree
    if os.environ.get("SLURM_LAB_BUILD") != "1":
        pytest.skip(f"Slurm {release} (Debian {suite}) is not here: `make test-all` builds it")
    # another process of the same test run may build it
    with FileLock(Path(tempfile.gettempdir()) / f"cc-slurm-sync-lab-{suite}.lock"):
        reason = "" if tree.is_dir() else build(suite, tree)
    if reason:
        pytest.skip(f"Slurm {release} (Debian {suite}) cannot be built here: {reason}")
    return tree


def build(suite: str, tree: Path, packages: str = PACKAGES) -> str:
    """Make a tree with some packages; return why that is not possible, or an empty text."""
    address = mirror()
    if address is None:
        return "apt names no mirror"
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed"
    tree.parent.mkdir(parents=True, exist_ok=True)
    part = tree.with_suffix(".part")
    argv = ["mmdebstrap", "--quiet", "--variant=apt", "--mode=root", f"--include={packages}"]
    if suite == SUITES["26.05"]:  # testing: a mirror's files may have expired
        argv.append('--aptopt=Acquire::Check-Valid-Until "false"')
    try:
        done = subprocess.run(
            [*argv, suite, str(part), address],
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done within {BUILD_SECONDS} s"
    if done.returncode != 0:
        shutil.rmtree(part, ignore_errors=True)
        return done.stderr.strip()[-300:]
    part.rename(tree)
    return ""


def mirror(apt: Path = Path("/etc/apt")) -> str | None:
    """Return the first address that apt is set up with."""
    for path in (*sorted(apt.glob("sources.list.d/*.sources")), apt / "sources.list"):
        found = _MIRROR.search(path.read_text()) if path.is_file() else None
        if found:
            return found[1]
    return None
