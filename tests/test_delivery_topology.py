"""Starts wait for the topology of the server and for new hosts in it, for a limited time."""

from __future__ import annotations

from pathlib import Path

import pytest
from delivery_steps import calls, entry_of, stored
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from slurm.job import NodeAllocation
from spool.deliver.server_names import TOPOLOGY_PATIENCE_SECONDS, ServerTopology
from spool.files.drain_state import HealthState


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_a_start_waits_for_the_topology(world: World) -> None:
    """Hardware threads are computed from the topology, and no row can be corrected."""
    world.backend.topology = None
    world.begin(1, allocations=(NodeAllocation(name="n1", cores=(0, 1)),))
    world.begin(2)
    world.run(30)
    assert {(2, NOON): "running"} == world.backend.rows
    assert "cc-backend's topology cannot be read yet" == entry_of(world, 1).waits_for
    world.backend.topology = ()
    world.run(20)

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


def test_a_rejected_query_of_the_topology_halts_deliveries(world: World) -> None:
    """The token expires after the first probe; the query that a start waits for is rejected."""
    world.backend.topology = None
    world.run()
    world.begin(1)
    world.run()
    world.backend.everything = Reason.TOKEN_EXPIRED
    world.run(120)

    assert HealthState.HALTED is world.health.state.server.health


def test_a_start_does_not_wait_for_the_topology_for_ever(world: World) -> None:
    """After 15 minutes the start is sent without hardware threads."""
    world.backend.topology = None
    world.begin(1, allocations=(NodeAllocation(name="n1", cores=(0, 1)),))
    world.run(5)
    world.now += TOPOLOGY_PATIENCE_SECONDS - 10
    world.run(4)
    assert {} == world.backend.rows
    world.run(10)

    assert {(1, NOON): "running"} == world.backend.rows


def test_a_topology_that_was_read_is_not_missing(world: World) -> None:
    """`is_missing` is true before the first read, and false after it, even without clusters."""
    topology = ServerTopology()
    before = topology.must_wait(world.moment)
    topology.clusters = ()

    assert (True, False) == (before, topology.must_wait(world.moment))


def lacks_host(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the host of job 1 from the topology that the drain has read."""
    monkeypatch.setattr(world.composer, "needs_newer_topology", lambda run: run.job_id == 1)
    world.run(6)
    world.begin(1)
    world.begin(2)


def test_a_start_on_a_new_host_reads_the_topology_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain reads it at once, and sends the start even if the host is still unknown."""
    lacks_host(world, monkeypatch)
    before = world.delivery.builder.names.topology.read_at
    world.run(6)

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}
    assert before < world.delivery.builder.names.topology.read_at


def test_a_start_on_a_new_host_does_not_wait_for_the_topology_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start is sent after 15 minutes; starts on known hosts do not wait at all."""
    world.run(6)
    world.backend.topology = None
    lacks_host(world, monkeypatch)
    world.run(6)
    world.now += TOPOLOGY_PATIENCE_SECONDS - 20
    world.run(3)
    assert {2} == {job_id for job_id, _ in world.backend.rows}
    world.run(30)

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


@pytest.mark.parametrize("reason", [Reason.UNKNOWN_HOST, Reason.BROKEN])
def test_each_try_on_a_new_host_reads_the_topology_again(
    world: World, monkeypatch: pytest.MonkeyPatch, reason: Reason
) -> None:
    """A restart of the server may have added the host; its threads must be in the row."""
    world.backend.answers[1] = reason
    lacks_host(world, monkeypatch)
    world.run(6)
    world.backend.answers.clear()
    world.backend.topology = None
    world.run(90)
    early = {job_id for job_id, _ in world.backend.rows}
    world.backend.topology = ()
    world.run(20)

    assert ({2}, {1, 2}) == (early, {job_id for job_id, _ in world.backend.rows})


def test_a_broken_start_on_a_new_host_is_not_repeated_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks during the start, for example because the server is restarted."""
    world.backend.answers[1] = Reason.BROKEN
    lacks_host(world, monkeypatch)
    while 1 not in calls(world, "start"):
        world.run(0.04)

    assert 1 == calls(world, "start").count(1)


def test_an_unknown_host_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Two starts on the same unknown host are in flight; the log has one line about the host."""
    world.backend.answers = {1: Reason.UNKNOWN_HOST, 2: Reason.UNKNOWN_HOST}
    stored(world, 1, 2)
    world.run(60)

    assert 1 == sum("does not have host n1" in record.message for record in caplog.records)
    assert 1 == len(world.delivery.builder.names.hosts)


def test_a_changed_topology_releases_the_runs_of_unknown_hosts(world: World) -> None:
    """The drain reads the topology every few seconds while a name is unknown."""
    world.backend.answers = {1: Reason.UNKNOWN_HOST}
    world.begin(1)
    world.run(16)
    world.backend.answers.clear()
    world.backend.topology = ()
    before = len(calls(world, "start"))
    world.delivery.builder.names.topology.clusters = None
    world.run(16)

    assert ({(1, NOON): "running"}, 1) == (
        world.backend.rows,
        len(calls(world, "start")) - before,
    )
