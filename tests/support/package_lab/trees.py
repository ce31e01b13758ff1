"""Directory trees of Debian releases with systemd and Slurm, built once and then cached."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock
from slurm_lab.trees import BUILD_SECONDS, CACHE, build

SUITES = ("bookworm", "trixie")
NEXT_SUITE = "forky"
"""Debian testing, which has the newest Python."""
PACKAGES = "systemd,systemd-sysv,dbus,mount,python3,procps,logrotate"
PACKAGES += ",slurmctld,slurmd,slurm-client,munge"
INSTALL = """
set -eu
mkdir -p "$2/work" "$2/root" "$2/upper"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc none "$2/root/proc"
mount --rbind /dev "$2/root/dev"
cp "$3" "$2/root/root"
chroot "$2/root" dpkg -i "/root/${3##*/}"
rm "$2/root/root/${3##*/}"
"""


def require_tree(suite: str) -> Path:
    """Return the tree of a release; skip the test if it is missing and cannot be built.

    The trees of all stable releases are built together at the first request for one of them. With
    `REQUIRE_SLURM=1` the test fails if the tree of a stable release cannot be built.
    """
    cache = Path(os.environ.get("SLURM_LAB_CACHE", CACHE))
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "packages.lock", timeout=2 * BUILD_SECONDS), ThreadPoolExecutor() as pool:
        wanted = [suite] if suite == NEXT_SUITE else [*SUITES]
        missing = [each for each in wanted if not tree_of(cache, each).is_dir()]
        reasons = dict(
            zip(
                missing,
                pool.map(lambda each: build(each, tree_of(cache, each), PACKAGES), missing),
                strict=True,
            )
        )
    if reasons.get(suite):
        text = f"no tree of Debian {suite} can be built here: {reasons[suite]}"
        if suite != NEXT_SUITE and os.environ.get("REQUIRE_SLURM") == "1":
            pytest.fail(text)
        pytest.skip(text)
    return tree_of(cache, suite)


def tree_of(cache: Path, suite: str) -> Path:
    """Return the path of the tree of a release in the cache."""
    return cache / f"packages-{suite}"


def install(tree: Path, layer: Path, package: Path) -> str:
    """Install a package without a running systemd; store the changes in `upper` in a directory.

    Returns:
        The output of the installation.
    """
    layer.mkdir(parents=True)
    argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", INSTALL, "sh"]
    done = subprocess.run(
        [*argv, str(tree), str(layer), str(package)],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout
