"""When Slurm is asked about job ids, and what its silence does."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from slurm.errors import FailureReason, SlurmError
from slurm.job import Job, NodeAllocation
from spool.files.event import Event, EventKind, event_name
from spool.moment import Moment
from spool.resolve import resolver
from spool.resolve.resolver import BATCH_SIZE, Resolved, Resolver, Tracked
from spool.resolve.run_match import TrackedRun
from spool.resolve.slurm_worker import RecordsQuery, RecordsReply, RowsQuery, RowsReply

T = 1_767_225_600.0
RUNNING = Job(job_id=5, state="RUNNING", start_time=int(T), nodes=("n1",))
OVER = replace(RUNNING, state="COMPLETED", end_time=int(T) + 9)
SILENT = RecordsReply(error="no answer")
NO_ROWS = RowsReply(error="no answer")


def at(seconds: float) -> Moment:
    """Return a moment so many seconds after noon; the monotonic clock counts from there."""
    return Moment(T + seconds, seconds)


def nothing_tracked(_job_id: int) -> tuple[TrackedRun, ...]:
    """Return no runs."""
    return ()


def event(
    job_id: int = 5,
    seconds: float = 0.0,
    *,
    kind: EventKind = EventKind.START,
    pid: int = 1,
    **extras: str,
) -> Event:
    """Return an event without times in its name."""
    name = event_name(kind, job_id, start=None, end=None, pid=pid)
    return Event(
        name=name,
        kind=kind,
        job_id=job_id,
        start=None,
        end=None,
        time=T + seconds,
        extras=extras,
    )


@dataclass
class Asker:
    """Takes a resolver's questions to a Slurm that answers at once, as the loop would."""

    resolver: Resolver = field(default_factory=Resolver)
    records: dict[int, Job | SlurmError] = field(default_factory=lambda: {5: RUNNING})
    rows: tuple[Job, ...] = ()
    silent: bool = False
    accounting_silent: bool = False
    has_accounting: bool = True
    tracked: Tracked = nothing_tracked
    asked: list[RecordsQuery] = field(default_factory=list)
    rows_asked: list[RowsQuery] = field(default_factory=list)

    def ask(self, seconds: float) -> list[Resolved]:
        """Ask all that is due; return what follows."""
        return [*self.ask_controller(seconds), *self.ask_accounting(seconds)]

    def ask_controller(self, seconds: float) -> list[Resolved]:
        """Ask the controller alone."""
        query = self.resolver.next_records(at(seconds), self.tracked)
        if query is None:
            return []
        self.asked.append(query)
        found = {i: self.records[i] for i in query.job_ids if i in self.records}
        reply = SILENT if self.silent else RecordsReply(records=found)
        return self.resolver.take_records(query, reply, at(seconds), self.tracked)

    def ask_accounting(self, seconds: float) -> list[Resolved]:
        """Ask accounting alone."""
        query = self.resolver.next_rows(at(seconds), self.tracked)
        if query is None:
            return []
        self.rows_asked.append(query)
        rows = tuple(row for row in self.rows if row.job_id in query.job_ids)
        reply = RowsReply(rows=rows, has_accounting=self.has_accounting)
        if self.accounting_silent:
            reply = NO_ROWS
        return self.resolver.take_rows(query, reply, at(seconds), self.tracked)

    def waits(self, times: int, *, now: float = 0.0) -> list[float]:
        """Ask so often, each time when it is wanted; return the waits between."""
        moments = [now]
        for _ in range(times):
            wanted = self.resolver.next_time()
            assert wanted is not None
            moments.append(wanted)
            self.ask(wanted)
        return [round(later - earlier, 3) for earlier, later in pairwise(moments)]


@pytest.fixture
def asker() -> Asker:
    """Return a resolver that has nothing to ask, and a Slurm that knows job 5."""
    return Asker()


def test_nothing_to_ask_asks_nothing(asker: Asker) -> None:
    """There is no time to ask either."""
    assert ([], None, 0) == (asker.ask(0), asker.resolver.next_time(), len(asker.resolver))
    assert ([], []) == (asker.asked, asker.rows_asked)


def test_slurm_is_asked_when_it_has_the_truth(asker: Asker) -> None:
    """40 ms after the hook began, not before."""
    asker.resolver.add_events([event()], at(0))
    early = asker.ask(0.03)
    ((query, result, record),) = asker.ask(0.05)

    assert ([], RUNNING, [(5,)]) == (early, record, [each.job_ids for each in asker.asked])
    assert ([RUNNING], (event(),)) == ([job for job, _ in result.new_runs], query.events)
    assert 0 == len(asker.resolver)


def test_an_event_from_the_future_counts_as_of_now(asker: Asker) -> None:
    """A clock was set back."""
    asker.resolver.add_events([event(5, 9000)], at(0))

    assert 0.04 == asker.resolver.next_time()


def test_an_old_event_is_asked_about_at_once(asker: Asker) -> None:
    """It has waited for the drain."""
    asker.resolver.add_events([event(5, -60)], at(0))

    assert 0 == asker.resolver.next_time()


def test_what_is_due_is_asked_in_one_batch(asker: Asker) -> None:
    """Doubtful runs at once, too."""
    asker.resolver.add_events([event(7), event(5), event(6, 5)], at(5))
    asker.resolver.recheck_job(8, at(0))
    asker.ask(5)

    assert [(5, 7, 8)] == [each.job_ids for each in asker.asked]


def test_a_batch_has_a_limit(asker: Asker) -> None:
    """What is left is asked next."""
    asker.resolver.add_events([event(n) for n in range(1, BATCH_SIZE + 3)], at(0))
    asker.ask(1)
    asker.ask(1)

    assert [BATCH_SIZE, 2] == [len(each.job_ids) for each in asker.asked]


def test_a_question_under_way_is_not_asked_again(asker: Asker) -> None:
    """And nothing is due while it is."""
    asker.resolver.add_events([event()], at(0))
    first = asker.resolver.next_records(at(1), nothing_tracked)
    again = asker.resolver.next_records(at(2), nothing_tracked)

    assert (True, None, None) == (first is not None, again, asker.resolver.next_time())


def test_a_busy_worker_sets_no_time(asker: Asker) -> None:
    """Its answer ends the loop's wait."""
    asker.records, asker.accounting_silent = {}, True
    asker.resolver.add_events([event()], at(0))
    asker.ask_controller(1)
    asker.resolver.add_events([event(6, 1)], at(1))
    times = [
        asker.resolver.next_time(controller_is_busy=controller, accounting_is_busy=accounting)
        for controller, accounting in ((False, True), (True, False), (True, True))
    ]

    assert [1.04, 0.0, None] == times


def test_a_question_that_was_not_asked_is_asked_later(asker: Asker) -> None:
    """Its worker was closed."""
    asker.resolver.add_events([event()], at(0))
    query = asker.resolver.next_records(at(1), nothing_tracked)
    assert query is not None

    assert [] == asker.resolver.take_records(query, None, at(1), nothing_tracked)
    assert [5] == [query.job_id for query, _, _ in asker.ask(1)]


def test_a_question_to_accounting_that_was_not_asked_is_asked_later(asker: Asker) -> None:
    """From the beginning: the controller's answer may be another one by then."""
    asker.records, asker.rows = {}, (OVER,)
    asker.resolver.add_events([event()], at(0))
    asker.ask_controller(1)
    query = asker.resolver.next_rows(at(1), nothing_tracked)
    assert query is not None

    assert [] == asker.resolver.take_rows(query, None, at(1), nothing_tracked)
    asker.ask(10)
    assert ([(5,), (5,)], 0) == ([each.job_ids for each in asker.asked], len(asker.resolver))


def test_slurms_silence_counts_against_nobody(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    """All stays, it is asked every two seconds in the end, and one line says so."""
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


def test_events_during_silence_wait_for_the_next_try(asker: Asker) -> None:
    """A Slurm that hangs is not asked for each of them."""
    asker.silent = True
    asker.resolver.add_events([event()], at(0))
    asker.waits(4)
    asker.resolver.add_events([event(6, 4)], at(4))

    assert 5.54 == asker.resolver.next_time()


def test_the_silence_is_measured_by_the_monotonic_clock(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    """The wall clock is set back by an hour meanwhile."""
    caplog.set_level(logging.INFO)
    asker.silent = True
    asker.resolver.add_events([event()], at(0))
    asker.ask(1)
    later = Moment(T - 3600, 11.0)
    query = asker.resolver.next_records(later, nothing_tracked)
    assert query is not None
    asker.resolver.take_records(query, RecordsReply(records={5: RUNNING}), later, nothing_tracked)

    assert "answers again after 10 s (failed queries: 1)" in caplog.text


def test_one_unreadable_record_concerns_no_other_job(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked for later, and logged once."""
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


def test_a_configuring_job_is_asked_about_more_and_more_rarely(asker: Asker) -> None:
    """After 40, 80, 160 ms ... 10 s; accounting is not asked."""
    asker.records[5] = replace(RUNNING, flags=("CONFIGURING",))
    asker.resolver.add_events([event()], at(0))

    expected = [0.04, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.0, 10.0]
    assert expected == asker.waits(11)
    assert [] == asker.rows_asked


def test_a_job_that_configures_for_an_hour_is_logged_once(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits on."""
    asker.records[5] = replace(RUNNING, flags=("CONFIGURING",))
    asker.resolver.add_events([event()], at(0))
    for hours in (1, 2, 3):
        asker.ask(hours * 3601)

    assert ["job=5 has been CONFIGURING for over an hour; check its nodes"] == [
        r.message for r in caplog.records
    ]
    assert 1 == len(asker.resolver)


def test_what_nobody_knows_is_asked_about_again_and_again(asker: Asker) -> None:
    """Every 5 minutes in the end."""
    asker.records = {}
    asker.resolver.add_events([event()], at(0))

    expected = [0.04, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert expected == asker.waits(13)


def test_a_crowd_that_nobody_knows_is_asked_about_rarely(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question costs Slurm as much as the crowd is large."""
    monkeypatch.setattr(resolver, "CROWD_SECONDS", 100.0)
    asker.records = {}
    asker.resolver.add_events([event(job_id) for job_id in range(1, 6)], at(0))

    assert [64, 128, 256, 500, 500] == asker.waits(13)[-5:]


def test_accounting_is_asked_where_the_record_is_not_enough(asker: Asker) -> None:
    """In one question; each job id gets its own rows."""
    asker.records = {}
    asker.rows = (OVER, replace(OVER, job_id=6))
    asker.resolver.add_events([event(5), event(6, -30)], at(0))
    asker.ask_controller(10)
    answered = asker.ask_accounting(10)

    assert [[5], [6]] == [[job.job_id for job, _ in result.new_runs] for _, result, _ in answered]
    expected = RowsQuery(job_ids=(5, 6), since=int(T) - 90, until=int(T) + 11)
    assert [expected] == asker.rows_asked
    assert 0 == len(asker.resolver)


def test_the_record_is_given_back_with_the_rows(asker: Asker) -> None:
    """It has facts that a row has not."""
    pending = replace(RUNNING, state="PENDING", start_time=None, nodes=())
    asker.records, asker.rows = {5: pending}, (OVER,)
    asker.resolver.add_events([event()], at(0))
    asker.ask_controller(10)
    ((_, _, record),) = asker.ask_accounting(10)

    assert pending == record


def test_silent_accounting_settles_nothing(asker: Asker, caplog: pytest.LogCaptureFixture) -> None:
    """The event waits; one line says when it began, one when it ends."""
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


def test_silent_accounting_holds_up_nothing_that_the_controller_settles(asker: Asker) -> None:
    """New jobs go on; accounting is asked every two seconds in the end."""
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


def test_a_hanging_accounting_holds_up_nothing_that_the_controller_settles(asker: Asker) -> None:
    """Its question is under way all the time."""
    asker.resolver.add_events([event(6)], at(0))
    asker.ask_controller(1)
    hanging = asker.resolver.next_rows(at(1), nothing_tracked)
    asker.resolver.add_events([event(5, 2)], at(2))

    assert hanging is not None
    assert [5] == [query.job_id for query, _, _ in asker.ask(3)]


def test_an_event_during_a_long_wait_is_asked_about_at_once(asker: Asker) -> None:
    """The waits begin anew."""
    asker.records = {}
    asker.resolver.add_events([event()], at(0))
    asker.waits(10)
    asker.resolver.add_events([event(5, 600, pid=2)], at(600))

    assert 600.04 == asker.resolver.next_time()


def test_an_event_during_the_controllers_question_is_asked_about_next(asker: Asker) -> None:
    """The answer under way may be older than it."""
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


def test_an_event_during_accountings_question_is_asked_about_at_once(asker: Asker) -> None:
    """Accounting's late answer about the older event counts no more."""
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


def test_an_event_before_accounting_is_asked_goes_to_the_controller_first(asker: Asker) -> None:
    """What was wanted from accounting is wanted no more."""
    asker.records = {}
    asker.resolver.add_events([event()], at(0))
    asker.ask_controller(1)
    asker.resolver.add_events([event(5, 2, pid=2)], at(2))

    assert ([], []) == (asker.ask_accounting(2), asker.rows_asked)
    assert 2.04 == asker.resolver.next_time()


def test_an_answer_that_settled_nothing_leaves_a_newer_event_its_time(asker: Asker) -> None:
    """It waits neither for accounting, which may hang, nor for minutes with the older one."""
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


def test_a_known_end_alone_is_asked_for_without_cores(asker: Asker) -> None:
    """The facts of the run are stored already."""
    asker.tracked = lambda _: (TrackedRun(start_time=int(T), started=True),)
    asker.records[5] = OVER
    asker.resolver.add_events([event(5, 9, kind=EventKind.STOP)], at(9))
    ((_, result, _),) = asker.ask(10)

    assert [frozenset({5})] == [query.states_only for query in asker.asked]
    assert [int(T)] == list(result.ends)


def test_a_new_run_met_without_cores_is_asked_for_whole(asker: Asker) -> None:
    """Its row could not be corrected."""
    asker.tracked = lambda _: (TrackedRun(start_time=int(T) - 500, started=True, restarts=0),)
    cores = (NodeAllocation(name="n1", cores=(0,)),)
    asker.records[5] = replace(RUNNING, restart_count=1, allocations=cores)
    asker.resolver.add_events([event(5, -1, kind=EventKind.STOP)], at(0))
    first = asker.ask_controller(1)
    ((_, result, _),) = asker.ask_controller(1)

    assert [] == first
    assert [frozenset({5}), frozenset()] == [query.states_only for query in asker.asked]
    assert [cores] == [job.allocations for job, _ in result.new_runs]


def test_a_start_is_asked_for_with_all_facts(asker: Asker) -> None:
    """Also where a run of the id is known, and where the known one is over."""
    asker.tracked = lambda _: (TrackedRun(start_time=int(T) - 500, end=int(T) - 400),)
    asker.resolver.add_events([event(5)], at(0))
    asker.resolver.add_events([event(6, kind=EventKind.STOP)], at(0))
    asker.ask(1)

    assert [((5, 6), frozenset())] == [(each.job_ids, each.states_only) for each in asker.asked]


@pytest.mark.parametrize(("again", "new"), [("1", 1), ("", 0)])
def test_a_delivered_run_that_a_sweep_misses_is_new(asker: Asker, again: str, new: int) -> None:
    """Its row has vanished from cc-backend, so what was delivered counts no more."""
    asker.tracked = lambda _: (TrackedRun(start_time=int(T), end=int(T) + 9, started=True),)
    asker.records[5] = OVER
    named = replace(event(5, 20, again=again), start=int(T))
    asker.resolver.add_events([named], at(20))
    ((_, result, _),) = asker.ask(21)

    assert new == len(result.new_runs)


def test_without_accounting_what_events_say_counts(asker: Asker) -> None:
    """No row will ever come."""
    asker.records, asker.has_accounting = {}, False
    stop = replace(event(5, 60, kind=EventKind.STOP), end=int(T) + 60)
    asker.resolver.add_events([event(), stop], at(60))
    asker.ask_controller(61)
    ((_, result, _),) = asker.ask_accounting(61)

    assert [(int(T), int(T) + 60)] == [
        (job.start_time, end.time) for job, end in result.new_runs if end
    ]
    assert 0 == len(asker.resolver)
