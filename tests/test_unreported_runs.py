"""The number of runs that are deliberately not reported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command_site import NOON, CommandSite, run_of

from spool.drain import state_report
from spool.drain.state_report import UnreportedRuns
from spool.files.layout import Directory, Layout
from spool.files.run import Run
from spool.moment import Moment

LATER = Moment(NOON + 1000.0, 1000.0)


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with two runs in `open/`, one of them not reported."""
    made = CommandSite(tmp_path / "site")
    made.put(Directory.OPEN, run_of(1, started=NOON))
    made.put(Directory.OPEN, hidden(2))
    settle(made)
    return made


@pytest.fixture
def layout(site: CommandSite) -> Iterator[Layout]:
    """Return the open spool."""
    with Layout(site.spool) as opened:
        yield opened


def hidden(job_id: int) -> Run:
    """Return a run that is not reported."""
    return replace(run_of(job_id), reported=False, reason="filters.users.deny")


def settle(site: CommandSite, at: int = NOON) -> None:
    """Set the last change of `open/` to a time long ago."""
    os.utime(site.spool / "open", (at, at))


def test_only_excluded_runs_in_open_are_counted(layout: Layout) -> None:
    """open/ has one excluded run and one that was started and waits for its end."""
    runs = UnreportedRuns(layout)
    before = runs.count
    runs.update(LATER)

    assert (0, 1) == (before, runs.count)


def test_an_excluded_run_without_a_file_is_not_counted(site: CommandSite, layout: Layout) -> None:
    """The file in open/ was removed, because the job has ended."""
    runs = UnreportedRuns(layout)
    runs.update(LATER)
    (site.spool / "open" / f"2-{NOON}.json").unlink()
    settle(site, NOON + 5)
    runs.update(LATER)

    assert 0 == runs.count


def test_an_unreadable_run_is_not_counted_as_excluded(site: CommandSite, layout: Layout) -> None:
    """The state report counts a damaged file of open/ as `unreadable`."""
    site.put(Directory.OPEN, hidden(3))
    (site.spool / "open" / f"2-{NOON}.json").write_text("{")
    runs = UnreportedRuns(layout)
    runs.update(LATER)

    assert 1 == runs.count


def test_open_is_not_listed_again_if_unchanged(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """open/ may have 100 000 files; its modification time shows a change."""
    runs = UnreportedRuns(layout)
    runs.update(LATER)
    monkeypatch.setattr(layout, "names", None)
    runs.update(LATER)

    assert 1 == runs.count


def test_open_is_listed_again_if_changed_just_now(site: CommandSite, layout: Layout) -> None:
    """The modification time of open/ may be the same after the next change."""
    runs = UnreportedRuns(layout)
    runs.update(Moment(NOON + 0.5, 0.5))
    site.put(Directory.OPEN, hidden(3))
    settle(site)
    runs.update(LATER)

    assert 2 == runs.count


def test_many_files_of_open_are_read_in_several_calls(
    site: CommandSite, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most MAX_READ files are read in one call, so that the drain's loop does not wait."""
    for job_id in (3, 4, 5):
        site.put(Directory.OPEN, hidden(job_id))
    settle(site)
    monkeypatch.setattr(state_report, "MAX_READ", 2)
    runs, counts = UnreportedRuns(layout), []
    for _ in range(4):
        runs.update(LATER)
        counts.append(runs.count)

    assert [1, 3, 4, 4] == counts
