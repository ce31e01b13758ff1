"""One bad run, one odd answer or one missing fact never delays the other runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from delivery_steps import running
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from spool.deliver.health_rules import Channel
from spool.files.drain_state import HealthState
from spool.files.layout import Directory, Layout


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a site with nothing in it."""
    made = World(tmp_path)
    yield made
    made.parts.layout.close()


@pytest.mark.parametrize("reason", [Reason.TOKEN_REFUSED, Reason.PANIC, Reason.UNEXPECTED])
def test_a_failed_start_of_one_run_halts_no_other_run(world: World, reason: Reason) -> None:
    """One start is rejected, for example by a firewall; 20 later runs are delivered within 5 s."""
    world.backend.answers[1] = reason
    world.begin(1)
    world.run(2)
    for job_id in range(2, 22):
        world.begin(job_id)

    world.run(5)

    assert set(range(2, 22)) == running(world)
    assert world.health.state.server.is_up


@pytest.mark.parametrize("reason", [Reason.UNEXPECTED, Reason.PANIC, Reason.NOT_THE_API])
def test_unexpected_answers_in_an_outage_make_no_dead_letter(world: World, reason: Reason) -> None:
    """All 40 runs get such an answer for 6 hours; after the repair they are delivered in 70 s."""
    world.backend.everything = reason
    for job_id in range(1, 41):
        world.begin(job_id)
    world.run(5)
    for _ in range(60):
        world.now += 360
        world.run(1)
    buried = world.files().get("dead", [])
    world.backend.everything = None

    world.run(70)

    assert ([], set(range(1, 41))) == (buried, running(world))


def test_starts_that_all_fail_make_no_dead_letter(world: World) -> None:
    """The probe succeeds, but no start is accepted for 6 hours, so no single run is the cause."""
    for job_id in range(1, 11):
        world.backend.answers[job_id] = Reason.UNEXPECTED
        world.begin(job_id)
    world.run(20)
    for _ in range(30):
        world.now += 720
        world.run(1)
    state = world.health.state.channels[Channel.STARTS].condition.health
    buried = world.files().get("dead", [])
    world.backend.answers.clear()

    world.run(70)

    assert (HealthState.DOWN, [], set(range(1, 11))) == (state, buried, running(world))


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_clock_set_during_an_outage_does_not_delay_the_delivery(world: World, step: int) -> None:
    """The clock is set by an hour; the run is delivered within 75 s after the outage."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.run(5)
    world.skew += step
    world.run(5)
    world.backend.everything = None

    world.run(75)

    assert {1} == running(world)


def test_a_run_file_that_cannot_be_read_stays_and_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain starts while the disk gives an I/O error for this file; it reads the file later."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.run(2)
    world.backend.everything = None
    read = Layout.read

    def failing(layout: Layout, directory: Directory, name: str, limit_bytes: int) -> object:
        if name.startswith("1-") and name.endswith(".json"):
            raise OSError(5, "Input/output error")
        return read(layout, directory, name, limit_bytes)

    with monkeypatch.context() as patched:
        patched.setattr(Layout, "read", failing)
        world.boot()
        world.begin(2)
        world.run(10)
        unreadable = dict(world.parts.loader.unreadable)
    stays = world.files()["todo"]

    world.run(70)

    assert ({f"1-{NOON}.json": "Input/output error"}, [f"1-{NOON}.json"]) == (unreadable, stays)
    assert {1, 2} == running(world)


def test_silent_accounting_delays_no_start(world: World) -> None:
    """The stop of a job waits for accounting; the start of a new job does not."""
    world.begin(1)
    world.run(2)
    world.slurm.accounting_silent = True
    world.slurm.records.clear()
    world.hook("stop", 1)
    world.run(2)
    world.begin(2)

    world.run(2)

    assert {1, 2} == running(world)
