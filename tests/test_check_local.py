"""Checks of the state on this host, by values: spool, drain, sweep, token, configuration."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of

from ccbackend.token import parse_token
from spool.checks.backlog import Backlog, check_backlog, pending_since, read_backlog
from spool.checks.configuration import check_config_problems, check_config_warnings
from spool.checks.drain_health import check_drain, read_state
from spool.checks.last_sweep import check_sweep
from spool.checks.result import AgeLimits, CheckResult, CheckStatus
from spool.checks.token_expiry import check_token
from spool.errors import ConfigProblem
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource

DAY = 86400
LIMITS = AgeLimits(warning_seconds=100, critical_seconds=200)
END = End(time=NOON + 50, state="COMPLETED", source=EndSource.CONTROLLER)
GIB = 2**30


def by_name(results: Any) -> dict[str, CheckResult]:
    """Return results by their names."""
    return {result.name: result for result in results}


def beacon(**changes: Any) -> dict[str, Any]:
    """Return what a healthy drain says."""
    return {
        "pid": 7,
        "started": NOON - 3 * DAY,
        "updated": NOON,
        "destination": {"health": "up", "since": NOON, "reason": ""},
        "server": {"version": "1.5.4", "dialect": "shared"},
        "slurm_silent_since": None,
        "disk_full": False,
        "unknown_hosts": 0,
        **changes,
    }


def worker(state: dict[str, Any] | None, **how: Any) -> dict[str, CheckResult]:
    """Return the drain's results at noon."""
    how.setdefault("is_running", True)
    return by_name(check_drain(state, NOON, limits=LIMITS, **how))


# ---- spool


def test_look_counts_what_lies_where(tmp_path: Path) -> None:
    """Counts and ages come from the directories."""
    site = CommandSite(tmp_path)
    site.put_event("1-start-5-0-0-1", time=NOON - 30)
    site.put_event("1-start-6-0-0-1", time=NOON - 10)
    site.put(Directory.OPEN, run_of(7))
    site.bury("odd")
    with Layout(site.spool) as layout:
        found = read_backlog(layout, NOON, 180)
    assert found.free_bytes > 0
    expected = Backlog(events=2, oldest_event=NOON - 30, open=1, dead=1)
    assert expected == dataclasses.replace(found, free_bytes=0)


def test_look_tells_ends_that_are_held_on_purpose(tmp_path: Path) -> None:
    """An end that waits for cc-backend's cache is no backlog until its time is over."""
    site = CommandSite(tmp_path)
    site.put(Directory.TODO, run_of(7, end=END, started=NOON, last_error=REFUSED))
    with Layout(site.spool) as layout:
        held, late = read_backlog(layout, NOON + 179, 180), read_backlog(layout, NOON + 180, 180)
    assert (1, 1, None) == (held.runs, held.held, held.oldest_run)
    assert (1, 0, END.time) == (late.runs, late.held, late.oldest_run)


def test_look_passes_over_what_it_cannot_read(tmp_path: Path) -> None:
    """A damaged run still waits; its file's time counts."""
    site = CommandSite(tmp_path)
    (site.spool / "todo" / "5-9.json").write_text("{")
    with Layout(site.spool) as layout:
        found = read_backlog(layout, NOON, 0)
    assert found.runs == 1
    assert (site.spool / "todo" / "5-9.json").stat().st_mtime == found.oldest_run


@pytest.mark.parametrize(
    ("fields", "since"),
    [
        ({}, NOON + 500),  # never refused: as long as the file is there
        ({"last_error": REFUSED}, NOON),  # refused: since Slurm told of it
        ({"last_error": REFUSED, "end": END}, NOON),  # its start is still to be told
        ({"last_error": REFUSED, "end": END, "started": NOON + 1}, NOON + 50),
    ],
)
def test_age_of_a_run_survives_its_retries(fields: dict[str, Any], since: int) -> None:
    """A refused run's file is rewritten at each try, its age goes on."""
    assert since == pending_since(run_of(**fields), NOON + 500)


@pytest.mark.parametrize(
    ("age", "verdict"),
    [(99, CheckStatus.OK), (100, CheckStatus.WARNING), (200, CheckStatus.CRITICAL)],
)
def test_old_events_and_runs_alarm(age: int, verdict: CheckStatus) -> None:
    """The oldest of each decides."""
    waiting = Backlog(events=3, oldest_event=NOON - age, runs=1, oldest_run=NOON - age)
    found = by_name(check_backlog(waiting, NOON, LIMITS, 0))
    assert (verdict, verdict) == (found["events"].status, found["runs"].status)
    assert found["events"].text.startswith("3 waiting, the oldest for ")
    assert [3, age] == [figure.value for figure in found["events"].perfdata]


def test_dead_letters_and_a_full_disk_warn() -> None:
    """Each names what to do."""
    found = by_name(check_backlog(Backlog(dead=2, free_bytes=GIB - 1), NOON, LIMITS, GIB))
    for name, hint in (("dead letters", "retry ID"), ("disk space", "script and description")):
        assert found[name].status is CheckStatus.WARNING
        assert hint in found[name].hint


def test_empty_spool_is_well() -> None:
    """Nothing waits, nothing is dead, there is room."""
    found = [*check_backlog(Backlog(free_bytes=GIB), NOON, LIMITS, GIB)]
    assert {CheckStatus.OK} == {result.status for result in found}


# ---- drain


def test_healthy_drain_is_well() -> None:
    """All beliefs are told, the server's version among them."""
    found = worker(beacon())
    assert {CheckStatus.OK} == {result.status for result in found.values()}
    assert "process 7 runs for 3 d" == found["drain"].text
    assert "version 1.5.4, dialect shared" == found["cc-backend"].text


@pytest.mark.parametrize(
    ("server", "text"),
    [
        (None, "not asked yet"),
        ({"version": None, "dialect": "exclusive"}, "version unknown, dialect exclusive"),
    ],
)
def test_server_may_not_be_known(server: Any, text: str) -> None:
    """A drain that has just begun, or a server without version."""
    assert text == worker(beacon(server=server))["cc-backend"].text


def test_dead_drain_is_critical_and_its_beliefs_are_history() -> None:
    """Only that it is gone is told, and since when."""
    found = worker(beacon(updated=NOON - 300), is_running=False)
    assert ["drain"] == list(found)
    assert (CheckStatus.CRITICAL, "is not running, last seen 5 min ago") == (
        found["drain"].status,
        found["drain"].text,
    )
    assert "is not running" == worker(None, is_running=False)["drain"].text


def test_drain_that_never_ran_is_to_be_started() -> None:
    """Before the first start this is no alarm."""
    assert (
        CheckStatus.WARNING
        is worker(None, is_running=False, before_first_start=True)["drain"].status
    )
    assert (
        CheckStatus.CRITICAL
        is worker(beacon(), is_running=False, before_first_start=True)["drain"].status
    )
    assert CheckStatus.OK is worker(None)["drain"].status


@pytest.mark.parametrize(
    ("age", "verdict"),
    [(99, CheckStatus.OK), (100, CheckStatus.WARNING), (200, CheckStatus.CRITICAL)],
)
def test_drain_of_cron_may_be_away_for_a_while(age: int, verdict: CheckStatus) -> None:
    """It ends by itself, and what it believed last still holds."""
    halted = {"health": "halted", "since": NOON - age, "reason": "the token has expired"}
    state = beacon(once=True, updated=NOON - age, destination=halted)
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
    assert verdict is worker(beacon(updated=NOON - age))["drain"].status


def test_halt_is_critical_at_once_with_its_reason() -> None:
    """A halt needs somebody, whatever its age."""
    halted = {"health": "halted", "since": NOON - 5, "reason": "the token has expired"}
    found = worker(beacon(destination=halted))["cc-backend"]
    assert CheckStatus.CRITICAL is found.status
    assert "deliveries are halted for 5 s: the token has expired" == found.text
    assert 1 == found.perfdata[0].value


@pytest.mark.parametrize(
    ("age", "verdict"),
    [(99, CheckStatus.OK), (100, CheckStatus.WARNING), (200, CheckStatus.CRITICAL)],
)
def test_outage_of_either_side_alarms_by_its_age(age: int, verdict: CheckStatus) -> None:
    """Short outages are everyday."""
    down = {"health": "down", "since": NOON - age, "reason": "no connection"}
    found = worker(beacon(destination=down, slurm_silent_since=NOON - age))
    assert (verdict, verdict) == (found["cc-backend"].status, found["slurm"].status)
    assert (verdict is CheckStatus.OK) == (found["slurm"].hint == "")


def test_full_disk_and_unknown_hosts_are_told() -> None:
    """Both wait for somebody's hand."""
    found = worker(beacon(disk_full=True, unknown_hosts=2))
    assert CheckStatus.CRITICAL is found["disk"].status
    assert CheckStatus.WARNING is found["unknown hosts"].status
    assert "2 of the hosts" in found["unknown hosts"].text


@pytest.mark.parametrize(
    "state",
    [
        {},
        beacon(updated="x"),
        beacon(destination=None),
        beacon(destination=[]),
        beacon(server=[1]),
        beacon(unknown_hosts=[1]),
    ],
)
def test_strange_state_is_unknown(state: dict[str, Any]) -> None:
    """State of another program version is no proof of health."""
    assert CheckStatus.UNKNOWN is worker(state)["drain"].status


@pytest.mark.parametrize("contents", ["{", "[]", "[" * 100_000])
def test_damaged_state_file_is_an_error(tmp_path: Path, contents: str) -> None:
    """Damage is not taken for *missing*."""
    path = tmp_path / "state.json"
    assert read_state(path) is None
    path.write_text(contents)
    with pytest.raises(ValueError):  # noqa: PT011 - of any words
        read_state(path)


# ---- sweep


@pytest.mark.parametrize(
    ("state", "verdict", "text"),
    [
        (None, CheckStatus.OK, "none has run on this host"),
        ({"started": NOON - 9, "finished": NOON - 5}, CheckStatus.OK, "5 s ago"),
        ({"started": NOON - 9, "finished": None}, CheckStatus.OK, "running"),
        (
            {"started": NOON - 1801, "finished": NOON - 1800},
            CheckStatus.WARNING,
            "the last one ended 30 min ago",
        ),
        (
            {"started": NOON - 14400, "finished": None},
            CheckStatus.CRITICAL,
            "the last one began 4 h ago",
        ),
        (
            {"started": NOON, "finished": NOON, "refused": True, "guards": ["size", "clock"]},
            CheckStatus.WARNING,
            "the last one refused to act (size, clock)",
        ),
        (
            {"started": NOON, "finished": NOON, "refused": True},
            CheckStatus.WARNING,
            "the last one refused to act (no guard named)",
        ),
        (
            {
                "started": NOON,
                "finished": None,
                "guards": ["clock"],
                "drift": {"stop": 2},
                "held": {"guards": ["size"], "stops": ["5-9", "6-9"]},
            },
            CheckStatus.WARNING,
            "the last one holds 2 ends back (size)",
        ),
    ],
)
def test_last_sweep(state: dict[str, Any] | None, verdict: CheckStatus, text: str) -> None:
    """A site without a sweep is well; an old, hanging or refused one is not."""
    found = check_sweep(state, NOON, 1800)
    assert (verdict, text) == (found.status, found.text)


@pytest.mark.parametrize(
    "state", [{}, {"started": "x"}, {"started": 1, "guards": 3}, {"started": 1, "held": 3}]
)
def test_strange_sweep_state_is_unknown(state: dict[str, Any]) -> None:
    """What cannot be read is not judged."""
    assert CheckStatus.UNKNOWN is check_sweep(state, NOON, 1800).status


# ---- token


def jwt(exp: Any) -> str:
    """Return a token with a date of expiry."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).decode().rstrip("=")
    return f"eyJh.{claims}.c2ln"


@pytest.mark.parametrize(
    ("exp", "verdict", "text"),
    [
        (NOON + 14 * DAY, CheckStatus.OK, "expires in 14 d"),
        (NOON + 14 * DAY - 1, CheckStatus.WARNING, "expires in 13 d"),
        (NOON + 1, CheckStatus.WARNING, "expires in 1 s"),
        (NOON, CheckStatus.CRITICAL, "expired 0 s ago"),
        (float("inf"), CheckStatus.OK, "has no date of expiry"),
        ("soon", CheckStatus.OK, "has no date of expiry"),
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
        ConfigProblem("clustername", "missing", "write it"),
        ConfigProblem("cc-backend.token_file", "/t: cannot be opened", "chmod", is_denied=True),
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
            [(CheckStatus.OK, "c.json has no problems, 1 to look at: see `check --full`")],
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
