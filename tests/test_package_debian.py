"""The package in Debian 12 and 13 with systemd and Slurm, from installation to purge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from package_lab import (
    HOOKS,
    NEW,
    NEXT_SUITE,
    OLD,
    ROOT,
    SPOOL,
    SUITES,
    Kit,
    Machine,
    MachineError,
    Site,
)
from slurm_lab import wait_until

pytestmark = pytest.mark.packages
ALL_FILES = "find / -xdev -path '*cc-slurm-sync*' -o -xdev -name 'cc-s[pw]*'"
STATE = "/var/lib/cc-slurm-sync"
CONFIG = "/etc/cc-slurm-sync/config.json"


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """Return the packages that all tests of a run share."""
    return Kit.of(tmp_path_factory)


@pytest.fixture(params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """Return the name of a Debian release."""
    return str(request.param)


@pytest.fixture
def site(kit: Kit, suite: str) -> Iterator[Site]:
    """Return a system with the package installed and configured, and nothing started."""
    with Site(kit.layers(suite)) as site:
        site.configure()
        yield site


def install(machine: Machine, kit: Kit, version: str) -> str:
    """Install a version with dpkg; return what it printed."""
    package = kit.deb(version)
    machine.file(f"/root/{package.name}").write_bytes(package.read_bytes())
    return machine.run(f"dpkg -i /root/{package.name}; rc=$?; rm /root/{package.name}; exit $rc")


def test_an_installation_starts_no_service(kit: Kit, suite: str) -> None:
    """The package creates the user, the directories and the hooks, and prints the next steps."""
    with Machine(*kit.layers(suite)) as machine:
        units = "cc-spool.service cc-sweep.service cc-sweep.timer"
        state = machine.run(
            f"systemctl is-active {units}; systemctl is-enabled {units}", check=False
        )
        owners = machine.run(f"stat -c '%U:%G %a' {SPOOL} {SPOOL}/new {SPOOL}/todo {STATE}")
        hooks = machine.run(f"ls {HOOKS}")

    assert ["inactive"] * 3 + ["disabled", "static", "disabled"] == state.split()
    service = "cc-slurm-sync:cc-slurm-sync"
    expected = [f"{service} 755", "slurm:cc-slurm-sync 2770", f"{service} 750", f"{service} 750"]
    assert expected == owners.splitlines()
    assert "epilog_slurmctld\nprolog_slurmctld\nspool_event\n" == hooks
    assert "nothing was started. The hooks run as slurm (SlurmUser). Next:" in kit.said(suite)


def test_the_printed_next_steps_start_the_service(kit: Kit, suite: str) -> None:
    """The commands work as they are printed; config.json is edited between them."""
    with Site(kit.layers(suite)) as site:
        site.configure()  # the token
        lines = [line.strip() for line in kit.said(suite).splitlines()]
        (copy,) = (line for line in lines if line.startswith("install -m 640"))
        (enable,) = (line for line in lines if line.startswith("systemctl enable"))
        site.run(copy)
        edit = f"s,yournamehere,lab,; s,https://cc.example.org,{site.server.url},"
        site.run(f"sed -i '{edit}' {CONFIG}")
        site.run(enable)
        checked = site.run("cc-spool check", check=False)

    assert "[OK] drain: process" in checked


@pytest.mark.parametrize(
    ("suite", "python"), [("bookworm", "3.11"), ("trixie", "3.13"), (NEXT_SUITE, "3.14")]
)
def test_a_job_is_reported_with_the_python_of_the_release(site: Site, python: str) -> None:
    """A real Slurm job passes hooks, spool and drain; the drain runs the Python of Debian."""
    site.start_slurm()
    site.start_service()
    job = site.submit("sleep 1")
    site.wait(job, "running")
    site.wait(job, "completed")
    wait_until(lambda: site.spool() == [], "an empty spool")
    process = site.property("cc-spool.service", "MainPID")
    argv = site.run(f"tr '\\0' ' ' </proc/{process}/cmdline")

    program = f"/usr/lib/cc-slurm-sync/cc-spool drain -c {CONFIG}"
    assert f"/usr/bin/python{python} -I -S -B {program} " == argv


def test_modules_in_dist_packages_and_pythonpath_are_not_loaded(site: Site) -> None:
    """PYTHONPATH, dist-packages and HOME are ignored; root writes no bytecode."""
    foreign = "raise SystemExit('foreign')\n"
    for name in ("requests", "filelock", "json", "spool", "sitecustomize"):
        for top in ("/usr/lib/python3/dist-packages", "/root"):
            site.write(f"{top}/{name}.py", foreign)
    before = site.run("find /usr/lib/cc-slurm-sync /root | sort")
    said = site.run("cd /root; PYTHONPATH=/root HOME=/root cc-spool status", check=False)
    swept = site.run("cd /root; PYTHONPATH=/root HOME=/root cc-sweep plan", check=False)

    assert "foreign" not in said + swept
    assert "no complete answer from slurmctld" in swept
    assert before == site.run("find /usr/lib/cc-slurm-sync /root | sort")


def test_an_upgrade_delivers_the_runs_in_the_spool(kit: Kit, suite: str) -> None:
    """The service runs the new version; configuration and changed hook stubs stay."""
    with Site(kit.layers(suite, OLD)) as site:
        site.configure()
        site.start_slurm()
        site.start_service()
        running = site.submit("sleep 300")
        site.wait(running, "running")
        config = site.run(f"cat {CONFIG}")
        own = f"s,^#\\(CC_SLURM_SYNC_SPOOL=\\).*,\\1{SPOOL},"
        site.run(f"sed -i '{own}' {HOOKS}/prolog_slurmctld")
        with site.outage():
            pending = site.submit()
            wait_until(lambda: f"{pending}-" in str(site.spool("todo")), "a pending run")
            said = install(site, kit, NEW)
        site.wait(pending, "completed")
        site.run(f"scancel {running}")
        site.wait(running, "cancelled")
        log = site.journal("cc-spool.service")
        stub = site.run(f"cat {HOOKS}/prolog_slurmctld")

        assert config == site.run(f"cat {CONFIG}")
    assert f"cc-spool.service runs the new version now: cc-spool {NEW} (before: {OLD}-1)" in said
    assert log.index(f"cc-slurm-sync {OLD} started") < log.index(f"cc-slurm-sync {NEW} started")
    assert f"\nCC_SLURM_SYNC_SPOOL={SPOOL}\n" in stub


def test_an_upgrade_starts_no_stopped_service(site: Site, kit: Kit) -> None:
    """A service that is enabled, but was stopped by an administrator, stays inactive."""
    site.run("systemctl enable cc-spool.service")

    install(site, kit, OLD)

    assert "inactive" == site.property("cc-spool.service", "ActiveState")


def test_slurm_works_after_a_removal(site: Site) -> None:
    """The hook stubs stay without effect: slurmctld needs the files that slurm.conf names."""
    site.start_slurm()
    site.start_service()
    said = site.run("dpkg -r cc-slurm-sync")
    site.run("systemctl restart slurmctld")
    job = site.submit()
    wait_until(lambda: "COMPLETED" in site.run(f"scontrol show job {job}"), "the job")
    units = site.run("ls /etc/systemd/system/*.wants")

    assert "epilog_slurmctld\nprolog_slurmctld\n" == site.run(f"ls {HOOKS}")
    assert "The two hook stubs were kept: if slurm.conf names them" in said
    assert "inactive" == site.property("cc-spool.service", "ActiveState")
    assert "cc-s" not in units


def test_a_purge_keeps_a_spool_with_undelivered_runs(site: Site) -> None:
    """`dpkg -P` prints that it kept the spool; a later installation can deliver the runs."""
    site.write(f"{SPOOL}/todo/1-2.json", "{}")
    site.write("/etc/slurm/slurm.conf", f"PrologSlurmctld={HOOKS}/prolog_slurmctld\n")
    said = site.run("dpkg -P cc-slurm-sync")
    left = set(site.run(ALL_FILES).split())

    assert f"{SPOOL} was kept: it holds undelivered runs (files: 1)." in said
    assert {HOOKS, f"{HOOKS}/prolog_slurmctld", f"{HOOKS}/epilog_slurmctld"} == {
        path for path in left if not path.startswith(SPOOL)
    }


def test_a_purge_with_an_empty_spool_removes_all_files(site: Site) -> None:
    """`dpkg -P` removes all files of the package, its directories, its user and its group."""
    site.start_service()
    site.run("cc-spool status")
    site.run("dpkg -P cc-slurm-sync")

    assert "" == site.run(ALL_FILES)
    assert "" == site.run("grep cc-slurm-sync /etc/passwd /etc/group", check=False)


@pytest.mark.parametrize("script", ["install", "uninstall"])
def test_make_install_and_uninstall_refuse_beside_a_package(kit: Kit, script: str) -> None:
    """An installation in /opt would share configuration, hooks and spool with the package."""
    with Site(kit.layers("bookworm")) as site:
        for path in [each for each in (ROOT / "deploy").iterdir() if each.is_file()]:
            site.write(f"/root/deploy/{path.name}", path.read_text(), mode=0o755)

        with pytest.raises(MachineError, match="cc-slurm-sync is installed as a package"):
            site.run(f"/root/deploy/{script}")
        assert "spool_event" in site.run(f"ls {HOOKS}")


def test_the_package_is_not_installed_beside_make_install(kit: Kit) -> None:
    """Units and commands in /usr/local would hide those of the package: dpkg refuses."""
    with Site(kit.layers("bookworm")) as site:
        site.run("dpkg -P cc-slurm-sync")
        site.write("/opt/cc-slurm-sync/venv/bin/cc-spool", "")

        with pytest.raises(
            MachineError, match=r"installed in /opt/cc-slurm-sync, by `make install`"
        ):
            install(site, kit, NEW)
