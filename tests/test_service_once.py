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


def test_once_delivers_all_events_and_ends(site: Site) -> None:
    """Nothing is pending at the end."""
    site.world.begin(1)
    site.world.begin(2)
    site.world.end(2)

    assert site.world.service.run_once()
    assert {1: "running", 2: "completed"} == {
        job_id: state for (job_id, _), state in site.world.backend.rows.items()
    }
    assert ["close", "join"] == site.ended


def test_once_reports_that_runs_are_pending(site: Site) -> None:
    """cc-backend is down: the drain sends three probes, then gives up."""
    start = site.world.begin(1).start_time
    site.world.backend.everything = Reason.UNREACHABLE

    assert not site.world.service.run_once()
    assert [("probe", 0)] * 3 == site.world.backend.asked
    assert HealthState.DOWN is site.state().health.state
    assert {"todo": [f"1-{start}.json"]} == site.world.files()


def test_once_gives_up_at_once_when_deliveries_are_halted(site: Site) -> None:
    """Only an administrator can end the halt."""
    site.world.begin(1)
    site.world.backend.everything = Reason.TOKEN_REFUSED

    assert not site.world.service.run_once()
    assert 1 == len(site.world.backend.asked)


def test_once_gives_up_after_half_a_minute_without_progress(site: Site) -> None:
    """A request has no answer yet."""
    site.world.begin(1)
    site.world.tick = 1.0
    for worker in site.world.delivery.workers.starts.workers:
        worker.outstanding = 1
    before = site.world.now

    assert not site.world.service.run_once()
    assert 30 <= site.world.now - before < 60


def test_once_continues_while_it_delivers_a_backlog(site: Site) -> None:
    """It runs for more than half a minute as long as it makes progress."""
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


def test_once_waits_for_what_is_due_within_a_second(site: Site) -> None:
    """A start waits for the server's topology, which is queried at the same time."""
    site.world.begin(1, allocations=(NodeAllocation(name="n1", cores=(0, 1), core_count=8),))

    assert site.world.service.run_once()
    assert [1] == [job_id for job_id, _ in site.world.backend.rows]


def test_once_waits_for_the_contents_of_an_event(site: Site) -> None:
    """Its hook was killed before it wrote them: ten seconds later only the name counts."""
    site.world.begin(1)
    (event,) = (site.world.root / "new").iterdir()
    event.write_bytes(b"")

    assert site.world.service.run_once()
    assert [1] == [job_id for job_id, _ in site.world.backend.rows]


def test_once_queries_a_held_stop_before_it_ends(site: Site) -> None:
    """It cannot wait for the time of the next query: cc-backend may list the run by now."""
    site.world.tick, site.world.backend.version = 0.002, Version(1, 5, 4)
    site.world.begin(1)
    site.world.end(1)

    assert site.world.service.run_once()
    assert [("start", 1), ("list", 0), ("stop", 1)] == site.world.backend.asked[1:]


def test_once_can_be_stopped(site: Site) -> None:
    """Pending runs stay."""
    site.world.begin(1)
    site.world.service.stop()

    assert not site.world.service.run_once()
    assert [] == site.world.backend.asked


def test_the_state_of_a_short_run_is_written_at_its_end(site: Site) -> None:
    """A drain started by cron ends within a second; its observations must not be lost."""
    site.world.tick = 0.001
    site.world.begin(1)
    site.world.service.run_once()
    state = site.state()

    assert (True, float(NOON), os.getpid()) == (state.once, state.last_event, state.pid)
    assert state.last_delivery is not None
    assert 1 <= state.deliveries_last_hour
