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


def test_a_missing_name_is_asked_for_with_the_texts(collecting: TextCollectorWorld) -> None:
    """One query has both; it has each user once."""
    collecting.stage(9)
    entry = collecting.stage(1, user=None, uid=4711)
    collecting.stage(2, user=None, uid=4711)
    collecting.stage(3)
    collecting.answer(TextsReply())

    assert frozenset({4711}) == collecting.worker.asked[-1].uids
    collecting.answer(TextsReply(users={4711: "bob"}))
    assert "bob" == collecting.run_of(entry).job.user


def test_a_name_of_a_run_that_has_one_is_not_changed(collecting: TextCollectorWorld) -> None:
    """The name from Slurm takes precedence."""
    collecting.stage(1, user=None, uid=1000)
    entry = collecting.stage(1)
    collecting.answer(TextsReply(users={1000: "bob"}))

    assert "ada" == collecting.run_of(entry).job.user


def test_a_name_is_asked_for_without_wanted_texts(world: World) -> None:
    """The query is sent when the start is due, and has no texts."""
    collecting = TextCollectorWorld(world, wants_texts=False)
    entry = collecting.stage(1, user=None, uid=4711)
    collecting.collector.want_user(collecting.run_of(entry), collecting.world.moment)
    collecting.collector.fill(collecting.world.moment)

    assert [TextsQuery(uids=frozenset({4711}))] == collecting.worker.asked


def test_a_name_that_is_being_asked_for_is_not_asked_for_again(
    collecting: TextCollectorWorld,
) -> None:
    """A query that waits for the worker counts, too."""
    entry = collecting.stage(1, user=None, uid=4711)
    other = collecting.stage(2, user=None, uid=4712)
    for each in (entry, other):
        collecting.collector.want_user(collecting.run_of(each), collecting.world.moment)

    for each in (entry, other):
        collecting.collector.want_user(collecting.run_of(each), collecting.world.moment)

    assert 4 == len(collecting.collector)


def test_a_user_without_a_uid_is_not_asked_for(collecting: TextCollectorWorld) -> None:
    """The query needs a uid."""
    run = Run(job=Job(job_id=1, start_time=NOON), start_time=NOON)
    collecting.collector.want_user(run, collecting.world.moment)

    assert 0 == len(collecting.collector)


def test_an_unknown_name_is_asked_for_while_its_start_waits(world: World) -> None:
    """It is asked for every five seconds; the start is sent when the name is known."""
    world.begin(1, user=None, uid=4711)
    world.run(20)
    before = dict(world.backend.rows)
    world.users[4711] = "bob"
    world.run(6)

    assert ({}, "bob") == (before, world.backend.documents[-1]["user"])
    assert {(1, NOON): "running"} == world.backend.rows


def test_an_unknown_name_is_asked_for_by_the_next_drain(world: World) -> None:
    """Otherwise its runs would wait for ever."""
    world.begin(1, user=None, uid=4711)
    world.run(20)
    world.boot()
    world.users[4711] = "bob"
    world.run(6)

    assert {(1, NOON): "running"} == world.backend.rows


def test_a_name_that_is_needed_no_more_is_not_asked_for(world: World) -> None:
    """The site accepts the uid as the name: the row cannot be changed afterwards."""
    site = SiteMap(cluster="alex", user_from_uid_after_seconds=0)
    world.composer.site_of = lambda _: site
    world.composer.update_clusters(())
    world.begin(1, user=None, uid=4711)
    world.run(60)

    assert {(1, NOON): "running"} == world.backend.rows
    assert 0 == len(world.parts.texts)


def test_a_name_that_stays_unknown_does_not_hold_up_a_short_run(world: World) -> None:
    """A drain started by cron exits; the next one asks again."""
    world.begin(1, user=None, uid=4711)
    world.run(2)

    assert 0 == len(world.parts.texts)
