"""`make uninstall` with and without PURGE: what is removed, and what stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import build_wheels
import pytest
from install_site import copy_without_venv, hook, installed, make, tree


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


@pytest.fixture
def fresh(place: Path, tmp_path: Path) -> Path:
    """Return a PREFIX with all of an installation but the virtual environment."""
    return copy_without_venv(place / "site", tmp_path / "site")


def test_uninstall_keeps_stubs_that_slurm_conf_names(fresh: Path, tmp_path: Path) -> None:
    """The lines to delete in slurm.conf are printed; after that a second call removes the stubs."""
    conf = tmp_path / "etc" / "slurm.conf"
    conf.parent.mkdir()
    hooks = fresh / "etc/slurm/cc-slurm-sync"
    conf.write_text(f"ClusterName=x\nPrologSlurmctld={hooks}/prolog_slurmctld\n")

    first = make("uninstall", conf=conf, PREFIX=str(fresh))
    hook(fresh, "epilog_slurmctld", 19)
    left = tree(fresh)
    conf.write_text("ClusterName=x\n")
    second = make("uninstall", conf=conf, PREFIX=str(fresh))

    stubs = {f"etc/slurm/cc-slurm-sync/{n}_slurmctld" for n in ("prolog", "epilog")}
    assert stubs == left
    assert f"PrologSlurmctld={hooks}/prolog_slurmctld\n" in first.stdout
    assert "then restart slurmctld (from Slurm 23.11 on `scontrol reconfigure` is" in first.stdout
    assert (0, "", "") == (second.returncode, second.stdout, second.stderr)
    assert not fresh.exists()


def test_uninstall_keeps_stubs_that_a_script_of_the_site_calls(fresh: Path, tmp_path: Path) -> None:
    """slurm.conf names only the site's own PrologSlurmctld, which calls our stub."""
    script = tmp_path / "site-prolog"
    script.write_text(f"#!/bin/sh\n{fresh}/etc/slurm/cc-slurm-sync/prolog_slurmctld\n")
    conf = tmp_path / "etc" / "slurm.conf"
    conf.parent.mkdir()
    conf.write_text(f"PrologSlurmctld={script}\n")

    make("uninstall", conf=conf, PREFIX=str(fresh))

    assert (fresh / "etc/slurm/cc-slurm-sync/prolog_slurmctld").exists()


def test_uninstall_without_slurm_conf_removes_all_files(fresh: Path) -> None:
    """No slurm.conf can name stubs of this PREFIX; a slash at its end does not matter."""
    done = make("uninstall", PREFIX=f"{fresh}/")

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert not fresh.exists()


def test_uninstall_keeps_files_of_the_site(fresh: Path, tmp_path: Path) -> None:
    """Configuration, token and a dead letter stay without PURGE."""
    conf = tmp_path / "etc" / "slurm.conf"
    conf.parent.mkdir()
    conf.write_text("ClusterName=x\n")
    kept = {
        "etc/cc-slurm-sync/config.json",
        "etc/cc-slurm-sync/token",
        "var/spool/cc-slurm-sync/dead/1-2.json",
    }
    for name in kept:
        (fresh / name).write_text("mine")

    done = make("uninstall", conf=conf, PREFIX=str(fresh))

    assert kept == tree(fresh)
    assert f"{fresh}/var/spool/cc-slurm-sync/dead is not empty and was kept" in done.stdout


def test_uninstall_with_purge_removes_files_of_the_site(fresh: Path) -> None:
    """PURGE=1 removes configuration, token, state, and a spool without undelivered runs."""
    for name in ("etc/cc-slurm-sync/config.json", "etc/cc-slurm-sync/token"):
        (fresh / name).write_text("mine")
    (fresh / "var/spool/cc-slurm-sync/tmp/1").write_text("half")
    (fresh / "var/lib/cc-slurm-sync/delivered").mkdir()

    done = make("uninstall", PREFIX=str(fresh), PURGE="1")

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert not fresh.exists()


@pytest.mark.parametrize("name", ["new/1-start-1-0-0-1", "todo/1-2.json", "dead/1-2.json"])
def test_uninstall_with_purge_keeps_undelivered_runs(fresh: Path, name: str) -> None:
    """The output names the spool and the command that deletes it; everything else is removed."""
    (fresh / "etc/cc-slurm-sync/token").write_text("mine")
    spool = fresh / "var/spool/cc-slurm-sync"
    (spool / name).write_text("mine")

    done = make("uninstall", PREFIX=str(fresh), PURGE="1")

    assert {f"var/spool/cc-slurm-sync/{name}"} == tree(fresh)
    assert f"{spool} was kept: it holds undelivered runs (files: 1)." in done.stdout
    assert f"To delete\nthem permanently: rm -r {spool}\n" in done.stdout


def test_uninstall_with_purge_keeps_stubs_named_in_slurm_conf(fresh: Path, tmp_path: Path) -> None:
    """Without the stubs slurmctld would not start; everything else is removed."""
    conf = tmp_path / "etc" / "slurm.conf"
    conf.parent.mkdir()
    stub = "etc/slurm/cc-slurm-sync/prolog_slurmctld"
    conf.write_text(f"PrologSlurmctld={fresh}/{stub}\n")
    (fresh / "etc/cc-slurm-sync/token").write_text("mine")

    make("uninstall", conf=conf, PREFIX=str(fresh), PURGE="1")

    assert {stub, stub.replace("prolog", "epilog")} == tree(fresh)


def test_uninstall_with_an_unknown_value_of_purge_removes_no_file(fresh: Path) -> None:
    """The message on stderr for `PURGE=maybe` names PURGE=1."""
    before = tree(fresh)
    done = make("uninstall", PREFIX=str(fresh), PURGE="maybe")

    assert "PURGE=1" in done.stderr
    assert before == tree(fresh)
