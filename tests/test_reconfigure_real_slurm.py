"""`scontrol reconfigure` and a restart of slurmctld on real Slurm: only a restart may lose jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_lab import RELEASES, Lab, Settings, require_slurm, require_tree, wait_until

from slurm.client import Slurm
from slurm.cluster_survey import ClusterSurvey
from slurm.commands import CommandPaths
from slurm.decode.scontrol_config import config_time
from slurm.decode.scontrol_nodes import SLACK_SECONDS
from slurm.process import ProcessRunner

pytestmark = pytest.mark.slurm


class Site:
    """A cluster, and the queries of a sweep to it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        paths = CommandPaths(
            squeue=lab.command("squeue"),
            sacct=lab.command("sacct"),
            scontrol=lab.command("scontrol"),
            conf=Path(lab.conf),
        )
        self.slurm = Slurm(paths, ProcessRunner())
        self.survey = ClusterSurvey(paths, lab.command("sacctmgr"), ProcessRunner())

    def boot_time(self) -> int:
        """Return the start time that slurmctld reports."""
        return config_time(self.slurm.config(), "BOOT_TIME") or 0

    def wait_older(self) -> None:
        """Wait until all daemons are old enough to distinguish them from new ones."""
        started = time.time()
        wait_until(lambda: time.time() > started + SLACK_SECONDS + 1, "the daemons to be older")

    def wait_registered(self) -> None:
        """Wait until slurmctld knows the start time of every slurmd."""
        wait_until(
            lambda: "SlurmdStartTime=None" not in self.lab.run("scontrol", "show", "node").stdout,
            "the nodes to register",
        )


@pytest.fixture(scope="module", params=RELEASES)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Run a cluster of one release."""
    require_slurm()
    with Lab(Settings(tree=require_tree(request.param))) as lab:
        yield Site(lab)


def test_a_restart_of_slurmctld_is_not_taken_for_a_reconfiguration(site: Site) -> None:
    """Only slurmctld has a new start time, no slurmd has: jobs may have to be recovered."""
    site.wait_older()
    site.lab.controller.restart()
    site.wait_registered()

    assert not site.survey.was_reconfigured(site.boot_time())


def test_a_reconfiguration_is_not_taken_for_a_restart_of_slurmctld(site: Site) -> None:
    """From Slurm 23.11 on `scontrol reconfigure` changes the boot time; before, it stays."""
    before = site.boot_time()
    site.wait_older()
    site.lab.run("scontrol", "reconfigure")
    wait_until(lambda: site.slurm.ping()[0][2], "slurmctld to answer")
    site.wait_registered()

    after = site.boot_time()

    assert after == before or site.survey.was_reconfigured(after)
