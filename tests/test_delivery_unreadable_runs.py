"""Run files that are damaged, missing or unreadable while they wait to be delivered."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from delivery_steps import HOUR, NAME, alarms, entry_of, started, stored, unreadable
from drain_world import NOON, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_a_damaged_run_file_becomes_a_dead_letter(world: World) -> None:
    """The other run in `todo/` is delivered, and no alarm stays."""
    stored(world, 1, 2)
    (world.root / "todo" / NAME).write_text("{")
    world.run(60)

    assert {(2, NOON): "running"} == world.backend.rows
    assert {"open": [f"2-{NOON}.json"], "dead": [NAME, f"{NAME}.why"]} == world.files()
    assert {} == alarms(world)


def test_a_run_file_that_vanished_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Another program removed the file from `todo/`, so there is no dead letter."""
    stored(world, 1, 2)
    (world.root / "todo" / NAME).unlink()
    world.run(60)

    assert {(2, NOON): "running"} == world.backend.rows
    assert f"the run file {NAME} was removed by another program" in caplog.text
    assert {"open": [f"2-{NOON}.json"]} == world.files()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENFILE])
def test_a_run_file_that_cannot_be_read_now_stays(
    world: World, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """A local fault raises an alarm; the run is delivered within a minute after the fault ends."""
    stored(world, 1)
    with unreadable(world, OSError(number, "no luck")):
        world.run(200)
        assert ({"todo": [NAME]}, {NAME: "no luck"}) == (world.files(), alarms(world))
        assert 1 == sum(
            "stays in the spool and is not sent: no luck" in r.message for r in caplog.records
        )
    world.run(61)

    assert ({"open": [NAME]}, {}) == (world.files(), alarms(world))


@pytest.mark.parametrize("change", ["gone", "damaged"])
def test_a_removed_or_damaged_unreadable_run_ends_the_alarm(world: World, change: str) -> None:
    """An unreadable run file raised the alarm; now it is gone, or becomes a dead letter."""
    stored(world, 1)
    with unreadable(world, OSError(errno.EIO, "no luck")):
        world.run(61)
    path = world.root / "todo" / NAME
    if change == "gone":
        path.unlink()
    else:
        path.write_text("{")
    world.run(61)

    assert {} == alarms(world)


def test_an_os_error_without_strerror_is_shown(world: World) -> None:
    """The alarm about an unreadable run has the error's own message as its reason."""
    stored(world, 1)
    with unreadable(world, OSError("odd")):
        world.run(61)

        assert {NAME: "odd"} == alarms(world)


def test_a_run_file_of_a_later_version_stays(world: World) -> None:
    """An administrator installed this older version again; the newer one will deliver the run."""
    stored(world, 1)
    (world.root / "todo" / NAME).write_text('{"version": 99}')
    world.run(100)

    assert ({"todo": [NAME]}, [NAME]) == (world.files(), list(alarms(world)))


@pytest.mark.parametrize("is_loaded", [True, False])
def test_an_end_is_not_lost_while_its_run_cannot_be_read(world: World, *, is_loaded: bool) -> None:
    """The stop event stays in `new/`, and the drain keeps Slurm's answer until the file is read."""
    world.begin(1)
    world.run(6)
    world.now += HOUR
    if is_loaded:
        entry_of(world, 1)
    with unreadable(world, OSError(errno.EIO, "no luck")):
        world.end(1)
        world.run(6)
        asked = world.slurm.looks
        world.run(100)
        assert asked == world.slurm.looks
        assert {"new", "open"} == set(world.files())
        assert [NAME] == list(alarms(world))
    del world.slurm.records[1]
    world.slurm.rows.clear()
    world.run(70)

    assert ({(1, NOON): "completed"}, {}) == (world.backend.rows, world.files())


def test_a_run_whose_file_is_missing_at_its_end_is_read_from_slurm_again(world: World) -> None:
    """Another program removed the run file; the row at cc-backend is still stopped."""
    started(world)
    (world.root / "open" / NAME).unlink()
    world.end(1)
    world.run(30)

    assert ({(1, NOON): "completed"}, {}) == (world.backend.rows, world.files())


def test_a_missing_event_of_an_unknown_job_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The event should move to `dead/` a day later, but another program has removed its file."""
    world.hook("start", 9)
    world.run()
    (event,) = (world.root / "new").iterdir()
    event.unlink()
    world.now += 25 * HOUR
    world.run(400)

    assert f"new/{event.name} cannot be moved to dead/" in caplog.text
