"""Checks of the drain's state file: health, age, halts, outages, waiting runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from command_site import NOON

from spool.checks.drain_health import check_drain
from spool.checks.result import AgeLimits, CheckResult, CheckStatus
from spool.files.drain_state import (
    DrainState,
    HealthReport,
    HealthState,
    UnreadableFile,
    WaitingCause,
)

DAY = 86400
LIMITS = AgeLimits(warning_seconds=100, critical_seconds=200)


def by_name(results: Any) -> dict[str, CheckResult]:
    """Return results by their names."""
    return {result.name: result for result in results}


UP = HealthReport(state=HealthState.UP, since=NOON)
HEALTHY = DrainState(
    pid=7,
    started=NOON - 3 * DAY,
    updated=NOON,
    health=UP,
    server_version="1.5.4",
    server_dialect="shared",
    last_delivery=NOON - 12,
    deliveries_last_hour=340,
)
N1 = WaitingCause(cause="host n1 is unknown to cc-backend", count=2, since=NOON - 60)


def healthy(**changes: Any) -> DrainState:
    """Return the state of a healthy drain with changes."""
    return replace(HEALTHY, **changes)


def worker(state: DrainState | None, **how: Any) -> dict[str, CheckResult]:
    """Return the drain's results at noon."""
    how.setdefault("is_running", True)
    return by_name(check_drain(state, NOON, limits=LIMITS, **how))


def test_a_healthy_drain_has_no_problem() -> None:
    """Everything in its state is reported, including the server's version."""
    found = worker(HEALTHY)
    assert {CheckStatus.OK} == {result.status for result in found.values()}
    assert "process 7 has been running for 3d 00h" == found["drain"].text
    assert "version 1.5.4 (API field for node sharing: 'shared')" == found["cc-backend"].text
    assert "340 in the last hour; the last delivery was 12s ago" == found["deliveries"].text
    assert "answers" == found["slurm"].text
    assert "answers (release 25.05.1)" == worker(healthy(slurm_release="25.05.1"))["slurm"].text


@pytest.mark.parametrize(
    ("version", "dialect", "text"),
    [
        (None, None, "not queried yet"),
        (None, "exclusive", "version unknown (API field for node sharing: 'exclusive')"),
    ],
)
def test_server_version_can_be_unknown(version: str | None, dialect: str | None, text: str) -> None:
    """The drain has just started, or the server's build has no version."""
    state = healthy(server_version=version, server_dialect=dialect)
    assert text == worker(state)["cc-backend"].text


def test_a_stopped_drain_is_critical_and_its_state_is_ignored() -> None:
    """Only one result is reported: that the drain does not run, and since when."""
    found = worker(healthy(updated=NOON - 300), is_running=False)
    assert ["drain"] == list(found)
    assert (CheckStatus.CRITICAL, "is not running, last seen 5m 00s ago") == (
        found["drain"].status,
        found["drain"].text,
    )
    assert "is not running" == worker(None, is_running=False)["drain"].text


def test_a_drain_that_never_ran_is_a_warning() -> None:
    """Before the first start a stopped drain is not critical."""
    never = worker(None, is_running=False, before_first_start=True)
    once = worker(HEALTHY, is_running=False, before_first_start=True)
    assert CheckStatus.WARNING is never["drain"].status
    assert CheckStatus.CRITICAL is once["drain"].status
    assert CheckStatus.OK is worker(None)["drain"].status


AGES = [(99, CheckStatus.OK), (100, CheckStatus.WARNING), (200, CheckStatus.CRITICAL)]


@pytest.mark.parametrize(("age", "verdict"), AGES)
def test_a_drain_started_by_cron_can_be_stopped_for_a_while(age: int, verdict: CheckStatus) -> None:
    """A drain with `--once` exits when it is done, and its last state is still valid."""
    halted = HealthReport(state=HealthState.HALTED, since=NOON - age, reason="the token is old")
    state = healthy(once=True, updated=NOON - age, health=halted)
    found = worker(state, is_running=False)
    assert verdict is found["drain"].status
    assert (verdict is CheckStatus.OK) == (found["drain"].hint == "")
    assert CheckStatus.CRITICAL is found["cc-backend"].status


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (59, CheckStatus.OK),
        (60, CheckStatus.WARNING),
        (299, CheckStatus.WARNING),
        (300, CheckStatus.CRITICAL),
    ],
)
def test_a_drain_with_an_old_state_file_is_a_problem(age: int, verdict: CheckStatus) -> None:
    """A running drain may hang: its state file gives a warning after 60 s, critical after 300 s."""
    assert verdict is worker(healthy(updated=NOON - age))["drain"].status


def test_halted_deliveries_are_critical_at_once_with_the_reason() -> None:
    """A halt needs an administrator, whatever its age."""
    halted = HealthReport(state=HealthState.HALTED, since=NOON - 5, reason="the token has expired")
    found = worker(healthy(health=halted))["cc-backend"]
    assert CheckStatus.CRITICAL is found.status
    assert "deliveries have been halted for 5s: the token has expired" == found.text
    assert 1 == found.perfdata[0].value


@pytest.mark.parametrize(("age", "verdict"), AGES)
def test_the_status_of_an_outage_depends_on_its_age(age: int, verdict: CheckStatus) -> None:
    """An outage of Slurm or cc-backend is OK before 100 s, critical from 200 s on (test limits)."""
    down = HealthReport(state=HealthState.DOWN, since=NOON - age, reason="no connection")
    found = worker(healthy(health=down, slurm_silent_since=NOON - age, slurm_reason="no route"))
    assert (verdict, verdict) == (found["cc-backend"].status, found["slurm"].status)
    assert (verdict is CheckStatus.OK) == (found["slurm"].hint == "")
    assert found["slurm"].text.endswith(": no route")


@pytest.mark.parametrize(("age", "verdict"), AGES)
def test_accounting_status_depends_on_the_age_of_the_outage(age: int, verdict: CheckStatus) -> None:
    """Accounting (slurmdbd) does not answer, while slurmctld still does."""
    found = worker(healthy(accounting_silent_since=NOON - age))["slurm"]
    assert verdict is found.status
    assert found.text.startswith("accounting has not answered for ")


@pytest.mark.parametrize("channel", ["starts", "stops"])
def test_an_outage_of_one_connection_is_critical(channel: str) -> None:
    """The connection for starts or the one for stops is down; cc-backend itself is up."""
    down = HealthReport(state=HealthState.DOWN, since=NOON - 300, reason="timed out")
    found = worker(healthy(**{channel: down}))
    assert CheckStatus.CRITICAL is found[f"cc-backend ({channel})"].status
    assert CheckStatus.OK is found["cc-backend"].status


def test_an_outage_of_unknown_age_is_not_a_problem_yet() -> None:
    """An older drain does not write since when cc-backend has been down."""
    found = worker(healthy(health=HealthReport(state=HealthState.DOWN)))["cc-backend"]
    assert (CheckStatus.OK, "has been down for -: ") == (found.status, found.text)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"due_since": NOON - 59}, CheckStatus.OK),
        ({"due_since": NOON - 60}, CheckStatus.CRITICAL),
        ({"due_since": NOON - 60, "health": replace(UP, state=HealthState.DOWN)}, CheckStatus.OK),
    ],
)
def test_a_drain_that_delivers_nothing_is_critical(
    changes: dict[str, Any], verdict: CheckStatus
) -> None:
    """Runs have been due for 60 s although cc-backend answers, whatever the cause is."""
    assert verdict is worker(healthy(**changes))["deliveries"].status


def test_a_new_drain_counts_deliveries_since_its_start() -> None:
    """A drain that has run for 3 minutes has no count for the last hour."""
    state = healthy(started=NOON - 180, deliveries_last_hour=0, last_delivery=NOON - 360)
    expected = "0 since the drain was started 3m 00s ago; the last delivery was 6m 00s ago"
    assert expected == worker(state)["deliveries"].text


def test_a_stuck_drain_says_when_it_last_delivered() -> None:
    """The text omits the time if nothing was ever delivered."""
    never = worker(healthy(due_since=NOON - 300, last_delivery=None))["deliveries"].text
    once = worker(healthy(due_since=NOON - 300))["deliveries"].text
    assert never.startswith("nothing has been delivered for 5m 00s although runs are due")
    assert never.endswith("and cc-backend answers")
    assert once.endswith("and cc-backend answers; the last delivery was 12s ago")


@pytest.mark.parametrize(
    ("waiting", "verdict", "figure"),
    [
        ((), CheckStatus.OK, 0),
        ((replace(N1, since=NOON - 59),), CheckStatus.OK, 0),
        ((N1,), CheckStatus.WARNING, 2),
        ((replace(N1, since=None), N1), CheckStatus.WARNING, 4),
    ],
)
def test_runs_that_wait_for_an_administrator_are_a_warning(
    waiting: tuple[WaitingCause, ...], verdict: CheckStatus, figure: int
) -> None:
    """A wait of less than a minute is no warning."""
    found = worker(healthy(waiting=waiting))["waiting runs"]
    assert (verdict, figure) == (found.status, found.perfdata[0].value)


def test_at_most_three_causes_of_waiting_are_named() -> None:
    """The text ends with the number of the other causes."""
    waiting = tuple(replace(N1, cause=f"host n{n} is unknown") for n in range(5))
    text = worker(healthy(waiting=waiting))["waiting runs"].text
    assert "host n2 is unknown: 2 runs since " in text
    assert text.endswith("; and 2 more causes")


def test_full_disk_is_critical() -> None:
    """The text has the system's error message, if there is one."""
    found = [worker(healthy(disk_full=True, disk_reason=why))["disk"] for why in ("", "No space")]
    assert [CheckStatus.CRITICAL] * 2 == [result.status for result in found]
    assert [
        "the drain cannot write to the spool",
        "the drain cannot write to the spool: No space",
    ] == [result.text for result in found]


def test_unreadable_files_are_critical() -> None:
    """The files stay in their directory, so an administrator must know of them."""
    file = UnreadableFile(name="todo/5-9.json", reason="Input/output error")
    found = worker(healthy(unreadable=(file,), unreadable_count=1))["unreadable files"]
    assert CheckStatus.CRITICAL is found.status
    assert found.text.endswith("cannot be read: todo/5-9.json: Input/output error")


def test_warnings_of_the_drain_are_reported() -> None:
    """Each warning is one result."""
    results = check_drain(healthy(warnings=("a", "b")), NOON, is_running=True, limits=LIMITS)
    found = [result for result in results if result.name == "drain warning"]
    assert [(CheckStatus.WARNING, "a"), (CheckStatus.WARNING, "b")] == [
        (result.status, result.text) for result in found
    ]


@pytest.mark.parametrize(
    "state", [DrainState(), healthy(updated=None), healthy(health=HealthReport())]
)
def test_an_incomplete_state_file_is_unknown(state: DrainState) -> None:
    """The state of another program version proves no health; a restart writes a new one."""
    found = worker(state)["drain"]

    assert CheckStatus.UNKNOWN is found.status
    assert "`systemctl restart cc-spool`: the drain then writes drain.json anew" == found.hint
