"""Host and cluster names unknown to cc-backend: one try per name and minute, one alarm."""

from __future__ import annotations

import pytest

from spool.deliver.pending_run import PendingRun, RequestKind
from spool.deliver.schedule import Schedule
from spool.deliver.server_names import TRY_SECONDS, UnknownNames
from spool.files.layout import Directory

NOW = 10_000.0
CAUSE = "host n1 is unknown to cc-backend"


def in_flight(schedule: Schedule, job_id: int, host: str = "n1") -> PendingRun:
    """Return a run whose start is about to be sent."""
    entry = PendingRun(job_id=job_id, start_time=100, host=host, stored=Directory.TODO)
    entry.in_flight = RequestKind.START
    schedule.add(entry, NOW)
    return entry


def refused(names: UnknownNames, schedule: Schedule, job_id: int, host: str = "n1") -> PendingRun:
    """Return a run whose start was refused because of its host."""
    entry = in_flight(schedule, job_id, host)
    entry.in_flight = None
    names.mark_unknown(entry, host, "no node n1", NOW)
    schedule.reschedule(job_id, NOW)
    return entry


def ready(schedule: Schedule, now: float) -> list[int]:
    """Return the job ids that may be sent."""
    found = []
    while (entry := schedule.take_next(now, stops=False)) is not None:
        found.append(entry.job_id)
    return found


@pytest.fixture
def schedule() -> Schedule:
    """Return an empty schedule."""
    return Schedule()


@pytest.fixture
def hosts(schedule: Schedule) -> UnknownNames:
    """Return a table of host names without a refused name."""
    return UnknownNames("host", schedule)


def test_a_refused_run_waits_until_its_name_is_tried_again(
    hosts: UnknownNames, schedule: Schedule
) -> None:
    """The run shows what it waits for."""
    entry = refused(hosts, schedule, 1)

    assert (NOW + TRY_SECONDS, CAUSE) == (entry.retry_at, entry.waits_for)
    assert ([], [1]) == (ready(schedule, NOW), ready(schedule, NOW + TRY_SECONDS))


def test_another_run_of_the_name_is_deferred_without_being_sent(
    hosts: UnknownNames, schedule: Schedule
) -> None:
    """The server would refuse it, too."""
    refused(hosts, schedule, 1)
    entry = in_flight(schedule, 2)

    assert hosts.defers(entry, "n1", NOW + 1)
    assert (None, NOW + TRY_SECONDS, CAUSE) == (entry.in_flight, entry.retry_at, entry.waits_for)


def test_a_run_of_another_name_is_sent(hosts: UnknownNames, schedule: Schedule) -> None:
    """A refused name delays no other name."""
    refused(hosts, schedule, 1)
    entry = in_flight(schedule, 2, "n2")

    assert not hosts.defers(entry, "n2", NOW + 1)
    assert RequestKind.START is entry.in_flight


def test_one_run_a_minute_tries_the_name(hosts: UnknownNames, schedule: Schedule) -> None:
    """The other runs of its name wait for it."""
    refused(hosts, schedule, 1)
    first, second = in_flight(schedule, 2), in_flight(schedule, 3)
    later = NOW + TRY_SECONDS

    goes = not hosts.defers(first, "n1", later)
    hosts.take_try("n1", later)

    assert (True, True) == (goes, hosts.defers(second, "n1", later))
    assert later + TRY_SECONDS == second.retry_at


def test_an_administrator_can_try_a_name_at_once(hosts: UnknownNames, schedule: Schedule) -> None:
    """A known name needs no try."""
    refused(hosts, schedule, 1)
    entry = in_flight(schedule, 2)
    hosts.try_now("n1", NOW + 1)
    hosts.try_now("n2", NOW + 1)

    assert (False, 1) == (hosts.defers(entry, "n1", NOW + 1), len(hosts))


def test_an_accepted_name_releases_its_runs(hosts: UnknownNames, schedule: Schedule) -> None:
    """Runs of other names stay."""
    entry = refused(hosts, schedule, 1)
    refused(hosts, schedule, 2, "n2")
    hosts.mark_known("n1", NOW + 1)

    assert (1, "", [1]) == (len(hosts), entry.waits_for, ready(schedule, NOW + 1))


def test_an_accepted_name_that_was_never_refused_changes_nothing(
    hosts: UnknownNames, schedule: Schedule
) -> None:
    """Most names were never refused."""
    refused(hosts, schedule, 1)
    hosts.mark_known("n2", NOW + 1)

    assert (1, []) == (len(hosts), ready(schedule, NOW + 1))


def test_a_changed_cause_releases_all_runs(hosts: UnknownNames, schedule: Schedule) -> None:
    """Topology or configuration have changed; runs that wait for something else stay."""
    refused(hosts, schedule, 1)
    refused(hosts, schedule, 2, "n2")
    other = in_flight(schedule, 3)
    other.in_flight, other.retry_at, other.waits_for = None, NOW + 99, "a user name"
    hosts.release_all(NOW + 1)

    assert (0, [1, 2]) == (len(hosts), ready(schedule, NOW + 1))
    assert "a user name" == other.waits_for


def test_without_an_unknown_name_no_run_is_released(
    hosts: UnknownNames, schedule: Schedule
) -> None:
    """A run that waits for something else stays as it is."""
    other = in_flight(schedule, 3)
    other.in_flight, other.retry_at, other.waits_for = None, NOW + 99, CAUSE
    hosts.release_all(NOW + 1)

    assert (NOW + 99, CAUSE) == (other.retry_at, other.waits_for)


def test_the_alarm_is_one_line_per_name(
    hosts: UnknownNames, schedule: Schedule, caplog: pytest.LogCaptureFixture
) -> None:
    """The number of waiting runs and the characters of the name do not matter."""
    refused(hosts, schedule, 1)
    refused(hosts, schedule, 2)
    refused(hosts, schedule, 3, "n\x1b[2J")

    assert [
        (
            "cc-backend does not have host n1; add it to its cluster.json, or map it with host_map:"
            " no node n1"
        ),
        (
            "cc-backend does not have host n\\x1b[2J; add it to its cluster.json, or map it"
            " with host_map: no node n1"
        ),
    ] == [record.getMessage() for record in caplog.records]
