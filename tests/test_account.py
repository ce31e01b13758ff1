"""What Slurm's answers mean for the runs and events of one job id."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm.job import SCRONTAB_FLAG, Job
from spool.files.event import Event, EventKind, event_name
from spool.files.run import End, EndSource
from spool.resolve.job_query import JobQuery, SlurmAnswers
from spool.resolve.resolve_job import Resolution, resolve_job
from spool.resolve.run_match import TrackedRun
from spool.resolve.slurm_runs import RunStage

T = 1_767_225_600
HOUR, DAY = 3600, 24 * 3600
RUNNING = Job(job_id=5, state="RUNNING", start_time=T, nodes=("n1",))
OVER = replace(RUNNING, state="COMPLETED", end_time=T + 60)
PENDING = replace(RUNNING, state="PENDING", start_time=None, nodes=())
OPEN = TrackedRun(start_time=T, started=True)


def event(
    kind: EventKind, time: float, *, start: int | None = None, end: int | None = None
) -> Event:
    """Return an event of job 5."""
    name = event_name(kind, 5, start=start, end=end, pid=int(time))
    return Event(name=name, kind=kind, job_id=5, start=start, end=end, time=time)


START, STOP = event(EventKind.START, T), event(EventKind.STOP, T + 60)


def concluded(
    *events: Event,
    runs: tuple[TrackedRun, ...] = (),
    record: Job | None = None,
    rows: tuple[Job, ...] | None = None,
    now: float = T + 61,
    has_accounting: bool = True,
) -> Resolution:
    """Return what follows."""
    query = JobQuery(job_id=5, events=events, runs=runs)
    answers = SlurmAnswers(record=record, rows=rows, has_accounting=has_accounting)
    return resolve_job(query, answers, now)


def without_accounting(
    *events: Event,
    runs: tuple[TrackedRun, ...] = (),
    record: Job | None = None,
    now: float = T + 61,
) -> Resolution:
    """Return what follows on a site without accounting, which has been asked in vain."""
    return concluded(*events, runs=runs, record=record, rows=(), now=now, has_accounting=False)


def by(source: EndSource, time: int, state: str = "COMPLETED") -> End:
    """Return an end."""
    return End(time=time, state=state, source=source)


def test_a_question_reaches_back_to_the_oldest_event_or_open_run() -> None:
    """Some time before it: an epilog follows the fact."""
    named = event(EventKind.START, T + 500, start=T + 400)

    assert T - 60 == JobQuery(job_id=5, events=(STOP,), runs=(OPEN,)).since()
    assert T + 340 == JobQuery(job_id=5, events=(named,)).since()
    assert 0 == JobQuery(job_id=5).since()


def test_a_live_record_is_a_new_run() -> None:
    """Its start event is dealt with."""
    result = concluded(START, record=RUNNING, now=T + 1)

    assert (((RUNNING, None),), (START,), ()) == (
        result.new_runs,
        result.settled_events,
        result.pending_events,
    )


def test_an_ended_record_is_a_new_run_that_is_over() -> None:
    """Both events are dealt with, in one look."""
    result = concluded(START, STOP, record=OVER)

    assert ((OVER, by(EndSource.CONTROLLER, T + 60)),) == result.new_runs
    assert (START, STOP) == result.settled_events


def test_an_open_run_ends_with_its_record() -> None:
    """It is no new run."""
    result = concluded(STOP, runs=(OPEN,), record=OVER)

    assert ((), {T: by(EndSource.CONTROLLER, T + 60)}) == (result.new_runs, result.ends)


def test_a_started_run_is_told_again_at_a_start_event() -> None:
    """Its row may have vanished."""
    result = concluded(START, runs=(OPEN,), record=RUNNING)

    assert (T,) == result.starts_to_resend


@pytest.mark.parametrize("run", [replace(OPEN, started=False), replace(OPEN, reported=False)])
def test_only_a_started_live_run_is_told_again(run: TrackedRun) -> None:
    """Not one that waits, or is not reported."""
    assert () == concluded(START, runs=(run,), record=RUNNING).starts_to_resend


def test_a_revoked_record_finishes_all_events() -> None:
    """A federation sibling runs elsewhere."""
    result = concluded(START, STOP, record=replace(RUNNING, state="REVOKED"))

    assert ((START, STOP), RunStage.OTHER_CLUSTER) == (result.settled_events, result.stage)


def test_pending_alone_finishes_nothing_and_asks_accounting() -> None:
    """A stop event of a requeued run is unexplained."""
    result = concluded(STOP, runs=(OPEN,), record=PENDING)

    assert ((STOP,), True, (T,)) == (
        result.pending_events,
        result.needs_accounting,
        result.missing_starts,
    )


def test_accounting_ends_a_requeued_run() -> None:
    """The controller shows the job waiting for its next run."""
    row = replace(OVER, state="REQUEUED")
    result = concluded(STOP, runs=(OPEN,), record=PENDING, rows=(row,))

    assert {T: by(EndSource.ACCOUNTING, T + 60, "REQUEUED")} == result.ends
    assert ((STOP,), ()) == (result.settled_events, result.pending_events)


def test_a_live_row_of_accounting_proves_nothing() -> None:
    """It may be late, or a runaway."""
    result = concluded(STOP, runs=(OPEN,), rows=(RUNNING,))

    assert ({}, (T,)) == (result.ends, result.missing_starts)


def test_rows_before_the_question_are_no_news() -> None:
    """They ended long before the oldest event."""
    old = replace(OVER, start_time=T - 5000, end_time=T - 4000)

    assert () == concluded(START, rows=(old,)).new_runs


def test_the_controllers_record_goes_before_the_row_of_the_same_run() -> None:
    """It has cores and GRES; the start may differ by seconds."""
    row = replace(OVER, start_time=T + 2)
    result = concluded(START, STOP, record=OVER, rows=(row,))

    assert [OVER] == [job for job, _ in result.new_runs]


def test_a_row_near_a_run_that_ended_before_it_is_another_run() -> None:
    """A requeued job ran again within seconds."""
    first = replace(OVER, end_time=T + 1)
    second = replace(OVER, start_time=T + 3, end_time=T + 60)
    result = concluded(START, STOP, rows=(first, second))

    assert [T, T + 3] == [job.start_time for job, _ in result.new_runs]


def test_a_moved_start_is_still_the_run_that_was_reported() -> None:
    """Nodes powered up late; accounting has the run under the new start alone."""
    moved = replace(OVER, start_time=T + 300, end_time=T + 400)
    result = concluded(STOP, runs=(OPEN,), record=moved, rows=(moved,), now=T + 401)

    assert ((), {T: by(EndSource.CONTROLLER, T + 400)}) == (result.new_runs, result.ends)


def test_a_later_start_is_a_new_run_if_accounting_has_both() -> None:
    """The job was requeued."""
    later = replace(OVER, start_time=T + 300, end_time=T + 400)
    result = concluded(STOP, runs=(OPEN,), record=later, rows=(OVER, later), now=T + 401)

    assert [later] == [job for job, _ in result.new_runs]
    assert {T: by(EndSource.ACCOUNTING, T + 60)} == result.ends


def test_of_two_near_starts_that_accounting_has_each_is_its_own_run() -> None:
    """Both are claimed."""
    second = replace(RUNNING, start_time=T + 3)
    first = replace(OVER, end_time=T + 1)
    result = concluded(START, runs=(OPEN,), record=second, rows=(first, second), now=T + 4)

    assert [second] == [job for job, _ in result.new_runs]


def test_a_delivered_run_explains_its_late_events() -> None:
    """Nothing is delivered twice."""
    past = replace(OPEN, end=T + 60)
    result = concluded(START, STOP, runs=(past,), record=None, rows=())

    assert ((START, STOP), ()) == (result.settled_events, result.new_runs)


def test_a_close_event_ends_a_run_without_proof() -> None:
    """The sweeper waives it."""
    close = event(EventKind.CLOSE, T + 99, start=T, end=T + 60)
    result = concluded(close, runs=(OPEN,), rows=())

    assert ({T: by(EndSource.CLOSE, T + 60, "FAILED")}, (close,)) == (
        result.ends,
        result.settled_events,
    )


def test_a_close_event_of_an_unknown_run_makes_one() -> None:
    """Its row is to be closed."""
    close = event(EventKind.CLOSE, T + 99, start=T, end=T + 60)
    job = Job(job_id=5, start_time=T, end_time=T + 60)

    assert ((job, by(EndSource.CLOSE, T + 60, "FAILED")),) == concluded(close, rows=()).new_runs


def test_slurms_own_word_goes_before_a_close_event() -> None:
    """The run is live."""
    close = event(EventKind.CLOSE, T + 99, start=T, end=T + 60)
    result = concluded(close, runs=(OPEN,), record=RUNNING)

    assert ({}, (close,)) == (result.ends, result.settled_events)


@pytest.mark.parametrize(
    ("code", "state"), [("0:0", "COMPLETED"), ("1:0", "FAILED"), (None, "CANCELLED")]
)
def test_a_forgotten_run_ends_with_its_epilog(code: str | None, state: str) -> None:
    """After a day, with the state that the exit code shows."""
    stop = replace(STOP, extras={} if code is None else {"exit_code": code})
    result = concluded(stop, runs=(OPEN,), rows=(), now=T + 61 + DAY)

    assert {T: by(EndSource.EVENT, T + 60, state)} == result.ends


def test_an_epilogs_own_end_time_counts() -> None:
    """From Slurm 23.02 the event names it."""
    stop = event(EventKind.STOP, T + 62, end=T + 60)
    result = concluded(stop, runs=(OPEN,), rows=(), now=T + 63 + DAY)

    assert T + 60 == result.ends[T].time


def test_a_run_is_not_forgotten_within_a_day() -> None:
    """Accounting may be late."""
    result = concluded(STOP, runs=(OPEN,), rows=(), now=T + 59 + DAY)

    assert ({}, (T,)) == (result.ends, result.missing_starts)


def test_a_forgotten_run_is_over_when_the_next_began() -> None:
    """Its own epilog never ran."""
    following = replace(RUNNING, start_time=T + 500)
    result = concluded(runs=(OPEN,), record=following, rows=(), now=T + 501 + DAY)

    assert {T: by(EndSource.NEXT_RUN, T + 500, "CANCELLED")} == result.ends


def test_an_epilog_after_the_next_runs_start_is_not_the_first_ones() -> None:
    """It belongs to the later run."""
    following = replace(OPEN, start_time=T + 500)
    stop = event(EventKind.STOP, T + 900)
    result = concluded(stop, runs=(OPEN, following), rows=(), now=T + 600 + DAY)

    assert {T: by(EndSource.NEXT_RUN, T + 500, "CANCELLED")} == result.ends


def test_an_event_that_names_its_start_is_explained_by_that_run_alone() -> None:
    """Not by another run of the id."""
    stop = event(EventKind.STOP, T + 60, start=T - 500)
    result = concluded(stop, record=OVER, rows=())

    assert (stop,) == result.pending_events


def test_a_stop_without_times_is_not_explained_while_an_earlier_run_is_live() -> None:
    """Slurm has not noticed the end yet."""
    result = concluded(STOP, record=RUNNING)

    assert (STOP,) == result.pending_events


def test_a_start_whose_run_began_later_is_explained() -> None:
    """The run that it announced was rolled back."""
    later = replace(RUNNING, start_time=T + 100)
    named = event(EventKind.START, T, start=T - 50)

    assert (START,) == concluded(START, record=later, now=T + 101).settled_events
    assert (named,) == concluded(named, record=later, now=T + 101).settled_events


def test_a_start_long_after_a_runs_end_is_not_explained() -> None:
    """It belongs to the next one."""
    late = event(EventKind.START, T + 500)

    assert (late,) == concluded(late, record=OVER).pending_events


@pytest.mark.parametrize(("age", "is_lost"), [(DAY - 1, False), (DAY + 1, True)])
def test_an_event_that_nobody_knows_is_lost_after_a_day(age: int, *, is_lost: bool) -> None:
    """Controller and accounting have answered."""
    result = concluded(START, rows=(), now=T + age)

    assert ((START,) if is_lost else ()) == result.unknown_events
    assert () == result.settled_events


@pytest.mark.parametrize(("age", "is_let_go"), [(HOUR - 1, False), (HOUR + 1, True)])
def test_an_event_of_a_run_that_never_was_is_let_go_after_an_hour(
    age: int, *, is_let_go: bool
) -> None:
    """Slurm shows the job waiting, and accounting nothing."""
    result = concluded(START, record=PENDING, rows=(), now=T + age)

    assert ((START,) if is_let_go else ()) == result.settled_events
    assert () == result.unknown_events


def test_an_event_of_a_configuring_run_is_never_let_go() -> None:
    """It waits as long as Slurm says so; accounting is not asked."""
    record = replace(RUNNING, flags=("CONFIGURING",))
    result = concluded(START, record=record, rows=(), now=T + 2 * DAY)

    assert ((START,), False) == (result.pending_events, result.needs_accounting)


def test_a_hidden_run_is_not_explained_by_the_one_before_it() -> None:
    """Slurm shows nothing, accounting the requeued run alone: the next one may be under way."""
    second = event(EventKind.START, T + 72)
    row = replace(OVER, state="REQUEUED")
    soon = concluded(START, STOP, second, rows=(row,), now=T + 73)
    late = concluded(START, STOP, second, rows=(row,), now=T + 72 + HOUR)

    assert ((second,), (START, STOP)) == (soon.pending_events, soon.settled_events)
    assert ((), (START, STOP, second)) == (late.pending_events, late.settled_events)


def test_silence_of_accounting_proves_no_end() -> None:
    """Not even after a day."""
    result = concluded(STOP, runs=(OPEN,), rows=None, now=T + 61 + DAY)

    assert ({}, (STOP,), True) == (result.ends, result.pending_events, result.needs_accounting)


def test_a_requeued_run_that_no_accounting_knows_ends_with_its_epilog() -> None:
    """The next run, shown by the controller, proves it; that one must not wait for a day."""
    later = replace(RUNNING, start_time=T + 122, restart_count=1)
    runs = (replace(OPEN, restarts=0), TrackedRun(start_time=T + 122, restarts=1))
    stop = replace(STOP, extras={"exit_code": "0:0"})
    ends = [
        concluded(stop, runs=runs, record=later, rows=(), now=T + 122 + seconds).ends
        for seconds in (300, 301)
    ]

    assert [{}, {T: by(EndSource.EVENT, T + 60, "CANCELLED")}] == ends


def test_a_later_runs_epilog_is_no_proof_for_an_earlier_one() -> None:
    """The event names another start, or came after the next run began."""
    runs = (replace(OPEN, restarts=0), TrackedRun(start_time=T + 20, end=T + 40, restarts=1))
    named = event(EventKind.STOP, T + 23, start=T + 20, end=T + 23)
    late = event(EventKind.STOP, T + 40)
    ends = [
        concluded(stop, runs=runs, rows=(), record=PENDING, now=T + HOUR).ends
        for stop in (named, late)
    ]

    assert [{}, {}] == ends


@pytest.mark.parametrize("gap", [1, 2, 5])
def test_a_requeued_job_that_runs_again_within_seconds_has_two_runs(gap: int) -> None:
    """The restart count distinguishes them; accounting may be late."""
    record = replace(RUNNING, start_time=T + gap, restart_count=1)
    result = concluded(
        event(EventKind.START, T + gap), runs=(replace(OPEN, restarts=0),), record=record, rows=()
    )

    assert (((record, None),), (T,)) == (result.new_runs, result.missing_starts)


def test_a_start_that_moved_is_no_requeue() -> None:
    """The number of restarts is the same: within seconds it is one run."""
    record = replace(RUNNING, start_time=T + 3, restart_count=1)
    result = concluded(START, runs=(replace(OPEN, restarts=1),), record=record)

    assert ((), ()) == (result.new_runs, result.missing_starts)


def test_a_later_start_with_more_restarts_is_no_moved_one() -> None:
    """Accounting has the new run alone, for it is late with the old one."""
    record = replace(RUNNING, start_time=T + 300, restart_count=1)
    result = concluded(
        STOP, runs=(replace(OPEN, restarts=0),), record=record, rows=(record,), now=T + 301
    )

    assert (((record, None),), {}) == (result.new_runs, result.ends)


def test_an_event_that_names_its_start_is_not_explained_by_a_run_that_ended_before() -> None:
    """However near: the job was requeued within seconds."""
    before = TrackedRun(start_time=T, end=T + 1, started=True)
    begun, over = (
        event(EventKind.START, T + 2, start=T + 2),
        event(EventKind.STOP, T + 3, start=T + 2),
    )
    result = concluded(begun, over, runs=(before,), record=PENDING, now=T + 4)

    assert (begun, over) == result.pending_events


@pytest.mark.parametrize("has_accounting", [True, False])
def test_only_where_no_row_can_come_an_epilog_ends_a_run_at_once(*, has_accounting: bool) -> None:
    """The controller has forgotten it; accounting would be waited for by a day."""
    stop = replace(STOP, extras={"exit_code": "1:0"})
    result = concluded(stop, runs=(OPEN,), rows=(), has_accounting=has_accounting)

    ends = {} if has_accounting else {T: by(EndSource.EVENT, T + 60, "FAILED")}
    assert (ends, (stop,)) == (result.ends, (*result.settled_events, *result.pending_events))
    assert bool(ends) is not bool(result.pending_events)


def test_before_accounting_was_asked_no_event_ends_a_run() -> None:
    """Whether the site has it is not known yet."""
    result = concluded(STOP, runs=(OPEN,), rows=None, has_accounting=True)

    assert ({}, True) == (result.ends, result.needs_accounting)


def test_without_accounting_the_controllers_word_goes_before_an_epilog() -> None:
    """It has the true state and end."""
    over = replace(OVER, state="TIMEOUT", end_time=T + 59)
    result = without_accounting(START, STOP, record=over)

    assert ((over, by(EndSource.CONTROLLER, T + 59, "TIMEOUT")),) == result.new_runs


def test_without_accounting_a_run_that_still_runs_is_not_over() -> None:
    """An epilog's event of the run before may be late."""
    result = without_accounting(STOP, runs=(OPEN,), record=RUNNING)

    assert ({}, ()) == (result.ends, result.new_runs)


@pytest.mark.parametrize(
    ("begun", "over"),
    [
        (event(EventKind.START, T), event(EventKind.STOP, T + 60)),
        (event(EventKind.START, T + 1, start=T), event(EventKind.STOP, T + 61, end=T + 60)),
        (None, event(EventKind.STOP, T + 61, start=T, end=T + 60)),
    ],
    ids=["both events", "start named by the prolog", "named by the epilog alone"],
)
def test_without_accounting_a_run_that_slurm_never_showed_is_known_from_its_events(
    begun: Event | None, over: Event
) -> None:
    """Start and end were both missed: the drain was down for longer than MinJobAge."""
    over = replace(over, extras={"exit_code": "0:0"})
    events = (over,) if begun is None else (begun, over)
    result = without_accounting(*events, now=T + HOUR)

    job = Job(job_id=5, start_time=T, end_time=T + 60, state="COMPLETED")
    assert ((job, by(EndSource.EVENT, T + 60)),) == result.new_runs
    assert (events, (), ()) == (
        result.settled_events,
        result.pending_events,
        result.unknown_events,
    )


def test_with_accounting_a_run_is_not_made_up_from_its_events() -> None:
    """Its row has the facts, and may be late."""
    result = concluded(START, STOP, rows=(), now=T + HOUR)

    assert ((), (START, STOP)) == (result.new_runs, result.pending_events)


def test_an_epilog_that_names_no_start_makes_up_no_run() -> None:
    """Nobody knows when it began; after a day the event is unknown."""
    soon = without_accounting(STOP)
    late = without_accounting(STOP, now=T + 61 + DAY)

    assert ((), (STOP,)) == (soon.new_runs, soon.pending_events)
    assert ((), (STOP,)) == (late.new_runs, late.unknown_events)


def test_a_run_that_is_known_is_not_made_up_again() -> None:
    """Whether it is open or was delivered; its other events are its own."""
    named = event(EventKind.STOP, T + 60, start=T, end=T + 60)
    late = event(EventKind.STOP, T + 61, start=T + 1, end=T + 60)
    delivered = replace(OPEN, end=T + 60)

    assert () == without_accounting(named, runs=(OPEN,)).new_runs
    assert () == without_accounting(named, runs=(delivered,)).new_runs
    assert 1 == len(without_accounting(named, late).new_runs)


def test_a_prolog_alone_makes_up_no_run() -> None:
    """The run may go on."""
    result = without_accounting(START)

    assert ((), (START,)) == (result.new_runs, result.pending_events)


def test_without_accounting_each_run_of_a_requeued_job_is_known_from_its_events() -> None:
    """The controller shows the job waiting for its third run; an exit code proves nothing then."""
    events = (
        event(EventKind.START, T),
        event(EventKind.STOP, T + 60),
        event(EventKind.START, T + 100),
        replace(event(EventKind.STOP, T + 160), extras={"exit_code": "0:0"}),
    )
    waiting = replace(PENDING, user="ada", restart_count=2)
    result = without_accounting(*events, record=waiting, now=T + 161)

    found = [(job.start_time, end and end.time, job.user) for job, end in result.new_runs]
    assert [(T, T + 60, "ada"), (T + 100, T + 160, "ada")] == found
    assert {"CANCELLED"} == {end.state for _, end in result.new_runs if end}
    assert {None} == {job.restart_count for job, _ in result.new_runs}
    assert events == result.settled_events


def requeued(code: str | None, first: str, epilog: str, *, record: Job = PENDING) -> str:
    """Return the state in which a run of a requeued job ended, by restart counts of its hooks."""
    begun = event(EventKind.START, T, start=T)
    over = event(EventKind.STOP, T + 60, start=T)
    counts = zip((begun, over), (first, epilog), strict=True)
    events = [replace(each, extras={"restart_count": text}) for each, text in counts]
    row = replace(OVER, state="REQUEUED", exit_code=code)
    ((_, end),) = concluded(*events, record=record, rows=(row,)).new_runs
    assert end is not None
    return end.state


@pytest.mark.parametrize(
    ("code", "first", "epilog", "state"),
    [
        ("0:0", "0", "0", "COMPLETED"),
        ("3:0", "1", "1", "FAILED"),
        ("0:0", "0", "1", "REQUEUED"),
        ("0:0", "", "0", "REQUEUED"),
        (None, "0", "0", "REQUEUED"),
        ("3:0", "0", "", "FAILED"),
        ("0:9", "", "", "FAILED"),
        ("3:0", "0", "1", "REQUEUED"),
    ],
)
def test_a_run_that_was_requeued_after_its_end_has_ended_by_itself(
    code: str | None, first: str, epilog: str, state: str
) -> None:
    """The restart count is raised before the epilog only if the run was interrupted."""
    assert state == requeued(code, first, epilog)


def test_a_run_of_scrontab_has_ended_by_itself() -> None:
    """Its job is requeued after each run; counts may be missing."""
    record = replace(PENDING, flags=(SCRONTAB_FLAG,))

    assert "COMPLETED" == requeued("0:0", "", "", record=record)
