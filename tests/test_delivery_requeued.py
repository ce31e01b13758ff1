"""Several runs of one job id: proof that two are the same, and rows that are replaced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from delivery_steps import NAME, NEW, calls, entry_of, held, request, result, started, stored
from drain_world import NOON, World

from ccbackend.outcomes import Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow
from spool.deliver.pending_run import RequestKind


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def requeued(world: World) -> None:
    """Start a job's second run; its first run was delivered long ago and has no run file."""
    world.backend.rows[1, NOON - 600] = "completed"
    world.slurm.rows.append(
        replace(world.job(1), start_time=NOON - 600, end_time=NOON - 60, state="REQUEUED")
    )
    world.begin(1, restart_count=1)


def lose_first_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make cc-backend delete a row and lose its answer, once."""
    delete = world.backend.delete
    lost = [ReplyVerdict(Reason.TIMED_OUT)]

    def answer(document: dict[str, Any]) -> ApiReply:
        reply = delete(document)
        return replace(reply, verdict=lost.pop()) if lost else reply

    monkeypatch.setattr(world.backend, "delete", answer)


def test_a_row_whose_deletion_was_not_answered_does_not_block_the_second_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cc-backend 1.5 answers the repetition as for a cached row; the second run still starts."""
    world.backend.version = NEW
    lose_first_answer(world, monkeypatch)
    world.run()
    requeued(world)
    start = int(world.now)
    world.run(240)

    assert {(1, start): "running"} == world.backend.rows


def test_a_retry_command_does_not_wait_for_the_flush(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cc-spool retry` after a deletion without an answer: the start is sent within 5 s."""
    world.backend.version = NEW
    lose_first_answer(world, monkeypatch)
    world.run()
    requeued(world)
    start = int(world.now)
    world.run(20)
    world.delivery.retry_now(1, world.moment)
    world.run(5)

    assert {(1, start): "running"} == world.backend.rows


def test_a_row_that_comes_back_is_deleted_again_after_growing_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program reports the first run again each time: 4 deletions in some 2000 s."""
    delete = world.backend.delete

    def answer(document: dict[str, Any]) -> ApiReply:
        reply = delete(document)
        world.backend.rows[1, NOON - 600] = "completed"
        return reply

    monkeypatch.setattr(world.backend, "delete", answer)
    world.run()
    requeued(world)
    world.run(20)
    deletions = [len(calls(world, "delete"))]
    for _ in range(2):
        world.run(1000)
        deletions.append(len(calls(world, "delete")))

    assert [1, 3, 4] == deletions


def test_a_start_waits_until_accounting_proves_the_requeue(world: World) -> None:
    """The earlier row at cc-backend is deleted only then; other runs are delivered meanwhile."""
    world.run()
    requeued(world)
    with held(world.parts.slurm.accounting, world):
        world.run(10)
        assert RequestKind.START is entry_of(world, 1).in_flight
        assert [1] == calls(world, "start")
        world.begin(2)
        world.run(6)
        assert 2 in {job_id for job_id, _ in world.backend.rows}
    world.run()

    assert [1] == calls(world, "delete")
    assert (1, NOON - 600) not in world.backend.rows


def test_a_row_is_deleted_only_when_its_run_is_out_of_the_spool(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in between would have the first run started and stopped once more."""
    started(world)
    seen: list[bool] = []
    delete = world.backend.delete

    def look(document: dict[str, Any]) -> ApiReply:
        seen.append((world.root / "open" / NAME).exists())
        return delete(document)

    monkeypatch.setattr(world.backend, "delete", look)
    second = int(world.now)
    world.requeue(1)
    world.slurm.records[1] = world.job(1, restart_count=1)
    world.hook("start", 1)
    world.run(30)

    assert [False] == seen
    assert [(1, second)] == list(world.backend.rows)


def test_an_end_before_the_proof_of_a_requeue_is_not_lost(world: World) -> None:
    """The earlier row is replaced, and the second run is started and stopped."""
    world.run()
    requeued(world)
    start = int(world.now)
    with held(world.parts.slurm.accounting, world):
        world.run(10)
        world.end(1)
        world.run(2)
    world.run(10)

    assert {(1, start): "completed"} == world.backend.rows
    assert {} == world.files()


def test_a_run_removed_before_the_proof_of_a_requeue_is_dropped(world: World) -> None:
    """Another program removed the run file while accounting was asked; no start follows."""
    world.run()
    requeued(world)
    start = int(world.now)
    with held(world.parts.slurm.accounting, world):
        world.run(10)
        (world.root / "todo" / f"1-{start}.json").unlink()
    world.run(5)

    assert ({}, [1]) == (world.files(), calls(world, "start"))


def test_an_ended_run_that_is_unreported_by_policy_is_removed(tmp_path: Path) -> None:
    """With `drain.requeue` set to keep, a second run that has ended leaves no run file."""
    world = World(tmp_path, replace_earlier=False)
    world.run()
    requeued(world)
    with held(world.parts.slurm.accounting, world):
        world.run(10)
        world.end(1)
        world.run(2)
    world.run(10)

    assert ({(1, NOON - 600): "completed"}, {}) == (world.backend.rows, world.files())


def test_a_run_older_than_a_row_of_its_job_id_becomes_a_dead_letter(world: World) -> None:
    """This is the 24th rejected attempt; the dead letter has the request without the job script."""
    stored(world, 1)
    entry = entry_of(world, 1)
    run = replace(world.stored("todo", 1), attempts=23)
    world.store.persist(entry, run, world.moment)
    entry.in_flight = RequestKind.START
    rows = (BackendRow(1, "alex", NOON + 50, "running", 0), BackendRow(1, "alex", NOON, "", 0))
    document = {"jobId": 1, "metaData": {"jobScript": "x"}}
    world.delivery.replies.take_result(
        request(), result(Reason.DUPLICATE, rows=rows, document=document), world.moment
    )
    world.run(1)

    dead = world.stored("dead", 1)
    assert (24, '{"jobId": 1}') == (dead.attempts, dead.last_error and dead.last_error.request)
