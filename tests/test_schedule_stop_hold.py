"""How long stops are held back, and which of them are queried to release them."""

from __future__ import annotations

from dataclasses import replace

from schedule_values import NOW, RUN, entry, schedule, taken

from spool.deliver.pending_run import PendingRun, pending_run
from spool.deliver.stop_release import (
    FULL_INTERVAL_SECONDS,
    MAX_JOBS,
    QUERY_INTERVAL_SECONDS,
    SAMPLE_JOBS,
    SLOWNESS,
    StopRelease,
)
from spool.files.layout import Directory
from spool.moment import Moment


def test_a_stop_soon_after_its_start_is_held_back() -> None:
    """The stop is sent 180 s after the start was accepted, and not earlier."""
    made = schedule(entry(1, 100, started=1, accepted_at=NOW, end_time=200), hold=180.0)

    assert NOW + 180 == made.next_time()
    assert [] == taken(made, stops=True, now=NOW + 179)
    assert [(1, 100)] == taken(made, stops=True, now=NOW + 180)


def test_a_held_stop_counts_as_unsent() -> None:
    """The drain's loop checks each second whether the stop may be sent."""
    made = schedule(entry(1, 100, started=1, accepted_at=NOW, end_time=200), hold=180.0)

    assert 1 == made.unsent_count()


def test_the_stop_of_a_listed_run_is_not_held_back() -> None:
    """cc-backend's job list shows that the run has left the server's cache."""
    made = schedule(
        entry(1, 100, started=1, accepted_at=NOW, end_time=200, is_listed=True), hold=180.0
    )

    assert [(1, 100)] == taken(made, stops=True)


def test_without_a_hold_all_stops_are_sent() -> None:
    """The server turned out to have no cache, so that the hold of 180 s is set to 0."""
    made = schedule(entry(1, 100, started=1, accepted_at=NOW, end_time=200), hold=180.0)
    made.set_hold(180.0, NOW)
    assert [] == taken(made, stops=True)
    made.set_hold(0.0, NOW)

    assert [(1, 100)] == taken(made, stops=True)


def test_held_stops_are_those_that_wait_only_for_the_hold() -> None:
    """A start, or a stop that is also to be retried later, is not among the held stops."""
    made = schedule(
        entry(1, 100, started=1, accepted_at=NOW, end_time=200),
        entry(2, 100, started=1, accepted_at=NOW, end_time=200, retry_at=NOW + 9),
        entry(3, 100),
        hold=180.0,
    )

    assert [1] == [each.job_id for each in made.held_stops(NOW)]


def test_a_ready_stop_waits_when_a_hold_is_set() -> None:
    """A server that turns out to have a cache gets the stop at the end of the hold."""
    made = schedule(entry(1, 100, started=1, accepted_at=NOW - 10, end_time=200))
    made.set_hold(180, NOW)

    early, late = taken(made, stops=True), taken(made, stops=True, now=NOW + 171)

    assert ([], [(1, 100)]) == (early, late)


def test_a_listed_run_releases_only_its_own_stop() -> None:
    """cc-backend's job list has another run, or has the same run twice."""
    mine = entry(1, 100, started=1, accepted_at=NOW, end_time=200)
    made = schedule(mine, hold=180.0)
    stop_release = StopRelease()
    stop_release.release_listed([(2, 100)], made, NOW, answered_at=NOW)
    assert [] == taken(made, stops=True)
    stop_release.release_listed([(1, 100), (1, 100)], made, NOW, answered_at=NOW)

    assert [(1, 100)] == taken(made, stops=True)


def test_only_stops_are_held_back() -> None:
    """The delete of a replaced row, and a script found after the start, are sent at once."""
    made = schedule(
        entry(1, 100, replaces=(5,), accepted_at=NOW),
        entry(2, 100, started=1, new_texts=("script",), is_listed=True, accepted_at=NOW),
        hold=180.0,
    )

    assert [(1, 100), (2, 100)] == taken(made, stops=False)


def test_a_hold_begins_at_the_acceptance_of_the_start() -> None:
    """The hold is measured by the steady clock; later changes of the run do not extend it."""
    held = pending_run(replace(RUN, started=990), Directory.OPEN, Moment(wall=1000, steady=NOW))
    held.update(replace(RUN, started=990, cluster="alex"), Moment(wall=5000, steady=NOW + 9))

    assert NOW - 10 == held.accepted_at


def held(job_id: int, start: int = 100, *, since: float = 0, cluster: str = "alex") -> PendingRun:
    """Return a run whose stop is held; its start was accepted `since` seconds ago."""
    return entry(job_id, start, started=1, accepted_at=NOW - since, end_time=2, cluster=cluster)


def test_held_stops_are_queried_together() -> None:
    """One query has each job id once, the longest held first; the next query is 0.5 s later."""
    made = schedule(held(1, since=1), held(2, since=5), held(2, 300, since=2), hold=180.0)
    stop_release = StopRelease()

    assert ("alex", (2, 1)) == stop_release.next_query(made, NOW)
    assert ("", ()) == stop_release.next_query(made, NOW + QUERY_INTERVAL_SECONDS - 0.1)
    assert ("alex", (2, 1)) == stop_release.next_query(made, NOW + QUERY_INTERVAL_SECONDS)


def test_the_clusters_are_queried_in_turn() -> None:
    """A query for cc-backend's job list is about one cluster; no cluster delays the others."""
    made = schedule(held(1), held(2, cluster="fritz"), held(3, cluster="zen"), hold=180.0)
    stop_release = StopRelease()
    asked = [stop_release.next_query(made, NOW + i * QUERY_INTERVAL_SECONDS) for i in range(4)]

    assert ["alex", "fritz", "zen", "alex"] == [cluster for cluster, _ in asked]


def test_a_query_has_a_maximum_number_of_held_stops() -> None:
    """One query has 500 job ids at most; the others are queried when these are released."""
    made = schedule(*(held(i) for i in range(1, MAX_JOBS + 2)), hold=180.0)

    assert MAX_JOBS == len(StopRelease().next_query(made, NOW)[1])


def test_most_queries_are_about_the_20_oldest_held_stops() -> None:
    """All held stops are queried after one of them was listed, and every 20 s."""
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


def test_a_slow_server_is_queried_less_often() -> None:
    """After an answer that took 2 s the next query waits for 40 s, even if a run was listed.

    The time that the answer waited for a busy drain does not count.
    """
    made = schedule(held(1), held(2), hold=180.0)
    stop_release = StopRelease()
    stop_release.next_query(made, NOW)
    stop_release.release_listed([(1, 100)], made, NOW + 3, answered_at=NOW + 2)

    assert NOW + 3 + SLOWNESS * 2 == stop_release.next_time(made)


def test_a_query_that_failed_is_not_repeated_at_once() -> None:
    """A failed query about held stops is repeated after 20 s."""
    made = schedule(held(1), hold=180.0)
    stop_release = StopRelease()
    stop_release.next_query(made, NOW)
    stop_release.query_failed(NOW + 1)

    assert NOW + 1 + FULL_INTERVAL_SECONDS == stop_release.next_time(made)


def test_without_a_held_stop_no_job_list_is_queried() -> None:
    """The first stop that is held back later is queried at once."""
    stop_release = StopRelease()
    made = schedule(hold=180.0)
    assert ("", ()) == stop_release.next_query(made, NOW)
    made.add(entry(1, 100, started=1, accepted_at=NOW, end_time=2, cluster="alex"), NOW)

    assert ("alex", (1,)) == stop_release.next_query(made, NOW)


def test_an_unqueried_held_stop_allows_an_early_query() -> None:
    """A drain that is about to end queries the stop at once, and does not repeat the query."""
    made = schedule(held(1), hold=180.0)
    stop_release = StopRelease()
    is_early = stop_release.query_early(made, NOW)
    stop_release.next_query(made, NOW)

    assert (True, False) == (is_early, stop_release.query_early(made, NOW))
