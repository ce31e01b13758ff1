"""Checks of the spool: pending files, dead letters, disk space and inodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, CommandSite, run_of

from spool.checks.backlog import Backlog, check_backlog, read_backlog
from spool.checks.result import AgeLimits, CheckResult, CheckStatus
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource

LIMITS = AgeLimits(warning_seconds=100, critical_seconds=200)
END = End(time=NOON + 50, state="COMPLETED", source=EndSource.CONTROLLER)
GIB = 2**30


def by_name(results: Any) -> dict[str, CheckResult]:
    """Return results by their names."""
    return {result.name: result for result in results}


def backlog_results(backlog: Backlog, min_free_bytes: int = 0) -> dict[str, CheckResult]:
    """Return the spool's results at noon."""
    found = check_backlog(backlog, NOON, LIMITS, min_free_bytes=min_free_bytes, held_stops=3)
    return by_name(found)


def test_backlog_counts_files_by_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts and ages are read from the directories; no file is opened."""
    site = CommandSite(tmp_path)
    site.put_event("1-start-5-0-0-1", time=NOON - 30)
    site.put_event("1-start-6-0-0-1", time=NOON - 10)
    site.put(Directory.TODO, run_of(8, end=END, started=NOON))
    site.put(Directory.OPEN, run_of(7))
    site.add_dead_letter("odd")
    monkeypatch.setattr(Layout, "read", None)
    with Layout(site.spool) as layout:
        found = read_backlog(layout)
    assert found.free_bytes > 0
    expected = Backlog(
        events=2, oldest_event=NOON - 30, runs=1, oldest_run=NOON + 50, open=1, dead=1
    )
    assert expected == replace(found, free_bytes=0, free_inodes=None)


def test_an_empty_spool_has_no_backlog(tmp_path: Path) -> None:
    """No event, run or dead letter is counted."""
    with Layout(CommandSite(tmp_path).spool) as layout:
        assert read_backlog(layout).is_empty


def test_held_stops_are_reported() -> None:
    """The result `open runs` counts stops held until cc-backend has stored the start."""
    expected = (
        "0 runs in open/ (started, or excluded until the job ends); 3 stops held until"
        " cc-backend has stored the start"
    )
    assert expected == backlog_results(Backlog())["open runs"].text


@pytest.mark.parametrize(
    ("age", "verdict"),
    [(99, CheckStatus.OK), (100, CheckStatus.WARNING), (200, CheckStatus.CRITICAL)],
)
def test_old_events_and_runs_are_a_problem(age: int, verdict: CheckStatus) -> None:
    """The oldest event and the oldest run are compared with the limits of age."""
    waiting = Backlog(events=3, oldest_event=NOON - age, runs=1, oldest_run=NOON - age)
    found = backlog_results(waiting)
    assert (verdict, verdict) == (found["events"].status, found["runs"].status)
    assert found["events"].text.startswith("3 pending, the oldest for ")
    assert [3, age] == [figure.value for figure in found["events"].perfdata]


def test_dead_letters_and_little_disk_space_are_warnings() -> None:
    """The hints name `retry ID`, and say that scripts and descriptions are not stored."""
    found = backlog_results(Backlog(dead=2, free_bytes=GIB - 1), GIB)
    for name, hint in (("dead letters", "retry ID"), ("disk space", "scripts and descriptions")):
        assert found[name].status is CheckStatus.WARNING
        assert hint in found[name].hint


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(65_535, CheckStatus.CRITICAL), (65_536, CheckStatus.WARNING), (GIB, CheckStatus.OK)],
)
def test_a_disk_without_space_for_an_event_is_critical(free: int, verdict: CheckStatus) -> None:
    """Less than 64 KiB of free space is critical: the hooks would lose events."""
    assert verdict is backlog_results(Backlog(free_bytes=free), GIB)["disk space"].status


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(0, CheckStatus.CRITICAL), (999, CheckStatus.WARNING), (1000, CheckStatus.OK)],
)
def test_a_disk_without_inodes_is_critical(free: int, verdict: CheckStatus) -> None:
    """0 free inodes are critical, fewer than 1000 a warning: each file needs one."""
    found = backlog_results(Backlog(free_bytes=GIB, free_inodes=free))
    assert verdict is found["inodes"].status


def test_an_empty_spool_has_no_problem() -> None:
    """All results are OK; if the file system does not count inodes, their result is missing."""
    found = backlog_results(Backlog(free_bytes=GIB), GIB)
    assert {CheckStatus.OK} == {result.status for result in found.values()}
    assert "inodes" not in found
