"""`make install` over an older version."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import build_wheels
import pytest
from install_site import hook, installed, make

from spool import __version__


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory like that of `make wheels`."""
    target = tmp_path_factory.mktemp("wheels")
    build_wheels.collect_wheels(target)
    return target


@pytest.fixture(scope="module")
def place(wheels: Path) -> Iterator[Path]:
    """Return a directory that every user can reach, with an installation in `site`."""
    with installed(wheels) as base:
        yield base


def install_older_version(site: Path, wheels: Path, work: Path) -> None:
    """Replace the installed program by the same one under an older version."""
    (wheel,) = wheels.glob("cc_slurm_sync-*.whl")
    older = work / "cc_slurm_sync-0.0.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as new, zipfile.ZipFile(older, "w") as old:
        for name in new.namelist():
            text = new.read(name).decode()
            old.writestr(
                name.replace(f"-{__version__}.", "-0.0.9."),
                re.sub(rf"^Version: {__version__}$", "Version: 0.0.9", text, flags=re.MULTILINE),
            )
    argv = [site / "venv/bin/python", "-m", "pip", "install", "--no-index", "--no-deps", older]
    subprocess.run(list(map(str, argv)), capture_output=True, check=True)


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """Output of an upgrade, the files after it, and the process of the old version."""

    done: subprocess.CompletedProcess[str]
    kept: dict[str, str]
    left: dict[str, str]
    events_elsewhere: int
    pid: int


@pytest.fixture(scope="module")
def upgrade(place: Path, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Upgrade:
    """Install over an older version, with existing site files and a process of the old version."""
    site, other = place / "site", place / "other-spool"
    (other / "new").mkdir(parents=True)
    kept = {
        "etc/cc-slurm-sync/config.json": '{"clustername": "mine"}',
        "etc/cc-slurm-sync/token": "TOKEN:x\n",
        "var/spool/cc-slurm-sync/new/1-start-1-0-0-1": "end\n",
        "var/spool/cc-slurm-sync/open/1-2.json": "{}",
        "var/lib/cc-slurm-sync/drain.json": "{}",
    }
    for name, text in kept.items():
        (site / name).write_text(text)
    stub = site / "etc/slurm/cc-slurm-sync/prolog_slurmctld"
    old_stub = stub.read_text()
    stub.write_text(old_stub.replace(str(site / "var/spool/cc-slurm-sync"), str(other)))
    (site / "etc/slurm/cc-slurm-sync/spool_event").write_text("# an older one\n")
    install_older_version(site, wheels, tmp_path_factory.mktemp("older"))
    waits = [str(site / "venv/bin/python"), "-c", "input()", "drain", "\x1b[31m"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as drain:
        done = make("install", PREFIX=str(site), WHEELS=str(wheels))
        hook(site, "prolog_slurmctld", 18)
        drain.kill()
    found = Upgrade(
        done=done,
        kept=kept,
        left={name: (site / name).read_text() for name in kept},
        events_elsewhere=len([*(other / "new").iterdir()]),
        pid=drain.pid,
    )
    for name in kept:
        (site / name).unlink()
    stub.write_text(old_stub)
    shutil.rmtree(other)
    return found


def test_an_upgrade_keeps_the_files_of_the_site(upgrade: Upgrade) -> None:
    """Installing again keeps configuration, token, spool, state and the spool path in the stub."""
    assert (0, "") == (upgrade.done.returncode, upgrade.done.stderr)
    assert upgrade.kept == upgrade.left
    assert 1 == upgrade.events_elsewhere


def test_an_upgrade_says_which_version_it_replaced(place: Path, upgrade: Upgrade) -> None:
    """The output does not repeat the instructions of a first installation."""
    said = upgrade.done.stdout

    assert f"cc-slurm-sync in {place}/site: 0.0.9 -> {__version__} (Python " in said
    assert "PrologSlurmctld=" not in said
    assert "Configuration, once" not in said


def test_an_upgrade_lists_processes_of_the_old_version(place: Path, upgrade: Upgrade) -> None:
    """Each line has the process id and the command, without control characters."""
    line = f"     {upgrade.pid}  {place}/site/venv/bin/python -c input() drain [31m"

    said = upgrade.done.stdout.splitlines()
    assert "These processes still run the old version; restart those that do not end" in said[-2]
    assert line == said[-1].rstrip()


OTHER_PYTHON = """#!/bin/bash
# the environment's Python, except that it says to be of another version
case $* in *version_info*) echo "(3, 10)" ;; *) exec -a "$0" "${0}3" "$@" ;; esac
"""


@pytest.fixture
def of_another_python(wheels: Path) -> Iterator[Path]:
    """Return a PREFIX with a program that works, installed with another Python."""
    with installed(wheels) as base:
        python = base / "site/venv/bin/python"
        python.unlink()
        python.write_text(OTHER_PYTHON)
        python.chmod(0o755)
        yield base / "site"


def version_of(site: Path) -> str:
    """Return what the installed command prints as its version."""
    argv = [str(site / "bin/cc-spool"), "--version"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_an_upgrade_without_wheels_keeps_the_installed_program(
    of_another_python: Path, tmp_path: Path
) -> None:
    """The environment has another Python; `make install` fails before removing it."""
    before = version_of(of_another_python)

    done = make("install", PREFIX=str(of_another_python), WHEELS=str(tmp_path))

    assert 0 != done.returncode
    assert before == version_of(of_another_python)


def test_an_upgrade_moves_the_program_to_another_python(
    of_another_python: Path, wheels: Path
) -> None:
    """The virtual environment is created again, without a package index."""
    done = make("install", PREFIX=str(of_another_python), WHEELS=str(wheels))

    assert (0, "") == (done.returncode, done.stderr)
    assert (of_another_python / "venv/bin/python").is_symlink()
    assert f"cc-spool {__version__}" in version_of(of_another_python)
