"""What may be told next: order within a lane, order across lanes, the hold."""

from __future__ import annotations

import pytest

from spool.deliver.schedule import PendingRun, RequestKind, Schedule
from spool.deliver.stop_hold import StopHold
from spool.files.layout import Directory

NOW = 10_000.0


def entry(job_id: int, start: int, **facts: object) -> PendingRun:
    """Return a stored run of which the start is to be told."""
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
    """Take all that may be told without an answer; return job ids and start times."""
    found = []
    while (each := made.take_next(now, stops=stops)) is not None:
        found.append((each.job_id, each.start_time))
    return found


@pytest.mark.parametrize(
    ("expected", "facts"),
    [
        (RequestKind.START, {}),
        (RequestKind.DELETE, {"replaces": (5,)}),
        (None, {"started": 101}),
        (RequestKind.STOP, {"started": 101, "end_time": 200}),
        (None, {"reported": False}),
        (None, {"reported": False, "started": 101, "end_time": 200}),
    ],
)
def test_a_run_has_one_thing_to_tell(
    expected: RequestKind | None, facts: dict[str, object]
) -> None:
    """Or nothing."""
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
    made = schedule(entry(1, 100, not_before=NOW + 60), entry(1, 200))

    assert [] == taken(made, stops=False)
    assert [(1, 100)] == taken(made, stops=False, now=NOW + 60)


def test_a_stop_that_waits_does_not_hold_back_a_later_start() -> None:
    """It waits for the hold, or for Slurm's proof."""
    old = entry(1, 100, started=NOW, end_time=200)
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
    made = schedule(entry(1, 100, started=NOW, end_time=200), hold=180.0)

    assert NOW + 180 == made.next_time()
    assert [] == taken(made, stops=True, now=NOW + 179)
    assert [(1, 100)] == taken(made, stops=True, now=NOW + 180)


def test_a_listed_run_needs_no_hold() -> None:
    """A listing shows that it left the server's cache."""
    made = schedule(entry(1, 100, started=NOW, end_time=200, listed=True), hold=180.0)

    assert [(1, 100)] == taken(made, stops=True)


def test_a_hold_that_is_lifted_lets_all_go() -> None:
    """The server turned out to have no cache."""
    made = schedule(entry(1, 100, started=NOW, end_time=200), hold=180.0)
    made.set_hold(180.0, NOW)
    assert [] == taken(made, stops=True)
    made.set_hold(0.0, NOW)

    assert [(1, 100)] == taken(made, stops=True)


def test_what_waits_for_the_hold_alone_is_told() -> None:
    """Not what waits for something else too, and no start."""
    made = schedule(
        entry(1, 100, started=NOW, end_time=200),
        entry(2, 100, started=NOW, end_time=200, not_before=NOW + 9),
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


def test_a_run_that_is_told_of_again_replaces_its_entry() -> None:
    """The old one is not told any more."""
    made = schedule(entry(1, 100), entry(1, 100, started=5, end_time=200))

    assert [] == taken(made, stops=False)
    assert [(1, 100)] == taken(made, stops=True)


def test_a_stop_that_was_ready_waits_when_stops_are_held_back_meanwhile() -> None:
    """A server that turns out to have a cache gets it when the hold is over."""
    made = schedule(entry(1, 100, started=NOW - 10, end_time=200))
    made.set_hold(180, NOW)

    early, late = taken(made, stops=True), taken(made, stops=True, now=NOW + 171)

    assert ([], [(1, 100)]) == (early, late)


def test_an_answer_about_an_unlisted_run_changes_no_other() -> None:
    """Nor does it matter that a run was listed before."""
    mine = entry(1, 100, started=NOW, end_time=200)
    made = schedule(mine, hold=180.0)
    stop_hold = StopHold()
    stop_hold.release_listed([(2, 100)], made, NOW)
    assert [] == taken(made, stops=True)
    stop_hold.release_listed([(1, 100), (1, 100)], made, NOW)

    assert [(1, 100)] == taken(made, stops=True)
