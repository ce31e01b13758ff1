"""Further instances on one host, set up as docs/several-servers.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_lab import HOOKS, NEW, OLD, ROOT, SPOOL, SUITES, Kit, Site
from slurm_lab import wait_until
from stub_server import Model, StubServer

pytestmark = pytest.mark.packages
PAGE = (ROOT / "docs/several-servers.md").read_text()
UNITS = Path("/usr/lib/systemd/system")
SETTINGS, STATE = "/etc/cc-slurm-sync/test", "/var/lib/cc-slurm-sync-test"
DRAIN, TIMER = "cc-spool@test.service", "cc-sweep@test.timer"


def commands(heading: str) -> str:
    """Return the first block of commands that follows some words of the page."""
    block = re.search(r"(?:^ {8}.*\n+)+", PAGE[PAGE.index(heading) :], re.MULTILINE)
    assert block is not None
    return block.group()


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """Return the packages that all tests of a run share."""
    return Kit.of(tmp_path_factory)


@pytest.fixture(params=SUITES)
def site(request: pytest.FixtureRequest, kit: Kit) -> Iterator[Site]:
    """Return a system with an older package and a second instance, both configured."""
    with Site(kit.layers(request.param, OLD)) as site:
        site.configure()
        site.run(commands("1. Directories") + f"mkdir {SETTINGS}\n" + commands("3. Hooks"))
        site.run(f"cp -p /etc/cc-slurm-sync/* {SETTINGS} || true")
        yield site


@pytest.fixture
def second(site: Site) -> Iterator[StubServer]:
    """Return the server that the second instance reports to."""
    with StubServer(Model(version="1.5.4", token="TOKEN:api")) as server:
        text = site.run(f"cat {SETTINGS}/config.json").replace(
            f'"host": "{site.server.url}"',
            f'"host": "{server.url}", "token_file": "{SETTINGS}/token"',
        )
        own = f'"spool": {{"directory": "{SPOOL}-test", "state_directory": "{STATE}"}}'
        site.write(
            f"{SETTINGS}/config.json",
            text.replace("{", "{" + own + ",", 1),
            mode=0o640,
            owner="root:cc-slurm-sync",
        )
        site.run(f"systemctl enable --now cc-spool.service {DRAIN} {TIMER}")
        yield server


def call_stub(site: Site, job: int) -> None:
    """Run the second instance's hook for a job as slurmctld does."""
    environment = f"SLURM_JOB_ID={job} SLURM_JOB_START_TIME=100"
    site.run(
        f"env {environment} setpriv --reuid slurm --clear-groups {HOOKS}/prolog_slurmctld-test"
    )


def upgrade(site: Site, kit: Kit) -> str:
    """Install the new version; return what was printed."""
    package = kit.deb(NEW)
    site.file(f"/root/{package.name}").write_bytes(package.read_bytes())
    return site.run(f"dpkg -i /root/{package.name}; rm /root/{package.name}")


@pytest.mark.usefixtures("second")
def test_an_upgrade_restarts_the_services_of_all_instances(site: Site, kit: Kit) -> None:
    """The output names each service; the event of the second instance stays in its own spool."""
    call_stub(site, 7)
    wait_until(lambda: site.run(f"ls {SPOOL}-test/todo {SPOOL}-test/open") != "", "the event")
    said = upgrade(site, kit)

    for unit in ("cc-spool.service", DRAIN):
        assert f"{unit} runs the new version now: cc-spool {NEW} (before: {OLD}-1)" in said
        assert f"cc-slurm-sync {NEW} started" in site.journal(unit)
    assert [] == site.spool()
    assert "active" == site.property(TIMER, "ActiveState")


@pytest.mark.usefixtures("second")
def test_an_upgrade_restarts_an_instance_beside_a_stopped_service(site: Site, kit: Kit) -> None:
    """Only a service that ran before runs afterwards."""
    site.run("systemctl stop cc-spool.service")
    said = upgrade(site, kit)

    assert f"{DRAIN} runs the new version now" in said
    assert "inactive" == site.property("cc-spool.service", "ActiveState")


@pytest.mark.usefixtures("second")
def test_a_removal_stops_and_disables_the_instances(site: Site) -> None:
    """Settings, spool and state of the second instance stay."""
    process = site.property(DRAIN, "MainPID")
    site.run("dpkg -r cc-slurm-sync")

    assert "" == site.run("find /etc/systemd/system -name 'cc-s*'")
    assert "" == site.run(f"test ! -d /proc/{process} || cat /proc/{process}/cmdline")
    site.run(f"test -f {SETTINGS}/config.json -a -d {SPOOL}-test -a -d {STATE}")


@pytest.mark.usefixtures("second")
def test_a_purge_keeps_only_a_spool_with_undelivered_runs(site: Site) -> None:
    """The second instance's spool has an undelivered event; the empty first spool is removed."""
    site.run(f"systemctl stop {DRAIN}")
    call_stub(site, 7)
    said = site.run("dpkg -P cc-slurm-sync")
    left = site.run("find / -xdev -path '*cc-slurm-sync*' -type f").split()

    assert f"{SPOOL}-test was kept: it holds undelivered runs (files: 1)." in said
    assert [f"{SPOOL}-test/new"] == [str(Path(name).parent) for name in left]
    assert "" == site.run(f"ls -d {SPOOL} {STATE} {HOOKS} 2>/dev/null", check=False)


@pytest.mark.usefixtures("second")
def test_a_purge_of_empty_spools_removes_all_files(site: Site) -> None:
    """`dpkg -P` removes the directories of all instances and the user."""
    site.run("dpkg -P cc-slurm-sync")

    assert "" == site.run("find / -xdev -path '*cc-slurm-sync*'")
    assert "" == site.run("grep cc-slurm-sync /etc/passwd", check=False)


def test_a_unit_template_differs_from_its_unit_only_in_paths(site: Site) -> None:
    """cc-spool@ and cc-sweep@ name settings, spool and state of the instance."""
    for name, verb in (("cc-spool", "drain"), ("cc-sweep", "apply")):
        one = site.run(f"cat {UNITS}/{name}.service").splitlines()
        many = site.run(f"cat {UNITS}/{name}@.service").splitlines()

        assert {
            f"ExecStart=/usr/bin/{name} {verb} -c /etc/cc-slurm-sync/%i/config.json",
            "StateDirectory=cc-slurm-sync-%i",
            f"ReadWritePaths={SPOOL}-%i",
            "ReadWritePaths=/var/lib/cc-slurm-sync-%i",
            "#LoadCredential=token:/etc/cc-slurm-sync/%i/token",
        } == {line for line in set(many) - set(one) if not line.startswith("Description=")}
