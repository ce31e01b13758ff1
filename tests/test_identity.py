"""As whom commands work: root reads what only root can, then becomes the service user for good."""

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
from typing import Any

import pytest
import wheel_house
from command_site import NOON, REFUSED, TOKEN, CommandSite, run_of
from stub_server import Model, StubServer

from ccbackend.errors import TokenError
from spool import config, console
from spool.errors import SpoolError
from spool.files.layout import Directory
from spool.files.run import End, EndSource
from spool.identity import MaskedToken, become_service, credentials_directory, open_token

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives root up")


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Return what the kernel was asked for, without being root."""
    made: list[tuple[str, Any]] = []
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda value, name=name: made.append((name, value)))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return made


class Owned:
    """A state directory of somebody."""

    def __init__(self, uid: int, gid: int) -> None:
        self.st_uid, self.st_gid = uid, gid

    def stat(self) -> Owned:
        """Return whose it is."""
        return self


def owned(uid: int, gid: int) -> Any:
    """Return a state directory of somebody."""
    return Owned(uid, gid)


def test_groups_go_before_the_user(calls: list[tuple[str, Any]]) -> None:
    """Afterwards nobody may change them."""
    user = pwd.getpwnam("nobody")
    become_service(owned(user.pw_uid, 0))

    groups = os.getgrouplist("nobody", user.pw_gid)
    assert [("setgroups", groups), ("setgid", user.pw_gid), ("setuid", user.pw_uid)] == calls


def test_an_owner_without_a_name_has_the_group_of_the_directory(
    calls: list[tuple[str, Any]],
) -> None:
    """The name service may not answer."""
    become_service(owned(2**31 - 7, 12))

    assert [("setgroups", [12]), ("setgid", 12), ("setuid", 2**31 - 7)] == calls


def test_who_is_not_root_stays_who_he_is(
    calls: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service itself, or an operator who gets an error where a right is missing."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    become_service(owned(5, 5))

    assert [] == calls


def test_a_state_directory_of_root_is_a_trial(calls: list[tuple[str, Any]]) -> None:
    """Nobody else is to be become."""
    become_service(owned(0, 0))

    assert [] == calls


def test_without_a_state_directory_there_is_nobody_to_become(
    calls: list[tuple[str, Any]], tmp_path: Path
) -> None:
    """And root does not go on as root."""
    with pytest.raises(SpoolError, match=r"No such file or directory; create it"):
        become_service(tmp_path / "none")

    assert [] == calls


def test_a_held_token_is_hidden_from_all_we_say(site: CommandSite) -> None:
    """The old one and the one that replaces it."""
    held = MaskedToken(config.load(site.config))
    held()
    site.token.write_text("made-up-new-one\n")
    held()

    assert "***, ***" == console.safe_line(f"{TOKEN}, made-up-new-one")


def test_a_replaced_token_has_another_fingerprint(site: CommandSite) -> None:
    """Reading it changes nothing about that."""
    held = open_token(config.load(site.config))
    before = [held.fingerprint(), held.fingerprint()]
    site.token.write_text("made-up-new-one\n")
    after = held.fingerprint()

    assert (1, True) == (len(set(before)), after != before[0])
    assert ("made-up-new-one", after) == (held(), held.fingerprint())


def test_a_token_in_the_configuration_never_changes(site: CommandSite) -> None:
    """But with the configuration itself."""
    site.document["cc-backend"] = {"host": "http://127.0.0.1:9", "apikey": TOKEN}
    site.write()
    held = open_token(config.load(site.config))

    assert (None, TOKEN, None) == (held.path, held(), held.fingerprint())


def test_a_token_that_cannot_be_read_is_told_at_its_use(site: CommandSite) -> None:
    """Many commands do without it."""
    site.token.unlink()
    held = open_token(config.load(site.config))

    with pytest.raises(TokenError, match="cannot be opened"):
        held()


@pytest.mark.parametrize("is_in_a_file", [True, False])
def test_an_expired_token_is_not_used(
    site: CommandSite,
    is_in_a_file: bool,  # noqa: FBT001 - a table
) -> None:
    """Its last second is the one before `exp`; looking at it goes on."""
    expires_at_5 = "e30.eyJleHAiOjV9.c2ln"  # {}, {"exp":5}
    if not is_in_a_file:
        site.document["cc-backend"] = {"host": "http://127.0.0.1:9", "apikey": expires_at_5}
        site.write()
    site.token.write_text(expires_at_5)
    now = 4.9
    held = MaskedToken(config.load(site.config), clock=lambda: now)
    in_time = held()
    now = 5.0

    assert (expires_at_5, 5.0) == (in_time, held.current().expires_at)
    with pytest.raises(TokenError, match="the token has expired; write a new token to this file"):
        held()


def test_a_credential_of_systemd_comes_first(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If there is one."""
    directory = site.root / "credentials"
    directory.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    without = MaskedToken(config.load(site.config)).path
    (directory / "token").write_text("made-up-credential\n")
    (directory / "token").chmod(0o400)
    held = open_token(config.load(site.config))

    assert (site.token, directory / "token") == (without, held.path)
    assert "made-up-credential" == held()
    assert 0 == site.call("status").code


def test_no_credentials_is_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run by hand have none."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    by_hand = credentials_directory()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")

    assert (None, Path("/run/credentials/x")) == (by_hand, credentials_directory())


@pytest.fixture
def installed() -> Iterator[CommandSite]:
    """Return a site as an installation makes it: the service is nobody, root has the rest."""
    user = pwd.getpwnam("nobody")
    root = Path(tempfile.mkdtemp(prefix="cc-slurm-sync-"))  # pytest's own lets nobody through
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
    """Return a directory with our packages and all they need, which every user can read.

    The project and its environment may lie where the service may not go, below /root for example.
    """
    place = Path(tempfile.mkdtemp(prefix="cc-slurm-sync-"))
    place.chmod(0o755)
    wheels = place / "wheels"
    wheels.mkdir()
    wheel_house.fill(wheels)
    for wheel in wheels.iterdir():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def python(libraries: Path) -> str:
    """Return a Python that the service may run as well: one below /root it may not."""
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
    """Calls `cc-spool` as root in a process of its own."""

    def __init__(self, site: CommandSite, python: str, libraries: Path) -> None:
        self.site = site
        self._python, self._libraries = python, libraries

    def __call__(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Return what it said."""
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
    """Return what calls commands as root."""
    return ByRoot(installed, python, libraries)


def owners(site: CommandSite) -> dict[str, str]:
    """Return who owns each file below spool and state directory."""
    files = [path for top in (site.spool, site.state) for path in top.rglob("*") if path.is_file()]
    return {path.name: path.owner() for path in files}


@as_root
def test_files_of_a_command_started_by_root_belong_to_the_service(
    installed: CommandSite, by_root: ByRoot
) -> None:
    """The run, and the log."""
    run = installed.put(Directory.DEAD, run_of(5, last_error=REFUSED))
    said = by_root("retry", "ALL", "--log-file", f"{installed.state}/log")

    assert (0, f"{run.name} is requeued\n") == (said.returncode, said.stdout), said.stderr
    assert {run.name: "nobody", "log": "nobody"} == owners(installed)


@as_root
def test_a_drain_started_by_root_works_as_the_service(
    installed: CommandSite, by_root: ByRoot
) -> None:
    """Lock, drain state, state and archive are the service's; the token is root's alone."""
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
def test_root_opens_no_file_of_the_spool_as_root(installed: CommandSite, by_root: ByRoot) -> None:
    """What the service may not read is not read."""
    path = installed.spool / "open" / f"5-{NOON}.json"
    path.write_text("{}")
    path.chmod(0o600)
    said = by_root("list", "--json")

    assert '"waits": "cannot be used: Permission denied"' in said.stdout


@as_root
def test_a_spool_that_the_service_may_not_open_is_a_missing_right(
    installed: CommandSite, by_root: ByRoot
) -> None:
    """Exit code 77."""
    os.chown(installed.spool / "dead", 0, 0)
    (installed.spool / "dead").chmod(0o700)
    said = by_root("list")

    assert 77 == said.returncode
    assert "Permission denied; run the command as root or as the service user" in said.stderr


@as_root
def test_a_log_that_the_service_may_not_write_is_a_missing_right(
    installed: CommandSite, by_root: ByRoot
) -> None:
    """Root does not make it either."""
    said = by_root("list", "--log-file", f"{installed.root}/log")

    assert 77 == said.returncode
    assert not (installed.root / "log").exists()
