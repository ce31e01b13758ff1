"""A drain that runs once: what it delivers, what it waits for, and when it gives up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from drain_world import NOON, World
from service_site import Site

from ccbackend.outcomes import Reason
from ccbackend.version import Version
from slurm.job import NodeAllocation
from spool.files.drain_state import HealthState


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return an empty site."""
    return Site(World(tmp_path))


def test_drain_once_delivers_all_events_and_ends(site: Site) -> None:
    """One job is running and one has ended; no request is pending at the end."""
    site.world.begin(1)
    site.world.begin(2)
    site.world.end(2)

    assert site.world.service.run_once()
    assert {1: "running", 2: "completed"} == {
        job_id: state for (job_id, _), state in site.world.backend.rows.items()
    }
    assert ["close", "join"] == site.ended


def test_drain_once_reports_that_runs_are_pending(site: Site) -> None:
    """cc-backend is down: the drain sends three probes, then gives up."""
    start = site.world.begin(1).start_time
    site.world.backend.everything = Reason.UNREACHABLE

    assert not site.world.service.run_once()
    assert [("probe", 0)] * 3 == site.world.backend.asked
    assert HealthState.DOWN is site.state().health.state
    assert {"todo": [f"1-{start}.json"]} == site.world.files()


def test_drain_once_gives_up_when_deliveries_are_halted(site: Site) -> None:
    """cc-backend refuses the token at the first request; only an administrator can end the halt."""
    site.world.begin(1)
    site.world.backend.everything = Reason.TOKEN_REFUSED

    assert not site.world.service.run_once()
    assert 1 == len(site.world.backend.asked)


def test_drain_once_gives_up_after_30_s_without_progress(site: Site) -> None:
    """A request of the drain has no answer yet."""
    site.world.begin(1)
    site.world.tick = 1.0
    for worker in site.world.delivery.workers.starts.workers:
        worker.outstanding = 1
    before = site.world.now

    assert not site.world.service.run_once()
    assert 30 <= site.world.now - before < 60


def test_drain_once_continues_while_it_delivers_a_backlog(site: Site) -> None:
    """The drain runs for more than 30 s as long as it makes progress."""
    for job_id in range(1, 200):
        site.world.begin(job_id)
    site.world.tick = 0.0
    before = site.world.now

    def later(_number: int) -> bool:
        site.world.now += 2
        return False

    site.watched = later
    assert site.world.service.run_once()
    assert 199 == len(site.world.backend.rows)
    assert site.world.now - before > 30


def test_drain_once_waits_for_the_topology(site: Site) -> None:
    """A start with cores needs cc-backend's topology, which is queried at the same time."""
    site.world.begin(1, allocations=(NodeAllocation(name="n1", cores=(0, 1), core_count=8),))

    assert site.world.service.run_once()
    assert [1] == [job_id for job_id, _ in site.world.backend.rows]


def test_drain_once_waits_for_the_contents_of_an_event(site: Site) -> None:
    """A killed hook left an empty event file: after ten seconds only the name is used."""
    site.world.begin(1)
    (event,) = (site.world.root / "new").iterdir()
    event.write_bytes(b"")

    assert site.world.service.run_once()
    assert [1] == [job_id for job_id, _ in site.world.backend.rows]


def test_drain_once_queries_a_held_stop_before_it_ends(site: Site) -> None:
    """The drain cannot wait until the next query is due: cc-backend may list the run by now."""
    site.world.tick, site.world.backend.version = 0.002, Version(1, 5, 4)
    site.world.begin(1)
    site.world.end(1)

    assert site.world.service.run_once()
    assert [("start", 1), ("list", 0), ("stop", 1)] == site.world.backend.asked[1:]


def test_drain_once_can_be_stopped(site: Site) -> None:
    """The drain sends no request, and reports that runs are pending."""
    site.world.begin(1)
    site.world.service.stop()

    assert not site.world.service.run_once()
    assert [] == site.world.backend.asked


def test_drain_once_writes_its_state_file_at_its_end(site: Site) -> None:
    """A drain of a cron job ends within a second: its last event and delivery must not be lost."""
    site.world.tick = 0.001
    site.world.begin(1)
    site.world.service.run_once()
    state = site.state()

    assert (True, float(NOON), os.getpid()) == (state.once, state.last_event, state.pid)
    assert state.last_delivery is not None
    assert 1 <= state.deliveries_last_hour
