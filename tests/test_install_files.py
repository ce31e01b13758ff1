"""Where `make install` puts files: below a PREFIX or in the default places; and what it rejects."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import build_wheels
import pytest
from install_site import DEPLOY, ROOT, configure, copy_without_venv, hook, installed, status, tree


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
    """Return a PREFIX with a complete installation except the virtual environment."""
    return copy_without_venv(place / "site", tmp_path / "site")


@pytest.mark.parametrize(("name", "verb"), [("cc-spool", "drain"), ("cc-sweep", "apply")])
def test_further_instances_have_templates(place: Path, name: str, verb: str) -> None:
    """The unit NAME@.service differs from NAME.service only in settings, spool and state of %i."""
    units, root = place / "site/lib/systemd/system", place / "site"
    one = (units / f"{name}.service").read_text().splitlines()
    many = (units / f"{name}@.service").read_text().splitlines()

    assert {
        f"ExecStart={root}/bin/{name} {verb} -c {root}/etc/cc-slurm-sync/%i/config.json",
        f"ReadWritePaths={root}/var/spool/cc-slurm-sync-%i",
        f"ReadWritePaths={root}/var/lib/cc-slurm-sync-%i",
        f"#LoadCredential=token:{root}/etc/cc-slurm-sync/%i/token",
    } == {line for line in set(many) - set(one) if not line.startswith("Description=")}


def test_all_files_are_below_the_prefix(place: Path) -> None:
    """An installation with its own PREFIX is complete below it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    expected = {
        *(f"bin/{name}" for name in project.get("scripts", {})),
        "etc/cc-slurm-sync/config.json.example",
        "etc/cc-slurm-sync/install.conf",
        *(f"etc/slurm/cc-slurm-sync/{n}_slurmctld" for n in ("prolog", "epilog")),
        "etc/slurm/cc-slurm-sync/spool_event",
        *(f"lib/systemd/system/{n}" for n in ("cc-spool.service", "cc-sweep.service")),
        *(f"lib/systemd/system/{n}" for n in ("cc-spool@.service", "cc-sweep@.service")),
        *(f"lib/systemd/system/cc-sweep{n}.timer" for n in ("", "@")),
        "lib/sysusers.d/cc-slurm-sync.conf",
        *("lib/tmpfiles.d/cc-slurm-sync.conf", "share/cc-slurm-sync/cron"),
        "share/cc-slurm-sync/logrotate",
    }

    assert expected == tree(place / "site")


def test_no_placeholder_is_left(place: Path) -> None:
    """Every installed file has real paths."""
    site = place / "site"
    left = {
        name: found
        for name in tree(site)
        if not (site / name).is_symlink()
        and (found := re.findall(r"@[a-z_]+@", (site / name).read_text()))
    }

    assert {} == left


def test_the_example_has_the_paths_of_the_installation(place: Path) -> None:
    """The example configuration works below the PREFIX once name and host are set."""
    site = place / "site"
    example = json.loads((site / "etc/cc-slurm-sync/config.json.example").read_text())

    found = [*list(example["spool"].values())[:2], example["cc-backend"]["token_file"]]
    expected = ["var/spool/cc-slurm-sync", "var/lib/cc-slurm-sync", "etc/cc-slurm-sync/token"]
    assert [str(site / path) for path in expected] == found


def test_lines_for_slurm_conf_are_printed(place: Path) -> None:
    """`make install` prints the lines for slurm.conf, for sites with and without own hooks."""
    said = (place / "said").read_text()
    hooks = place / "site/etc/slurm/cc-slurm-sync"

    for line in (
        "restart slurmctld: up to Slurm 23.02 `scontrol reconfigure` does not activate the hooks",
        f"PrologSlurmctld={hooks}/prolog_slurmctld\n",
        f"EpilogSlurmctld={hooks}/epilog_slurmctld\n",
        f"call ours at the end of your script:\n     {hooks}/prolog_slurmctld\n",
        "with Slurm 24.05 and later, add our line below",
    ):
        assert line in said


def test_an_installed_hook_writes_into_the_installed_spool(fresh: Path) -> None:
    """A stub below a PREFIX uses the spool below the same PREFIX."""
    hook(fresh, "prolog_slurmctld", 17)

    (event,) = (fresh / "var/spool/cc-slurm-sync/new").iterdir()
    assert "1-start-17-0-0" == event.name.rpartition("-")[0]


@pytest.mark.parametrize("prefix", ["/", "/a/../b", "/a b", "/a|b", "//"])
def test_an_unsafe_prefix_is_rejected(prefix: str) -> None:
    """A PREFIX such as `/`, `/a b` or `/a/../b` cannot be written into files; exit code 2."""
    done = subprocess.run(
        [str(DEPLOY / "uninstall")],
        env={"PATH": os.environ["PATH"], "PREFIX": prefix},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (2, True) == (done.returncode, ": use only letters, digits and" in done.stderr)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Return a directory that every user can reach, wherever the project is."""
    place = Path(tempfile.mkdtemp(prefix="cc-slurm-sync-", dir="/var/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes nobody, which needs root")
def test_the_default_paths_require_root(open_place: Path) -> None:
    """Without root and PREFIX `install` exits with 77, and its message names PREFIX=DIRECTORY."""
    shutil.copytree(DEPLOY, open_place / "deploy")
    (open_place / "deploy").chmod(0o755)
    done = subprocess.run(
        [str(open_place / "deploy" / "install")],
        env={"PATH": "/usr/bin:/bin"},
        user="nobody",
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert (77, True) == (done.returncode, "PREFIX=DIRECTORY" in done.stderr)


def test_the_installed_command_reads_the_installed_spool(place: Path) -> None:
    """`bin/cc-spool` counts the event of a hook; its configuration has the two required keys."""
    site = place / "site"
    config = configure(site)
    config.write_text('{"clustername": "lab", "cc-backend": {"host": "http://127.0.0.1:1"}}')
    before = status(site)["new"]
    hook(site, "prolog_slurmctld", 21)

    after = status(site)["new"]

    for path in (config, config.with_name("token")):
        path.unlink()
    for path in (site / "var/spool/cc-slurm-sync/new").iterdir():
        path.unlink()
    assert (0, 1) == (before, after)


@pytest.mark.parametrize("command", ["bin/cc-spool", "bin/cc-sweep", "venv/bin/cc-spool"])
def test_no_module_of_the_caller_is_loaded(place: Path, tmp_path: Path, command: str) -> None:
    """PYTHONPATH, the current directory and the home directory are ignored."""
    home = tmp_path / ".local/lib/python3/site-packages"
    foreign = 'open("loaded", "w")'
    for directory in (tmp_path, home):
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("json", "spool", "sweeper", "sitecustomize", "usercustomize"):
            (directory / f"{name}.py").write_text(foreign)
    done = subprocess.run(
        [str(place / "site" / command), "--version"],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(tmp_path),
            "PYTHONUSERBASE": str(tmp_path / ".local"),
            "HOME": str(tmp_path),
            "PYTHONSTARTUP": str(tmp_path / "json.py"),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert not (tmp_path / "loaded").exists()


OVERLAY = """
set -eu
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc none "$1/root/proc"
mount --bind /dev "$1/root/dev"
[ $# = 1 ] || exec chroot "$1/root" /bin/sh -c "$2"
"""
INSIDE = """
set -eu
cd {root}
cat >/usr/local/sbin/restorecon <<'END'
#!/bin/sh
echo "restorecon: $*"
END
chmod 755 /usr/local/sbin/restorecon
make -s install WHEELS={wheels} SLURM_USER=daemon
stat -c '%U:%G %a' /var/spool/cc-slurm-sync/new /var/spool/cc-slurm-sync/todo /var/lib/cc-slurm-sync
stat -c '%U:%G %a' /etc/cc-slurm-sync/config.json.example
readlink /usr/local/bin/cc-spool
ls /usr/local/lib/systemd/system
grep SPOOL= /etc/slurm/cc-slurm-sync/prolog_slurmctld
export SLURM_CONF=/nonexistent
make -s uninstall
ls /etc/slurm/cc-slurm-sync
make -s uninstall PURGE=1
! ls -d /etc/slurm/cc-slurm-sync /etc/cc-slurm-sync /var/spool/cc-slurm-sync /opt/cc-slurm-sync
! id cc-slurm-sync
"""


def in_temporary_root(base: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a script as root in a temporary overlay of /; without a script only try to mount it."""
    argv = ["unshare", "-m", "--propagation", "private", "/bin/sh", "-c", OVERLAY, "-", str(base)]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(
        [*argv, *command], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="installs where the system looks, which needs root")
def test_a_plain_install_uses_the_paths_of_the_system(wheels: Path, tmp_path: Path) -> None:
    """As root: service user, owners, modes, links, units and hooks; then uninstall and PURGE=1."""
    if in_temporary_root(tmp_path).returncode != 0:
        pytest.skip("no overlay of the root file system can be mounted here")

    done = in_temporary_root(tmp_path, INSIDE.format(root=ROOT, wheels=wheels))

    expected = """\
daemon:cc-slurm-sync 2770
cc-slurm-sync:cc-slurm-sync 750
cc-slurm-sync:cc-slurm-sync 750
root:cc-slurm-sync 640
/opt/cc-slurm-sync/venv/bin/cc-spool
cc-spool.service
cc-spool@.service
cc-sweep.service
cc-sweep.timer
cc-sweep@.service
cc-sweep@.timer
#CC_SLURM_SYNC_SPOOL=/var/spool/cc-slurm-sync
"""
    assert 0 == done.returncode, done.stderr
    assert "PrologSlurmctld=/etc/slurm/cc-slurm-sync/prolog_slurmctld\n" in done.stdout
    assert expected in done.stdout
    stays = "The account cc-slurm-sync was kept.\nepilog_slurmctld\nprolog_slurmctld\n"
    assert done.stdout.endswith(stays)
    units = re.findall(r"^cc-s\S+\.(?:service|timer)$", expected, re.MULTILINE)
    labelled = re.findall(r"^restorecon: -R (.*)", done.stdout, re.MULTILINE)[0].split()
    assert set() == {
        *("/opt/cc-slurm-sync", "/usr/local/bin/cc-spool", "/usr/local/bin/cc-sweep"),
        *(f"/usr/local/lib/systemd/system/{name}" for name in units),
        *("/etc/cc-slurm-sync", "/etc/slurm/cc-slurm-sync", "/var/spool/cc-slurm-sync"),
        *("/var/lib/cc-slurm-sync", "/usr/local/lib/tmpfiles.d/cc-slurm-sync.conf"),
    } - set(labelled)
