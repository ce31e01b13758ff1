"""User names that Slurm did not return: queries until the name service knows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from drain_world import NOON, World
from text_collector_world import TextCollectorWorld

from ccbackend.site_map import SiteMap
from slurm.job import Job
from spool.files.run import Run
from spool.resolve.job_texts import TextsQuery, TextsReply


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


@pytest.fixture
def collecting(world: World) -> TextCollectorWorld:
    """Return a collector that has nothing to ask."""
    return TextCollectorWorld(world)


def test_a_missing_user_name_is_queried_with_the_texts(collecting: TextCollectorWorld) -> None:
    """The query for script and description also has the uid, once for two jobs of the user."""
    collecting.stage(9)
    entry = collecting.stage(1, user=None, uid=4711)
    collecting.stage(2, user=None, uid=4711)
    collecting.stage(3)
    collecting.answer(TextsReply())

    assert frozenset({4711}) == collecting.worker.asked[-1].uids
    collecting.answer(TextsReply(users={4711: "bob"}))
    assert "bob" == collecting.run_of(entry).job.user


def test_a_user_name_from_slurm_is_not_changed(collecting: TextCollectorWorld) -> None:
    """The name that Slurm returns takes precedence over that of the name service."""
    collecting.stage(1, user=None, uid=1000)
    entry = collecting.stage(1)
    collecting.answer(TextsReply(users={1000: "bob"}))

    assert "ada" == collecting.run_of(entry).job.user


def test_a_user_name_is_queried_if_no_text_is_wanted(world: World) -> None:
    """The site wants neither script nor description: the query has only the uid."""
    collecting = TextCollectorWorld(world, wants_texts=False)
    entry = collecting.stage(1, user=None, uid=4711)
    collecting.collector.want_user(collecting.run_of(entry), collecting.world.moment)
    collecting.collector.fill(collecting.world.moment)

    assert [TextsQuery(uids=frozenset({4711}))] == collecting.worker.asked


def test_a_user_name_is_not_queried_twice_at_the_same_time(
    collecting: TextCollectorWorld,
) -> None:
    """A query that still waits for the worker counts, too."""
    entry = collecting.stage(1, user=None, uid=4711)
    other = collecting.stage(2, user=None, uid=4712)
    for each in (entry, other):
        collecting.collector.want_user(collecting.run_of(each), collecting.world.moment)

    for each in (entry, other):
        collecting.collector.want_user(collecting.run_of(each), collecting.world.moment)

    assert 4 == len(collecting.collector)


def test_a_user_without_a_uid_is_not_queried(collecting: TextCollectorWorld) -> None:
    """The run has neither user name nor uid; the name service needs a uid."""
    run = Run(job=Job(job_id=1, start_time=NOON), start_time=NOON)
    collecting.collector.want_user(run, collecting.world.moment)

    assert 0 == len(collecting.collector)


def test_a_start_waits_for_an_unknown_user_name(world: World) -> None:
    """The name is queried every five seconds; the start is sent when the name is known."""
    world.begin(1, user=None, uid=4711)
    world.run(20)
    before = dict(world.backend.rows)
    world.users[4711] = "bob"
    world.run(6)

    assert ({}, "bob") == (before, world.backend.documents[-1]["user"])
    assert {(1, NOON): "running"} == world.backend.rows


def test_the_next_drain_queries_an_unknown_user_name(world: World) -> None:
    """The drain restarts while a start waits for the name; the start is sent then."""
    world.begin(1, user=None, uid=4711)
    world.run(20)
    world.boot()
    world.users[4711] = "bob"
    world.run(6)

    assert {(1, NOON): "running"} == world.backend.rows


def test_a_user_name_that_is_not_needed_is_not_queried_again(world: World) -> None:
    """The site accepts the uid as the name, and the row cannot be changed afterwards."""
    site = SiteMap(cluster="alex", user_from_uid_after_seconds=0)
    world.composer.site_of = lambda _: site
    world.composer.update_clusters(())
    world.begin(1, user=None, uid=4711)
    world.run(60)

    assert {(1, NOON): "running"} == world.backend.rows
    assert 0 == len(world.parts.texts)


def test_an_unknown_user_name_does_not_delay_the_end_of_a_drain(world: World) -> None:
    """A drain started by cron exits without a query left; the next one asks again."""
    world.begin(1, user=None, uid=4711)
    world.run(2)

    assert 0 == len(world.parts.texts)
