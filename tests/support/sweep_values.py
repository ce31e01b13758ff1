"""Short constructors of runs, rows and facts for tests of the sweeper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ccbackend.replies import BackendRow
from spool.files.run_id import RunId
from spool.files.sweep_state import SweepMemory, SweepState
from sweeper.diff import find_drift
from sweeper.guard import SizeCheckInput
from sweeper.plan import Decision, PlanInput, SweepOptions, decide
from sweeper.sweep import SweepContext, SweepResult, observe, plan_repairs
from sweeper.values import Differences, Drift, EndProof, Policy, SlurmRun, Start, Stop

NOON = 1_767_225_600
OLD = NOON - 7200  # began long before the grace


def run(job_id: int, start: int = OLD, **facts: Any) -> SlurmRun:
    """Return a run that is running in Slurm."""
    base = SlurmRun(job_id=job_id, start_time=start, state="RUNNING", user="ada", partition="work")
    return replace(base, **facts)


def over(job_id: int, start: int = OLD, end: int = NOON - 3600, **facts: Any) -> SlurmRun:
    """Return a run that has ended in Slurm."""
    return run(job_id, start, **({"state": "COMPLETED", "end_time": end} | facts))


def row(job_id: int, start: int = OLD, state: str = "running", cluster: str = "alex") -> BackendRow:
    """Return a row at cc-backend."""
    return BackendRow(job_id, cluster, start, state, job_id * 10)


def found(
    differences: Differences, memory: SweepMemory | None = None, *, now: int = NOON, **policy: Any
) -> Drift:
    """Return what `find_drift` finds at noon; only partition `quiet` is excluded."""
    return find_drift(
        differences,
        memory or SweepMemory(),
        Policy(**policy),
        now=now,
        exclusion_reason=lambda job: "filtered" if job.partition == "quiet" else None,
    )


def stop(job_id: int, start: int = OLD, proof: EndProof = EndProof.ACCOUNTING) -> Stop:
    """Return a planned stop."""
    return Stop(job=over(job_id, start), proof=proof, why="over")


def start(job_id: int, start_time: int = OLD) -> Start:
    """Return a planned start."""
    return Start(job=run(job_id, start_time), why="missing")


def keys(changes: Any) -> list[RunId]:
    """Return the run ids of some changes."""
    return [change.key for change in changes]


def sizes(**numbers: Any) -> SizeCheckInput:
    """Return the numbers of an ordinary day, some of them replaced."""
    base = SizeCheckInput(
        stops=0,
        candidates=0,
        running_at_backend=100,
        running_in_slurm=100,
        running_before=100,
        has_mark=True,
    )
    return replace(base, **numbers)


def run_sweep(
    context: SweepContext, state: SweepState, options: SweepOptions, ids: Sequence[int] = ()
) -> SweepResult:
    """Observe and plan, as the commands do."""
    return plan_repairs(context, state, observe(context, state, ids), options)


def decided(drift: Drift, numbers: SizeCheckInput | None = None, **facts: Any) -> Decision:
    """Return the decision of a sweep at noon."""
    return decide(PlanInput(drift=drift, sizes=numbers or sizes(), now=NOON, **facts))


def many(count: int, proof: EndProof = EndProof.ACCOUNTING) -> Drift:
    """Return a drift with this number of stops."""
    return Drift(stops=[stop(i, proof=proof) for i in range(1, count + 1)])
