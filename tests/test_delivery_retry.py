"""`cc-spool retry` makes runs, server and unknown names due at once."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from delivery_steps import HOUR, NAME, NEW, calls, entry_of, held, started, stored, unreadable
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from spool.deliver.pending_run import RequestKind


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def delayed(world: World, *job_ids: int) -> None:
    """Make runs wait for an hour because each of them failed alone."""
    stored(world, *job_ids)
    for job_id in job_ids:
        entry = entry_of(world, job_id)
        run = replace(world.stored("todo", job_id), not_before=int(world.now + HOUR), attempts=9)
        world.store.persist(entry, run, world.moment)
    world.health.cause_changed(world.moment)
    world.run(5)
    assert {} == world.backend.rows


def test_a_waiting_run_is_tried_at_once_when_it_is_retried(world: World) -> None:
    """`cc-spool retry` of one run does not end the wait of the other runs."""
    delayed(world, 1, 2)
    world.delivery.retry_now(1, world.moment)
    world.run()

    assert {(1, NOON): "running"} == world.backend.rows


def test_all_waiting_runs_are_tried_at_once_when_all_are_retried(world: World) -> None:
    """`cc-spool retry ALL` includes runs that are stored but not loaded into memory."""
    delayed(world, 1, 2)
    world.store.unload(entry_of(world, 2), world.moment)
    world.delivery.retry_now(0, world.moment)
    world.run()

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


def test_a_retry_of_all_tries_server_and_unknown_names_at_once(world: World) -> None:
    """After an outage and an unknown host, both runs are delivered within 2 s of the retry."""
    world.backend.answers = {1: Reason.UNKNOWN_HOST}
    world.begin(1)
    world.run()
    world.backend.everything = Reason.UNREACHABLE
    world.begin(2)
    world.run(200)
    world.backend.everything, world.backend.answers = None, {}
    world.delivery.retry_now(0, world.moment)
    world.run(2)

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


def test_a_retry_does_not_release_a_held_stop(world: World) -> None:
    """A stop that comes too early can close the wrong job."""
    world.backend.version = NEW
    world.backend.is_cached = True
    world.begin(1)
    world.run(6)
    world.end(1)
    world.run()
    world.delivery.retry_now(1, world.moment)
    world.run(3)

    assert [] == calls(world, "stop")


def test_a_retry_skips_runs_in_flight_and_runs_with_nothing_to_send(world: World) -> None:
    """A run in flight or without a request has no waiting time that a retry could end."""
    entry = started(world)
    world.delivery.retry_now(1, world.moment)
    world.begin(2)
    first, *_ = world.delivery.workers.starts.workers
    with held(first, world):
        world.run(6)
        world.delivery.retry_now(2, world.moment)

        assert (RequestKind.START, None) == (entry_of(world, 2).in_flight, entry.next_request)


def test_a_retry_of_an_unreadable_run_changes_no_file(world: World) -> None:
    """The run file gives an I/O error; it stays in `todo/`, and no start is sent."""
    delayed(world, 1)
    with unreadable(world, OSError(errno.EIO, "no luck")):
        world.delivery.retry_now(1, world.moment)
        world.run(2)
    assert ({}, {"todo": [NAME]}) == (world.backend.rows, world.files())
