"""What the drain writes to its state file, and what the next drain reads from it."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from drain_world import NOON, World
from service_site import Site

from spool.drain.state_report import StateReport
from spool.files.drain_state import FIGURES_SECONDS, DrainState, HealthState
from spool.moment import Moment

DAY = 24 * 3600


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return an empty site."""
    return Site(World(tmp_path))


def test_the_state_file_shows_the_servers_version_and_health(site: Site) -> None:
    """The state file is written before the first request, and later with the server's version."""
    site.world.begin(1)
    shown = []

    def watched(_number: int) -> bool:
        shown.append(site.state().server_version)
        return False

    site.watched = watched
    site.run(passes=9)
    last = site.state()

    assert (None, "1.4.4") == (shown[0], last.server_version)
    assert (HealthState.UP, False, (), False) == (
        last.health.state,
        last.disk_full,
        last.waiting,
        last.once,
    )


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the times at which the state is collected; it differs each time."""
    times: list[float] = []
    state = StateReport.state

    def changed(report: StateReport, now: Moment, **facts: Any) -> DrainState:
        times.append(now.wall)
        return replace(state(report, now, **facts), last_delivery=now.wall)

    monkeypatch.setattr(StateReport, "state", changed)
    return times


@pytest.mark.parametrize("is_busy", [True, False])
def test_a_busy_drain_collects_its_state_once_a_second(
    site: Site, collected: list[float], monkeypatch: pytest.MonkeyPatch, *, is_busy: bool
) -> None:
    """An idle drain collects its state in each of its few passes, and writes changes at once."""
    monkeypatch.setattr(type(site.world.drain), "is_busy", is_busy)
    site.run(passes=40)
    shortest = min(later - earlier for earlier, later in pairwise(collected[:-1]))

    assert is_busy == (shortest >= FIGURES_SECONDS)


def test_a_busy_drain_writes_its_last_state_when_it_ends(
    site: Site, collected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last state is written even if less than a second has passed since the one before."""
    monkeypatch.setattr(type(site.world.drain), "is_busy", True)
    site.run(passes=3)

    assert collected[-1] == site.state().last_delivery


@pytest.mark.parametrize(
    ("kind", "extras", "is_seen"),
    [
        ("start", "user=ada\n", True),
        ("stop", "", True),
        ("start", "again=1\n", False),
        ("start", f"not_before={NOON}\n", False),
        ("close", "", False),
        ("retry", "", False),
    ],
)
def test_only_events_of_hooks_count_as_the_last_event(
    site: Site, kind: str, extras: str, *, is_seen: bool
) -> None:
    """An event of a sweep or an administrator does not show that the hooks work."""
    start = NOON if kind == "close" else 0
    site.world.hook(kind, 1, extras=extras, start=start, end=start)
    site.run(passes=2)

    assert (float(NOON) if is_seen else None) == site.state().last_event


def test_the_last_event_is_remembered_by_the_next_drain(site: Site) -> None:
    """A drain started by cron keeps the time from drain.json; the check of the hooks needs it."""
    site.world.begin(1)
    site.run(passes=5)
    site.world.now += DAY
    site.boot()
    site.world.service.run_once()

    assert NOON == site.state().last_event


@pytest.mark.parametrize(
    ("content", "seen"),
    [("{", None), ("{}", None), (f'{{"last_event": {NOON + DAY}}}', float(NOON))],
)
def test_an_invalid_last_event_is_not_used(site: Site, content: str, seen: float | None) -> None:
    """A damaged state file or one without the time gives no event; a future time counts as now."""
    site.world.tick = 0.0
    (site.world.state / "drain.json").write_text(content)
    site.boot()

    assert seen == site.world.drain.last_event


def test_an_event_from_the_future_counts_as_new(site: Site) -> None:
    """An event with a time a day ahead would hide for a day that no more events come."""
    site.world.hook("start", 1)
    path = site.world.root / "new" / "1-start-1-0-0-1"
    os.utime(path, (NOON + DAY, NOON + DAY))
    site.run(passes=2)
    seen = site.state().last_event

    assert seen is not None
    assert NOON <= seen < NOON + 60


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ("{", None),
        ("{}", None),
        (f'{{"last_delivery": {NOON - DAY}}}', float(NOON - DAY)),
        (f'{{"last_delivery": {NOON + DAY}}}', float(NOON)),
    ],
)
def test_the_last_delivery_is_remembered_by_the_next_drain(
    site: Site, content: str, seen: float | None
) -> None:
    """The time is known after a restart; a time in the future counts as now."""
    site.world.tick = 0.0
    (site.world.state / "drain.json").write_text(content)
    site.boot()
    site.run(passes=1)

    assert seen == site.state().last_delivery


def test_slurms_release_is_in_the_state_file(site: Site) -> None:
    """Slurm's commands print the release; it is unknown before they were called."""
    before = site.world.slurm_release
    site.world.slurm_release = "25.11.0"
    site.boot()
    site.run(passes=1)

    assert (None, "25.11.0") == (before, site.state().slurm_release)
