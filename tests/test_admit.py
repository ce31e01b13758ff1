"""From a record of Slurm to a run that can be reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm.job import Job, Sharing
from spool.files.event import Event, EventKind
from spool.files.run import End, EndSource, Run
from spool.resolve.new_run import IncompleteRunError, admit

NOW = 1_767_225_700
BEGAN = NOW - 100
JOB = Job(job_id=5, user="ada", nodes=("n1",), start_time=BEGAN, sharing=Sharing.NODE)


def facts(*events: Event, end: End | None = None) -> dict[str, Any]:
    """Return the facts beside a record."""
    return {"end": end, "events": events, "now": NOW + 0.3}


def event(start: int | None = None, **extras: str) -> Event:
    """Return a start event with extras."""
    return Event(
        name=f"1-start-5-{start or 0}-0-1",
        kind=EventKind.START,
        job_id=5,
        start=start,
        end=None,
        time=float(BEGAN),
        extras=extras,
    )


def test_a_complete_record_becomes_a_run() -> None:
    """The run has Slurm's record of the job unchanged and the time at which the job was seen."""
    expected = Run(job=JOB, start_time=BEGAN, seen=NOW)

    assert expected == admit(JOB, **facts())


def test_a_numeric_user_id_is_enough_for_a_run() -> None:
    """The run is stored with the UID alone; the user's name can be filled in later."""
    run = admit(replace(JOB, user=None, uid=1000), **facts())

    assert (run.job.user, run.job.uid) == (None, 1000)


def test_a_missing_user_is_taken_from_the_hook() -> None:
    """The controller writes the user's name to the environment of the hook."""
    job = replace(JOB, user=None, uid=77)

    assert "eve" == admit(job, **facts(event(user="eve"))).job.user


def test_missing_nodes_are_taken_from_the_hook() -> None:
    """Slurm's record of the job has no nodes; the hook's event has `n[1-2]`."""
    job = replace(JOB, nodes=())

    assert ("n1", "n2") == admit(job, **facts(event(nodes="n[1-2]"))).job.nodes


@pytest.mark.parametrize(
    ("job", "missing"),
    [
        (replace(JOB, user=None), "Slurm does not show whose job it is"),
        (replace(JOB, nodes=()), "Slurm lists no nodes of the job"),
        (replace(JOB, start_time=None), "Slurm shows no start time for the job"),
    ],
)
def test_a_run_without_user_nodes_or_start_is_refused(job: Job, missing: str) -> None:
    """The error names what is missing; cc-backend would reject the start."""
    with pytest.raises(IncompleteRunError) as caught:
        admit(job, **facts())

    assert missing == caught.value.reason


def test_an_invalid_node_list_of_a_hook_counts_as_missing() -> None:
    """`n[5-1]` in an event gives the same error as a job without nodes."""
    with pytest.raises(IncompleteRunError, match="lists no nodes"):
        admit(replace(JOB, nodes=()), **facts(event(nodes="n[5-1]")))


@pytest.mark.parametrize(
    ("extras", "sharing"),
    [
        ({"exclusive": "USER", "oversubscribe": "NO"}, Sharing.USER),
        ({"exclusive": "NO", "oversubscribe": "NO"}, Sharing.SHARED),
        ({"oversubscribe": "NO"}, Sharing.NODE),
        ({"oversubscribe": "OK"}, Sharing.SHARED),
        ({"oversubscribe": "MCS"}, Sharing.GROUP),
        ({"exclusive": "NEWWORD"}, Sharing.SHARED),
        ({"oversubscribe": "NEWWORD"}, Sharing.SHARED),
        ({}, None),
    ],
)
def test_node_sharing_is_taken_from_the_hook(
    extras: dict[str, str], sharing: Sharing | None
) -> None:
    """Slurm's record has no value: the hook's Exclusive counts first, then its OverSubscribe."""
    job = replace(JOB, sharing=None)

    assert sharing is admit(job, **facts(event(None, **extras))).job.sharing


def test_node_sharing_of_the_hook_replaces_that_of_accounting() -> None:
    """Accounting has no sharing up to 25.11; its value is derived from the number of CPUs."""
    job = replace(JOB, sharing=Sharing.SHARED)

    assert Sharing.USER is admit(job, **facts(event(None, oversubscribe="USER"))).job.sharing


def test_hook_values_of_another_run_are_not_used() -> None:
    """An event with another start time does not set the node sharing of this run."""
    job = replace(JOB, sharing=None)

    assert admit(job, **facts(event(BEGAN - 500, exclusive="USER"))).job.sharing is None


def test_hook_values_are_used_if_start_times_differ_by_3_s() -> None:
    """Slurm may move a job's start by some seconds after the hook has begun."""
    job = replace(JOB, sharing=None)

    assert Sharing.USER is admit(job, **facts(event(BEGAN - 3, exclusive="USER"))).job.sharing


def test_a_run_gets_the_monitoring_status_of_its_event() -> None:
    """An event has `monitoring_status=0` (no metric data); the run gets the same value."""
    assert 0 == admit(JOB, **facts(event(monitoring_status="0"))).monitoring_status


def test_a_row_that_a_sweep_closes_needs_no_job_data() -> None:
    """cc-backend has the row already: the run has no user or nodes, and only a stop is sent."""
    end = End(time=NOW, state="FAILED", source=EndSource.CLOSE)

    run = admit(Job(job_id=5, start_time=BEGAN), **facts(end=end))

    assert (BEGAN, end) == (run.started, run.end)


def stop(start: int, **extras: str) -> Event:
    """Return a stop event with extras."""
    return replace(event(start, **extras), kind=EventKind.STOP)


OVER = End(time=NOW, state="COMPLETED", source=EndSource.ACCOUNTING)


def test_an_ended_run_that_a_sweep_saw_running_needs_no_job_data() -> None:
    """Only the stop is sent: cc-backend could refuse a start because a host was removed."""
    seen = stop(BEGAN, again="1")

    run = admit(Job(job_id=5, start_time=BEGAN), **facts(seen, end=OVER))

    assert (BEGAN, OVER) == (run.started, run.end)


@pytest.mark.parametrize(
    ("written", "end"),
    [
        (stop(BEGAN), OVER),
        (event(BEGAN, again="1"), OVER),
        (stop(BEGAN - 1, again="1"), OVER),
        (stop(BEGAN, again="1"), None),
    ],
    ids=["a hook's stop", "missing there", "another row", "not ended"],
)
def test_a_run_without_a_running_row_needs_a_start(written: Event, end: End | None) -> None:
    """A start is sent, unless a sweep saw the running row at cc-backend and the run has ended."""
    assert None is admit(JOB, **facts(written, end=end)).started


LATER = str(NOW + 500)


@pytest.mark.parametrize(
    ("events", "not_before"),
    [
        ((), 0),
        ((event(),), 0),
        ((event(not_before=LATER),), NOW + 500),
        ((event(BEGAN, not_before=LATER),), NOW + 500),
        ((event(BEGAN - 2, not_before=LATER),), NOW + 500),
        ((event(not_before=LATER), event(not_before=str(NOW + 100))), NOW + 100),
        ((event(not_before=LATER), event(BEGAN)), 0),
        ((event(not_before=LATER), event(BEGAN - 500)), NOW + 500),
        ((event(not_before="soon"),), 0),
        ((event(not_before="9" * 13),), 0),
    ],
)
def test_a_run_that_a_sweep_saw_first_is_reported_later(
    events: tuple[Event, ...], not_before: int
) -> None:
    """A sweep's event sets `not_before`; a hook's event or an earlier `not_before` replaces it."""
    assert admit(JOB, **facts(*events)).not_before == not_before
