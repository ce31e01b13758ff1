"""Reactions to NATS messages that have no effect, or a late one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccbackend.outcomes import Outcome, Reason, ReplyVerdict
from slurm.job import Job
from spool.deliver.pending_run import RequestKind, pending_run
from spool.deliver.reaction import MAX_PUBLISHED, RequestContext, RunAction, react
from spool.deliver.schedule import Schedule
from spool.deliver.stop_release import StopRelease
from spool.files.layout import Directory
from spool.files.run import End, EndSource, Run
from spool.moment import Moment

NOW = 1_767_230_000
BEGAN = NOW - 600
HOUR = 3600
OVER = End(time=NOW - 10, state="COMPLETED", source=EndSource.CONTROLLER)
RUN = Run(job=Job(job_id=7, user="ada", nodes=("n1",), start_time=BEGAN), start_time=BEGAN)
STARTED = replace(RUN, started=BEGAN + 1, cluster="alex", end=OVER)
PUBLISHED = ReplyVerdict(Reason.PUBLISHED)


def published(run: Run, kind: RequestKind, times: int = 1, *, commit: float = 180.0) -> Run:
    """Return a run whose message has been published some times."""
    for _ in range(times):
        run = react(run, PUBLISHED, context(kind, commit)).run
    return run


def context(kind: RequestKind, commit: float = 180.0) -> RequestContext:
    """Return a request answered now."""
    return RequestContext(kind=kind, now=NOW, cluster="alex", commit_seconds=commit)


def reason(run: Run) -> str | None:
    """Return why the last request did not finish a run."""
    return None if run.last_error is None else run.last_error.reason


@pytest.mark.parametrize(("commit", "wait"), [(180.0, 180), (0.0, 5)])
def test_a_published_start_waits_for_the_commit_interval(commit: float, wait: int) -> None:
    """A start sent by NATS gets no answer: its retry waits one commit interval, at least 5 s."""
    run = published(RUN, RequestKind.START, commit=commit)

    assert (None, NOW + wait, "published") == (run.started, run.not_before, reason(run))
    assert (True, True) == (run.start_is_queued, run.start_is_published)


def test_a_start_published_twice_without_a_row_waits_an_hour() -> None:
    """Attempts 2 and 4 count as silently rejected; the error's hint names the log of cc-backend."""
    runs = [published(RUN, RequestKind.START, times) for times in (2, 3, 4, 5)]

    assert ["published", "swallowed", "published", "swallowed"] == [reason(run) for run in runs]
    assert [180, HOUR, 180, HOUR] == [run.not_before - NOW for run in runs]
    assert (True, False) == (runs[1].start_is_queued, runs[1].start_is_published)
    assert runs[1].last_error is not None
    assert "see cc-backend's log" in runs[1].last_error.hint


def test_a_run_that_is_silently_rejected_too_often_becomes_a_dead_letter() -> None:
    """A start that was published 23 times and still has no row is not published again."""
    run = published(RUN, RequestKind.START, MAX_PUBLISHED - 1)

    reaction = react(run, PUBLISHED, context(RequestKind.START))

    assert (RunAction.DEAD_LETTER, "swallowed") == (reaction.action, reason(reaction.run))


def test_a_published_stop_is_repeated_with_growing_waits() -> None:
    """The waits are 5, 10, 20 up to 160 s, then 1 h: cc-backend's archiver may delay a stop."""
    runs = [published(STARTED, RequestKind.STOP, times) for times in range(1, 8)]

    waits = [run.not_before - NOW for run in runs]
    assert [5, 10, 20, 40, 80, 160, HOUR] == waits
    assert ("published", "swallowed") == (reason(runs[5]), reason(runs[6]))
    assert not runs[0].start_is_published


def test_a_stop_counts_its_own_attempts() -> None:
    """Two published starts of a run do not count as attempts of its stop."""
    run = published(replace(RUN, end=OVER), RequestKind.START, 2)

    assert 1 == published(replace(run, started=NOW), RequestKind.STOP).attempts


def test_a_start_in_the_job_list_counts_as_accepted() -> None:
    """A published start whose row cc-backend lists has no attempts, no error and no wait."""
    run = published(RUN, RequestKind.START, 2)
    run = react(run, ReplyVerdict(Reason.STORED_BEFORE), context(RequestKind.START)).run

    assert (NOW, 0, None, 0) == (run.started, run.attempts, run.last_error, run.not_before)


def test_a_listed_row_ends_the_wait_of_a_published_start() -> None:
    """The drain queries the row of a published start; when it is listed, the run is due at once."""
    now = Moment(wall=float(NOW), steady=1000.0)
    made, hold = Schedule(180.0), StopRelease()
    entry = pending_run(published(RUN, RequestKind.START), Directory.TODO, now)
    made.add(entry, now.steady)

    asked = hold.next_query(made, now.steady)[1]
    before = made.take_next(now.steady, stops=False)
    hold.release_listed([(7, BEGAN)], made, now.steady, answered_at=now.steady)

    assert ((7,), None, entry) == (asked, before, made.take_next(now.steady, stops=False))
    assert [] == list(made.held_stops(now.steady))


def test_a_listed_start_that_fails_is_not_queried_again() -> None:
    """A start that has a row in the job list waits for its retry time, as any failed request."""
    now = Moment(wall=float(NOW), steady=1000.0)
    made = Schedule()
    entry = pending_run(published(RUN, RequestKind.START), Directory.TODO, now)
    entry.note_listed()
    entry.retry_at = 2000.0
    made.add(entry, now.steady)

    assert ([], None) == (list(made.held_stops(now.steady)), made.take_next(1001.0, stops=False))


def test_published_and_silently_rejected_messages_have_different_outcomes() -> None:
    """Reason PUBLISHED has the outcome CONFIRM; SWALLOWED (silently rejected) has LATER."""
    assert (Outcome.CONFIRM, Outcome.LATER) == (Reason.PUBLISHED.outcome, Reason.SWALLOWED.outcome)
