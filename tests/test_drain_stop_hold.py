"""Stops that a whole drain holds until cc-backend has stored their start."""

from __future__ import annotations

from pathlib import Path

import pytest
from drain_world import NOON, World

from ccbackend.outcomes import Reason, ReplyVerdict
from ccbackend.version import ServerInfo, Version
from spool.deliver.senders import ServerQuery, ServerReply, Topic
from spool.deliver.stop_release import QUERY_INTERVAL_SECONDS


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_an_early_stop_waits_for_the_job_cache_of_cc_backend(world: World) -> None:
    """From 1.5 on a stop is held for 180 s after its start was accepted."""
    world.backend.version = Version(1, 5, 4)
    world.backend.is_cached = True
    world.begin(3)
    world.run()
    world.end(3)

    world.run(100)

    assert {(3, NOON): "running"} == world.backend.rows
    assert {"todo": [f"3-{NOON}.json"]} == world.files()


def test_a_held_stop_is_sent_after_the_hold(world: World) -> None:
    """The hold ends after 180 s, even if cc-backend's job list never has the run."""
    world.backend.version = Version(1, 5, 4)
    world.backend.is_cached = True
    world.begin(3)
    world.run()
    world.end(3)

    world.run(200)

    assert {(3, NOON): "completed"} == world.backend.rows


def test_a_held_stop_is_sent_when_its_run_is_listed(world: World) -> None:
    """cc-backend's job list has the run, so the stop cannot close the wrong job."""
    world.backend.version = Version(1, 5, 4)
    world.backend.is_cached = True
    world.begin(1)
    world.run()
    world.end(1)
    world.run(30)
    held = world.backend.rows[1, NOON]
    world.backend.is_cached = False

    world.run(30)

    assert ("running", "completed") == (held, world.backend.rows[1, NOON])


def test_a_stop_is_held_again_when_the_row_of_its_run_has_vanished(world: World) -> None:
    """The start is sent again, so the new row is only in cc-backend's job cache at first."""
    world.backend.version = Version(1, 5, 4)
    world.begin(1)
    world.run()
    world.backend.answers[1] = Reason.BUSY
    world.end(1)
    world.run(10)  # it is listed, and its stop fails
    world.backend.rows.clear()
    world.backend.is_cached = True
    del world.backend.answers[1]

    world.run(100)

    assert {(1, NOON): "running"} == world.backend.rows


def test_one_job_list_is_queried_for_all_held_stops(world: World) -> None:
    """For three held stops the query is sent at most once in each query interval."""
    world.backend.version = Version(1, 5, 4)
    world.backend.is_cached = True
    for job_id in (1, 2, 3):
        world.begin(job_id)
    world.run()
    for job_id in (1, 2, 3):
        world.end(job_id)

    world.run(59)

    count = [call for call, _ in world.backend.asked].count("list")
    assert 0 < count <= 60 / QUERY_INTERVAL_SECONDS


def test_a_queued_start_is_confirmed_before_its_run_counts_as_started(world: World) -> None:
    """cc-backend 1.4.0 may drop a start that it has queued."""
    world.backend.version = Version(1, 4, 0)
    world.backend.promises = 2
    world.begin(1)
    world.run()
    promised = world.files()

    world.run(20)

    assert {"todo": [f"1-{NOON}.json"]} == promised
    assert {(1, NOON): "running"} == world.backend.rows
    assert {"open": [f"1-{NOON}.json"]} == world.files()


@pytest.mark.parametrize(
    ("reason", "maybe_sent"),
    [
        (Reason.UNREACHABLE, False),
        (Reason.TIMED_OUT, True),
        (Reason.QUEUED, True),
        (Reason.AFTER_FLUSH, False),
    ],
)
def test_a_start_is_marked_if_it_may_have_been_sent_before(
    world: World, reason: Reason, *, maybe_sent: bool
) -> None:
    """A timeout or a queued start sets `maybe_sent`; a refused connection or a flush does not."""
    world.backend.answers[1] = reason
    world.begin(1)
    world.run()
    world.backend.answers.clear()

    world.run(200)

    assert maybe_sent == world.backend.maybe_sent[-1]


def test_a_failed_query_about_held_stops_is_not_repeated_at_once(world: World) -> None:
    """cc-backend's job list could not be read; no second query of the list follows."""
    failed = ServerReply(verdict=ReplyVerdict(Reason.QUERY_FAILED, ""), server=ServerInfo())
    world.delivery.questions.take(ServerQuery(topic=Topic.JOBS), failed, world.moment)

    assert "list" not in [call for call, _ in world.backend.asked]
