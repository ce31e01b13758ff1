"""Node states on real Slurm: nodes are driven through their states and read live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_lab import RELEASES, Lab, Settings, require_slurm, require_tree, wait_until

from ccbackend.node_states import node_condition
from slurm.client import Slurm
from slurm.commands import CommandPaths
from slurm.decode.node_states import NodeRecord
from slurm.process import ProcessRunner

pytestmark = pytest.mark.slurm


class Site:
    """A cluster, and its nodes as they are reported."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        paths = CommandPaths(
            squeue=lab.command("squeue"),
            sacct=lab.command("sacct"),
            scontrol=lab.command("scontrol"),
            conf=Path(lab.conf),
        )
        self.client = Slurm(paths, ProcessRunner())

    def node(self, name: str) -> NodeRecord:
        """Return a node as it is now."""
        (found,) = (each for each in self.client.node_listing().nodes if each.name == name)
        return found

    def condition(self, name: str) -> str | None:
        """Return the word that is reported of a node."""
        return node_condition(self.node(name).words)

    def update(self, name: str, state: str, *more: str) -> None:
        """Set the state of a node."""
        self.lab.run("scontrol", "update", f"nodename={name}", f"state={state}", *more)

    def resume(self, name: str) -> None:
        """Return a node to service and wait for it."""
        self.update(name, "resume")
        wait_until(lambda: self.condition(name) == "idle", f"{name} to be idle")


@pytest.fixture(scope="module", params=RELEASES)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Run a cluster of one release."""
    require_slurm()
    with Lab(Settings(tree=require_tree(request.param))) as lab:
        yield Site(lab)


def test_every_node_of_a_new_cluster_is_idle(site: Site) -> None:
    """`scontrol show node` lists all six nodes with their partitions."""
    listing = site.client.node_listing()

    assert {"idle"} == {node_condition(node.words) for node in listing.nodes}
    assert (6, (), 0) == (len(listing.nodes), listing.duplicates, listing.bad_lines)
    assert {"cpu", "gpu"} == {node.partitions[0] for node in listing.nodes}


def test_a_job_allocates_cpus_memory_and_gpus(site: Site) -> None:
    """The node of the job is mixed, also while it drains; after the job it is down (drained)."""
    job = site.lab.jobs.sbatch(
        *("-p", "gpu", "-w", "n2gpu01", "--gres=gpu:a100:3", "-n2", "--mem=1500"),
        script="sleep 300",
    )
    site.lab.jobs.wait_state(job, "RUNNING")
    node = site.node("n2gpu01")

    assert ("mixed", 1500, 3) == (site.condition("n2gpu01"), node.memory_mb, node.gpus)
    assert node.cpus >= 2
    site.update("n2gpu01", "drain", "reason=test")
    assert "mixed" == site.condition("n2gpu01")
    site.lab.jobs.cancel(job)
    wait_until(lambda: site.condition("n2gpu01") == "down", "the drained node to be empty")
    site.resume("n2gpu01")


def test_a_node_with_an_exclusive_job_is_allocated(site: Site) -> None:
    """All 16 CPUs of the node are allocated; after the job the node is idle again."""
    job = site.lab.jobs.sbatch("-p", "cpu", "-w", "n2cn004", "--exclusive", script="sleep 300")
    site.lab.jobs.wait_state(job, "RUNNING")

    assert ("allocated", 16) == (site.condition("n2cn004"), site.node("n2cn004").cpus)
    site.lab.jobs.cancel(job)
    wait_until(lambda: site.condition("n2cn004") == "idle", "the node to be free")


def test_a_drained_node_is_down(site: Site) -> None:
    """A drained node takes no job; `State=IDLE` in its reason is not read as a state."""
    site.update("n2cn001", "drain", "reason=State=IDLE ThreadsPerCore=1")

    assert "down" == site.condition("n2cn001")
    site.resume("n2cn001")


def test_a_node_set_down_is_down(site: Site) -> None:
    """A node that an administrator set down stays down until it is resumed."""
    site.update("n2cn002", "down", "reason=fan")

    assert "down" == site.condition("n2cn002")
    site.resume("n2cn002")


def test_a_node_in_maintenance_is_down_and_a_reserved_node_reserved(site: Site) -> None:
    """The empty node in maintenance is IDLE, MAINTENANCE and RESERVED in Slurm."""
    common = ("starttime=now", "duration=60", "users=root")
    site.lab.run(
        *("scontrol", "create", "reservation", "reservationname=m", "nodes=n2cn003"),
        *("flags=maint,ignore_jobs", *common),
    )
    site.lab.run(
        *("scontrol", "create", "reservation", "reservationname=r", "nodes=n2cn004"),
        *("flags=ignore_jobs", *common),
    )
    wait_until(lambda: site.condition("n2cn004") == "reserved", "the reservation to begin")
    wait_until(lambda: site.condition("n2cn003") == "down", "the maintenance to begin")

    assert {"IDLE", "MAINTENANCE", "RESERVED"} == site.node("n2cn003").words


def test_a_forged_record_in_a_comment_is_not_reported(site: Site) -> None:
    """A comment that looks like the record of n2cn001 makes it occur twice: it is left out."""
    line = next(
        each
        for each in site.lab.run("scontrol", "-a", "-d", "-o", "show", "node").stdout.splitlines()
        if each.startswith("NodeName=n2cn001 ")
    )
    forged = line.replace("State=IDLE", "State=DOWN")
    site.lab.run("scontrol", "update", "nodename=n2cn002", f"comment=x\n{forged}")

    listing = site.client.node_listing()
    assert "n2cn001" not in {node.name for node in listing.nodes}
    assert ("n2cn001",) == listing.duplicates
