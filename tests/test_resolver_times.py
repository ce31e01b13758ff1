"""When Slurm is asked about job ids: at once, later, again, and when a newer event comes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from resolver_asker import OVER, RUNNING, Asker, T, at, event, nothing_tracked

from slurm.job import Job
from spool.files.event import EventKind
from spool.resolve import resolver
from spool.resolve.resolver import BATCH_SIZE
from spool.resolve.run_match import TrackedRun
from spool.resolve.slurm_worker import RecordsReply, RowsReply


@pytest.fixture
def asker() -> Asker:
    """Return a resolver that has nothing to ask, and a Slurm that knows job 5."""
    return Asker()


def test_without_events_slurm_is_not_asked(asker: Asker) -> None:
    """Without an event the resolver sets no time for a next query either."""
    assert ([], None, 0) == (asker.ask(0), asker.resolver.next_time(), len(asker.resolver))
    assert ([], []) == (asker.asked, asker.rows_asked)


def test_slurm_is_asked_40_ms_after_the_hook(asker: Asker) -> None:
    """Earlier than that, Slurm may not have recorded the start or end that called the hook."""
    asker.resolver.add_events([event()], at(0))
    early = asker.ask(0.03)
    ((query, result, record),) = asker.ask(0.05)

    assert ([], RUNNING, [(5,)]) == (early, record, [each.job_ids for each in asker.asked])
    assert ([RUNNING], (event(),)) == ([job for job, _ in result.new_runs], query.events)
    assert 0 == len(asker.resolver)


def test_an_event_from_the_future_counts_as_new(asker: Asker) -> None:
    """The clock was set back after the hook wrote the event: Slurm is asked 40 ms from now."""
    asker.resolver.add_events([event(5, 9000)], at(0))

    assert 0.04 == asker.resolver.next_time()


def test_slurm_is_asked_at_once_about_an_old_event(asker: Asker) -> None:
    """The event was written a minute ago, while the drain did not run."""
    asker.resolver.add_events([event(5, -60)], at(0))

    assert 0 == asker.resolver.next_time()


def test_all_due_jobs_are_in_one_query(asker: Asker) -> None:
    """Two jobs have old events, and one is to be checked again; a job with a new event waits."""
    asker.resolver.add_events([event(7), event(5), event(6, 5)], at(5))
    asker.resolver.recheck_job(8, at(0))
    asker.ask(5)

    assert [(5, 7, 8)] == [each.job_ids for each in asker.asked]


def test_a_query_has_a_limited_number_of_job_ids(asker: Asker) -> None:
    """Of 1002 jobs the first query has 1000 job ids, and the next query the other two."""
    asker.resolver.add_events([event(n) for n in range(1, BATCH_SIZE + 3)], at(0))
    asker.ask(1)
    asker.ask(1)

    assert [BATCH_SIZE, 2] == [len(each.job_ids) for each in asker.asked]


def test_a_query_in_progress_is_not_repeated(asker: Asker) -> None:
    """While the query is unanswered, the resolver sets no time for a next query."""
    asker.resolver.add_events([event()], at(0))
    first = asker.resolver.next_records(at(1), nothing_tracked)
    again = asker.resolver.next_records(at(2), nothing_tracked)

    assert (True, None, None) == (first is not None, again, asker.resolver.next_time())


def test_a_busy_worker_sets_no_time_for_the_next_query(asker: Asker) -> None:
    """The answer of the worker wakes the loop, so that no time is needed."""
    asker.records, asker.accounting_silent = {}, True
    asker.resolver.add_events([event()], at(0))
    asker.ask_controller(1)
    asker.resolver.add_events([event(6, 1)], at(1))
    times = [
        asker.resolver.next_time(controller_is_busy=controller, accounting_is_busy=accounting)
        for controller, accounting in ((False, True), (True, False), (True, True))
    ]

    assert [1.04, 0.0, None] == times


def test_a_query_that_was_not_sent_is_repeated(asker: Asker) -> None:
    """The worker was closed before it sent the query to the controller."""
    asker.resolver.add_events([event()], at(0))
    query = asker.resolver.next_records(at(1), nothing_tracked)
    assert query is not None

    assert [] == asker.resolver.take_records(query, None, at(1), nothing_tracked)
    assert [5] == [query.job_id for query, _, _ in asker.ask(1)]


def test_a_query_to_accounting_that_was_not_sent_is_repeated(asker: Asker) -> None:
    """The controller is asked first again, because its answer may have changed."""
    asker.records, asker.rows = {}, (OVER,)
    asker.resolver.add_events([event()], at(0))
    asker.ask_controller(1)
    query = asker.resolver.next_rows(at(1), nothing_tracked)
    assert query is not None

    assert [] == asker.resolver.take_rows(query, None, at(1), nothing_tracked)
    asker.ask(10)
    assert ([(5,), (5,)], 0) == ([each.job_ids for each in asker.asked], len(asker.resolver))


def test_a_configuring_job_is_queried_less_and_less_often(asker: Asker) -> None:
    """The waits grow from 40 ms to 10 s; only the controller is queried, not accounting."""
    asker.records[5] = replace(RUNNING, flags=("CONFIGURING",))
    asker.resolver.add_events([event()], at(0))

    expected = [0.04, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.0, 10.0]
    assert expected == asker.waits(11)
    assert [] == asker.rows_asked


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (replace(RUNNING, flags=("CONFIGURING",)), "RUNNING,CONFIGURING"),
        (replace(RUNNING, state=None, flags=("COMPLETING",)), "COMPLETING"),
        (replace(RUNNING, nodes=()), "RUNNING"),
    ],
)
def test_a_job_without_final_facts_for_an_hour_is_logged_once(
    asker: Asker, caplog: pytest.LogCaptureFixture, record: Job, words: str
) -> None:
    """The job is CONFIGURING, COMPLETING or without nodes; its event stays."""
    asker.records[5] = record
    asker.resolver.add_events([event()], at(0))
    for hours in (1, 2, 3):
        asker.ask(hours * 3601)

    (message,) = [r.message for r in caplog.records]
    assert f"for over an hour Slurm has shown no final nodes and times (state: {words});" in message
    assert message.startswith("job=5: ")
    assert message.endswith("`scontrol show job 5`")
    assert 1 == len(asker.resolver)


@pytest.mark.parametrize("word", ["COMPLETING", "STAGE_OUT"])
def test_accounting_ends_a_run_whose_job_stays_completing(asker: Asker, word: str) -> None:
    """The controller shows COMPLETING or STAGE_OUT; accounting is queried after a minute."""
    asker.records[5] = replace(RUNNING, state=None, flags=(word,))
    asker.rows = (OVER,)
    asker.tracked = lambda _: (TrackedRun(start_time=int(T), started=True),)
    asker.resolver.add_events([event(seconds=9, kind=EventKind.STOP)], at(9))

    early, late = [*asker.ask(10), *asker.ask(69)], asker.ask(80)

    assert [{}, {}] == [result.ends for _, result, _ in early]
    assert ["COMPLETED"] == [end.state for _, result, _ in late for end in result.ends.values()]


def test_accounting_is_rarely_asked_about_a_completing_job(asker: Asker) -> None:
    """Accounting shows the job running: it is asked 3 times, the controller 100 times."""
    asker.records[5] = replace(RUNNING, state=None, flags=("COMPLETING",))
    asker.rows = (RUNNING,)
    asker.tracked = lambda _: (TrackedRun(start_time=int(T), started=True),)
    asker.resolver.recheck_job(5, at(0))
    waits = asker.waits(100)

    assert 900 < sum(waits) < 1000
    assert (100, 3) == (len(asker.asked), len(asker.rows_asked))


def test_a_job_unknown_to_slurm_is_queried_again_and_again(asker: Asker) -> None:
    """The wait between two queries doubles from 0.5 s to 5 minutes at most."""
    asker.records = {}
    asker.resolver.add_events([event()], at(0))

    expected = [0.04, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert expected == asker.waits(13)


def test_many_jobs_unknown_to_slurm_are_queried_rarely(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest wait grows with the number of jobs, because larger queries cost Slurm more."""
    monkeypatch.setattr(resolver, "CROWD_SECONDS", 100.0)
    asker.records = {}
    asker.resolver.add_events([event(job_id) for job_id in range(1, 6)], at(0))

    assert [64, 128, 256, 500, 500] == asker.waits(13)[-5:]


def test_a_new_event_ends_a_long_wait(asker: Asker) -> None:
    """Slurm did not know the job for minutes; it is asked 40 ms after the new event."""
    asker.records = {}
    asker.resolver.add_events([event()], at(0))
    asker.waits(10)
    asker.resolver.add_events([event(5, 600, pid=2)], at(600))

    assert 600.04 == asker.resolver.next_time()


def test_an_event_during_the_controllers_query_needs_another_query(asker: Asker) -> None:
    """The answer may be older than the new event, so that it explains only the earlier event."""
    stop = event(5, 1.0, kind=EventKind.STOP)
    asker.resolver.add_events([event()], at(0))
    query = asker.resolver.next_records(at(1), nothing_tracked)
    assert query is not None
    asker.resolver.add_events([stop], at(1))
    reply = RecordsReply(records={5: RUNNING})
    ((asked, result, _),) = asker.resolver.take_records(query, reply, at(1.01), nothing_tracked)

    assert ((event(),), (event(),)) == (asked.events, result.settled_events)
    assert (1.04, 1) == (asker.resolver.next_time(), len(asker.resolver))
    asker.records[5] = replace(OVER, end_time=int(T) + 1)
    ((asked, result, _),) = asker.ask(2)
    assert ((stop,), (stop,)) == (asked.events, result.settled_events)


def test_an_event_during_accountings_query_needs_another_query(asker: Asker) -> None:
    """The answer of accounting is ignored, and the controller is asked first again."""
    asker.records = {}
    asker.resolver.add_events([event()], at(0))
    asker.ask_controller(1)
    query = asker.resolver.next_rows(at(1), nothing_tracked)
    assert query is not None
    stop = event(5, 2.0, kind=EventKind.STOP)
    asker.resolver.add_events([stop], at(2))

    assert 2.04 == asker.resolver.next_time()
    assert [] == asker.resolver.take_rows(query, RowsReply(rows=(OVER,)), at(2), nothing_tracked)
    asker.rows = (replace(OVER, end_time=int(T) + 2),)
    asker.ask_controller(3)
    ((asked, result, _),) = asker.ask_accounting(3)
    assert ((event(), stop), (event(), stop)) == (asked.events, result.settled_events)


def test_a_new_event_before_accountings_query_drops_that_query(asker: Asker) -> None:
    """The controller is asked first again, because it may know the job by now."""
    asker.records = {}
    asker.resolver.add_events([event()], at(0))
    asker.ask_controller(1)
    asker.resolver.add_events([event(5, 2, pid=2)], at(2))

    assert ([], []) == (asker.ask_accounting(2), asker.rows_asked)
    assert 2.04 == asker.resolver.next_time()


def test_an_answer_without_a_record_does_not_delay_a_newer_event(asker: Asker) -> None:
    """The controller is asked 40 ms after the newer event, even while accounting is busy."""
    asker.records = {}
    asker.resolver.add_events([event()], at(0))
    asker.waits(11)
    wanted = asker.resolver.next_time()
    assert wanted is not None
    query = asker.resolver.next_records(at(wanted), nothing_tracked)
    assert query is not None
    asker.resolver.add_events([event(5, wanted, pid=2)], at(wanted))
    asker.resolver.take_records(query, RecordsReply(), at(wanted + 0.01), nothing_tracked)

    assert wanted + 0.04 == asker.resolver.next_time(accounting_is_busy=True)
    asker.records = {5: replace(RUNNING, start_time=int(T + wanted))}
    ((asked, result, _),) = asker.ask_controller(wanted + 0.05)
    assert (2, 1) == (len(asked.events), len(result.new_runs))
