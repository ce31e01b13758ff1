"""What a sweep looks at, and how little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from lying_slurm import COMMANDS, LyingSlurm, Told
from sweep_values import keys
from sweep_world import SweptWorld

from ccbackend.replies import BackendRow, JobList
from slurm.client import Slurm
from slurm.errors import FailureReason, SlurmError
from slurm.job import SCRONTAB_FLAG
from spool.files.run import RunId
from sweeper.observe import collector
from sweeper.observe.single_jobs import UnknownJobsError
from sweeper.values import Start

GONE = SlurmError("away", reason=FailureReason.UNREACHABLE)


@pytest.fixture
def world(tmp_path: Path) -> SweptWorld:
    """A site in order: one job runs on both sides."""
    made = SweptWorld(tmp_path / "spool")
    job = made.world.job(1, start_time=int(made.world.now) - 7000)
    made.slurm.records[1] = job
    made.slurm.rows.append(job)
    made.world.backend.rows[1, job.start_time or 0] = "running"
    return made


def over(world: SweptWorld, job_id: int, ago: int = 1500, **facts: object) -> RunId:
    """A run that ended so long ago, in accounting."""
    job = world.world.job(job_id, start_time=int(world.world.now) - 7000)
    end = int(world.world.now) - ago
    world.slurm.rows.append(
        replace(job, **{"state": "COMPLETED", "end_time": end, **facts})  # type: ignore[arg-type]
    )
    return RunId(job_id, job.start_time or 0)


def test_without_drift_nobody_is_asked_about_single_jobs(world: SweptWorld) -> None:
    """One listing of each side, and the window of what ended."""
    world.plan()

    assert world.slurm.asked == ["config", "queue_snapshot", "ended"]
    assert world.backend.lookups == 0


def test_what_ended_is_looked_up_and_asked_for_again(world: SweptWorld) -> None:
    """A window cuts the rows of resized jobs; asked by id they are whole."""
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
def test_a_plan_names_the_own_end_of_a_run_of_scrontab(
    world: SweptWorld,
    flags: tuple[str, ...],
    failure: SlurmError | None,
    state: str,
    running: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Accounting says REQUEUED, the record says who requeued; one that cannot be read says nothing.

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


def test_a_plan_of_requeued_runs_needs_no_answer_about_their_records(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are for its words alone."""
    over(world, 5, ago=900, exit_code="0:0", state="REQUEUED")

    def silent(*_: object, **__: object) -> NoReturn:
        raise GONE

    monkeypatch.setattr(world.slurm, "jobs", silent)
    (change,) = world.plan().decision.plan.changes

    assert change.why.startswith("REQUEUED according to accounting")


@pytest.mark.parametrize(("ago", "found"), [(599, 0), (600, 1), (4200, 1), (7801, 1), (7802, 0)])
def test_the_window_reaches_an_hour_and_the_grace_behind_the_mark(
    world: SweptWorld, ago: int, found: int
) -> None:
    """What ended in the grace is left for the next sweep; what ended before is history."""
    job = world.world.job(5, start_time=int(world.world.now) - 9000)
    end = int(world.world.now) - ago
    world.slurm.rows.append(replace(job, state="COMPLETED", end_time=end))
    world.state = replace(world.state, mark=int(world.world.now) - 3600 - (ago > 7800))

    assert found == len(world.plan().decision.plan.changes)


def test_a_window_is_asked_for_in_pages(world: SweptWorld) -> None:
    """A day each; the mark may be weeks old."""
    world.state = replace(world.state, mark=int(world.world.now) - 10 * 86400)

    world.plan()

    assert world.slurm.asked.count("ended") == 11


def test_a_huge_window_is_done_in_parts(world: SweptWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark moves when all of it was looked at."""
    monkeypatch.setattr(collector, "MAX_ENDED", 2)
    for job_id in (5, 6, 7):
        over(world, job_id)
    mark = world.state.mark

    first = world.sweep()
    marks = [world.state.mark]
    monkeypatch.undo()
    world.sweep()

    assert not first.observation.window_complete
    assert marks == [mark]
    assert world.state.mark != mark


def test_without_accounting_there_is_no_window(world: SweptWorld) -> None:
    """And the controller's own word is the proof."""
    world.slurm.settings = {"AccountingStorageType": ("accounting_storage/none",)}
    over(world, 5)

    result = world.plan()

    assert (result.decision.plan.changes, result.observation.has_accounting) == ((), False)
    assert result.observation.window_complete


@pytest.mark.parametrize("what", ["config", "queue_snapshot", "ended", "accounting"])
def test_a_question_without_an_answer_leaves_all_as_it_was(world: SweptWorld, what: str) -> None:
    """The mark, the counters, the memory."""
    over(world, 5)
    orphan = over(world, 6)
    world.world.backend.rows[orphan] = "running"
    world.slurm.failures = {what: GONE}
    before = world.state

    result = world.sweep()

    assert result.decision.plan.is_refused
    assert not [change for change in result.decision.plan.changes if not isinstance(change, Start)]
    assert world.state == before


def test_look_ups_that_fail_plan_nothing(world: SweptWorld) -> None:
    """Whether a run is there in another state is not known then."""
    over(world, 5)
    world.slurm.records[6] = world.world.job(6, start_time=int(world.world.now) - 7000)
    world.backend.silent = True

    plan = world.plan().decision.plan

    assert (plan.changes, [guard.name for guard in plan.guards]) == ((), ["listing"])


def test_a_configuring_job_is_neither_begun_nor_over(world: SweptWorld) -> None:
    """On whichever side it is seen."""
    start = int(world.world.now) - 7000
    for job_id in (5, 6):
        world.slurm.records[job_id] = world.world.job(job_id, state="CONFIGURING", start_time=start)
    world.world.backend.rows[6, start] = "running"

    plan = world.plan().decision.plan

    assert (plan.changes, plan.reports) == ((), ())


def test_starts_that_differ_by_seconds_are_one_run(world: SweptWorld) -> None:
    """Controller and accounting round differently."""
    row = next(iter(world.world.backend.rows))
    world.world.backend.rows.pop(row)
    world.world.backend.rows[row[0], row[1] + 4] = "running"

    plan = world.plan().decision.plan

    assert (plan.changes, plan.reports) == ((), ())


def test_a_listing_of_another_cluster_is_not_believed(world: SweptWorld) -> None:
    """Whatever it holds."""
    listing = world.backend.running_jobs("alex")
    row = BackendRow(5, "fritz", 1, "running", 50)
    world.backend.listing = JobList(listing.reply, (*(listing.rows or ()), row))

    plan = world.plan().decision.plan

    assert [guard.name for guard in plan.guards] == ["listing"]


def test_a_restricted_account_stops_nothing(world: SweptWorld) -> None:
    """Its lists are short without an error."""
    world.sees_all_jobs = False
    orphan = over(world, 6)
    world.world.backend.rows[orphan] = "running"

    plan = world.plan().decision.plan

    assert (plan.changes, [guard.name for guard in plan.guards]) == ((), ["rights"])


def test_one_job_loads_only_what_it_needs(world: SweptWorld) -> None:
    """No listing of either side."""
    orphan = over(world, 6)
    world.world.backend.rows[orphan] = "running"
    world.backend.listing = None

    result = world.plan(6)

    assert keys(result.decision.plan.changes) == [orphan]
    assert world.slurm.asked == ["config", "accounting"]


def test_one_job_in_every_state_is_judged_as_among_all(world: SweptWorld) -> None:
    """Live and missing, live and there, over and missing, over by the controller alone."""
    start = int(world.world.now) - 7000
    world.slurm.records[5] = world.world.job(5, start_time=start)
    unseen = over(world, 6)
    world.slurm.records[7] = world.world.job(
        7, start_time=start, state="FAILED", end_time=start + 60
    )
    world.slurm.records[8] = world.world.job(8, state="PENDING", start_time=None, nodes=())

    plan = world.plan(1, 5, 6, 7, 8).decision.plan

    assert keys(plan.changes) == [RunId(5, start), unseen, RunId(7, start)]


def test_a_record_that_cannot_be_read_voids_the_answer(world: SweptWorld) -> None:
    """For one job as for all."""
    world.slurm.odd = {5: SlurmError("not understood", reason=FailureReason.MALFORMED)}
    world.world.backend.rows[5, 1] = "running"

    plan = world.plan(5).decision.plan

    assert (plan.changes, [guard.name for guard in plan.guards]) == ((), ["slurm"])


@pytest.mark.parametrize("what", ["backend", "config", "jobs"])
def test_one_job_without_an_answer_is_not_judged(world: SweptWorld, what: str) -> None:
    """Whoever is silent."""
    world.backend.silent = what == "backend"
    world.slurm.silent = what == "jobs"
    world.slurm.failures = {"config": GONE} if what == "config" else {}

    plan = world.plan(1).decision.plan

    assert plan.is_refused
    assert plan.changes == ()


def test_a_job_that_nobody_knows_is_said_so(world: SweptWorld) -> None:
    """Unless something of it lies in the spool."""
    with pytest.raises(UnknownJobsError, match="job 99 is unknown"):
        world.plan(1, 99)
    world.world.hook("stop", 99)

    assert world.plan(1, 99).decision.plan.changes == ()


def test_ten_thousand_candidates_never_make_a_long_argument_list(tmp_path: Path) -> None:
    """Below 100 kB each, with the longest job ids."""
    slurm = LyingSlurm(now=1_767_225_600)
    ids = range(100_000_000_000, 100_000_010_000)
    slurm.runs = [Told(i, 1_767_000_000, "FAILED", 1_767_000_100) for i in (*ids[:3], *ids[-3:])]

    found = Slurm(COMMANDS, slurm).accounting(ids, since=1, until=2)

    assert len(found) == 6
    assert len(slurm.argv_bytes) >= 10
    assert max(slurm.argv_bytes) < 100_000
    assert tmp_path.exists()


@pytest.mark.parametrize(("listed", "nodes"), [("n[1-3]", ("n1", "n2", "n3")), ("n[3-1]", ())])
def test_a_listed_run_has_single_nodes(
    world: SweptWorld, listed: str, nodes: tuple[str, ...]
) -> None:
    """A list that cannot be read is none: the drain reads its own."""
    job = world.world.job(5, start_time=int(world.world.now) - 7000)
    world.slurm.records[5] = job
    world.slurm.listed_nodes = listed

    (change,) = world.plan().decision.plan.changes

    assert isinstance(change, Start)
    assert change.job.nodes == nodes
