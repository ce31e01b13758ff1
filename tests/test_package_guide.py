"""docs/install.md: its commands, typed as they are printed, lead to a reported job."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from package_lab import HOOKS, ROOT, SUITES, Kit, Site, require_tree
from slurm_lab import wait_until

pytestmark = pytest.mark.packages
GUIDE = (ROOT / "docs/install.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
AS_SLURM_USER = next(block for block in BLOCKS if "User=slurm" in block)
STORY = [block for block in BLOCKS if block != AS_SLURM_USER]


@pytest.fixture(scope="module", params=SUITES)
def guided(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Return a system with Slurm on which the commands of the guide were run in their order."""
    kit = Kit.of(tmp_path_factory)
    with Site([require_tree(request.param)]) as site:
        site.start_slurm(hooks=False)
        package = kit.deb()
        site.file(f"/root/{package.name}").write_bytes(package.read_bytes())
        site.write("/root/token.txt", "TOKEN:api\n")
        for block in STORY:
            text = re.sub(r"cc-slurm-sync_\S+_all\.deb", package.name, block)
            text = text.replace("https://cc.example.org", site.server.url)
            text = text.replace('"fritz"', '"lab"')
            warns = "check --full" in text  # about permissions: there is no accounting
            site.run(f"cd /root\n{text}", check=not warns)
        yield site


def report(site: Site) -> None:
    """Run a job, and wait until the server has its start and its end."""
    wait_until(lambda: "idle" in site.run("sinfo -h -o %t", check=False), "an idle node")
    job = site.submit("sleep 1")
    site.wait(job, "running")
    site.wait(job, "completed")


def test_the_commands_of_the_install_guide_report_a_job(guided: Site) -> None:
    """docs/install.md covers package, token, configuration, hooks, check and start."""
    report(guided)

    checked = guided.run("cc-spool check --full", check=False)
    assert [] == re.findall(r"^\[CRITICAL\].*", checked, re.MULTILINE)
    for line in ("drain: process", "PrologSlurmctld", "EpilogSlurmctld", "server token", "hosts"):
        assert f"[OK] {line}" in checked
    assert "enabled\n" == guided.run("systemctl is-enabled cc-sweep.timer")


def test_the_service_can_run_as_slurm_user(guided: Site) -> None:
    """The commands of docs/install.md change the owner of all files; systemd-tmpfiles keeps it."""
    guided.run(AS_SLURM_USER)
    guided.run("systemd-tmpfiles --create cc-slurm-sync.conf; systemctl start cc-spool.service")
    report(guided)
    process = guided.property("cc-spool.service", "MainPID")

    assert "slurm\n" == guided.run(f"stat -c %U /proc/{process}")
    assert "[OK] drain: process" in guided.run("cc-spool check", check=False)


def test_the_install_guide_names_the_hook_stubs_of_the_package(guided: Site) -> None:
    """Each path below the directory of the hooks in docs/install.md is an executable file."""
    named = set(re.findall(rf"{HOOKS}/\w+", GUIDE))

    assert {f"{HOOKS}/prolog_slurmctld", f"{HOOKS}/epilog_slurmctld"} == named
    guided.run(f"test -x {HOOKS}/prolog_slurmctld -a -x {HOOKS}/epilog_slurmctld")
