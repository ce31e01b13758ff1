"""What the requests of the drain contain, and when they are sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from delivery_steps import NEW, calls, request, result, stored
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from ccbackend.version import ServerInfo, Version, server_info
from spool.deliver.health_rules import Channel
from spool.deliver.senders import SendResult


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


@pytest.mark.parametrize("reason", [Reason.TIMED_OUT, Reason.BROKEN, Reason.BUSY])
def test_a_repeated_start_is_marked_as_maybe_sent(world: World, reason: Reason) -> None:
    """After a start without a clear answer, a duplicate at cc-backend may be the same start."""
    world.backend.answers[1] = reason
    world.begin(1)
    world.run(6)
    world.backend.answers.clear()
    world.run(60)

    assert (False, True) == (world.backend.maybe_sent[0], world.backend.maybe_sent[-1])


@pytest.mark.parametrize(
    ("version", "maybe_sent"), [(NEW, [True, False]), (Version(1, 4, 1), [True, True])]
)
def test_a_start_waits_only_once_for_a_flush(
    world: World, version: Version, maybe_sent: list[bool]
) -> None:
    """From 1.5.0 on a start after the flush has no `maybe_sent`, so it does not wait again."""
    world.backend.version = version
    world.run(60)
    world.begin(1)
    asked = []
    for _ in range(2):
        world.backend.answers[1] = Reason.BUSY
        world.run(6)
        world.backend.answers[1] = Reason.AFTER_FLUSH
        world.run(60)
        asked.append(world.backend.maybe_sent[-1])
        world.backend.answers[1] = Reason.BUSY
        world.run(180)

    assert maybe_sent == asked


def test_a_monitoring_status_of_the_sweeper_is_sent(world: World) -> None:
    """The sweeper's event has `monitoring_status=0`: the job was not monitored."""
    world.slurm.records[1] = world.job(1)
    world.hook("start", 1, extras="monitoring_status=0\n")
    world.run()

    assert [0] == [document["monitoringStatus"] for document in world.backend.documents]


def test_a_stop_has_the_job_state_of_slurm(world: World) -> None:
    """A job that ended with OUT_OF_MEMORY is stopped with this state."""
    world.begin(1)
    world.run(6)
    world.end(1, "OUT_OF_MEMORY")
    world.run(6)

    assert ["OUT_OF_MEMORY"] == world.backend.states


@pytest.mark.parametrize(
    ("version", "probes"), [(None, 1), (Version(1, 4, 3), 0), (Version(1, 4, 4), 0)]
)
def test_an_answer_of_another_server_version_is_recorded(
    world: World, version: Version | None, probes: int
) -> None:
    """The server was upgraded; if the answer shows no version, a probe asks for it at once."""
    stored(world, 1)
    world.run(60)
    before = len(calls(world, "probe"))
    sent = SendResult(
        reply=result().reply, server=server_info(version) if version else ServerInfo()
    )
    world.delivery.replies.take_result(request(), sent, world.moment)
    assert sent.server == world.health.server
    world.run()

    assert probes == len(calls(world, "probe")) - before


def test_a_start_time_far_in_the_future_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The start time is 1000 s ahead; the start waits for a minute, and is sent then."""
    world.begin(1, start_time=NOON + 1000)
    world.run(40)
    assert {} == world.backend.rows
    world.run(40)
    assert {(1, NOON + 1000): "running"} == world.backend.rows

    assert 1 == sum("is in the future" in record.message for record in caplog.records)


def test_the_drain_wakes_up_for_a_due_probe(world: World) -> None:
    """The wake-up time is that of the probe, although this time has already passed."""
    stored(world, 1)
    retry_at = world.health.state.server.retry_at
    world.now = retry_at + 1.0

    assert retry_at == world.delivery.next_time(world.moment)


def test_the_drain_sets_no_wakeup_time_for_an_outstanding_probe(world: World) -> None:
    """The answer to the probe wakes the drain's loop."""
    stored(world, 1)
    world.now = world.health.state.server.retry_at + 1.0
    world.delivery.workers.probe.outstanding = 1

    assert None is world.delivery.next_time(world.moment)


def test_the_drain_wakes_up_for_the_next_retry(world: World) -> None:
    """The wake-up time is the next retry of the server or of starts, or None without a retry."""
    assert None is world.delivery.next_time(world.moment)
    stored(world, 1)
    assert world.health.state.server.retry_at == world.delivery.next_time(world.moment)
    world.run(60)
    assert None is world.delivery.next_time(world.moment)
    world.backend.answers = {2: Reason.BROKEN, 3: Reason.BROKEN}
    world.begin(2)
    world.begin(3)
    world.run(2)

    condition = world.health.state.channels[Channel.STARTS].condition
    assert condition.retry_at == world.delivery.next_time(world.moment)
