"""The queries of a sweep to accounting about runs that ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from orderly_world import GONE, over, world_in_order
from sweep_values import keys
from sweep_world import SweptWorld

from slurm.errors import SlurmError
from slurm.job import SCRONTAB_FLAG
from sweeper.observe import collector
from sweeper.sweep import SweepResult

HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def world(tmp_path: Path) -> SweptWorld:
    """Return a site in agreement: one job runs on both sides."""
    return world_in_order(tmp_path / "spool")


def test_ended_runs_are_looked_up_and_queried_by_id(world: SweptWorld) -> None:
    """A query of a time window truncates the rows of resized jobs; one by job id has them all."""
    whole = over(world, 5)
    resized = over(world, 6)
    first = world.slurm.rows[-1]
    resize = int(world.world.now) - 3000
    world.slurm.rows[-1:] = [
        replace(first, state="RESIZING", end_time=resize),
        replace(first, start_time=resize),
    ]
    world.world.backend.rows[resized] = "completed"

    plan = world.plan().decision.plan

    assert keys(plan.changes) == [whole]
    assert world.backend.lookups == 1


@pytest.mark.parametrize(
    ("flags", "failure", "state"),
    [
        ((SCRONTAB_FLAG,), None, "COMPLETED"),
        ((), None, "REQUEUED"),
        ((SCRONTAB_FLAG,), GONE, "REQUEUED"),
    ],
)
@pytest.mark.parametrize("running", [False, True])
def test_a_plan_names_the_end_state_of_a_scrontab_run(
    world: SweptWorld,
    flags: tuple[str, ...],
    failure: SlurmError | None,
    state: str,
    *,
    running: bool,
) -> None:
    """Accounting says REQUEUED; the plan says COMPLETED if the job's record has the scrontab flag.

    The run is missing at cc-backend, or still running there.
    """
    run = over(world, 5, ago=900, exit_code="0:0", state="REQUEUED")
    waiting = replace(world.world.job(5), state="PENDING", start_time=None, flags=flags)
    world.slurm.records[5] = waiting
    world.slurm.odd = {} if failure is None else {5: failure}
    if running:
        world.world.backend.rows[run] = "running"

    (change,) = world.plan().decision.plan.changes

    assert change.why.startswith(f"{state} according to accounting")


def test_requeued_runs_are_planned_without_their_records(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While slurmctld does not answer, the reason in the plan says REQUEUED, as accounting does."""
    over(world, 5, ago=900, exit_code="0:0", state="REQUEUED")

    def silent(*_: object, **__: object) -> NoReturn:
        raise GONE

    monkeypatch.setattr(world.slurm, "jobs", silent)
    (change,) = world.plan().decision.plan.changes

    assert change.why.startswith("REQUEUED according to accounting")


@pytest.mark.parametrize(("ago", "found"), [(599, 0), (600, 1), (4200, 1), (7801, 1), (7802, 0)])
def test_ended_runs_are_read_from_an_hour_before_the_last_sweep(
    world: SweptWorld, ago: int, found: int
) -> None:
    """The grace is added to the hour; younger ends are left to the next sweep."""
    job = world.world.job(5, start_time=int(world.world.now) - 9000)
    end = int(world.world.now) - ago
    world.slurm.rows.append(replace(job, state="COMPLETED", end_time=end))
    world.state = replace(world.state, mark=int(world.world.now) - 3600 - (ago > 7800))

    assert found == len(world.plan().decision.plan.changes)


def test_a_long_window_of_ended_runs_is_read_in_parts(world: SweptWorld) -> None:
    """Ten days since the last sweep are read by 60 queries of four hours each."""
    world.state = replace(world.state, mark=int(world.world.now) - 10 * DAY)

    result = world.plan()

    assert world.slurm.asked.count("ended") == 60
    assert not result.observation.has_unread_ends


def test_no_ended_runs_are_read_if_the_stored_time_is_in_the_future(world: SweptWorld) -> None:
    """The clock was set back; the sweep replaces the stored time by the current one."""
    now = int(world.world.now)
    world.state = replace(world.state, mark=now + 9000, installed=now + 9000)

    world.sweep()

    assert (world.slurm.asked.count("ended"), world.state.mark) == (0, now)


def delivered(world: SweptWorld, count: int, *, ago: int) -> None:
    """Add runs that end one per second, beginning `ago` seconds ago; cc-backend has them all."""
    first = 1000 + len(world.slurm.rows)
    for number in range(count):
        key = over(world, first + number, ago=ago - number, start_time=world.state.mark)
        world.world.backend.rows[key.job_id, world.state.mark or 0] = "completed"


def test_after_a_gap_each_sweep_reads_a_part_of_the_ended_runs(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sweep ran for three days; the lost run is in the last part, so the last sweep finds it."""
    monkeypatch.setattr(collector, "MAX_ENDED", 10)
    now = int(world.world.now)
    world.state = replace(world.state, mark=now - 3 * DAY)
    for hours in range(72, 0, -6):
        delivered(world, 10, ago=hours * HOUR)
    lost = over(world, 5, ago=2000)

    sweeps: list[SweepResult] = []
    while world.state.mark != now and len(sweeps) < 99:
        world.world.now = now
        sweeps.append(world.sweep())

    found = [keys(result.decision.plan.changes) for result in sweeps]
    assert found == [*[[]] * (len(sweeps) - 1), [lost]]
    assert 2 < len(sweeps) <= 3 * DAY // collector.PART_SECONDS


def test_a_part_of_the_window_with_too_many_runs_is_read_completely(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part has more ended runs than MAX_ENDED; the stored time still moves on by one part."""
    monkeypatch.setattr(collector, "MAX_ENDED", 2)
    mark = int(world.world.now) - DAY
    world.state = replace(world.state, mark=mark)
    delivered(world, 9, ago=DAY + 1800)

    result = world.sweep()

    assert world.state.mark == mark + collector.PART_SECONDS == result.decision.plan.ends_read_until


def test_the_newest_part_is_always_read_completely(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last sweep was 10 minutes ago: all ended runs are read, even more than MAX_ENDED."""
    monkeypatch.setattr(collector, "MAX_ENDED", 2)
    now = int(world.world.now)
    world.state = replace(world.state, mark=now - 600)
    delivered(world, 9, ago=700)

    result = world.sweep()

    assert (world.state.mark, result.decision.plan.ends_read_until) == (now, None)


def test_a_part_of_the_window_is_read_again_until_its_runs_are_repaired(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of three sweeps repairs one run; only the third sweep moves the stored time on."""
    monkeypatch.setattr(collector, "MAX_ENDED", 2)
    mark = int(world.world.now) - DAY
    world.state = replace(world.state, mark=mark)
    lost = [over(world, job_id, ago=DAY - HOUR, start_time=mark - 60) for job_id in (5, 6, 7)]

    sweeps, marks = [], []
    for _ in lost:
        sweeps.append(world.sweep(limit=1))
        marks.append(world.state.mark)

    assert [len(result.decision.plan.changes) for result in sweeps] == [1, 1, 1]
    assert marks == [mark, mark, mark + collector.PART_SECONDS]


def test_without_accounting_no_ended_runs_are_read(world: SweptWorld) -> None:
    """With accounting_storage/none only slurmctld's own record proves an end."""
    world.slurm.settings = {"AccountingStorageType": ("accounting_storage/none",)}
    over(world, 5)

    result = world.plan()

    assert (result.decision.plan.changes, result.observation.has_accounting) == ((), False)
    assert result.observation.ends_read_until == result.observation.now
