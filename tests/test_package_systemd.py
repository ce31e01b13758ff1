"""The installed service under a real systemd, with all settings of its units."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_lab import ROOT, SPOOL, SUITES, Kit, Site
from slurm_lab import wait_until

pytestmark = pytest.mark.packages
SERVICE, SWEEP, TIMER = "cc-spool.service", "cc-sweep.service", "cc-sweep.timer"
PRIVATE_TMP = "/tmp"  # noqa: S108 - the service has one of its own
TOKEN = "/etc/cc-slurm-sync/token"


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """Return the packages that all tests of a run share."""
    return Kit.of(tmp_path_factory)


@pytest.fixture(scope="module", params=SUITES)
def system(request: pytest.FixtureRequest, kit: Kit) -> Iterator[Site]:
    """Return a running system with the package; each test leaves it stopped."""
    with Site(kit.layers(request.param)) as site:
        yield site


@pytest.fixture
def site(system: Site) -> Iterator[Site]:
    """Return the system, configured, with nothing started."""
    system.configure()
    yield system
    system.run(f"systemctl disable --now {SERVICE} {TIMER}; systemctl stop {SWEEP}")
    system.run("rm -rf /etc/systemd/system/cc-*.d; systemctl daemon-reload; systemctl reset-failed")


def drop_in(site: Site, unit: str, *lines: str, section: str = "Service") -> None:
    """Change a unit as `systemctl edit` does."""
    text = "\n".join([f"[{section}]", *lines, ""])
    site.write(f"/etc/systemd/system/{unit}.d/override.conf", text)
    site.run("systemctl daemon-reload")


def restarted(site: Site, process: str) -> bool:
    """Return whether the service runs as another process."""
    is_active = site.property(SERVICE, "ActiveState") == "active"
    return is_active and site.property(SERVICE, "MainPID") not in {"0", process}


def start(site: Site) -> str:
    """Start the service; return its process id."""
    site.start_service()
    return site.property(SERVICE, "MainPID")


def test_a_start_ends_when_the_service_is_ready(site: Site) -> None:
    """`systemctl start` waits for the notification of the process itself."""
    start(site)

    found = [site.property(SERVICE, name) for name in ("Type", "ActiveState", "SubState")]
    assert ["notify", "active", "running"] == found
    assert "enabled\n" == site.run(f"systemctl is-enabled {SERVICE}")


def test_a_service_that_hangs_is_restarted(site: Site) -> None:
    """The watchdog ends a process that does not notify systemd in time."""
    drop_in(site, SERVICE, "WatchdogSec=2", "RestartSec=0")
    process = start(site)

    site.run(f"kill -STOP {process}")

    wait_until(lambda: restarted(site, process), "a new process")
    assert "Watchdog timeout" in site.journal(SERVICE)


def test_a_service_that_crashed_is_restarted(site: Site) -> None:
    """The lock of the killed process does not block the new one."""
    drop_in(site, SERVICE, "RestartSec=0")
    process = start(site)

    site.run(f"kill -KILL {process}")

    wait_until(lambda: restarted(site, process), "a new process")


def test_a_service_with_a_wrong_configuration_is_not_restarted(site: Site) -> None:
    """A wrong key needs an administrator: exit code 78, and the journal names the key."""
    drop_in(site, SERVICE, "RestartSec=0")
    site.configure(clustername=7)

    site.run(f"systemctl start {SERVICE}", check=False)

    found = [
        site.property(SERVICE, name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")
    ]
    assert ["failed", "78", "0"] == found
    assert "clustername" in site.journal(SERVICE)


def test_a_reload_keeps_the_process(site: Site) -> None:
    """`systemctl reload` logs that the configuration was reloaded; the main PID stays the same."""
    process = start(site)
    site.configure(ignoreHosts="^login")

    site.run(f"systemctl reload {SERVICE}")

    wait_until(lambda: "the configuration was reloaded" in site.journal(SERVICE), "a reload")
    assert process == site.property(SERVICE, "MainPID")


def test_the_token_can_be_a_systemd_credential(site: Site) -> None:
    """With the unit's LoadCredential line it is enough that root can read the token file."""
    site.run(f"chown root:root {TOKEN}; chmod 600 {TOKEN}")
    (line,) = (
        each.lstrip("#")
        for each in site.run(f"systemctl cat {SERVICE}").splitlines()
        if each.startswith("#LoadCredential=")
    )
    drop_in(site, SERVICE, line)
    before = len(site.server.log)

    start(site)

    wait_until(lambda: 200 in [each.status for each in site.server.log[before:]], "an answer")
    assert f"LoadCredential=token:{TOKEN}" == line


def test_the_timer_runs_the_sweep(site: Site) -> None:
    """cc-sweep.timer starts cc-sweep.service each time it elapses, and stays active."""
    often = ("OnCalendar=*:*:0/2", "RandomizedDelaySec=0", "AccuracySec=1ms")
    drop_in(site, TIMER, *often, section="Timer")
    site.run(f"systemctl enable --now {TIMER}")

    wait_until(lambda: site.journal(SWEEP).count("slurmctld") > 1, "a second sweep")
    assert "active" == site.property(TIMER, "ActiveState")


def test_the_service_process_is_hardened(site: Site) -> None:
    """The process has no capabilities, a seccomp filter, and few writable directories."""
    process = start(site)
    status = dict(
        line.split(":", 1) for line in site.run(f"cat /proc/{process}/status").splitlines()
    )
    keys = ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")
    inside = f"nsenter -t {process} -m --"
    writable = site.run(
        f"for d in / /usr /etc /var /var/lib /boot {SPOOL} {PRIVATE_TMP}; do"
        f" {inside} test -w $d && echo $d; done",
        check=False,
    )
    site.write("/home/secret", "x")
    hidden = site.run(f"{inside} ls /home /root; {inside} ls /dev", check=False)

    assert ["0" * 16, "0" * 16, "1", "2"] == [status[key].strip() for key in keys]
    assert [SPOOL, PRIVATE_TMP] == writable.split()
    assert "secret" not in hidden
    assert "console" not in hidden.split()
    assert "cc-slurm-sync" == site.run(f"stat -c %U /proc/{process}").strip()


def test_metrics_are_written_where_the_units_allow_it(site: Site) -> None:
    """The ReadWritePaths line of docs/monitoring.md lets both units write the metrics file."""
    page = (ROOT / "docs/monitoring.md").read_text()
    (directory,) = re.findall(r"^ +(ReadWritePaths=\S+)$", page, re.MULTILINE)
    path = f"{directory.partition('=')[2]}/cc-slurm-sync.prom"
    owners = re.findall(r"^ +(?:chgrp|chmod) .*node-exporter$", page, re.MULTILINE)
    site.run("\n".join([f"mkdir -p {Path(path).parent}", *owners]))
    site.configure(metrics={"textfile": path})
    start(site)
    wait_until(lambda: f"{path} cannot be written" in site.journal(SERVICE), "a refusal")
    for unit in (SERVICE, SWEEP):
        drop_in(site, unit, directory)
    site.run(f"systemctl restart {SERVICE}")
    wait_until(lambda: site.file(path).exists(), "the file")
    site.run(f"systemctl stop {SERVICE}; rm {path}; systemctl start {SWEEP}", check=False)

    assert "cc-slurm-sync 644\n" == site.run(f"stat -c '%U %a' {path}")
    assert "\ncc_slurm_sync_build_info{" in site.file(path).read_text()


def test_the_service_has_low_exposure(site: Site) -> None:
    """`systemd-analyze security` gives an exposure level below 2 of 10."""
    line = site.run(f"systemd-analyze security --no-pager {SERVICE}").splitlines()[-1]

    assert float(line.split(":")[1].split()[0]) < 2, line


def test_the_journal_has_priorities(site: Site) -> None:
    """`journalctl -p warning` shows warnings and no information lines."""
    if not any("JOURNAL_STREAM" in path.read_text() for path in (ROOT / "spool").rglob("*.py")):
        pytest.skip("this version writes no priorities")
    site.configure(drain={"stop_hold_seconds": 1})
    start(site)

    lines = site.run(f"journalctl --no-pager -o json -u {SERVICE} -p warning").splitlines()
    found = [str(json.loads(line)["MESSAGE"]) for line in lines]
    assert any("stop_hold_seconds" in message for message in found)
    assert not any("started" in message for message in found)


def test_logrotate_rotates_the_log_file(site: Site) -> None:
    """The installed logrotate configuration has no error, and rotates a log of --log-file."""
    log = "/var/lib/cc-slurm-sync/drain.log"
    site.write(log, "x\n", owner="cc-slurm-sync:cc-slurm-sync")
    site.run("logrotate --force /etc/logrotate.d/cc-slurm-sync")

    assert site.file(f"{log}.1").exists()


def test_missing_directories_are_created_at_boot(site: Site) -> None:
    """systemd-tmpfiles creates a missing dead/; an owner that the site has chosen stays."""
    site.run(f"rm -r {SPOOL}/dead; chown daemon {SPOOL}/new")
    site.run("systemd-tmpfiles --create cc-slurm-sync.conf")
    owners = site.run(f"stat -c '%U:%G %a' {SPOOL}/dead {SPOOL}/new")
    site.run(f"chown slurm {SPOOL}/new")

    assert "cc-slurm-sync:cc-slurm-sync 750\ndaemon:cc-slurm-sync 2770\n" == owners


def test_the_timer_of_the_package_is_that_of_deploy(site: Site) -> None:
    """The installed cc-sweep.timer has the same text as deploy/cc-sweep.timer."""
    installed = site.run(f"cat /usr/lib/systemd/system/{TIMER}")

    assert Path(ROOT / "deploy" / TIMER).read_text() == installed
