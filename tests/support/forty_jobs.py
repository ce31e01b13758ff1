"""Forty running jobs, and two sweeps of them while Slurm or cc-backend gives wrong answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from empty_spool import make_directories
from faulty_slurm import COMMANDS, FaultySlurm
from sweep_values import OLD, run_sweep

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow, JobList
from slurm.client import Slurm
from spool.files.layout import Layout
from spool.files.sweep_state import SweepState
from sweeper.commands.site_rules import sees_all_jobs
from sweeper.observe.sources import SweepSources
from sweeper.plan import SweepOptions
from sweeper.sweep import SweepContext, SweepResult, next_state
from sweeper.values import Policy, Start

RUNNING = tuple(range(100, 140))


class ListedThere:
    """A cc-backend with forty running rows, or with another job list."""

    def __init__(self, listing: JobList | None = None) -> None:
        reply = ApiReply(call=ApiCall.GRAPHQL, verdict=ReplyVerdict(Reason.LISTED), status=200)
        rows = tuple(BackendRow(i, "alex", OLD, "running", i) for i in RUNNING)
        self.listing = listing or JobList(reply, rows)

    def running_jobs(self, _cluster: str) -> JobList:
        """Return the running rows."""
        return self.listing

    def list_runs(self, job_ids: object, _cluster: str) -> JobList:
        """Return no rows in other states."""
        del job_ids
        return replace(self.listing, rows=() if self.listing.rows is not None else None)

    def lookup(self, _job_id: int, cluster: str, _start_time: int | None = None) -> JobList:
        """Return no rows of one job."""
        return self.list_runs((), cluster)


def site(root: Path, slurm: FaultySlurm, there: ListedThere) -> SweepContext:
    """Return a site whose Slurm or cc-backend may give wrong answers."""
    make_directories(root)
    sources = SweepSources(
        slurm=Slurm(COMMANDS, slurm),
        backend=there,
        clusters=("alex",),
        layout=Layout(root),
        sees_all_jobs=lambda settings: sees_all_jobs(
            settings, user=("cc-slurm-sync", 999), admin_level=lambda _user: "None"
        ),
        find_delivered=lambda _keys: frozenset(),
        clock=lambda: slurm.clock,
    )
    return SweepContext(sources=sources, policy=Policy(), exclusion_reason=lambda _job: None)


def swept(root: Path, slurm: FaultySlurm, there: ListedThere | None = None) -> list[SweepResult]:
    """Return the results of two successive sweeps; no sweep found a difference before them."""
    state = SweepState(mark=slurm.now - 600, cluster="lab", running_baseline=40)
    place = site(root, slurm, there or ListedThere())
    first = run_sweep(place, state, SweepOptions())
    return [first, run_sweep(place, next_state(first, ()), SweepOptions())]


def stops(results: list[SweepResult]) -> int:
    """Return how many stops were planned, including those held back."""
    plans = [result.decision.plan for result in results]
    ends = [end for plan in plans for end in (*plan.changes, *plan.held_back)]
    return len([end for end in ends if not isinstance(end, Start)])
