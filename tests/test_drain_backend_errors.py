"""A whole drain while cc-backend rejects, fails, or does not know a cluster, host or user."""

from __future__ import annotations

from pathlib import Path

import pytest
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from spool.deliver.health_rules import Channel


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


@pytest.mark.parametrize("kind", ["start", "stop"])
@pytest.mark.parametrize(
    "reason", [Reason.DATABASE, Reason.BUSY, Reason.BROKEN, Reason.NOT_THE_API]
)
def test_a_run_that_always_fails_does_not_stop_later_runs(
    world: World, reason: Reason, kind: str
) -> None:
    """One run gets a retryable error each time; 20 later runs are delivered within seconds."""
    world.begin(1)
    if kind == "stop":
        world.run(2)
    world.backend.answers[1] = reason
    if kind == "stop":
        world.end(1)
    for job_id in range(2, 6):
        world.begin(job_id)
    world.run(60)  # long enough for its second failure and more

    for job_id in range(6, 26):
        world.begin(job_id)
    world.run(5)
    for job_id in range(6, 26):
        world.end(job_id)
    world.run(5)

    reported = {job_id for (job_id, _), state in world.backend.rows.items() if state == "completed"}
    assert set(range(6, 26)) == reported


def test_only_the_rejected_run_becomes_a_dead_letter(world: World) -> None:
    """cc-backend rejects one of five starts as a bad request; the other four are delivered."""
    world.backend.answers[7] = Reason.BAD_REQUEST
    for job_id in range(5, 10):
        world.begin(job_id)

    world.run()

    assert [f"7-{NOON}.json"] == world.files()["dead"]
    assert {5, 6, 8, 9} == {job_id for job_id, _ in world.backend.rows}


def test_jobs_of_an_outage_are_delivered_afterwards(world: World) -> None:
    """The jobs start and end while cc-backend is down, and Slurm purges them."""
    world.backend.everything = Reason.UNREACHABLE
    for job_id in range(10, 20):
        world.begin(job_id)
        world.run(0.1)
        world.end(job_id)
    world.run(2)
    world.slurm.records.clear()
    world.backend.everything = None

    world.run(10)

    assert {(job_id, "completed") for job_id in range(10, 20)} == {
        (job_id, state) for (job_id, _), state in world.backend.rows.items()
    }
    assert {} == world.files()


def test_of_several_clusters_only_the_unknown_one_is_halted(world: World) -> None:
    """Jobs of the known cluster are delivered; the others follow when theirs is known, too."""
    world.partition_clusters["gpu"] = "tinygpu"
    world.boot()
    world.backend.answers[1] = Reason.UNKNOWN_CLUSTER
    world.begin(1, partition="gpu")
    world.run()
    world.begin(2, partition="gpu")
    world.begin(3)
    world.run()
    others = sorted(world.backend.rows)
    world.backend.answers.clear()

    world.run(301)

    assert [3] == [job_id for job_id, _ in others]
    assert {1, 2, 3} == {job_id for job_id, _ in world.backend.rows}
    assert 2 == [job_id for _, job_id in world.backend.asked].count(1)


def test_an_unknown_cluster_halts_all_starts_if_it_is_the_only_one(world: World) -> None:
    """cc-backend does not know the site's only cluster: its name in the configuration is wrong."""
    world.backend.answers[1] = Reason.UNKNOWN_CLUSTER
    world.begin(1)
    world.run()
    world.backend.answers[2] = Reason.UNKNOWN_CLUSTER
    world.begin(2)

    world.run()

    assert "halted" == world.health.state.channels[Channel.STARTS].condition.health
    assert ({}, []) == (world.backend.rows, world.files().get("dead", []))


def test_a_halt_ends_when_the_token_changes(world: World) -> None:
    """A rejected token halts deliveries; the run is delivered at once when it was replaced."""
    world.backend.everything = Reason.TOKEN_REFUSED
    world.begin(4)
    world.run(3)
    halted = world.health.state.server
    world.backend.everything = None
    world.health.cause_changed(world.moment)

    world.run()

    assert "halted" == halted.health
    assert {(4, NOON): "running"} == world.backend.rows


def test_an_unknown_host_delays_only_its_own_runs(world: World) -> None:
    """Of two runs on the unknown host only one is sent; a run on another host is delivered."""
    world.backend.answers[1] = Reason.UNKNOWN_HOST
    world.begin(1, nodes=("new1",))
    world.run()
    world.begin(2, nodes=("new1",))
    world.begin(3)

    world.run()

    assert {3} == {job_id for job_id, _ in world.backend.rows}
    assert [1, 3] == [job_id for call, job_id in world.backend.asked if call == "start"]


def test_a_host_that_becomes_known_releases_all_its_runs(world: World) -> None:
    """After an hour one run is sent and accepted; the other run on this host follows at once."""
    world.backend.answers[1] = Reason.UNKNOWN_HOST
    world.begin(1, nodes=("new1",))
    world.run()
    world.begin(2, nodes=("new1",))
    world.run()
    world.backend.answers.clear()
    world.now += 3600

    world.run(3)

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


def test_an_idle_halted_drain_probes_the_server(world: World) -> None:
    """A halt ends after the token was replaced, even if no run waits."""
    world.backend.everything = Reason.TOKEN_REFUSED
    world.run()
    world.backend.everything = None
    world.health.cause_changed(world.moment)

    world.run()

    assert world.health.is_up


def test_a_start_waits_for_the_name_of_its_user(world: World) -> None:
    """The name service does not know the uid at first; a row cannot be corrected later."""
    world.begin(1, user=None, uid=4711)
    world.run(20)
    before = dict(world.backend.rows)
    world.users[4711] = "bob"

    world.run(15)

    assert ({}, {(1, NOON): "running"}) == (before, world.backend.rows)
    assert "bob" == world.backend.documents[-1]["user"]


def test_a_run_without_a_user_becomes_a_dead_letter(world: World) -> None:
    """Slurm gives neither name nor uid of the user; no start is sent to cc-backend."""
    world.begin(1, user=None, uid=None)

    world.run()

    assert "whose job" in str(world.stored("dead", 1).last_error)
    assert [] == [call for call, _ in world.backend.asked if call == "start"]


def test_a_run_that_no_server_can_store_becomes_a_dead_letter(world: World) -> None:
    """The job has the same node twice."""
    world.begin(1, nodes=("n1", "n1"))

    world.run()

    assert [f"1-{NOON}.json"] == world.files()["dead"]


def test_an_excluded_run_is_not_sent_as_a_probe(world: World) -> None:
    """A job with the opt-out flag starts during an outage; cc-backend has no row of it later."""
    world.begin(1)
    world.run()
    world.backend.everything = Reason.UNREACHABLE
    world.end(1)
    world.run()
    world.begin(2, admin_comment="disable_cc_submission")
    world.run(120)
    world.backend.everything = None

    world.run(120)

    assert {(1, NOON): "completed"} == world.backend.rows
    assert not world.stored("open", 2).reported
