"""The main scenarios against a real cc-backend: `CC_BACKEND=/path/to/binary make test-server`.

Each also runs against the stub of both generations, which shows that stub and server agree.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backend_site import CLUSTER, DESCRIPTION, BackendSite, Server, StubbedServer
from cc_backend_server import RealServer
from slurm_lab import wait_until

from ccbackend.metadata import MetadataPolicy
from ccbackend.outcomes import Outcome
from ccbackend.version import Version, server_info
from spool.files.sweep_state import SweepState

BINARY = os.environ.get("CC_BACKEND", "")
NEXT = os.environ.get("CC_BACKEND_NEXT", "")  # a later release, for the upgrade
HOUR = 3600
FINAL = "JobId=1 JobName=x\n   JobState=FAILED Reason=NonZeroExitCode\n"


@pytest.fixture(params=["1.4.4", "1.5.4", "real"], scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Return a server that runs: a stub of some release, or the real one."""
    if request.param != "real":
        with StubbedServer(request.param) as stub:
            yield stub
        return
    if not BINARY:
        pytest.skip("no real cc-backend: CC_BACKEND names no server binary")
    with RealServer(Path(BINARY).resolve(), tmp_path_factory.mktemp("cc-backend")) as real:
        yield real


@pytest.fixture
def site(server: Server, tmp_path: Path) -> Iterator[BackendSite]:
    """Return a site in front of the server, which keeps the jobs of earlier tests."""
    site = BackendSite(server, tmp_path)
    yield site
    site.close()


@pytest.fixture
def job_id() -> int:
    """Return a job id that no other test has."""
    return next(_IDS)


_IDS = iter(range(1000, 9000, 10))


def test_the_version_is_found_and_the_token_accepted(site: BackendSite) -> None:
    """The version is read from the login page."""
    probe = site.client().probe()

    assert server_info(site.server.version) == probe.server
    assert Outcome.DELIVERED is probe.reply.outcome


def test_clusters_and_nodes_are_listed(site: BackendSite) -> None:
    """cc-backend lists its clusters and their nodes from 1.3.0 on."""
    clusters = site.client().clusters().clusters
    known = {cluster.name: cluster for cluster in clusters or ()}

    assert site.server.version < Version(1, 3, 0) or known[CLUSTER].subcluster("n2cn001")


def test_a_wrong_token_halts_deliveries(site: BackendSite) -> None:
    """A probe with a wrong token has the outcome HALT, whatever the server's message is."""
    site.token = "abc"

    assert Outcome.HALT is site.client().probe().reply.outcome


def test_a_job_is_started_and_stopped_at_the_server(site: BackendSite, job_id: int) -> None:
    """The row has user, cores, walltime, script and the true duration of 600 s."""
    start = int(time.time()) - HOUR - job_id
    site.begin(job_id, start)
    reported = [site.drain_all()]
    site.wait_for({(job_id, start): "running"})
    shown = site.shown(start)
    site.end(job_id, start + 600, "TIMEOUT")
    reported.append(site.drain_all())
    site.wait_for({(job_id, start): "timeout"})

    assert [True, True] == reported
    assert [{"hostname": "n2cn001", "hwthreads": [0, 1]}] == shown["resources"]
    assert ("ada", "p1", 3600) == (shown["user"], shown["project"], shown["walltime"])
    assert "#!/bin/sh\n" == shown["metaData"]["jobScript"]
    assert 600 == site.shown(start)["duration"]
    assert [] == site.files()


@pytest.mark.parametrize("final", [FINAL, None], ids=["slurm", "silent"])
def test_how_a_job_ended_is_in_its_row_and_in_the_archive(
    site: BackendSite, job_id: int, final: str | None
) -> None:
    """End summary and last description are sent before the stop, to servers from 1.5.0 on."""
    start = int(time.time()) - HOUR - job_id
    site.metadata = MetadataPolicy(end_summary=True)
    site.final_texts = {} if final is None else {job_id: final}
    site.begin(job_id, start)
    site.drain_all()
    site.wait_for({(job_id, start): "running"})
    site.end(job_id, start + 600, "FAILED")
    site.drain_all()
    site.wait_for({(job_id, start): "failed"})
    expected = end_of_job(
        site, DESCRIPTION.replace("RUNNING", "FAILED") if final is None else FINAL
    )

    assert expected == {name: site.shown(start)["metaData"].get(name) for name in expected}
    if isinstance(site.server, RealServer) and expected["endSummary"]:
        path = site.server.archived(CLUSTER, job_id, start)
        wait_until(path.exists, "the job to be archived", timeout=20)
        archived = json.loads(path.read_text())["metaData"]
        assert expected == {name: archived.get(name) for name in expected}


def end_of_job(site: BackendSite, description: str) -> dict[str, str | None]:
    """Return what a server of this release has of the end of a job in its metadata."""
    if site.server.version < Version(1, 5, 0):
        return {"endSummary": None, "slurmInfo": DESCRIPTION}
    return {"endSummary": "FAILED", "slurmInfo": description}


def test_a_job_that_ended_before_its_delivery_has_a_completed_row(
    site: BackendSite, job_id: int
) -> None:
    """Start and stop are sent one directly after the other."""
    start = int(time.time()) - HOUR - job_id
    site.begin(job_id, start)
    site.end(job_id, start + 5)
    site.drain_all()
    site.wait_for({(job_id, start): "completed"})

    assert [] == site.files()


def test_a_requeued_job_replaces_its_first_run(site: BackendSite, job_id: int) -> None:
    """The first run is stopped, then its row is deleted."""
    start = int(time.time()) - HOUR - job_id
    site.begin(job_id, start)
    site.drain_all()
    site.wait_for({(job_id, start): "running"})
    site.requeue(job_id, start + 60, start + 120)
    site.drain_all()
    site.wait_for({(job_id, start + 120): "running"})

    assert [f"open/{job_id}-{start + 120}.json"] == site.files()


def test_jobs_of_an_outage_are_delivered_afterwards(site: BackendSite, job_id: int) -> None:
    """One job ended during the outage, one still runs; the token is valid after the restart."""
    start = int(time.time()) - HOUR - job_id
    site.server.stop()
    site.begin(job_id, start)
    site.end(job_id, start + 5, "FAILED")
    site.begin(job_id + 1, start + 1)
    during = site.drain()
    health = site.destination()["state"]
    site.server.start()
    site.drain_all()
    site.wait_for({(job_id, start): "failed", (job_id + 1, start + 1): "running"})

    assert (False, "down") == (during, health)
    assert [f"open/{job_id + 1}-{start + 1}.json"] == site.files()


def test_one_rejected_job_does_not_block_the_others(site: BackendSite, job_id: int) -> None:
    """A run on an unknown host waits; a run with an invalid value becomes a dead letter."""
    start = int(time.time()) - HOUR - job_id
    site.begin(job_id, start, nodes=("n2cn999",), allocations=())
    site.begin(job_id + 1, start, user="")
    site.begin(job_id + 2, start)
    site.drain_all()
    site.wait_for({(job_id + 2, start): "running"})

    waiting = f"todo/{job_id}-{start}.json"
    assert [f"open/{job_id + 2}-{start}.json", waiting] == [
        name for name in site.files() if not name.startswith("dead/")
    ]


def test_a_second_start_event_of_a_delivered_run_is_harmless(
    site: BackendSite, job_id: int
) -> None:
    """The hook leaves another start event for a run in open/: the row stays a running job."""
    start = int(time.time()) - HOUR - job_id
    site.begin(job_id, start)
    site.drain_all()
    site.hook("start", job_id, start)
    site.drain_all()
    site.wait_for({(job_id, start): "running"})

    assert [f"open/{job_id}-{start}.json"] == site.files()


def test_a_sweep_repairs_a_missing_start_and_a_missing_stop(site: BackendSite, job_id: int) -> None:
    """The spool was lost: a sweep reports the start and the stop; the next one plans no change."""
    start = int(time.time()) - HOUR - job_id
    site.begin(job_id, start)
    site.drain_all()
    site.wait_for({(job_id, start): "running"})
    site.end(job_id, start + 60)
    site.begin(job_id + 1, start + 2)
    for path in site.spool.glob("*/*"):  # a spool that was lost, with its events
        path.unlink()
    state = SweepState(mark=start - 60)
    _, state = site.sweep(state)
    site.drain_all()
    site.wait_for({(job_id, start): "completed", (job_id + 1, start + 2): "running"})
    again, _ = site.sweep(state)

    assert () == again.decision.plan.changes


def test_nats_mode_halts_deliveries(site: BackendSite, job_id: int) -> None:
    """cc-backend in NATS mode takes no jobs by REST: the run waits in todo/ meanwhile."""
    if site.server.version < Version(1, 5, 0):
        pytest.skip("NATS mode came with 1.5.0")
    start = int(time.time()) - HOUR - job_id
    site.server.stop()
    site.server.start(nats=True)
    site.begin(job_id, start)
    reported = site.drain()
    destination = site.destination()
    waiting = site.files()
    site.server.stop()
    site.server.start()
    site.drain_all()
    site.wait_for({(job_id, start): "running"})

    assert (False, "halted", True) == (
        reported,
        destination["state"],
        "NATS" in destination["reason"],
    )
    assert [f"todo/{job_id}-{start}.json"] == waiting


@pytest.fixture(params=[("1.4.4", "1.5.4"), ("1.3.1", "1.4.4"), "real"])
def upgraded(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[BackendSite, Callable[[], None]]]:
    """Return a site, and a function that makes its server one of a later release."""
    if request.param != "real":
        before, after = request.param
        with StubbedServer(before) as stub:
            yield BackendSite(stub, tmp_path / "site"), lambda: stub.become(after)
        return
    if not (BINARY and NEXT):
        pytest.skip("no two real servers: CC_BACKEND and CC_BACKEND_NEXT name their binaries")
    (tmp_path / "server").mkdir()
    with RealServer(Path(BINARY).resolve(), tmp_path / "server") as real:
        yield BackendSite(real, tmp_path / "site"), lambda: real.become(Path(NEXT).resolve())


def test_an_upgrade_of_cc_backend_loses_and_duplicates_no_run(
    upgraded: tuple[BackendSite, Callable[[], None]],
) -> None:
    """Starts and stops wait in the spool, and are sent in the format of the new release."""
    site, upgrade = upgraded
    start = int(time.time()) - HOUR
    site.begin(1, start)
    site.begin(2, start)
    site.drain_all()
    site.wait_for({(1, start): "running", (2, start): "running"})
    site.server.stop()
    site.end(1, start + 60)
    site.begin(3, start + 30)
    site.begin(4, start + 40)
    site.end(4, start + 50)
    reported = site.drain()
    upgrade()
    site.server.start()
    site.drain_all()
    site.end(2, start + 600, "NODE_FAIL")
    site.drain_all()
    word = "node_fail" if site.server.version >= Version(1, 5, 0) else "failed"
    site.wait_for({(1, start): "completed", (2, start): word})
    site.wait_for({(3, start + 30): "running", (4, start + 40): "completed"})
    site.close()

    assert not reported
    assert [f"open/3-{start + 30}.json"] == site.files()
