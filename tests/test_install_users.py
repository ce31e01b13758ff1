"""An installation for two users: file owners, also after the service user was changed."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import build_wheels
import pytest
from install_site import DEPLOY, configure, hook, installed, make, status


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


SLURM_USER, SERVICE_USER, OTHER_USER = "daemon", "nobody", "bin"  # every system has them
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become other users")


@pytest.fixture(scope="module")
def two(place: Path, wheels: Path) -> Path:
    """Install for two users, below a PREFIX that is too long for the first line of a script."""
    prefix = place / f"two-{'x' * 120}"
    done = make(
        "install",
        PREFIX=str(prefix),
        WHEELS=str(wheels),
        SLURM_USER=SLURM_USER,
        SERVICE_USER=SERVICE_USER,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return prefix


@needs_root
def test_hooks_and_drain_can_run_as_two_users(two: Path) -> None:
    """The service user can read and unlink the events of SlurmUser's hook; other users cannot."""
    spool = two / "var/spool/cc-slurm-sync"
    service = pwd.getpwnam(SERVICE_USER)

    hook(two, "prolog_slurmctld", 20, user=pwd.getpwnam(SLURM_USER).pw_uid, group=1)
    (event,) = (spool / "new").iterdir()
    made = event.stat()
    configure(two, SERVICE_USER)
    counts = [status(two)["new"], status(two, user=SERVICE_USER)["new"]]
    read_and_unlink = f"cat {event} && rm {event} && : > {spool}/todo/x && rm {spool}/todo/x"
    as_service = subprocess.run(
        ["/bin/sh", "-c", read_and_unlink],
        user=service.pw_uid,
        group=service.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (SLURM_USER, service.pw_gid) == (pwd.getpwuid(made.st_uid).pw_name, made.st_gid)
    assert 0o640 == stat.S_IMODE(made.st_mode)
    assert [1, 1] == counts
    assert (0, "end\n", "") == (as_service.returncode, as_service.stdout, as_service.stderr)


INSTANCES = {"test": SERVICE_USER, "own": "games"}
"""Further instances: one runs as the first one does, one as a user of its own."""


def instance_files(name: str) -> list[str]:
    """Return the files of a further instance, as in docs/several-servers.md."""
    spool, state = f"var/spool/cc-slurm-sync-{name}", f"var/lib/cc-slurm-sync-{name}"
    directories = [spool, *(f"{spool}/{each}" for each in ("new", "tmp", "todo", "open", "dead"))]
    files = [f"{spool}/new/1-start-7-0-0-9", f"{spool}/todo/1-2.json", f"{state}/drain.json"]
    return [*directories, state, *files, f"etc/cc-slurm-sync/{name}/config.json"]


def add_instance(site: Path, name: str, user: str) -> None:
    """Add a further instance that runs as a user."""
    account = pwd.getpwnam(user)
    for file in instance_files(name):
        path = site / file
        path.parent.mkdir(exist_ok=True)
        if path.suffix or "-start-" in path.name:
            path.touch(mode=0o640)
        else:
            path.mkdir()
        uid = pwd.getpwnam(SLURM_USER).pw_uid if "new" in path.parts else account.pw_uid
        os.chown(path, 0 if "etc" in path.parts else uid, account.pw_gid)


def owner(file: str, user: str) -> str:
    """Return the owner and group of a file of an instance that runs as a user."""
    is_hooks, is_settings = (each in Path(file).parts for each in ("new", "etc"))
    name = SLURM_USER if is_hooks else "root" if is_settings else user
    return f"{name}:{grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """File owners after an installation with SERVICE_USER, and after an upgrade without it."""

    said: str
    after_change: dict[str, str]
    after_upgrade: dict[str, str]


@pytest.fixture(scope="module")
def change(two: Path, wheels: Path) -> Change:
    """Change the service user of an installation in use, then upgrade it."""
    service = pwd.getpwnam(SERVICE_USER)
    configure(two)
    owners = {  # user and group before
        "etc/cc-slurm-sync/config.json": (0, service.pw_gid),
        "etc/cc-slurm-sync/token": (0, service.pw_gid),
        "var/spool/cc-slurm-sync/new/1-start-7-0-0-9": (
            pwd.getpwnam(SLURM_USER).pw_uid,
            service.pw_gid,
        ),
        "var/spool/cc-slurm-sync/todo/1-2.json": (service.pw_uid, service.pw_gid),
        "var/lib/cc-slurm-sync/delivered/x.jsonl": (service.pw_uid, service.pw_gid),
    }
    (two / "var/lib/cc-slurm-sync/delivered").mkdir()
    for name, (uid, gid) in owners.items():
        path = two / name
        path.touch()
        os.chown(path, uid, gid)
        path.chmod(0o640)
    (two / "var/spool/cc-slurm-sync/dead/link").symlink_to("/etc/passwd")
    for name, user in INSTANCES.items():
        add_instance(two, name, user)
    (two / "etc/cc-slurm-sync/moved").mkdir()
    (two / "var/lib/cc-slurm-sync-moved").mkdir()
    os.chown(two / "var/lib/cc-slurm-sync-moved", service.pw_uid, service.pw_gid)

    def install(service_user: str = "") -> tuple[str, dict[str, str]]:
        done = make("install", PREFIX=str(two), WHEELS=str(wheels), SERVICE_USER=service_user)
        assert (0, "") == (done.returncode, done.stderr)
        names = [*owners, "var/spool/cc-slurm-sync/new", "var/lib/cc-slurm-sync"]
        names += [file for name in INSTANCES for file in instance_files(name)]
        found = {name: f"{(two / name).owner()}:{(two / name).group()}" for name in names}
        units = (two / "lib/systemd/system/cc-spool.service").read_text()
        found["unit"] = ":".join(re.findall(r"^(?:User|Group)=(.*)$", units, re.MULTILINE))
        return done.stdout, found

    said, after_change = install(OTHER_USER)
    return Change(said=said, after_change=after_change, after_upgrade=install()[1])


@needs_root
def test_files_and_units_get_the_new_service_user(change: Change) -> None:
    """Spool, state, configuration, token and units change owner; the target of a link does not."""
    service, group = f"{OTHER_USER}:{OTHER_USER}", OTHER_USER
    expected = {
        "etc/cc-slurm-sync/config.json": f"root:{group}",
        "etc/cc-slurm-sync/token": f"root:{group}",
        "var/spool/cc-slurm-sync/new/1-start-7-0-0-9": f"{SLURM_USER}:{group}",
        "var/spool/cc-slurm-sync/todo/1-2.json": service,
        "var/lib/cc-slurm-sync/delivered/x.jsonl": service,
        "var/spool/cc-slurm-sync/new": f"{SLURM_USER}:{group}",
        "var/lib/cc-slurm-sync": service,
        "unit": service,
    }

    assert expected == {name: change.after_change[name] for name in expected}
    assert 0 == Path("/etc/passwd").stat().st_uid
    assert f"now belong to {OTHER_USER} instead of {SERVICE_USER}." in change.said


@needs_root
def test_only_instances_of_the_old_service_user_get_the_new_one(change: Change) -> None:
    """The files of an instance that runs as a third user keep their owner."""
    users = INSTANCES | {"test": OTHER_USER}
    expected = {
        file: owner(file, users[name]) for name in INSTANCES for file in instance_files(name)
    }

    assert expected == {file: change.after_change[file] for file in expected}


@needs_root
def test_an_instance_without_its_default_spool_is_reported(change: Change) -> None:
    """The default spool of the instance `moved` is missing; the installation continues."""
    assert "cc-slurm-sync-moved does not exist: if the instance with" in change.said


@needs_root
def test_an_upgrade_keeps_both_users(change: Change) -> None:
    """An administrator chooses the users once, not at every upgrade."""
    assert change.after_change == change.after_upgrade


@needs_root
def test_without_install_conf_the_users_are_read_from_the_owners(two: Path, change: Change) -> None:
    """An older version did not write install.conf."""
    (two / "etc/cc-slurm-sync/install.conf").unlink()
    files = "".join(f". {DEPLOY}/{name}; " for name in ("places", "slurm_site", "accounts"))
    script = f"set -eu; {files}find_service_user; find_slurm_user"
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PREFIX": str(two), "SLURM_CONF": "/nonexistent", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert change.after_upgrade["unit"] == f"{OTHER_USER}:{OTHER_USER}"
    assert f"{OTHER_USER}\n{SLURM_USER}\n" == done.stdout
