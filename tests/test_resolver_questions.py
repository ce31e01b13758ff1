"""What the resolver asks Slurm about job ids: controller or accounting, with or without cores."""

from __future__ import annotations

from dataclasses import replace

import pytest
from resolver_asker import OVER, RUNNING, Asker, T, at, event

from slurm.job import NodeAllocation
from spool.files.event import EventKind
from spool.resolve.run_match import TrackedRun
from spool.resolve.slurm_worker import RowsQuery


@pytest.fixture
def asker() -> Asker:
    """Return a resolver that has nothing to ask, and a Slurm that knows job 5."""
    return Asker()


def test_accounting_is_asked_about_jobs_unknown_to_the_controller(asker: Asker) -> None:
    """One query has all these job ids, and begins 60 s before the oldest event."""
    asker.records = {}
    asker.rows = (OVER, replace(OVER, job_id=6))
    asker.resolver.add_events([event(5), event(6, -30)], at(0))
    asker.ask_controller(10)
    answered = asker.ask_accounting(10)

    assert [[5], [6]] == [[job.job_id for job, _ in result.new_runs] for _, result, _ in answered]
    expected = RowsQuery(job_ids=(5, 6), since=int(T) - 90, until=int(T) + 11)
    assert [expected] == asker.rows_asked
    assert 0 == len(asker.resolver)


def test_the_controllers_record_is_returned_with_the_accounting_rows(asker: Asker) -> None:
    """The record of a pending job has facts that an accounting row does not have."""
    pending = replace(RUNNING, state="PENDING", start_time=None, nodes=())
    asker.records, asker.rows = {5: pending}, (OVER,)
    asker.resolver.add_events([event()], at(0))
    asker.ask_controller(10)
    ((_, _, record),) = asker.ask_accounting(10)

    assert pending == record


def test_the_end_of_a_started_run_is_queried_without_cores(asker: Asker) -> None:
    """The facts of a started run are stored already; its end needs only state and times."""
    asker.tracked = lambda _: (TrackedRun(start_time=int(T), started=True),)
    asker.records[5] = OVER
    asker.resolver.add_events([event(5, 9, kind=EventKind.STOP)], at(9))
    ((_, result, _),) = asker.ask(10)

    assert [frozenset({5})] == [query.states_only for query in asker.asked]
    assert [int(T)] == list(result.ends)


def test_a_new_run_found_without_cores_is_queried_again_with_cores(asker: Asker) -> None:
    """A row without cores at cc-backend could not be corrected later."""
    asker.tracked = lambda _: (TrackedRun(start_time=int(T) - 500, started=True, restarts=0),)
    cores = (NodeAllocation(name="n1", cores=(0,)),)
    asker.records[5] = replace(RUNNING, restart_count=1, allocations=cores)
    asker.resolver.add_events([event(5, -1, kind=EventKind.STOP)], at(0))
    first = asker.ask_controller(1)
    ((_, result, _),) = asker.ask_controller(1)

    assert [] == first
    assert [frozenset({5}), frozenset()] == [query.states_only for query in asker.asked]
    assert [cores] == [job.allocations for job, _ in result.new_runs]


def test_a_job_without_an_open_run_is_queried_with_cores(asker: Asker) -> None:
    """The only known run of each job id has ended, so that its event may belong to a new run."""
    asker.tracked = lambda _: (TrackedRun(start_time=int(T) - 500, end=int(T) - 400),)
    asker.resolver.add_events([event(5)], at(0))
    asker.resolver.add_events([event(6, kind=EventKind.STOP)], at(0))
    asker.ask(1)

    assert [((5, 6), frozenset())] == [(each.job_ids, each.states_only) for each in asker.asked]


@pytest.mark.parametrize(("again", "new"), [("1", 1), ("", 0)])
def test_a_run_that_a_sweep_misses_is_delivered_again(asker: Asker, again: str, new: int) -> None:
    """The sweep's event has `again=1`: the row has vanished from cc-backend since its delivery."""
    asker.tracked = lambda _: (TrackedRun(start_time=int(T), end=int(T) + 9, started=True),)
    asker.records[5] = OVER
    named = replace(event(5, 20, again=again), start=int(T))
    asker.resolver.add_events([named], at(20))
    ((_, result, _),) = asker.ask(21)

    assert new == len(result.new_runs)


def test_without_accounting_events_create_an_ended_run(asker: Asker) -> None:
    """The controller has no record of the job, and no accounting row will ever come."""
    asker.records, asker.has_accounting = {}, False
    stop = replace(event(5, 60, kind=EventKind.STOP), end=int(T) + 60)
    asker.resolver.add_events([event(), stop], at(60))
    asker.ask_controller(61)
    ((_, result, _),) = asker.ask_accounting(61)

    assert [(int(T), int(T) + 60)] == [
        (job.start_time, end.time) for job, end in result.new_runs if end
    ]
    assert 0 == len(asker.resolver)
