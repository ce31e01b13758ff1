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


def test_a_run_on_an_unknown_host_waits_for_the_next_try(
    hosts: UnknownNames, schedule: Schedule
) -> None:
    """The run is sent again after 50 s, and shows that it waits for the host."""
    entry = refused(hosts, schedule, 1)

    assert (NOW + TRY_SECONDS, CAUSE) == (entry.retry_at, entry.waits_for)
    assert ([], [1]) == (ready(schedule, NOW), ready(schedule, NOW + TRY_SECONDS))


def test_another_run_on_an_unknown_host_is_not_sent(
    hosts: UnknownNames, schedule: Schedule
) -> None:
    """cc-backend would refuse it, too: the run waits until the host is tried again."""
    refused(hosts, schedule, 1)
    entry = in_flight(schedule, 2)

    assert hosts.defers(entry, "n1", NOW + 1)
    assert (None, NOW + TRY_SECONDS, CAUSE) == (entry.in_flight, entry.retry_at, entry.waits_for)


def test_a_run_on_another_host_is_sent(hosts: UnknownNames, schedule: Schedule) -> None:
    """A host that is unknown to cc-backend delays only runs on that host."""
    refused(hosts, schedule, 1)
    entry = in_flight(schedule, 2, "n2")

    assert not hosts.defers(entry, "n2", NOW + 1)
    assert RequestKind.START is entry.in_flight


def test_one_run_at_a_time_tries_an_unknown_host(hosts: UnknownNames, schedule: Schedule) -> None:
    """The other runs on the host wait another 50 s."""
    refused(hosts, schedule, 1)
    first, second = in_flight(schedule, 2), in_flight(schedule, 3)
    later = NOW + TRY_SECONDS

    goes = not hosts.defers(first, "n1", later)
    hosts.take_try("n1", later)

    assert (True, True) == (goes, hosts.defers(second, "n1", later))
    assert later + TRY_SECONDS == second.retry_at


def test_an_administrator_can_try_a_host_at_once(hosts: UnknownNames, schedule: Schedule) -> None:
    """A run on the unknown host is sent; a host that was never refused needs no try."""
    refused(hosts, schedule, 1)
    entry = in_flight(schedule, 2)
    hosts.try_now("n1", NOW + 1)
    hosts.try_now("n2", NOW + 1)

    assert (False, 1) == (hosts.defers(entry, "n1", NOW + 1), len(hosts))


def test_an_accepted_host_releases_its_runs(hosts: UnknownNames, schedule: Schedule) -> None:
    """Runs on other hosts that are unknown to cc-backend still wait."""
    entry = refused(hosts, schedule, 1)
    refused(hosts, schedule, 2, "n2")
    hosts.mark_known("n1", NOW + 1)

    assert (1, "", [1]) == (len(hosts), entry.waits_for, ready(schedule, NOW + 1))


def test_an_accepted_host_that_was_never_refused_releases_no_run(
    hosts: UnknownNames, schedule: Schedule
) -> None:
    """Most hosts were never refused; a run on an unknown host still waits."""
    refused(hosts, schedule, 1)
    hosts.mark_known("n2", NOW + 1)

    assert (1, []) == (len(hosts), ready(schedule, NOW + 1))


def test_a_change_of_the_topology_releases_all_runs(
    hosts: UnknownNames, schedule: Schedule
) -> None:
    """Runs on unknown hosts are sent again; a run that waits for a user name still waits."""
    refused(hosts, schedule, 1)
    refused(hosts, schedule, 2, "n2")
    other = in_flight(schedule, 3)
    other.in_flight, other.retry_at, other.waits_for = None, NOW + 99, "a user name"
    hosts.release_all(NOW + 1)

    assert (0, [1, 2]) == (len(hosts), ready(schedule, NOW + 1))
    assert "a user name" == other.waits_for


def test_without_an_unknown_host_no_run_is_released(
    hosts: UnknownNames, schedule: Schedule
) -> None:
    """No host was refused, so that a run that waits for another cause stays as it is."""
    other = in_flight(schedule, 3)
    other.in_flight, other.retry_at, other.waits_for = None, NOW + 99, CAUSE
    hosts.release_all(NOW + 1)

    assert (NOW + 99, CAUSE) == (other.retry_at, other.waits_for)


def test_an_unknown_host_is_logged_once(
    hosts: UnknownNames, schedule: Schedule, caplog: pytest.LogCaptureFixture
) -> None:
    """Two runs on it cause one line; control characters in the name of a host are escaped."""
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
