"""What may be sent next: order within a lane, order across lanes, the hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm.job import Job
from spool.deliver.pending_run import MAX_WAIT_SECONDS, PendingRun, RequestKind, pending_run
from spool.deliver.schedule import Schedule
from spool.deliver.stop_release import (
    FULL_INTERVAL_SECONDS,
    MAX_JOBS,
    QUERY_INTERVAL_SECONDS,
    SAMPLE_JOBS,
    SLOWNESS,
    StopRelease,
)
from spool.files.layout import Directory
from spool.files.run import LastError, Run
from spool.moment import Moment

NOW = 10_000.0
RUN = Run(job=Job(job_id=1, nodes=("n1",)), start_time=100)


def entry(job_id: int, start: int, **facts: object) -> PendingRun:
    """Return a stored run whose start is to be sent."""
    made = PendingRun(job_id=job_id, start_time=start, stored=Directory.TODO)
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def schedule(*entries: PendingRun, hold: float = 0.0) -> Schedule:
    """Return a schedule of these."""
    made = Schedule(hold)
    for each in entries:
        made.add(each, NOW)
    return made


def taken(made: Schedule, *, stops: bool, now: float = NOW) -> list[tuple[int, int]]:
    """Take all that may be sent without an answer; return job ids and start times."""
    found = []
    while (each := made.take_next(now, stops=stops)) is not None:
        found.append((each.job_id, each.start_time))
    return found


def keys(found: PendingRun | None) -> tuple[int, int] | None:
    """Return job id and start time of a run."""
    return None if found is None else found.key


@pytest.mark.parametrize(
    ("expected", "facts"),
    [
        (RequestKind.START, {}),
        (RequestKind.DELETE, {"replaces": (5,)}),
        (None, {"started": 101}),
        (RequestKind.STOP, {"started": 101, "end_time": 200}),
        (RequestKind.EDIT_META, {"started": 101, "new_texts": ("script",)}),
        (RequestKind.EDIT_META, {"started": 101, "end_time": 200, "new_texts": ("script",)}),
        (RequestKind.START, {"new_texts": ("script",)}),
        (None, {"reported": False}),
        (None, {"reported": False, "started": 101, "end_time": 200}),
    ],
)
def test_a_run_has_one_request_to_send(
    expected: RequestKind | None, facts: dict[str, object]
) -> None:
    """Or none; a text that came late goes to a row that is there, before its stop."""
    assert expected is entry(1, 100, **facts).next_request


def test_starts_of_a_lane_go_one_after_the_other() -> None:
    """The later run waits for the answer to the earlier one."""
    first, second = entry(1, 100), entry(1, 200)
    made = schedule(second, first)

    assert [(1, 100)] == taken(made, stops=False)
    first.in_flight, first.started = None, 101
    made.reschedule(1, NOW)
    assert [(1, 200)] == taken(made, stops=False)


def test_a_start_that_waits_holds_back_later_starts() -> None:
    """Even when its own time comes later."""
    made = schedule(entry(1, 100, retry_at=NOW + 60), entry(1, 200))

    assert [] == taken(made, stops=False)
    assert [(1, 100)] == taken(made, stops=False, now=NOW + 60)


def test_a_stop_that_waits_does_not_hold_back_a_later_start() -> None:
    """It waits for the hold, or for Slurm's proof."""
    old = entry(1, 100, started=1, accepted_at=NOW, end_time=200)
    made = schedule(old, entry(1, 300), entry(2, 100, started=1), entry(2, 300), hold=180.0)

    assert ([(1, 300), (2, 300)], []) == (taken(made, stops=False), taken(made, stops=True))


def test_never_two_requests_for_one_job_id_at_once() -> None:
    """A stop of one run waits while the start of another is under way."""
    made = schedule(entry(1, 100, started=1, end_time=200), entry(1, 300))

    assert [(1, 300)] == taken(made, stops=False)
    assert [] == taken(made, stops=True)


def test_a_row_is_replaced_only_when_it_is_closed() -> None:
    """A delete waits for the stop of the run that it removes."""
    old = entry(1, 100, started=1, end_time=200)
    made = schedule(old, entry(1, 300, replaces=(100,)))

    assert [] == taken(made, stops=False)
    made.drop(old, NOW)
    assert [(1, 300)] == taken(made, stops=False)


def test_a_row_that_is_not_reported_is_in_nobodys_way() -> None:
    """A delete need not wait for it."""
    made = schedule(entry(1, 100, reported=False, started=1), entry(1, 300, replaces=(50,)))

    assert [(1, 300)] == taken(made, stops=False)


def test_starts_of_live_jobs_go_first_then_the_oldest() -> None:
    """Runs that failed before go last."""
    made = schedule(
        entry(1, 100, failures=1),
        entry(2, 100, end_time=150),
        entry(3, 300),
        entry(4, 200),
    )

    assert [(4, 200), (3, 300), (2, 100), (1, 100)] == taken(made, stops=False)


def test_a_young_stop_is_held_back() -> None:
    """Until so long after its start was accepted."""
    made = schedule(entry(1, 100, started=1, accepted_at=NOW, end_time=200), hold=180.0)

    assert NOW + 180 == made.next_time()
    assert [] == taken(made, stops=True, now=NOW + 179)
    assert [(1, 100)] == taken(made, stops=True, now=NOW + 180)


def test_a_listed_run_needs_no_hold() -> None:
    """A job list shows that it left the server's cache."""
    made = schedule(
        entry(1, 100, started=1, accepted_at=NOW, end_time=200, is_listed=True), hold=180.0
    )

    assert [(1, 100)] == taken(made, stops=True)


def test_a_hold_that_is_lifted_lets_all_go() -> None:
    """The server turned out to have no cache."""
    made = schedule(entry(1, 100, started=1, accepted_at=NOW, end_time=200), hold=180.0)
    made.set_hold(180.0, NOW)
    assert [] == taken(made, stops=True)
    made.set_hold(0.0, NOW)

    assert [(1, 100)] == taken(made, stops=True)


def test_what_waits_for_the_hold_alone_is_known() -> None:
    """Not what waits for something else too, and no start."""
    made = schedule(
        entry(1, 100, started=1, accepted_at=NOW, end_time=200),
        entry(2, 100, started=1, accepted_at=NOW, end_time=200, retry_at=NOW + 9),
        entry(3, 100),
        hold=180.0,
    )

    assert [1] == [each.job_id for each in made.held_stops(NOW)]


def test_something_is_ready_or_not() -> None:
    """What is in flight is not."""
    made = schedule(entry(1, 100))

    assert made.is_ready(NOW)
    taken(made, stops=False)
    assert not made.is_ready(NOW)


def test_a_dropped_run_is_forgotten() -> None:
    """The others of its lane stay; dropping it again is harmless."""
    first, second = entry(1, 100), entry(1, 200)
    made = schedule(first, second)
    made.drop(first, NOW)

    assert (1, [second], None) == (len(made), list(made), made.get(1, 100))
    assert [(1, 200)] == taken(made, stops=False)
    made.drop(second, NOW)
    made.drop(second, NOW)
    assert (0, (), None) == (len(made), made.lane(1), made.next_time())


def test_a_run_that_is_added_again_replaces_its_entry() -> None:
    """The old one is not sent any more."""
    made = schedule(entry(1, 100), entry(1, 100, started=5, end_time=200))

    assert [] == taken(made, stops=False)
    assert [(1, 100)] == taken(made, stops=True)


def test_a_stop_that_was_ready_waits_when_stops_are_held_back_meanwhile() -> None:
    """A server that turns out to have a cache gets it when the hold is over."""
    made = schedule(entry(1, 100, started=1, accepted_at=NOW - 10, end_time=200))
    made.set_hold(180, NOW)

    early, late = taken(made, stops=True), taken(made, stops=True, now=NOW + 171)

    assert ([], [(1, 100)]) == (early, late)


def test_an_answer_about_an_unlisted_run_changes_no_other() -> None:
    """Nor does it matter that a run was listed before."""
    mine = entry(1, 100, started=1, accepted_at=NOW, end_time=200)
    made = schedule(mine, hold=180.0)
    stop_release = StopRelease()
    stop_release.release_listed([(2, 100)], made, NOW, answered_at=NOW)
    assert [] == taken(made, stops=True)
    stop_release.release_listed([(1, 100), (1, 100)], made, NOW, answered_at=NOW)

    assert [(1, 100)] == taken(made, stops=True)


def test_a_start_waits_for_its_texts() -> None:
    """A few seconds; a stop does not."""
    made = schedule(
        entry(1, 100, texts_until=NOW + 3),
        entry(2, 100, started=1, end_time=200, texts_until=NOW + 3),
    )

    assert ([], [(2, 100)]) == (taken(made, stops=False), taken(made, stops=True))
    assert [(1, 100)] == taken(made, stops=False, now=NOW + 3)


def test_a_row_that_is_replaced_needs_no_hold() -> None:
    """Nor does a text that is added."""
    made = schedule(
        entry(1, 100, replaces=(5,), accepted_at=NOW),
        entry(2, 100, started=1, new_texts=("script",), is_listed=True, accepted_at=NOW),
        hold=180.0,
    )

    assert [(1, 100), (2, 100)] == taken(made, stops=False)


def test_runs_whose_last_request_failed_are_left_out_when_asked_for() -> None:
    """Each may be silent for a minute; they are sent when there is room."""
    made = schedule(entry(1, 100, failures=1), entry(2, 200, is_blamed=True), entry(3, 300))

    assert (3, 300) == keys(made.take_next(NOW, stops=False, with_failed=False))
    assert None is made.take_next(NOW, stops=False, with_failed=False)
    assert [(1, 100), (2, 200)] == taken(made, stops=False)


def test_a_run_that_failed_since_it_was_queued_is_left_out_too() -> None:
    """Its place in the queue is older than its failure; the others behind it go on."""
    failed = entry(1, 100)
    made = schedule(failed, entry(2, 200))
    failed.failures = 1

    assert (2, 200) == keys(made.take_next(NOW, stops=False, with_failed=False))
    assert None is made.take_next(NOW, stops=False, with_failed=False)


def test_a_run_may_be_released() -> None:
    """What it waited for has changed."""
    waiting = entry(1, 100, retry_at=NOW + 60, waits_for="host n1 is unknown")
    made = schedule(waiting)
    made.release(waiting, NOW)

    assert ("", [(1, 100)]) == (waiting.waits_for, taken(made, stops=False))


def test_a_stored_time_is_measured_by_the_steady_clock() -> None:
    """A wall clock that was wrong parks no run for longer than a day."""
    now = Moment(wall=1e9, steady=NOW)
    soon, never = (
        pending_run(replace(RUN, not_before=int(at)), Directory.TODO, now)
        for at in (1e9 + 60, 1e9 + 1e8)
    )

    assert (NOW + 60, NOW + MAX_WAIT_SECONDS) == (soon.retry_at, never.retry_at)


def test_a_hold_counts_from_the_acceptance_of_the_start() -> None:
    """By the steady clock; it is not moved by what else changes of the run."""
    held = pending_run(replace(RUN, started=990), Directory.OPEN, Moment(wall=1000, steady=NOW))
    held.update(replace(RUN, started=990, cluster="alex"), Moment(wall=5000, steady=NOW + 9))

    assert NOW - 10 == held.accepted_at


@pytest.mark.parametrize(
    ("attempts", "outcome", "expected"),
    [
        (1, "retry", True),
        (1, "halt", True),
        (1, "later", True),
        (0, "retry", False),
        (1, "needs_start", False),
    ],
)
def test_a_run_is_known_to_fail_alone(attempts: int, outcome: str, *, expected: bool) -> None:
    """Its file says so after a restart, too."""
    error = LastError(time=1, call="start", outcome=outcome, reason="r", message="m")
    run = replace(RUN, attempts=attempts, last_error=error)

    assert expected is pending_run(run, Directory.TODO, Moment(1000, NOW)).has_failed


def held(job_id: int, start: int = 100, *, since: float = 0, cluster: str = "alex") -> PendingRun:
    """Return a run whose stop is held; its start was accepted `since` seconds ago."""
    return entry(job_id, start, started=1, accepted_at=NOW - since, end_time=2, cluster=cluster)


def test_held_stops_are_asked_about_together() -> None:
    """Held longest first, each job id once, not all the time."""
    made = schedule(held(1, since=1), held(2, since=5), held(2, 300, since=2), hold=180.0)
    stop_release = StopRelease()

    assert ("alex", (2, 1)) == stop_release.next_query(made, NOW)
    assert ("", ()) == stop_release.next_query(made, NOW + QUERY_INTERVAL_SECONDS - 0.1)
    assert ("alex", (2, 1)) == stop_release.next_query(made, NOW + QUERY_INTERVAL_SECONDS)


def test_the_clusters_are_asked_about_in_turn() -> None:
    """A job list is of one cluster; no cluster delays the others."""
    made = schedule(held(1), held(2, cluster="fritz"), held(3, cluster="zen"), hold=180.0)
    stop_release = StopRelease()
    asked = [stop_release.next_query(made, NOW + i * QUERY_INTERVAL_SECONDS) for i in range(4)]

    assert ["alex", "fritz", "zen", "alex"] == [cluster for cluster, _ in asked]


def test_not_too_many_held_stops_are_asked_about() -> None:
    """The others come when these are released."""
    made = schedule(*(held(i) for i in range(1, MAX_JOBS + 2)), hold=180.0)

    assert MAX_JOBS == len(StopRelease().next_query(made, NOW)[1])


def test_until_a_commit_only_the_oldest_held_stops_are_asked_about() -> None:
    """The query is cheap; all of them are asked about at once when it shows one, and at times."""
    made = schedule(*(held(i, since=i) for i in range(1, SAMPLE_JOBS + 11)), hold=180.0)
    stop_release = StopRelease()
    counts = [len(stop_release.next_query(made, NOW)[1])]
    now = NOW + QUERY_INTERVAL_SECONDS
    counts.append(len(stop_release.next_query(made, now)[1]))
    stop_release.release_listed([(SAMPLE_JOBS + 10, 100)], made, now, answered_at=now)
    counts.append(len(stop_release.next_query(made, now)[1]))
    counts.append(len(stop_release.next_query(made, now + FULL_INTERVAL_SECONDS - 0.1)[1]))
    counts.append(len(stop_release.next_query(made, now + FULL_INTERVAL_SECONDS + 1)[1]))

    full = SAMPLE_JOBS + 10
    assert [full, SAMPLE_JOBS, full - 1, SAMPLE_JOBS, full - 1] == counts


def test_a_slow_server_is_asked_less_often() -> None:
    """The queries take a small part of its time, also when they show a run.

    How long the answer waited for a busy drain does not count.
    """
    made = schedule(held(1), held(2), hold=180.0)
    stop_release = StopRelease()
    stop_release.next_query(made, NOW)
    stop_release.release_listed([(1, 100)], made, NOW + 3, answered_at=NOW + 2)

    assert NOW + 3 + SLOWNESS * 2 == stop_release.next_time(made)


def test_a_query_that_failed_is_not_repeated_at_once() -> None:
    """Its answer says nothing about the runs."""
    made = schedule(held(1), hold=180.0)
    stop_release = StopRelease()
    stop_release.next_query(made, NOW)
    stop_release.query_failed(NOW + 1)

    assert NOW + 1 + FULL_INTERVAL_SECONDS == stop_release.next_time(made)


def test_nothing_is_asked_while_no_stop_is_held() -> None:
    """The next question need not wait then."""
    stop_release = StopRelease()
    made = schedule(hold=180.0)
    assert ("", ()) == stop_release.next_query(made, NOW)
    made.add(entry(1, 100, started=1, accepted_at=NOW, end_time=2, cluster="alex"), NOW)

    assert ("alex", (1,)) == stop_release.next_query(made, NOW)


def test_a_stop_that_no_query_was_about_may_be_asked_about_at_once() -> None:
    """A drain that is about to end cannot wait; a second time there is nothing new."""
    made = schedule(held(1), hold=180.0)
    stop_release = StopRelease()
    is_early = stop_release.query_early(made, NOW)
    stop_release.next_query(made, NOW)

    assert (True, False) == (is_early, stop_release.query_early(made, NOW))


def test_the_run_that_is_due_longest_tells_since_when() -> None:
    """An answer, a removal or a known cause ends it; a failure of unknown cause does not."""
    first, second, third = (entry(job_id, 100) for job_id in (1, 2, 3))
    made, seen = Schedule(), []
    for age, each in enumerate((first, second, third)):
        made.add(each, NOW + age)
    first.retry_at, first.stays_due = NOW + 60, True
    made.reschedule(1, NOW + 3)
    seen.append(made.due_since())
    made.note_answered(first)
    seen.append(made.due_since())
    second.retry_at = NOW + 60
    made.reschedule(2, NOW + 3)
    seen.append(made.due_since())
    made.drop(third, NOW + 3)

    assert [NOW, NOW + 1, NOW + 2, None] == [*seen, made.due_since()]


def test_a_run_in_flight_stays_due() -> None:
    """Nothing of its lane is rescheduled before the answer."""
    made = schedule(entry(1, 100))
    made.take_next(NOW, stops=False)
    made.reschedule(1, NOW + 5)

    assert NOW == made.due_since()


def test_a_run_behind_another_one_of_its_lane_is_not_due() -> None:
    """An earlier start came to light: the later one waits for it, for whatever that waits."""
    made = schedule(entry(1, 200))
    made.add(entry(1, 100, retry_at=NOW + 60), NOW)

    assert made.due_since() is None


def test_a_run_that_is_known_to_fail_alone_is_not_due() -> None:
    """It may be sent now and then, and nobody waits for it."""
    made = schedule(entry(1, 100, is_blamed=True))

    assert (True, None) == (made.is_ready(NOW), made.due_since())
