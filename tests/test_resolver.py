"""When Slurm is asked about job ids, and what its silence does."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from spool.files.event import Event, EventKind, event_name
from spool.resolve.resolver import Resolver
from spool.resolve.run_match import TrackedRun

T = 1_767_225_600.0
SILENCE = SlurmError("no answer", reason=FailureReason.UNREACHABLE)
RUNNING = Job(job_id=5, state="RUNNING", start_time=int(T), nodes=("n1",))


@dataclass
class Slurm:
    """Answers as told, and counts."""

    records: dict[int, Job | SlurmError] = field(default_factory=dict)
    rows: tuple[Job, ...] = ()
    silent: bool = False
    accounting_silent: bool = False
    asked: list[list[int]] = field(default_factory=list)

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the records."""
        del states_only
        self.asked.append(list(ids))
        if self.silent:
            raise SILENCE
        return {i: self.records[i] for i in self.asked[-1] if i in self.records}

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return the rows."""
        if self.accounting_silent:
            raise SILENCE
        return tuple(r for r in self.rows if r.job_id in set(ids) and since < until)


@pytest.fixture
def slurm() -> Slurm:
    """Return a Slurm that knows job 5."""
    return Slurm({5: RUNNING})


@pytest.fixture
def resolver(slurm: Slurm) -> Resolver:
    """Return a resolver that has nothing to ask."""
    return Resolver(slurm)


def nothing_tracked(_job_id: int) -> tuple[TrackedRun, ...]:
    """Return no runs."""
    return ()


def start(job_id: int, time: float = T) -> Event:
    """Return a start event."""
    name = event_name(EventKind.START, job_id, start=None, end=None, pid=job_id)
    return Event(name=name, kind=EventKind.START, job_id=job_id, start=None, end=None, time=time)


def looks(resolver: Resolver, slurm: Slurm, times: int, *, now: float = T) -> list[float]:
    """Let a resolver look so often, each time when it wants to; return the waits between."""
    waits = []
    for _ in range(times):
        wanted = resolver.next_time()
        assert wanted is not None
        waits.append(round(wanted - now, 3))
        now = wanted
        resolver.resolve_due(now, nothing_tracked)
    assert len(slurm.asked) == times
    return waits


def test_nothing_to_ask_asks_nothing(resolver: Resolver, slurm: Slurm) -> None:
    """There is no time to look either."""
    assert (None, [], 0) == (
        resolver.next_time(),
        resolver.resolve_due(T, nothing_tracked),
        len(resolver),
    )
    assert [] == slurm.asked


def test_slurm_is_asked_when_it_has_the_truth(resolver: Resolver, slurm: Slurm) -> None:
    """40 ms after the hook began, not before."""
    resolver.add_events([start(5)], T)
    early = resolver.resolve_due(T + 0.03, nothing_tracked)
    ((_, result, record),) = resolver.resolve_due(T + 0.05, nothing_tracked)

    assert ([], RUNNING, [[5]]) == (early, record, slurm.asked)
    assert [RUNNING] == [job for job, _ in result.new_runs]
    assert 0 == len(resolver)


def test_an_event_from_the_future_counts_as_of_now(resolver: Resolver) -> None:
    """A clock was set back."""
    resolver.add_events([start(5, T + 9000)], T)

    assert T + 0.04 == resolver.next_time()


def test_what_is_due_is_asked_in_one_batch(resolver: Resolver, slurm: Slurm) -> None:
    """Doubtful runs at once, too."""
    resolver.add_events([start(7), start(5), start(6, T + 5)], T + 5)
    resolver.recheck_job(8, T)
    resolver.resolve_due(T + 1, nothing_tracked)

    assert [[5, 7, 8]] == slurm.asked


def test_slurms_silence_counts_against_nobody(
    resolver: Resolver, slurm: Slurm, caplog: pytest.LogCaptureFixture
) -> None:
    """All stays, the looks get rarer, and one line tells of it."""
    caplog.set_level(logging.INFO)
    slurm.silent = True
    resolver.add_events([start(5)], T)
    waits = looks(resolver, slurm, 10)

    assert [0.04, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0] == waits
    assert T + 0.04 == resolver.silent_since
    assert [] == resolver.resolve_due(T + 1, nothing_tracked)
    slurm.silent = False
    assert resolver.resolve_due(T + 1000, nothing_tracked)
    assert "None, 0" == f"{resolver.silent_since}, {len(resolver)}"
    assert ["Slurm does not answer: no answer", "Slurm answers again after 1000 s, 10 tries"] == [
        record.message for record in caplog.records
    ]


def test_one_unreadable_record_concerns_no_other_job(
    resolver: Resolver, slurm: Slurm, caplog: pytest.LogCaptureFixture
) -> None:
    """It is looked at later, and told once."""
    slurm.records[6] = SlurmError("not JSON", reason=FailureReason.MALFORMED)
    resolver.add_events([start(5), start(6)], T)
    answered = resolver.resolve_due(T + 1, nothing_tracked)

    assert [5] == [query.job_id for query, _, _ in answered]
    assert T + 2 == resolver.next_time()
    resolver.resolve_due(T + 2, nothing_tracked)
    assert T + 4 == resolver.next_time()
    assert ["job=6 is not readable: not JSON"] == [record.message for record in caplog.records]


def test_a_configuring_job_is_looked_at_more_and_more_rarely(
    resolver: Resolver, slurm: Slurm
) -> None:
    """After 40, 80, 160 ms ... 10 s."""
    slurm.records[5] = replace(RUNNING, flags=("CONFIGURING",))
    resolver.add_events([start(5)], T)

    assert [0.04, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.0, 10.0] == looks(
        resolver, slurm, 11
    )


def test_a_job_that_configures_for_an_hour_is_told_once(
    resolver: Resolver, slurm: Slurm, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits on."""
    slurm.records[5] = replace(RUNNING, flags=("CONFIGURING",))
    resolver.add_events([start(5)], T)
    for hours in (1, 2, 3):
        resolver.resolve_due(T + hours * 3601, nothing_tracked)

    assert ["job=5 is configuring for more than an hour"] == [r.message for r in caplog.records]
    assert 1 == len(resolver)


def test_what_nobody_knows_is_looked_at_again_and_again(resolver: Resolver, slurm: Slurm) -> None:
    """Every 5 minutes in the end."""
    slurm.records = {}
    resolver.add_events([start(5)], T)

    assert [0.04, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] == looks(resolver, slurm, 13)


def test_accounting_is_asked_where_the_record_is_not_enough(
    resolver: Resolver, slurm: Slurm
) -> None:
    """Each job id gets its own rows."""
    over = replace(RUNNING, state="COMPLETED", end_time=int(T) + 9)
    slurm.records = {}
    slurm.rows = (over, replace(over, job_id=6))
    resolver.add_events([start(5), start(6)], T)
    answered = resolver.resolve_due(T + 10, nothing_tracked)

    assert [[5], [6]] == [[job.job_id for job, _ in result.new_runs] for _, result, _ in answered]


def test_silent_accounting_settles_nothing(
    resolver: Resolver, slurm: Slurm, caplog: pytest.LogCaptureFixture
) -> None:
    """The event waits."""
    slurm.records, slurm.accounting_silent = {}, True
    resolver.add_events([start(5)], T)
    ((_, result, _),) = resolver.resolve_due(T + 10, nothing_tracked)

    assert ((start(5),), 1) == (result.pending_events, len(resolver))
    assert ["accounting does not answer: no answer"] == [r.message for r in caplog.records]


def test_an_event_during_a_long_wait_is_looked_at_at_once(resolver: Resolver, slurm: Slurm) -> None:
    """The waits begin anew."""
    slurm.records = {}
    resolver.add_events([start(5)], T)
    looks(resolver, slurm, 10)
    resolver.add_events([start(5, T + 600)], T + 600)

    assert T + 600.04 == resolver.next_time()
