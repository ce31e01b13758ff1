"""What happens to queries about job ids while Slurm or accounting does not answer."""

from __future__ import annotations

import logging

import pytest
from resolver_asker import OVER, RUNNING, Asker, T, at, event, nothing_tracked

from slurm.errors import FailureReason, SlurmError
from spool.moment import Moment
from spool.resolve.slurm_worker import RecordsReply


@pytest.fixture
def asker() -> Asker:
    """Return a resolver that has nothing to ask, and a Slurm that knows job 5."""
    return Asker()


def test_no_answer_from_slurm_drops_no_event(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    """The waits between queries grow to 2 s; only the first failure and the recovery are logged."""
    caplog.set_level(logging.INFO)
    asker.silent = True
    asker.resolver.add_events([event()], at(0))

    assert [0.04, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0] == asker.waits(10)
    assert (T + 0.04, "no answer") == (asker.resolver.silent_since, asker.resolver.silent_reason)
    assert [] == asker.ask(1)
    asker.silent = False
    assert asker.ask(1000)
    assert (None, "", 0) == (
        asker.resolver.silent_since,
        asker.resolver.silent_reason,
        len(asker.resolver),
    )
    assert [
        "Slurm's controller does not answer: no answer",
        "Slurm's controller answers again after 1000 s (failed queries: 10)",
    ] == [record.message for record in caplog.records]


def test_a_new_event_causes_no_query_while_slurm_does_not_answer(asker: Asker) -> None:
    """The new event waits for the next try, so that a Slurm that hangs gets few queries."""
    asker.silent = True
    asker.resolver.add_events([event()], at(0))
    asker.waits(4)
    asker.resolver.add_events([event(6, 4)], at(4))

    assert 5.54 == asker.resolver.next_time()


def test_the_time_without_an_answer_is_measured_by_the_monotonic_clock(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    """Slurm does not answer for 10 s, while the wall clock is set back by an hour."""
    caplog.set_level(logging.INFO)
    asker.silent = True
    asker.resolver.add_events([event()], at(0))
    asker.ask(1)
    later = Moment(T - 3600, 11.0)
    query = asker.resolver.next_records(later, nothing_tracked)
    assert query is not None
    asker.resolver.take_records(query, RecordsReply(records={5: RUNNING}), later, nothing_tracked)

    assert "answers again after 10 s (failed queries: 1)" in caplog.text


def test_one_unreadable_record_affects_no_other_job(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    """The job with the unreadable record is queried again after 1 s and 2 s, and logged once."""
    asker.records[6] = SlurmError("not JSON", reason=FailureReason.MALFORMED)
    asker.resolver.add_events([event(5), event(6)], at(0))
    answered = asker.ask(1)

    assert [5] == [query.job_id for query, _, _ in answered]
    assert 2 == asker.resolver.next_time()
    asker.ask(2)
    assert 4 == asker.resolver.next_time()
    assert ["job=6 cannot be read from Slurm: not JSON"] == [
        record.message for record in caplog.records
    ]


def test_events_stay_while_accounting_does_not_answer(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    """One line is logged at the first failure, and one when accounting answers again."""
    caplog.set_level(logging.INFO)
    asker.records, asker.accounting_silent = {}, True
    asker.resolver.add_events([event()], at(0))
    ((_, result, _),) = asker.ask(10)

    assert ((event(),), 1) == (result.pending_events, len(asker.resolver))
    assert T + 10 == asker.resolver.accounting_silent_since
    assert None is asker.resolver.silent_since
    asker.accounting_silent, asker.rows = False, (OVER,)
    asker.ask(15)
    asker.ask(15)
    assert 0 == len(asker.resolver)
    assert asker.resolver.accounting_silent_since is None
    assert [
        "Slurm's accounting does not answer: no answer",
        "Slurm's accounting answers again after 5 s (failed queries: 1)",
    ] == [record.message for record in caplog.records]


def test_silent_accounting_delays_no_job_that_the_controller_shows(asker: Asker) -> None:
    """Job 5 is found 20 times; accounting, asked each 1 to 2 s about other jobs, is silent."""
    asker.accounting_silent = True
    settled = []
    for number in range(20):
        events = [event(5, number, pid=number), event(100 + number, number)]
        asker.resolver.add_events(events, at(number))
        settled += [query.job_id for query, result, _ in asker.ask(number + 0.5) if result.new_runs]

    assert [5] * 20 == settled
    assert 20 == len(asker.resolver)
    times = [query.until - int(T) - 1 for query in asker.rows_asked]
    assert [0, 1, 2, 4, 6, 8] == times[:6]


def test_hanging_accounting_delays_no_job_that_the_controller_shows(asker: Asker) -> None:
    """The query to accounting about one job stays unanswered while another job is found."""
    asker.resolver.add_events([event(6)], at(0))
    asker.ask_controller(1)
    hanging = asker.resolver.next_rows(at(1), nothing_tracked)
    asker.resolver.add_events([event(5, 2)], at(2))

    assert hanging is not None
    assert [5] == [query.job_id for query, _, _ in asker.ask(3)]
