"""The collector of scripts and descriptions: queries, waits and additions to a run."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from drain_world import NOON, World
from text_collector_world import TextCollectorWorld

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
def collecting(world: World) -> TextCollectorWorld:
    """Return a collector that has nothing to ask."""
    return TextCollectorWorld(world)


def test_a_start_waits_5_s_for_script_and_description(collecting: TextCollectorWorld) -> None:
    """A query for script and description is sent immediately."""
    entry = collecting.stage()

    assert collecting.world.now + START_WAIT_SECONDS == entry.texts_until
    assert [TextsQuery(jobs=(collecting.run_of(entry).job,))] == collecting.worker.asked
    assert 1 == len(collecting.collector)


def test_a_start_is_sent_as_soon_as_its_texts_are_found(collecting: TextCollectorWorld) -> None:
    """The start then has the script and the description of the job."""
    entry = collecting.stage()
    collecting.find(replace(FOUND, script_bytes_total=9999))
    run = collecting.run_of(entry)

    assert (0.0, 0) == (entry.texts_until, len(collecting.collector))
    found = (run.script, run.script_bytes_total, run.description)
    assert (SCRIPT, 9999, DESCRIPTION) == found
    assert () == entry.new_texts


def test_a_job_without_texts_does_not_wait_longer(collecting: TextCollectorWorld) -> None:
    """Slurm has neither script nor description, for example of an interactive job."""
    entry = collecting.stage()
    before = collecting.run_of(entry)
    collecting.answer(TextsReply())

    assert (0.0, before) == (entry.texts_until, collecting.run_of(entry))
    assert collecting.world.store.schedule.is_ready(collecting.world.now)


def test_no_start_waits_if_queries_for_texts_are_slow(collecting: TextCollectorWorld) -> None:
    """A query for script and description took 1.5 s and found nothing: later runs do not wait."""
    entries, waits, late = [collecting.stage(1)], [], Texts(is_final=False)
    collecting.world.now += SILENT_SECONDS
    entries += [collecting.stage(job_id, start_time=NOON) for job_id in (2, 3)]
    collecting.find(late)
    waits.append(entries[0].texts_until)
    collecting.answer(TextsReply(texts={(job_id, NOON): late for job_id in (1, 2, 3)}))

    assert [0.0, 0.0, 0.0, 0.0] == [*waits, *(entry.texts_until for entry in entries)]


def test_starts_wait_again_when_slurm_has_answered(collecting: TextCollectorWorld) -> None:
    """New starts wait for script and description, even after a quick reply without them."""
    collecting.stage(1)
    collecting.world.now += SILENT_SECONDS
    collecting.find(FOUND)
    entry = collecting.stage(2, start_time=NOON)
    until = entry.texts_until
    collecting.find(Texts(is_final=False), 2)

    assert until == entry.texts_until > 0


def test_missing_texts_are_queried_again_before_the_start(collecting: TextCollectorWorld) -> None:
    """The description was found, the script was not: the first description is kept."""
    entry = collecting.stage()
    until = entry.texts_until
    collecting.find(Texts(description=DESCRIPTION, is_final=False))
    waits = entry.texts_until
    collecting.find(Texts(script=SCRIPT, description="another"))
    run = collecting.run_of(entry)

    assert (2, until, 0.0) == (len(collecting.worker.asked), waits, entry.texts_until)
    assert (SCRIPT, DESCRIPTION) == (run.script, run.description)


def test_queries_for_missing_texts_end_after_half_an_hour(collecting: TextCollectorWorld) -> None:
    """Script and description are queried MAX_QUESTIONS times, at growing intervals."""
    collecting.stage()
    for _ in range(MAX_QUESTIONS):
        collecting.find(Texts(is_final=False))
        collecting.world.now += MAX_AGAIN_SECONDS
        collecting.collector.fill(collecting.world.moment)

    assert (MAX_QUESTIONS, 0) == (len(collecting.worker.asked), len(collecting.collector))


def test_jobs_that_start_during_a_query_share_the_next_one(collecting: TextCollectorWorld) -> None:
    """While Slurm is asked for script and description of one job, two others start."""
    collecting.stage(1)
    collecting.stage(2)
    collecting.stage(3)
    asked = len(collecting.worker.asked)
    collecting.find(FOUND)

    assert (1, [2, 3]) == (asked, [job.job_id for job in collecting.worker.asked[-1].jobs])


def test_many_jobs_are_queried_in_batches(collecting: TextCollectorWorld) -> None:
    """A query for script and description has BATCH_SIZE jobs at most, so that it ends in time."""
    for job_id in range(1, BATCH_SIZE + 3):
        collecting.stage(job_id)
    collecting.find(FOUND)
    collecting.find(FOUND)

    assert [1, BATCH_SIZE, 1] == [len(query.jobs) for query in collecting.worker.asked]


def test_a_query_that_was_not_sent_changes_no_run(collecting: TextCollectorWorld) -> None:
    """The worker was closed, because the drain stops; the collector has no query left."""
    entry = collecting.stage()
    before = collecting.run_of(entry)
    collecting.answer(None)

    assert (before, 0) == (collecting.run_of(entry), len(collecting.collector))


def test_texts_of_a_removed_run_are_dropped(collecting: TextCollectorWorld) -> None:
    """The run left the spool while Slurm was asked for its script and description."""
    entry = collecting.stage()
    collecting.world.store.forget(entry, collecting.world.moment)
    collecting.find(FOUND)

    assert (0, 0) == (len(collecting.collector), len(collecting.world.store))


def test_texts_of_a_run_without_a_file_are_dropped(collecting: TextCollectorWorld) -> None:
    """An administrator removed the run file in todo/ during the query; no file is written."""
    entry = collecting.stage()
    collecting.world.store.persist(entry, collecting.run_of(entry), collecting.world.moment)
    collecting.world.drain.flush()
    (collecting.world.root / "todo" / entry.name).unlink()
    collecting.find(FOUND)

    assert {} == collecting.world.files()


@pytest.mark.parametrize("is_gone", [True, False])
def test_texts_are_queried_again_if_the_run_file_cannot_be_read(
    collecting: TextCollectorWorld, monkeypatch: pytest.MonkeyPatch, *, is_gone: bool
) -> None:
    """After an I/O error the start waits for script and description again, if the run exists."""
    entry = collecting.stage()
    collecting.world.store.persist(entry, collecting.run_of(entry), collecting.world.moment)
    collecting.world.drain.flush()

    def fail(_entry: PendingRun) -> Run:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(collecting.world.store, "load_run", fail)
        collecting.find(FOUND)
    again = collecting.collector.next_time()
    assert collecting.world.now + UNREADABLE_AGAIN_SECONDS == again
    collecting.world.now += UNREADABLE_AGAIN_SECONDS
    if is_gone:
        collecting.world.store.forget(entry, collecting.world.moment)
    collecting.collector.fill(collecting.world.moment)
    waits = entry.texts_until
    collecting.find(FOUND)

    assert (2, None) == (len(collecting.worker.asked), collecting.collector.next_time())
    found = collecting.world.store.get(1, NOON, collecting.world.moment)
    assert is_gone is (found is None)
    assert is_gone is (waits <= collecting.world.now)


def test_texts_of_a_run_in_todo_are_stored_in_its_file(collecting: TextCollectorWorld) -> None:
    """A power cut then does not lose script and description."""
    entry = collecting.stage()
    collecting.world.store.persist(entry, collecting.run_of(entry), collecting.world.moment)
    collecting.world.drain.flush()
    collecting.find(FOUND)
    collecting.world.drain.flush()
    stored = collecting.world.stored("todo", 1)

    assert (SCRIPT, DESCRIPTION) == (stored.script, stored.description)


@pytest.mark.parametrize("is_in_flight", [True, False])
def test_texts_that_come_after_the_start_are_marked_for_its_row(
    collecting: TextCollectorWorld, *, is_in_flight: bool
) -> None:
    """Script and description that come during or after the start are listed once in `new_texts`."""
    entry = collecting.stage()
    if is_in_flight:
        entry.in_flight = RequestKind.START
    else:
        run = replace(collecting.run_of(entry), started=NOON)
        collecting.world.store.persist(entry, run, collecting.world.moment)
    collecting.find(Texts(description=DESCRIPTION, is_final=False))
    collecting.find(FOUND)

    assert ("description", "script") == entry.new_texts
    assert SCRIPT == collecting.run_of(entry).script
    assert entry.new_texts == collecting.run_of(entry).late_texts


def test_texts_of_an_excluded_run_are_not_sent(collecting: TextCollectorWorld) -> None:
    """Script and description of a run that is not reported are not added to a row."""
    entry = collecting.stage()
    run = replace(collecting.run_of(entry), reported=False, started=NOON)
    collecting.world.store.persist(entry, run, collecting.world.moment)
    collecting.find(FOUND)

    assert () == entry.new_texts


def test_an_end_that_comes_during_a_query_is_kept(collecting: TextCollectorWorld) -> None:
    """Script and description are added to the run as it is now, not as it was before the query."""
    entry = collecting.stage()
    end = End(time=NOON + 60, state="COMPLETED", source=EndSource.CONTROLLER)
    collecting.world.store.stage(
        replace(collecting.run_of(entry), end=end), (), collecting.world.moment
    )
    collecting.find(FOUND)

    assert (end, SCRIPT) == (collecting.run_of(entry).end, collecting.run_of(entry).script)


def test_without_wanted_texts_a_start_does_not_wait(world: World) -> None:
    """The site wants neither script nor description: Slurm is not asked for them."""
    collecting = TextCollectorWorld(world, wants_texts=False)
    entry = collecting.stage()

    assert (0.0, [], 0) == (entry.texts_until, collecting.worker.asked, len(collecting.collector))
