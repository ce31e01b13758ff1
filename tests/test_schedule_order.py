"""Which requests may be sent next: order within a job id and across job ids."""

from __future__ import annotations

from dataclasses import replace

import pytest
from schedule_values import NOW, RUN, entry, schedule, taken

from spool.deliver.pending_run import MAX_WAIT_SECONDS, PendingRun, RequestKind, pending_run
from spool.files.layout import Directory
from spool.files.run import LastError
from spool.moment import Moment


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
def test_a_run_has_at_most_one_request_to_send(
    expected: RequestKind | None, facts: dict[str, object]
) -> None:
    """A script found after the start is sent to the existing row, before the row's stop."""
    assert expected is entry(1, 100, **facts).next_request


def test_starts_of_one_job_are_sent_one_after_the_other() -> None:
    """The later run waits for the answer to the earlier one."""
    first, second = entry(1, 100), entry(1, 200)
    made = schedule(second, first)

    assert [(1, 100)] == taken(made, stops=False)
    first.in_flight, first.started = None, 101
    made.reschedule(1, NOW)
    assert [(1, 200)] == taken(made, stops=False)


def test_a_waiting_start_delays_later_starts_of_its_job() -> None:
    """The earlier run is retried in 60 s; the later run, which could be sent now, waits for it."""
    made = schedule(entry(1, 100, retry_at=NOW + 60), entry(1, 200))

    assert [] == taken(made, stops=False)
    assert [(1, 100)] == taken(made, stops=False, now=NOW + 60)


def test_a_waiting_stop_does_not_delay_a_later_start() -> None:
    """The earlier run's stop is held back, or Slurm has not shown the end of that run yet."""
    old = entry(1, 100, started=1, accepted_at=NOW, end_time=200)
    made = schedule(old, entry(1, 300), entry(2, 100, started=1), entry(2, 300), hold=180.0)

    assert ([(1, 300), (2, 300)], []) == (taken(made, stops=False), taken(made, stops=True))


def test_a_job_id_never_has_two_requests_at_once() -> None:
    """A stop of one run waits while the start of another is in flight."""
    made = schedule(entry(1, 100, started=1, end_time=200), entry(1, 300))

    assert [(1, 300)] == taken(made, stops=False)
    assert [] == taken(made, stops=True)


def test_a_delete_waits_for_the_stop_of_the_row() -> None:
    """A row that a later run of the job replaces is deleted after its stop was delivered."""
    old = entry(1, 100, started=1, end_time=200)
    made = schedule(old, entry(1, 300, replaces=(100,)))

    assert [] == taken(made, stops=False)
    made.drop(old, NOW)
    assert [(1, 300)] == taken(made, stops=False)


def test_an_excluded_run_delays_no_delete() -> None:
    """The excluded run has no stop for which the delete could wait."""
    made = schedule(entry(1, 100, reported=False, started=1), entry(1, 300, replaces=(50,)))

    assert [(1, 300)] == taken(made, stops=False)


def test_starts_of_running_jobs_are_sent_first() -> None:
    """The order: running jobs by start time, ended jobs, and runs that failed before."""
    made = schedule(
        entry(1, 100, failures=1),
        entry(2, 100, end_time=150),
        entry(3, 300),
        entry(4, 200),
    )

    assert [(4, 200), (3, 300), (2, 100), (1, 100)] == taken(made, stops=False)


def test_a_schedule_has_nothing_to_send_while_its_run_is_in_flight() -> None:
    """The request is not sent again before cc-backend has answered it."""
    made = schedule(entry(1, 100))

    assert made.is_ready(NOW)
    taken(made, stops=False)
    assert not made.is_ready(NOW)


def test_a_dropped_run_leaves_the_schedule() -> None:
    """Other runs of the job stay; a run that is dropped twice does no harm."""
    first, second = entry(1, 100), entry(1, 200)
    made = schedule(first, second)
    made.drop(first, NOW)

    assert (1, [second], None) == (len(made), list(made), made.get(1, 100))
    assert [(1, 200)] == taken(made, stops=False)
    made.drop(second, NOW)
    made.drop(second, NOW)
    assert (0, (), None) == (len(made), made.lane(1), made.next_time())


def test_a_run_that_is_added_again_replaces_its_entry() -> None:
    """The run was started and ended meanwhile: its stop is sent, and not the old start."""
    made = schedule(entry(1, 100), entry(1, 100, started=5, end_time=200))

    assert [] == taken(made, stops=False)
    assert [(1, 100)] == taken(made, stops=True)


def test_a_start_waits_for_script_and_description() -> None:
    """Slurm is asked for both for a few seconds; a stop does not wait."""
    made = schedule(
        entry(1, 100, texts_until=NOW + 3),
        entry(2, 100, started=1, end_time=200, texts_until=NOW + 3),
    )

    assert ([], [(2, 100)]) == (taken(made, stops=False), taken(made, stops=True))
    assert [(1, 100)] == taken(made, stops=False, now=NOW + 3)


def test_runs_whose_last_request_failed_can_be_omitted() -> None:
    """Each such run may time out after a minute; they are sent when there is room."""
    made = schedule(entry(1, 100, failures=1), entry(2, 200, is_blamed=True), entry(3, 300))

    assert (3, 300) == keys(made.take_next(NOW, stops=False, with_failed=False))
    assert None is made.take_next(NOW, stops=False, with_failed=False)
    assert [(1, 100), (2, 200)] == taken(made, stops=False)


def test_a_run_that_failed_after_it_was_queued_is_omitted_too() -> None:
    """The run's place in the queue is older than its failure; the runs behind it are sent."""
    failed = entry(1, 100)
    made = schedule(failed, entry(2, 200))
    failed.failures = 1

    assert (2, 200) == keys(made.take_next(NOW, stops=False, with_failed=False))
    assert None is made.take_next(NOW, stops=False, with_failed=False)


def test_starts_of_ended_runs_can_be_omitted() -> None:
    """Stops and the starts of running jobs are sent before the starts of ended runs."""
    made = schedule(
        entry(1, 100, end_time=200), entry(2, 300), entry(3, 50, started=1, end_time=200)
    )

    assert (2, 300) == keys(made.take_next(NOW, stops=False, with_ended=False))
    assert None is made.take_next(NOW, stops=False, with_ended=False)
    assert (3, 50) == keys(made.take_next(NOW, stops=True, with_ended=False))
    assert [(1, 100)] == taken(made, stops=False)


def test_a_run_that_ended_after_it_was_queued_is_omitted_too() -> None:
    """The run was queued while its job was running; the runs behind it in the queue are sent."""
    ended = entry(1, 100)
    made = schedule(ended, entry(2, 200))
    ended.end_time = 150

    assert (2, 200) == keys(made.take_next(NOW, stops=False, with_ended=False))
    assert None is made.take_next(NOW, stops=False, with_ended=False)


def test_stops_that_are_due_or_in_flight_are_counted() -> None:
    """A stop that is held back or waits is not counted: a start should not wait so long for it."""
    over: dict[str, object] = {"started": 1, "end_time": 200}
    due, flying = entry(1, 100, **over), entry(2, 100, **over, in_flight=RequestKind.STOP)
    waiting, held = entry(3, 100, **over, retry_at=NOW + 1), entry(4, 100, **over, accepted_at=NOW)
    made = schedule(hold=180.0)

    assert 2 == made.due_stops([due, flying, waiting, held, entry(5, 100)], NOW)


def test_a_waiting_run_can_be_released() -> None:
    """A run waited for an unknown host; when the cause has changed, it is sent at once."""
    waiting = entry(1, 100, retry_at=NOW + 60, waits_for="host n1 is unknown")
    made = schedule(waiting)
    made.release(waiting, NOW)

    assert ("", [(1, 100)]) == (waiting.waits_for, taken(made, stops=False))


def test_a_stored_retry_time_is_converted_to_the_steady_clock() -> None:
    """A wrong wall clock delays a run by a day at most."""
    now = Moment(wall=1e9, steady=NOW)
    soon, never = (
        pending_run(replace(RUN, not_before=int(at)), Directory.TODO, now)
        for at in (1e9 + 60, 1e9 + 1e8)
    )

    assert (NOW + 60, NOW + MAX_WAIT_SECONDS) == (soon.retry_at, never.retry_at)


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
def test_a_failed_run_is_recognized_by_its_file_after_a_restart(
    attempts: int, outcome: str, *, expected: bool
) -> None:
    """The file has the number of failed attempts, and the outcome of the last error."""
    error = LastError(time=1, call="start", outcome=outcome, reason="r", message="m")
    run = replace(RUN, attempts=attempts, last_error=error)

    assert expected is pending_run(run, Directory.TODO, Moment(1000, NOW)).has_failed
