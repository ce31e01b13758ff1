"""Run `make install` and `make uninstall` below a PREFIX, and use what is installed there."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
FOREIGN_MODULES = ROOT / "tests" / "data" / "foreign_modules"


def make(
    target: str, *, conf: Path | None = None, **values: str
) -> subprocess.CompletedProcess[str]:
    """Run a target of the Makefile as an administrator does, without access to a package index.

    The administrator's PYTHONPATH has a module that no Python of the installation may load.
    """
    environment = {
        "PYTHONPATH": str(FOREIGN_MODULES),
        "PATH": os.environ["PATH"],
        "PIP_INDEX_URL": "http://127.0.0.1:1/",
        "PIP_CONFIG_FILE": os.devnull,
        "SLURM_CONF": str(conf or "/nonexistent/slurm.conf"),
    }
    return subprocess.run(
        ["make", "--no-print-directory", target, *(f"{k}={v}" for k, v in values.items())],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def tree(top: Path) -> set[str]:
    """Return all files below a directory except those of the virtual environment."""
    found = (path.relative_to(top) for path in top.rglob("*") if not path.is_dir())
    return {str(path) for path in found if path.parts[0] != "venv"}


def hook(
    prefix: Path, name: str, job_id: int, *, user: int | None = None, group: int | None = None
) -> None:
    """Run an installed hook as slurmctld does."""
    stub = prefix / "etc/slurm/cc-slurm-sync" / name
    environment = {"SLURM_JOB_ID": str(job_id)}
    subprocess.run([str(stub)], env=environment, check=True, cwd="/", user=user, group=group)


@contextmanager
def installed(wheels: Path) -> Iterator[Path]:
    """Install into `site` of a directory that every user can reach, and remove it at the end."""
    base = Path(tempfile.mkdtemp(prefix="cc-slurm-sync-", dir="/var/tmp"))
    base.chmod(0o755)
    try:
        done = make("install", PREFIX=str(base / "site"), WHEELS=str(wheels))
        assert (0, "") == (done.returncode, done.stderr)
        (base / "said").write_text(done.stdout)
        yield base
    finally:
        shutil.rmtree(base)


def copy_without_venv(source: Path, prefix: Path) -> Path:
    """Copy an installation to another PREFIX, without its virtual environment."""
    shutil.copytree(source, prefix, symlinks=True, ignore=shutil.ignore_patterns("venv"))
    for path in (p for p in prefix.rglob("*") if p.is_file() and not p.is_symlink()):
        path.write_text(path.read_text().replace(str(source), str(prefix)))
    return prefix


def configure(prefix: Path, owner: str = "") -> Path:
    """Make a configuration from the installed example, and a token; return the configuration."""
    settings = prefix / "etc/cc-slurm-sync"
    document = json.loads((settings / "config.json.example").read_text())
    document |= {"clustername": "lab", "cc-backend": {"host": "http://127.0.0.1:1"}}
    document["cc-backend"]["token_file"] = str(settings / "token")
    for name, text in (("config.json", json.dumps(document)), ("token", "TOKEN:x\n")):
        (settings / name).write_text(text)
        (settings / name).chmod(0o600)
        if owner:
            shutil.chown(settings / name, owner)
    return settings / "config.json"


def status(prefix: Path, *, user: str | None = None) -> dict[str, int]:
    """Run the installed command in an empty environment; return the counts of the spool."""
    done = subprocess.run(
        [str(prefix / "bin/cc-spool"), "status", "--json"],
        env={},
        cwd="/",
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, True) == (done.returncode, done.stdout.startswith("{")), done.stderr
    counts: dict[str, int] = json.loads(done.stdout)["counts"]
    return counts
