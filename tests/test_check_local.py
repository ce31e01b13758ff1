"""Checks of the state on this host, by values: spool, drain, sweep, token, configuration."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, CommandSite, run_of

from ccbackend.token import parse_token
from spool.checks.backlog import Backlog, check_backlog, read_backlog
from spool.checks.configuration import check_config_problems, check_config_warnings, check_token
from spool.checks.drain_health import check_drain
from spool.checks.last_sweep import check_sweep
from spool.checks.result import AgeLimits, CheckResult, CheckStatus
from spool.errors import ConfigProblem
from spool.files.drain_state import (
    DrainState,
    HealthReport,
    HealthState,
    UnreadableFile,
    WaitingCause,
)
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource
from spool.files.sweep_state import SweepSummary

DAY = 86400
LIMITS = AgeLimits(warning_seconds=100, critical_seconds=200)
END = End(time=NOON + 50, state="COMPLETED", source=EndSource.CONTROLLER)
GIB = 2**30


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
    """Return what a healthy drain says, changed."""
    return replace(HEALTHY, **changes)


def worker(state: DrainState | None, **how: Any) -> dict[str, CheckResult]:
    """Return the drain's results at noon."""
    how.setdefault("is_running", True)
    return by_name(check_drain(state, NOON, limits=LIMITS, **how))


def backlog_results(backlog: Backlog, min_free_bytes: int = 0) -> dict[str, CheckResult]:
    """Return the spool's results at noon."""
    found = check_backlog(backlog, NOON, LIMITS, min_free_bytes=min_free_bytes, held_stops=3)
    return by_name(found)


# ---- spool


def test_look_counts_what_lies_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts and ages come from the directories; no file is opened."""
    site = CommandSite(tmp_path)
    site.put_event("1-start-5-0-0-1", time=NOON - 30)
    site.put_event("1-start-6-0-0-1", time=NOON - 10)
    site.put(Directory.TODO, run_of(8, end=END, started=NOON))
    site.put(Directory.OPEN, run_of(7))
    site.bury("odd")
    monkeypatch.setattr(Layout, "read", None)
    with Layout(site.spool) as layout:
        found = read_backlog(layout)
    assert found.free_bytes > 0
    expected = Backlog(
        events=2, oldest_event=NOON - 30, runs=1, oldest_run=NOON + 50, open=1, dead=1
    )
    assert expected == replace(found, free_bytes=0, free_inodes=None)


def test_look_at_an_empty_spool(tmp_path: Path) -> None:
    """Nothing waits."""
    with Layout(CommandSite(tmp_path).spool) as layout:
        assert read_backlog(layout).is_empty


def test_held_ends_are_told() -> None:
    """They wait on purpose."""
    assert (
        "0 started; stops waiting for cc-backend to store the start: 3"
        == backlog_results(Backlog())["open runs"].text
    )


@pytest.mark.parametrize(
    ("age", "verdict"),
    [(99, CheckStatus.OK), (100, CheckStatus.WARNING), (200, CheckStatus.CRITICAL)],
)
def test_old_events_and_runs_alarm(age: int, verdict: CheckStatus) -> None:
    """The oldest of each decides."""
    waiting = Backlog(events=3, oldest_event=NOON - age, runs=1, oldest_run=NOON - age)
    found = backlog_results(waiting)
    assert (verdict, verdict) == (found["events"].status, found["runs"].status)
    assert found["events"].text.startswith("3 waiting, the oldest for ")
    assert [3, age] == [figure.value for figure in found["events"].perfdata]


def test_dead_letters_and_a_full_disk_warn() -> None:
    """Each names what to do."""
    found = backlog_results(Backlog(dead=2, free_bytes=GIB - 1), GIB)
    for name, hint in (("dead letters", "retry ID"), ("disk space", "scripts and descriptions")):
        assert found[name].status is CheckStatus.WARNING
        assert hint in found[name].hint


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(65_535, CheckStatus.CRITICAL), (65_536, CheckStatus.WARNING), (GIB, CheckStatus.OK)],
)
def test_a_disk_without_room_for_an_event_is_critical(free: int, verdict: CheckStatus) -> None:
    """The hooks lose every event."""
    assert verdict is backlog_results(Backlog(free_bytes=free), GIB)["disk space"].status


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(0, CheckStatus.CRITICAL), (999, CheckStatus.WARNING), (1000, CheckStatus.OK)],
)
def test_a_disk_without_inodes_is_critical(free: int, verdict: CheckStatus) -> None:
    """It takes no file, however much room there is."""
    found = backlog_results(Backlog(free_bytes=GIB, free_inodes=free))
    assert verdict is found["inodes"].status


def test_empty_spool_is_well() -> None:
    """Nothing waits, nothing is dead, there is room; not every file system counts inodes."""
    found = backlog_results(Backlog(free_bytes=GIB), GIB)
    assert {CheckStatus.OK} == {result.status for result in found.values()}
    assert "inodes" not in found


# ---- drain


def test_healthy_drain_is_well() -> None:
    """All that it says is reported, the server's version among it."""
    found = worker(HEALTHY)
    assert {CheckStatus.OK} == {result.status for result in found.values()}
    assert "process 7 has been running for 3d 00h" == found["drain"].text
    assert "version 1.5.4, dialect shared" == found["cc-backend"].text
    assert "340 in the last hour, the last one 12s ago" == found["deliveries"].text
    assert "answers" == found["slurm"].text
    assert "answers (release 25.05.1)" == worker(healthy(slurm_release="25.05.1"))["slurm"].text


@pytest.mark.parametrize(
    ("version", "dialect", "text"),
    [
        (None, None, "not queried yet"),
        (None, "exclusive", "version unknown, dialect exclusive"),
    ],
)
def test_server_may_not_be_known(version: str | None, dialect: str | None, text: str) -> None:
    """A drain that has just started, or a server without version."""
    state = healthy(server_version=version, server_dialect=dialect)
    assert text == worker(state)["cc-backend"].text


def test_dead_drain_is_critical_and_what_it_said_is_history() -> None:
    """Only that it is gone is reported, and since when."""
    found = worker(healthy(updated=NOON - 300), is_running=False)
    assert ["drain"] == list(found)
    assert (CheckStatus.CRITICAL, "is not running, last seen 5m 00s ago") == (
        found["drain"].status,
        found["drain"].text,
    )
    assert "is not running" == worker(None, is_running=False)["drain"].text


def test_drain_that_never_ran_is_to_be_started() -> None:
    """Before the first start this is no alarm."""
    never = worker(None, is_running=False, before_first_start=True)
    once = worker(HEALTHY, is_running=False, before_first_start=True)
    assert CheckStatus.WARNING is never["drain"].status
    assert CheckStatus.CRITICAL is once["drain"].status
    assert CheckStatus.OK is worker(None)["drain"].status


AGES = [(99, CheckStatus.OK), (100, CheckStatus.WARNING), (200, CheckStatus.CRITICAL)]


@pytest.mark.parametrize(("age", "verdict"), AGES)
def test_drain_of_cron_may_be_away_for_a_while(age: int, verdict: CheckStatus) -> None:
    """It ends by itself, and what it said last still holds."""
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
def test_drain_without_sign_of_life_alarms(age: int, verdict: CheckStatus) -> None:
    """Its lock is held, but it may hang."""
    assert verdict is worker(healthy(updated=NOON - age))["drain"].status


def test_halt_is_critical_at_once_with_its_reason() -> None:
    """A halt needs an administrator, whatever its age."""
    halted = HealthReport(state=HealthState.HALTED, since=NOON - 5, reason="the token has expired")
    found = worker(healthy(health=halted))["cc-backend"]
    assert CheckStatus.CRITICAL is found.status
    assert "deliveries have been halted for 5s: the token has expired" == found.text
    assert 1 == found.perfdata[0].value


@pytest.mark.parametrize(("age", "verdict"), AGES)
def test_outage_of_either_side_alarms_by_its_age(age: int, verdict: CheckStatus) -> None:
    """Short outages are everyday."""
    down = HealthReport(state=HealthState.DOWN, since=NOON - age, reason="no connection")
    found = worker(healthy(health=down, slurm_silent_since=NOON - age, slurm_reason="no route"))
    assert (verdict, verdict) == (found["cc-backend"].status, found["slurm"].status)
    assert (verdict is CheckStatus.OK) == (found["slurm"].hint == "")
    assert found["slurm"].text.endswith(": no route")


@pytest.mark.parametrize(("age", "verdict"), AGES)
def test_silent_accounting_alarms_by_its_age(age: int, verdict: CheckStatus) -> None:
    """The controller may answer all the same."""
    found = worker(healthy(accounting_silent_since=NOON - age))["slurm"]
    assert verdict is found.status
    assert found.text.startswith("accounting has not answered for ")


@pytest.mark.parametrize("channel", ["starts", "stops"])
def test_outage_of_one_connection_alarms(channel: str) -> None:
    """The other may work."""
    down = HealthReport(state=HealthState.DOWN, since=NOON - 300, reason="timed out")
    found = worker(healthy(**{channel: down}))
    assert CheckStatus.CRITICAL is found[f"cc-backend ({channel})"].status
    assert CheckStatus.OK is found["cc-backend"].status


def test_outage_of_unknown_age_is_young() -> None:
    """An older drain does not say since when."""
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
    """Whatever the cause, as long as cc-backend answers."""
    assert verdict is worker(healthy(**changes))["deliveries"].status


def test_a_stuck_drain_says_when_it_last_delivered() -> None:
    """Perhaps never."""
    never = worker(healthy(due_since=NOON - 300, last_delivery=None))["deliveries"].text
    once = worker(healthy(due_since=NOON - 300))["deliveries"].text
    assert never.startswith("nothing has been delivered for 5m 00s although runs are due")
    assert never.endswith("and cc-backend answers")
    assert once.endswith("and cc-backend answers, the last one 12s ago")


@pytest.mark.parametrize(
    ("waiting", "verdict", "figure"),
    [
        ((), CheckStatus.OK, 0),
        ((replace(N1, since=NOON - 59),), CheckStatus.OK, 0),
        ((N1,), CheckStatus.WARNING, 2),
        ((replace(N1, since=None), N1), CheckStatus.WARNING, 4),
    ],
)
def test_parked_runs_warn(
    waiting: tuple[WaitingCause, ...], verdict: CheckStatus, figure: int
) -> None:
    """They wait for an administrator's hand; a moment's wait is none."""
    found = worker(healthy(waiting=waiting))["parked runs"]
    assert (verdict, figure) == (found.status, found.perfdata[0].value)


def test_parked_runs_name_three_causes() -> None:
    """And how many more there are."""
    waiting = tuple(replace(N1, cause=f"host n{n} is unknown") for n in range(5))
    text = worker(healthy(waiting=waiting))["parked runs"].text
    assert "host n2 is unknown: 2 runs since " in text
    assert text.endswith("; and 2 more causes")


def test_full_disk_is_critical() -> None:
    """With what the system said."""
    found = [worker(healthy(disk_full=True, disk_reason=why))["disk"] for why in ("", "No space")]
    assert [CheckStatus.CRITICAL] * 2 == [result.status for result in found]
    assert ["the spool cannot be written", "the spool cannot be written: No space"] == [
        result.text for result in found
    ]


def test_unreadable_files_are_critical() -> None:
    """They stay where they are, and alarm."""
    file = UnreadableFile(name="todo/5-9.json", reason="Input/output error")
    found = worker(healthy(unreadable=(file,), unreadable_count=1))["unreadable files"]
    assert CheckStatus.CRITICAL is found.status
    assert found.text.endswith("cannot be read: todo/5-9.json: Input/output error")


def test_warnings_of_the_drain_warn() -> None:
    """A line each."""
    results = check_drain(healthy(warnings=("a", "b")), NOON, is_running=True, limits=LIMITS)
    found = [result for result in results if result.name == "drain warning"]
    assert [(CheckStatus.WARNING, "a"), (CheckStatus.WARNING, "b")] == [
        (result.status, result.text) for result in found
    ]


@pytest.mark.parametrize(
    "state", [DrainState(), healthy(updated=None), healthy(health=HealthReport())]
)
def test_strange_state_is_unknown(state: DrainState) -> None:
    """State of another program version is no proof of health."""
    assert CheckStatus.UNKNOWN is worker(state)["drain"].status


# ---- sweep


SWEEP = SweepSummary(started=NOON - 9, finished=NOON - 5, pid=1)


@pytest.mark.parametrize(
    ("changes", "verdict", "text"),
    [
        ({}, CheckStatus.OK, "5s ago"),
        ({"finished": None}, CheckStatus.OK, "running"),
        ({"finished": NOON - 1800}, CheckStatus.WARNING, "the last sweep ended 30m 00s ago"),
        (
            {"started": NOON - 14400, "finished": None},
            CheckStatus.CRITICAL,
            "the last sweep began 4h 00m ago",
        ),
        (
            {"refused": True, "guards": ("size", "clock")},
            CheckStatus.WARNING,
            "the last sweep refused to act (safety check: size, clock)",
        ),
        (
            {"refused": True},
            CheckStatus.WARNING,
            "the last sweep refused to act (safety check: unknown)",
        ),
        ({"refused": True, "guards": ("boot",)}, CheckStatus.OK, "5s ago"),
        ({"guards": ("first",), "held_stops": 2}, CheckStatus.OK, "5s ago"),
        (
            {"refused": True, "guards": ("boot", "size")},
            CheckStatus.WARNING,
            "the last sweep refused to act (safety check: boot, size)",
        ),
        (
            {"finished": None, "guards": ("boot",), "held_stops": 2, "held_guards": ("size",)},
            CheckStatus.WARNING,
            "the last sweep held back 2 stops (safety check: size)",
        ),
    ],
)
def test_last_sweep(changes: dict[str, Any], verdict: CheckStatus, text: str) -> None:
    """An old, hanging or refused one is a warning; a restart of slurmctld or a first one is not."""
    found = check_sweep(replace(SWEEP, **changes), NOON, 1800, is_needed=True)
    assert (verdict, text) == (found.status, found.text)


@pytest.mark.parametrize(
    ("is_needed", "verdict"), [(True, CheckStatus.WARNING), (False, CheckStatus.OK)]
)
def test_a_site_without_a_sweep(
    is_needed: bool,  # noqa: FBT001 - a parameter of the table
    verdict: CheckStatus,
) -> None:
    """It needs one as soon as jobs come."""
    assert verdict is check_sweep(None, NOON, 1800, is_needed=is_needed).status


# ---- token


def jwt(exp: Any) -> str:
    """Return a token with a date of expiry."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).decode().rstrip("=")
    return f"eyJh.{claims}.c2ln"


@pytest.mark.parametrize(
    ("exp", "verdict", "text"),
    [
        (NOON + 14 * DAY, CheckStatus.OK, "expires in 14d 00h"),
        (NOON + 14 * DAY - 1, CheckStatus.WARNING, "expires in 13d 23h"),
        (NOON + 1, CheckStatus.WARNING, "expires in 1s"),
        (NOON, CheckStatus.CRITICAL, "expired 0s ago"),
        (float("inf"), CheckStatus.OK, "has no expiry date"),
        ("soon", CheckStatus.OK, "has no expiry date"),
    ],
)
def test_token_is_told_in_time(exp: Any, verdict: CheckStatus, text: str) -> None:
    """Two weeks before its end somebody should know."""
    found = check_token(parse_token(jwt(exp)), NOON)
    assert (verdict, text) == (found.status, found.text)


# ---- configuration


def test_problems_are_critical_but_for_what_we_may_not_see() -> None:
    """A monitoring account that may not read the token says so, and is no alarm."""
    problems = [
        ConfigProblem(path="clustername", problem="missing", hint="write it"),
        ConfigProblem(
            path="cc-backend.token_file",
            problem="/t: cannot be opened",
            hint="chmod",
            is_denied=True,
        ),
    ]
    other = [*check_config_problems(problems, as_service=False)]
    assert [CheckStatus.CRITICAL, CheckStatus.UNKNOWN] == [result.status for result in other]
    service = [*check_config_problems(problems, as_service=True)]
    assert [CheckStatus.CRITICAL, CheckStatus.CRITICAL] == [result.status for result in service]
    assert "write it" == service[0].hint


@pytest.mark.parametrize(
    ("warnings", "strict", "told"),
    [
        ([], False, [(CheckStatus.OK, "c.json has no problems")]),
        ([], True, [(CheckStatus.OK, "c.json has no problems")]),
        (
            ["a: b"],
            False,
            [(CheckStatus.OK, "c.json has no problems, 1 warning: see `check --full`")],
        ),
        (["a: b"], True, [(CheckStatus.WARNING, "a: b")]),
    ],
)
def test_warnings_count_before_jobs_flow(
    warnings: list[str],
    strict: bool,  # noqa: FBT001 - a parameter of the table
    told: list[tuple[CheckStatus, str]],
) -> None:
    """Nobody is woken for them."""
    found = check_config_warnings("c.json", warnings, strict=strict)
    assert told == [(result.status, result.text) for result in found]
