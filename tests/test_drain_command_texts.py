"""Scripts that `cc-spool drain` reads, and texts that the configuration turns off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_site import TOKEN, CommandSite
from drain_command_site import Served, drain_site, time_limit
from standin_slurm.controller import Controller
from stub_server import StubServer


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End a drain that does not end by itself."""
    with time_limit():
        yield


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a cc-backend that knows our token."""
    with StubServer(Served(token=TOKEN)) as stub:
        yield stub


@pytest.fixture
def site(tmp_path: Path, server: StubServer) -> CommandSite:
    """Return a site with that server, a silent Slurm, and a run to be delivered."""
    return drain_site(tmp_path / "site", server)


def script_sent(server: StubServer, job_id: int) -> str | None:
    """Return the script of a job as the server received it."""
    bodies = [json.loads(each.body) for each in server.log if each.path.endswith("/start_job/")]
    (body,) = (body for body in bodies if body["jobId"] == job_id)
    script = body.get("metaData", {}).get("jobScript")
    return None if script is None else str(script)


def with_slurm(site: CommandSite) -> Controller:
    """Give a site a Slurm that answers."""
    controller = Controller(site.root / "slurm", "24.11", spool=site.spool)
    commands = ("squeue", "sacct", "scontrol")
    site.document["slurm"] = {name: str(controller.command(name)) for name in commands}
    site.write()
    return controller


@pytest.mark.parametrize("is_configured", [True, False])
def test_scripts_are_read_where_slurmctld_keeps_them(
    site: CommandSite, server: StubServer, *, is_configured: bool
) -> None:
    """The directory is `slurm.state_save_location`, or that of `scontrol show config`."""
    slurm = with_slurm(site)
    job_id = slurm.start({"n2cn0101": [0, 1]})
    kept = slurm.saved
    if is_configured:
        kept = site.root / "elsewhere"
        site.document["slurm"]["state_save_location"] = str(kept)
        site.write()
    path = kept / f"hash.{job_id % 10}" / f"job.{job_id}" / "script"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"#!/bin/sh\n: as kept\n\0")
    said = site.call("drain", "--once")

    assert ("#!/bin/sh\n: as kept\n", 0) == (script_sent(server, job_id), said.code), said.err


@pytest.mark.parametrize("setting", ["job_script", "slurm_info"])
def test_a_script_turned_off_in_the_configuration_is_not_sent(
    site: CommandSite, server: StubServer, setting: str
) -> None:
    """`metadata.job_script` false withholds the script; `metadata.slurm_info` false does not."""
    slurm = with_slurm(site)
    site.document["metadata"] = {setting: False}
    site.write()
    job_id = slurm.start({"n2cn0101": [0, 1]})
    site.call("drain", "--once")

    assert (setting == "slurm_info") is (script_sent(server, job_id) is not None)
