"""Commands started by root on an installation: owners of files, and missing rights."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import build_wheels
import pytest
from command_site import NOON, REFUSED, TOKEN, CommandSite, run_of
from stub_server import Model, StubServer

from spool.files.layout import Directory
from spool.files.run import End, EndSource

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives root up")


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def installed() -> Iterator[CommandSite]:
    """Return a site as an installation makes it: the service user is nobody, root owns the rest."""
    user = pwd.getpwnam("nobody")
    root = Path(tempfile.mkdtemp(prefix="cc-slurm-sync-"))  # user nobody cannot enter pytest's own
    root.chmod(0o755)
    site = CommandSite(root / "site")
    site.document["slurm"] = dict.fromkeys(("squeue", "sacct", "scontrol"), "/bin/false")
    site.write()
    for path in (site.config, site.token):
        os.chown(path, 0, user.pw_gid)
    for path in (site.spool, site.state, *site.spool.iterdir()):
        os.chown(path, user.pw_uid, user.pw_gid)
    yield site
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def libraries() -> Iterator[Path]:
    """Return a directory with our packages and all their requirements, readable for every user.

    The service may have no access to the project and its environment, for example below /root.
    """
    place = Path(tempfile.mkdtemp(prefix="cc-slurm-sync-"))
    place.chmod(0o755)
    wheels = place / "wheels"
    wheels.mkdir()
    build_wheels.collect_wheels(wheels)
    for wheel in wheels.iterdir():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def python(libraries: Path) -> str:
    """Return a Python that the service can run as well: it cannot run one below /root."""
    system = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    for found in (sys.executable, os.path.realpath(sys.executable), system):
        if found is None:
            continue
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [found, "-c", "import spool.commands.drain, encodings.ascii"],
                check=False,
                capture_output=True,
                cwd="/",
                env={"PYTHONPATH": str(libraries)},
                user="nobody",
                group=pwd.getpwnam("nobody").pw_gid,
                extra_groups=[],
            )
            if done.returncode == 0:
                return found
    return pytest.skip("no Python here that another user may run")


class ByRoot:
    """A runner of `cc-spool` as root in a separate process."""

    def __init__(self, site: CommandSite, python: str, libraries: Path) -> None:
        self.site = site
        self._python, self._libraries = python, libraries

    def __call__(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command; return its exit code and output."""
        return subprocess.run(
            [self._python, "-m", "spool.cli", verb, "-c", str(self.site.config), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(self._libraries)},
        )


@pytest.fixture
def by_root(installed: CommandSite, python: str, libraries: Path) -> ByRoot:
    """Return a runner of commands as root."""
    return ByRoot(installed, python, libraries)


def owners(site: CommandSite) -> dict[str, str]:
    """Return the owner of each file below spool and state directory."""
    files = [path for top in (site.spool, site.state) for path in top.rglob("*") if path.is_file()]
    return {path.name: path.owner() for path in files}


@as_root
def test_files_of_a_command_started_by_root_belong_to_the_service(
    installed: CommandSite, by_root: ByRoot
) -> None:
    """`cc-spool retry` of root writes the run file and the log as the service user."""
    run = installed.put(Directory.DEAD, run_of(5, last_error=REFUSED))
    said = by_root("retry", "ALL", "--log-file", f"{installed.state}/log")

    assert (0, f"{run.name} is requeued\n") == (said.returncode, said.stdout), said.stderr
    assert {run.name: "nobody", "log": "nobody"} == owners(installed)


@as_root
def test_a_drain_started_by_root_works_as_the_service(
    installed: CommandSite, by_root: ByRoot
) -> None:
    """Files of the drain belong to the service user; a token that only root can read is used."""
    installed.put(Directory.TODO, run_of(5, end=END))
    os.chown(installed.token, 0, 0)
    installed.token.chmod(0o600)
    with StubServer(Model(token=TOKEN)) as server:
        installed.document["cc-backend"]["host"] = server.url
        installed.write()
        said = by_root("drain", "--once")
        rows = server.rows()

    assert (0, {(5, NOON): "completed"}) == (said.returncode, rows), said.stderr
    assert {"nobody"} == set(owners(installed).values())
    assert {"drain.lock", "drain.json", "handling"} <= set(owners(installed))


@as_root
def test_a_command_of_root_reads_the_spool_as_the_service(
    installed: CommandSite, by_root: ByRoot
) -> None:
    """`cc-spool list` of root cannot read a run file that the service user cannot read."""
    path = installed.spool / "open" / f"5-{NOON}.json"
    path.write_text("{}")
    path.chmod(0o600)
    said = by_root("list", "--json")

    assert '"waits": "cannot be used: Permission denied"' in said.stdout


@as_root
def test_a_spool_that_the_service_cannot_open_is_a_permission_error(
    installed: CommandSite, by_root: ByRoot
) -> None:
    """A command of root exits with 77 if `dead/` is closed to the service user."""
    os.chown(installed.spool / "dead", 0, 0)
    (installed.spool / "dead").chmod(0o700)
    said = by_root("list")

    assert 77 == said.returncode
    assert "Permission denied; run the command as root or as the service user" in said.stderr


@as_root
def test_a_log_that_the_service_cannot_write_is_a_permission_error(
    installed: CommandSite, by_root: ByRoot
) -> None:
    """A command of root exits with 77 and does not create the log file as root."""
    said = by_root("list", "--log-file", f"{installed.root}/log")

    assert 77 == said.returncode
    assert not (installed.root / "log").exists()
