"""Replies about runs that were removed, damaged or became unreadable while they were sent."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from delivery_steps import NAME, entry_of, request, result, stored, unreadable
from drain_world import NOON, World

from spool.deliver.pending_run import RequestKind
from spool.deliver.senders import ServerQuery, Topic


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_a_reply_about_a_removed_run_changes_no_file(world: World) -> None:
    """An administrator discarded the run while its request was sent."""
    world.run()
    before = world.files()
    world.delivery.replies.take_result(request(7), result(), world.moment)

    assert before == world.files()


def test_a_run_damaged_while_it_is_sent_becomes_a_dead_letter(world: World) -> None:
    """The reply about the damaged run file is dropped."""
    stored(world, 1)
    entry_of(world, 1).in_flight = RequestKind.START
    (world.root / "todo" / NAME).write_text("{")
    world.delivery.replies.take_result(request(), result(), world.moment)

    assert {"dead": [NAME, f"{NAME}.why"]} == world.files()


def test_a_run_unreadable_at_its_reply_is_sent_again(world: World) -> None:
    """The run file has an I/O error; cc-backend recognizes the repeated start as the same job."""
    stored(world, 1)
    entry_of(world, 1).in_flight = RequestKind.START
    world.backend.rows[1, NOON] = "running"
    with unreadable(world, OSError(errno.EIO, "no luck")):
        world.delivery.replies.take_result(request(), result(), world.moment)
    world.run(70)

    assert ({(1, NOON): "running"}, {"open": [NAME]}) == (world.backend.rows, world.files())


@pytest.mark.parametrize("topic", list(Topic))
def test_an_unsent_query_does_not_change_the_server_health(world: World, topic: Topic) -> None:
    """At the end of a drain a sender returns an unsent query; this is no failure of the server."""
    before = world.health.state
    world.delivery.questions.take(ServerQuery(topic=topic), None, world.moment)

    assert (before, None) == (world.health.state, world.health.server)


def test_a_run_that_was_not_sent_is_due_again(world: World) -> None:
    """The start was queued behind a request that hung, and was returned unsent."""
    stored(world, 1)
    entry = entry_of(world, 1)
    entry.retry_at = 0.0
    entry.in_flight = RequestKind.START
    world.delivery.replies.take_result(request(), None, world.moment)

    assert entry is world.store.schedule.take_next(world.now, stops=False)
