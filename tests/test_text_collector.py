"""Scripts and descriptions: asked for, waited for, and added to a run."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from drain_world import NOON, World
from text_desk import Desk

from spool.deliver.pending_run import PendingRun, RequestKind
from spool.drain.text_collector import (
    BATCH_SIZE,
    MAX_AGAIN_SECONDS,
    MAX_QUESTIONS,
    SILENT_SECONDS,
    START_WAIT_SECONDS,
    UNREADABLE_AGAIN_SECONDS,
)
from spool.files.run import End, EndSource, Run
from spool.resolve.job_texts import Texts, TextsQuery, TextsReply

SCRIPT, DESCRIPTION = "#!/bin/sh\n", "JobId=1"
FOUND = Texts(script=SCRIPT, description=DESCRIPTION)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


@pytest.fixture
def desk(world: World) -> Desk:
    """Return a collector that has nothing to ask."""
    return Desk(world)


def test_a_start_waits_a_moment_for_its_texts(desk: Desk) -> None:
    """They are asked for at once."""
    entry = desk.stage()

    assert desk.world.now + START_WAIT_SECONDS == entry.texts_until
    assert [TextsQuery(jobs=(desk.run_of(entry).job,))] == desk.worker.asked
    assert 1 == len(desk.collector)


def test_a_start_goes_as_soon_as_its_texts_are_here(desk: Desk) -> None:
    """With all of them."""
    entry = desk.stage()
    desk.find(replace(FOUND, script_bytes_total=9999))
    run = desk.run_of(entry)

    assert (0.0, 0) == (entry.texts_until, len(desk.collector))
    found = (run.script, run.script_bytes_total, run.description)
    assert (SCRIPT, 9999, DESCRIPTION) == found
    assert () == entry.new_texts


def test_a_job_without_texts_does_not_wait_longer(desk: Desk) -> None:
    """An interactive one has no script."""
    entry = desk.stage()
    before = desk.run_of(entry)
    desk.answer(TextsReply())

    assert (0.0, before) == (entry.texts_until, desk.run_of(entry))
    assert desk.world.store.schedule.is_ready(desk.world.now)


def test_no_start_waits_longer_for_a_silent_slurm(desk: Desk) -> None:
    """A query without any answer has taken seconds: the next runs do not wait either."""
    entries, waits, late = [desk.stage(1)], [], Texts(is_final=False)
    desk.world.now += SILENT_SECONDS
    entries += [desk.stage(job_id, start_time=NOON) for job_id in (2, 3)]
    desk.find(late)
    waits.append(entries[0].texts_until)
    desk.answer(TextsReply(texts={(job_id, NOON): late for job_id in (1, 2, 3)}))

    assert [0.0, 0.0, 0.0, 0.0] == [*waits, *(entry.texts_until for entry in entries)]


def test_starts_wait_again_when_slurm_has_answered(desk: Desk) -> None:
    """A quick failure is repeated within the wait of the start."""
    desk.stage(1)
    desk.world.now += SILENT_SECONDS
    desk.find(FOUND)
    entry = desk.stage(2, start_time=NOON)
    until = entry.texts_until
    desk.find(Texts(is_final=False), 2)

    assert until == entry.texts_until > 0


def test_texts_not_reached_in_time_are_asked_for_again(desk: Desk) -> None:
    """What was found already is kept, and the start still waits."""
    entry = desk.stage()
    until = entry.texts_until
    desk.find(Texts(description=DESCRIPTION, is_final=False))
    waits = entry.texts_until
    desk.find(Texts(script=SCRIPT, description="another"))
    run = desk.run_of(entry)

    assert (2, until, 0.0) == (len(desk.worker.asked), waits, entry.texts_until)
    assert (SCRIPT, DESCRIPTION) == (run.script, run.description)


def test_texts_that_are_never_reached_are_given_up(desk: Desk) -> None:
    """Half an hour of questions, ever rarer."""
    desk.stage()
    for _ in range(MAX_QUESTIONS):
        desk.find(Texts(is_final=False))
        desk.world.now += MAX_AGAIN_SECONDS
        desk.collector.fill(desk.world.moment)

    assert (MAX_QUESTIONS, 0) == (len(desk.worker.asked), len(desk.collector))


def test_while_the_worker_is_busy_nothing_is_asked(desk: Desk) -> None:
    """What comes meanwhile is asked together."""
    desk.stage(1)
    desk.stage(2)
    desk.stage(3)
    asked = len(desk.worker.asked)
    desk.find(FOUND)

    assert (1, [2, 3]) == (asked, [job.job_id for job in desk.worker.asked[-1].jobs])


def test_a_crowd_is_asked_about_in_batches(desk: Desk) -> None:
    """One question must end in time."""
    for job_id in range(1, BATCH_SIZE + 3):
        desk.stage(job_id)
    desk.find(FOUND)
    desk.find(FOUND)

    assert [1, BATCH_SIZE, 1] == [len(query.jobs) for query in desk.worker.asked]


def test_a_question_that_was_not_asked_changes_nothing(desk: Desk) -> None:
    """The worker was closed: the drain ends."""
    entry = desk.stage()
    before = desk.run_of(entry)
    desk.answer(None)

    assert (before, 0) == (desk.run_of(entry), len(desk.collector))


def test_texts_of_a_run_that_is_gone_are_dropped(desk: Desk) -> None:
    """It was excluded and is over, for example."""
    entry = desk.stage()
    desk.world.store.forget(entry, desk.world.moment)
    desk.find(FOUND)

    assert (0, 0) == (len(desk.collector), len(desk.world.store))


def test_texts_of_a_run_whose_file_vanished_are_dropped(desk: Desk) -> None:
    """Somebody has removed it."""
    entry = desk.stage()
    desk.world.store.persist(entry, desk.run_of(entry), desk.world.moment)
    desk.world.drain.flush()
    (desk.world.root / "todo" / entry.name).unlink()
    desk.find(FOUND)

    assert {} == desk.world.files()


@pytest.mark.parametrize("is_gone", [True, False])
def test_texts_of_a_run_that_cannot_be_read_now_are_asked_for_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, is_gone: bool
) -> None:
    """Its start waits for them once more, if it is still there."""
    entry = desk.stage()
    desk.world.store.persist(entry, desk.run_of(entry), desk.world.moment)
    desk.world.drain.flush()

    def fail(_entry: PendingRun) -> Run:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(desk.world.store, "load_run", fail)
        desk.find(FOUND)
    again = desk.collector.next_time()
    assert desk.world.now + UNREADABLE_AGAIN_SECONDS == again
    desk.world.now += UNREADABLE_AGAIN_SECONDS
    if is_gone:
        desk.world.store.forget(entry, desk.world.moment)
    desk.collector.fill(desk.world.moment)
    waits = entry.texts_until
    desk.find(FOUND)

    assert (2, None) == (len(desk.worker.asked), desk.collector.next_time())
    found = desk.world.store.get(1, NOON, desk.world.moment)
    assert is_gone is (found is None)
    assert is_gone is (waits <= desk.world.now)


def test_texts_of_a_stored_run_are_stored(desk: Desk) -> None:
    """A power cut does not lose them."""
    entry = desk.stage()
    desk.world.store.persist(entry, desk.run_of(entry), desk.world.moment)
    desk.world.drain.flush()
    desk.find(FOUND)
    desk.world.drain.flush()
    stored = desk.world.stored("todo", 1)

    assert (SCRIPT, DESCRIPTION) == (stored.script, stored.description)


@pytest.mark.parametrize("is_in_flight", [True, False])
def test_texts_after_the_start_are_to_be_added_to_its_row(
    desk: Desk, *, is_in_flight: bool
) -> None:
    """Whether it is under way or has been accepted; each once."""
    entry = desk.stage()
    if is_in_flight:
        entry.in_flight = RequestKind.START
    else:
        run = replace(desk.run_of(entry), started=NOON)
        desk.world.store.persist(entry, run, desk.world.moment)
    desk.find(Texts(description=DESCRIPTION, is_final=False))
    desk.find(FOUND)

    assert ("description", "script") == entry.new_texts
    assert SCRIPT == desk.run_of(entry).script
    assert entry.new_texts == desk.run_of(entry).late_texts


def test_texts_of_a_run_that_is_not_reported_stay_here(desk: Desk) -> None:
    """They are no business of cc-backend."""
    entry = desk.stage()
    run = replace(desk.run_of(entry), reported=False, started=NOON)
    desk.world.store.persist(entry, run, desk.world.moment)
    desk.find(FOUND)

    assert () == entry.new_texts


def test_an_end_that_came_meanwhile_is_kept(desk: Desk) -> None:
    """The run is changed as it is now, not as it was when its texts were asked for."""
    entry = desk.stage()
    end = End(time=NOON + 60, state="COMPLETED", source=EndSource.CONTROLLER)
    desk.world.store.stage(replace(desk.run_of(entry), end=end), (), desk.world.moment)
    desk.find(FOUND)

    assert (end, SCRIPT) == (desk.run_of(entry).end, desk.run_of(entry).script)


def test_where_nobody_wants_texts_a_start_does_not_wait(world: World) -> None:
    """And nothing is asked."""
    desk = Desk(world, wants_texts=False)
    entry = desk.stage()

    assert (0.0, [], 0) == (entry.texts_until, desk.worker.asked, len(desk.collector))
