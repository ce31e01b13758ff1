"""Scripts, descriptions and user names: what a start waits for, and what is added to a run."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from ccbackend.site_map import SiteMap
from ccbackend.version import Version
from slurm.job import Job
from spool.deliver.pending_run import PendingRun, RequestKind
from spool.drain.text_collector import (
    BATCH_SIZE,
    MAX_AGAIN_SECONDS,
    MAX_QUESTIONS,
    SILENT_SECONDS,
    START_WAIT_SECONDS,
    UNREADABLE_AGAIN_SECONDS,
    TextCollector,
)
from spool.files.run import End, EndSource, Run
from spool.resolve.job_texts import Texts, TextsQuery, TextsReply
from spool.worker import Worker

SCRIPT, DESCRIPTION = "#!/bin/sh\n", "JobId=1"
FOUND = Texts(script=SCRIPT, description=DESCRIPTION)
NEW, OLD = Version(1, 5, 4), Version(1, 4, 4)


class PatientWorker(Worker[TextsQuery, TextsReply]):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__("texts", _nothing, Queue(), clock=lambda: 0.0)
        self.asked: list[TextsQuery] = []

    def ask(self, question: TextsQuery) -> None:
        """Note a question."""
        self.outstanding += 1
        self.asked.append(question)


def _nothing(_query: TextsQuery) -> TextsReply:
    """Answer nothing."""
    return TextsReply()


class Desk:
    """A collector of a drain's runs, and its worker."""

    def __init__(self, world: World, *, wants_texts: bool = True) -> None:
        self.world = world
        self.worker = PatientWorker()
        builder = world.delivery.builder
        self.collector = TextCollector(
            world.store, builder, self.worker, wants_texts=wants_texts, began=world.now
        )
        builder.on_missing_user = self.collector.want_user

    def stage(self, job_id: int = 1, **facts: Any) -> PendingRun:
        """Take in a new run as the drain does, and ask."""
        run = Run(job=self.world.job(job_id, **facts), start_time=NOON)
        entry = self.world.store.stage(run, (), self.world.moment)
        entry.texts_until = self.collector.want(run, self.world.moment)
        self.collector.fill(self.world.moment)
        return entry

    def answer(self, reply: TextsReply | None) -> None:
        """Give the worker's answer to the question under way, and ask what is due."""
        self.worker.outstanding -= 1
        self.collector.take(self.worker.asked[-1], reply, self.world.moment)
        self.collector.fill(self.world.moment)

    def find(self, texts: Texts, job_id: int = 1) -> None:
        """Answer with the texts of one job."""
        self.answer(TextsReply(texts={(job_id, NOON): texts}))

    def run_of(self, entry: PendingRun) -> Run:
        """Return a run as it is known."""
        return self.world.store.load_run(entry)


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


# ---- names of users


def test_a_missing_name_is_asked_for_with_the_texts(desk: Desk) -> None:
    """In one question; each user once."""
    desk.stage(9)
    entry = desk.stage(1, user=None, uid=4711)
    desk.stage(2, user=None, uid=4711)
    desk.stage(3)
    desk.answer(TextsReply())

    assert frozenset({4711}) == desk.worker.asked[-1].uids
    desk.answer(TextsReply(users={4711: "bob"}))
    assert "bob" == desk.run_of(entry).job.user


def test_a_name_of_a_run_that_has_one_is_not_changed(desk: Desk) -> None:
    """Slurm's own word counts."""
    desk.stage(1, user=None, uid=1000)
    entry = desk.stage(1)
    desk.answer(TextsReply(users={1000: "bob"}))

    assert "ada" == desk.run_of(entry).job.user


def test_a_name_is_asked_for_where_nobody_wants_texts(world: World) -> None:
    """When its start is due; the texts are not asked for with it."""
    desk = Desk(world, wants_texts=False)
    entry = desk.stage(1, user=None, uid=4711)
    desk.collector.want_user(desk.run_of(entry), desk.world.moment)
    desk.collector.fill(desk.world.moment)

    assert [TextsQuery(uids=frozenset({4711}))] == desk.worker.asked


def test_a_name_that_is_being_asked_for_is_not_asked_for_again(desk: Desk) -> None:
    """Neither while it waits for the worker."""
    entry = desk.stage(1, user=None, uid=4711)
    other = desk.stage(2, user=None, uid=4712)
    for each in (entry, other):
        desk.collector.want_user(desk.run_of(each), desk.world.moment)

    for each in (entry, other):
        desk.collector.want_user(desk.run_of(each), desk.world.moment)

    assert 4 == len(desk.collector)


def test_a_user_without_a_number_is_not_asked_for(desk: Desk) -> None:
    """There is nothing to ask with."""
    run = Run(job=Job(job_id=1, start_time=NOON), start_time=NOON)
    desk.collector.want_user(run, desk.world.moment)

    assert 0 == len(desk.collector)


def test_an_unknown_name_is_asked_for_while_its_start_waits(world: World) -> None:
    """Every five seconds; the run goes as soon as the name service knows it."""
    world.begin(1, user=None, uid=4711)
    world.run(20)
    before = dict(world.backend.rows)
    world.users[4711] = "bob"
    world.run(6)

    assert ({}, "bob") == (before, world.backend.documents[-1]["user"])
    assert {(1, NOON): "running"} == world.backend.rows


def test_an_unknown_name_is_asked_for_by_the_next_drain(world: World) -> None:
    """Its runs would wait for ever."""
    world.begin(1, user=None, uid=4711)
    world.run(20)
    world.boot()
    world.users[4711] = "bob"
    world.run(6)

    assert {(1, NOON): "running"} == world.backend.rows


def test_a_name_that_is_needed_no_more_is_not_asked_for(world: World) -> None:
    """The site lets the number stand for it: the row cannot be changed afterwards."""
    site = SiteMap(cluster="alex", user_from_uid_after_seconds=0)
    world.composer.site_of = lambda _: site
    world.composer.update_clusters(())
    world.begin(1, user=None, uid=4711)
    world.run(60)

    assert {(1, NOON): "running"} == world.backend.rows
    assert 0 == len(world.parts.texts)


def test_a_name_that_stays_unknown_does_not_hold_up_a_short_run(world: World) -> None:
    """A drain started by cron ends; the next one asks again."""
    world.begin(1, user=None, uid=4711)
    world.run(2)

    assert 0 == len(world.parts.texts)


# ---- with the whole drain


@pytest.mark.parametrize(("version", "late"), [(NEW, [SCRIPT]), (OLD, [])])
def test_a_start_goes_without_texts_that_take_long(
    world: World, version: Version, late: list[str]
) -> None:
    """They follow where cc-backend can still add them, and are stored."""
    world.backend.version = version
    worker: Any = world.parts.texts._worker  # noqa: SLF001 - the drain's own, made to hang
    questions: list[TextsQuery] = []

    def hang(query: TextsQuery) -> None:
        worker.outstanding += 1
        questions.append(query)

    worker.ask = hang
    world.begin(1)
    world.run(START_WAIT_SECONDS - 1)
    early = dict(world.backend.rows)
    world.run(2)
    started = dict(world.backend.rows)
    worker.put_answer(questions[0], TextsReply(texts={(1, NOON): Texts(script=SCRIPT)}))
    world.run(2)
    world.now += 180  # cc-backend's job cache is waited for
    world.run(2)

    assert ({}, {(1, NOON): "running"}) == (early, started)
    sent = [each["payload"]["value"] for each in world.backend.documents if "payload" in each]
    assert (late, SCRIPT) == (sent, world.stored("open", 1).script)


def test_a_start_has_its_texts(world: World) -> None:
    """They come within its wait."""
    world.texts[1] = (SCRIPT, DESCRIPTION)
    world.begin(1)
    world.run()
    (document,) = (each for each in world.backend.documents if each["jobId"] == 1)

    assert {"jobScript": SCRIPT, "slurmInfo": DESCRIPTION} == {
        key: value for key, value in document["metaData"].items() if key != "jobName"
    }


def test_an_outage_does_not_lose_texts(world: World) -> None:
    """They are stored with the run."""
    world.backend.everything = Reason.UNREACHABLE
    world.texts[1] = (SCRIPT, DESCRIPTION)
    world.begin(1)
    world.run(2)

    assert SCRIPT == world.stored("todo", 1).script
