"""Requeued, resized, moved and reused job ids in Slurm, with a whole drain: one row, the true end.

Hooks of 21.08 and 22.05 give no times, so an event is matched to a run by its arrival time.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from drain_world import NOON, World

from slurm.job import Job

DAY = 24 * 3600


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site."""
    return World(tmp_path)


def again(world: World, job_id: int, **facts: object) -> Job:
    """Start the next run of a requeued job and run its prolog."""
    restarts = world.slurm.records[job_id].restart_count
    return world.begin(job_id, restart_count=restarts, **facts)


def reported(world: World, job_id: int = 5) -> dict[int, tuple[str, int | None]]:
    """Return the state and end of each row of a job, by start, in seconds since noon."""
    rows = {key[1]: state for key, state in world.backend.rows.items() if key[0] == job_id}
    ends = {start: world.backend.ends.get((job_id, start)) for start in rows}
    return {
        start - NOON: (state, None if ends[start] is None else (ends[start] or 0) - NOON)
        for start, state in rows.items()
    }


def test_a_second_prolog_of_a_run_starts_no_new_run(world: World) -> None:
    """The controller was restarted while the job ran, and ran the prolog again."""
    world.begin(5)
    world.run(30)
    world.hook("start", 5)
    world.run()

    assert {0: ("running", None)} == reported(world)
    assert {"open": [f"5-{NOON}.json"]} == world.files()


def test_a_prolog_that_runs_after_its_epilog_starts_no_run(world: World) -> None:
    """Slurm runs the two scripts in parallel, in any order."""
    world.slurm.records[5] = world.job(5)
    world.now += 3
    world.end(5)
    world.run(2)
    world.hook("start", 5)
    world.run(2)

    assert {0: ("completed", 3)} == reported(world)
    assert {} == world.files()


def test_an_epilog_alone_reports_a_whole_run(world: World) -> None:
    """The prolog was killed, and Slurm has purged the job."""
    world.slurm.records[5] = world.job(5)
    world.now += 60
    world.end(5, "FAILED")
    del world.slurm.records[5]
    world.run()

    assert {0: ("failed", 60)} == reported(world)
    assert {} == world.files()


@pytest.mark.parametrize("gap", [1, 2, 5, 121])
def test_the_second_run_of_a_requeued_job_is_reported_after_any_gap(world: World, gap: int) -> None:
    """The gap is 1 to 121 s; accounting has the end of the first run an hour late."""
    world.begin(5)
    world.run(1)
    world.requeue(5)
    late = world.slurm.rows.pop()
    world.now += gap
    second = again(world, 5)
    world.slurm.rows.append(second)
    world.run(3600)
    world.slurm.rows.append(late)
    world.run(600)
    start = (second.start_time or 0) - NOON

    assert {start: ("running", None)} == reported(world)
    assert {"open": [f"5-{second.start_time}.json"]} == world.files()


def test_a_scrontab_job_has_only_the_row_of_its_latest_run(world: World) -> None:
    """Slurm requeues a scrontab job after each run; each new run replaces the row at cc-backend."""
    for _ in range(4):
        again(world, 5) if 5 in world.slurm.records else world.begin(5)
        world.run(20)
        world.requeue(5)
        world.run(580)

    assert {1800: ("cancelled", 1820)} == reported(world)
    assert {} == world.files()


def test_a_job_cancelled_while_configuring_is_reported(world: World) -> None:
    """The job had nodes and both hooks ran; before the cancellation no start was reported."""
    world.begin(5, flags=("CONFIGURING",))
    world.run(5)
    before = reported(world)
    record = world.slurm.records[5]
    world.slurm.records[5] = replace(record, flags=())
    world.end(5, "CANCELLED")
    world.run()

    assert ({}, {0: ("cancelled", 5)}) == (before, reported(world))
    assert {} == world.files()


def test_a_start_is_reported_when_the_nodes_have_powered_up(world: World) -> None:
    """The prolog ran 300 s before; no start is reported while the job is CONFIGURING."""
    world.begin(5, flags=("CONFIGURING",))
    world.run(300)
    before = reported(world)
    world.slurm.records[5] = world.job(5)
    world.run(60)
    world.end(5)
    world.run()

    assert ({}, {300: ("completed", 360)}) == (before, reported(world))
    assert {} == world.files()


def test_a_reported_start_stays_if_slurm_records_a_later_start(world: World) -> None:
    """The controller lost its state; squeue and sacct have only the later start of the same run."""
    world.begin(5)
    world.run(10)
    moved = world.begin(5)
    world.slurm.rows.append(moved)
    world.run(60)
    world.slurm.rows.clear()
    world.end(5)
    world.run()

    assert {0: ("completed", 70)} == reported(world)
    assert {} == world.files()


def test_a_resized_run_ends_once_with_its_last_row(world: World) -> None:
    """Accounting has a row for each size; the controller has purged the job."""
    first = world.begin(5)
    world.run(50)
    resized = int(world.now)
    world.run(50)
    over = replace(first, state="COMPLETED", end_time=int(world.now))
    world.slurm.rows += [
        replace(first, state="RESIZING", end_time=resized),
        replace(over, start_time=resized, submit_time=resized),
    ]
    del world.slurm.records[5]
    world.hook("stop", 5)
    world.run()

    assert {0: ("completed", 100)} == reported(world)
    assert {} == world.files()


def test_the_old_job_gets_its_true_end_when_its_id_is_used_again(world: World) -> None:
    """The old job's epilog event was lost; three days later another user's job has the same id."""
    world.begin(5)
    world.run(60)
    old = replace(world.slurm.records.pop(5), state="TIMEOUT", end_time=int(world.now))
    world.slurm.rows.append(old)
    world.now += 3 * DAY
    world.begin(5, user="bob")
    world.run(5)

    assert {0: ("timeout", 60), 3 * DAY + 60: ("running", None)} == reported(world)
    assert {"open": [f"5-{NOON + 3 * DAY + 60}.json"]} == world.files()


def test_the_drain_waits_for_accounting_that_is_an_hour_late(world: World) -> None:
    """The controller has purged the job; the drain does not guess an end meanwhile."""
    world.begin(5)
    world.run(60)
    record = world.slurm.records.pop(5)
    world.slurm.rows.append(record)
    world.hook("stop", 5)
    world.run(3600)
    before = reported(world)
    world.slurm.rows[:] = [replace(record, state="NODE_FAIL", end_time=NOON + 60)]
    world.run(600)

    assert ({0: ("running", None)}, {0: ("failed", 60)}) == (before, reported(world))
    assert {} == world.files()


def test_two_prologs_without_an_epilog_are_two_runs(world: World) -> None:
    """The first run ended with NODE_FAIL at the time that accounting has."""
    first = world.begin(5)
    world.run(100)
    world.slurm.rows.append(replace(first, state="NODE_FAIL", end_time=int(world.now)))
    world.slurm.records[5] = replace(first, restart_count=1)
    world.now += 30
    again(world, 5)
    world.run(5)

    assert {130: ("running", None)} == reported(world)
    assert {"open": [f"5-{NOON + 130}.json"]} == world.files()
    assert (NOON + 100) == world.backend.ends[5, NOON]


def test_without_accounting_a_requeued_job_is_reported_within_minutes(world: World) -> None:
    """The epilog and the next prolog prove the first run's end; Slurm has no other record of it."""
    world.begin(5)
    world.run(100)
    world.requeue(5)
    world.slurm.rows.clear()
    world.now += 121
    again(world, 5)
    world.run(900)

    assert [("running", None)] == [*reported(world).values()]
    assert "cancelled" in {document.get("jobState") for document in world.backend.documents}


@pytest.mark.parametrize("late_seconds", [0, 600])
def test_a_short_second_run_soon_after_the_first_is_reported(
    world: World, late_seconds: int
) -> None:
    """Before Slurm 23.02 events do not name their run; accounting may show it 600 s late."""
    world.begin(5)
    world.now += 2
    world.requeue(5)
    world.run(5)
    second = again(world, 5)
    world.now += 2
    world.requeue(5)
    world.slurm.records[5] = replace(world.slurm.records[5], restart_count=2)
    row = world.slurm.rows.pop()
    world.run(late_seconds)
    world.slurm.rows.append(row)
    world.run(600)
    start = (second.start_time or 0) - NOON

    assert {start: ("cancelled", start + 2)} == reported(world)
    assert {} == world.files()
