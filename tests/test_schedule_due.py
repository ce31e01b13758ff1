"""Since when a run has been due without a known cause of delay."""

from __future__ import annotations

from schedule_values import NOW, entry, schedule

from spool.deliver.schedule import Schedule


def test_due_since_is_the_time_of_the_longest_due_run() -> None:
    """An answer, a removal or a known cause of delay ends a run's due time; a failure does not."""
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
    """The job is rescheduled before cc-backend has answered the request of the run."""
    made = schedule(entry(1, 100))
    made.take_next(NOW, stops=False)
    made.reschedule(1, NOW + 5)

    assert NOW == made.due_since()


def test_a_run_that_waits_for_an_earlier_run_is_not_due() -> None:
    """An earlier run of the job was found later, and its start is retried in 60 s."""
    made = schedule(entry(1, 200))
    made.add(entry(1, 100, retry_at=NOW + 60), NOW)

    assert made.due_since() is None


def test_a_run_that_fails_while_others_succeed_is_not_due() -> None:
    """The run can be sent, but cc-backend is not the cause of its delay."""
    made = schedule(entry(1, 100, is_blamed=True))

    assert (True, None) == (made.is_ready(NOW), made.due_since())
