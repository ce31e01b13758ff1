"""Backfill from accounting: windows, pace, resuming and repetition."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from sweep_world import SweptWorld

from slurm.errors import FailureReason, SlurmError
from spool.exit_codes import REFUSED, TRY_AGAIN
from spool.files.layout import Directory
from spool.files.run_id import RunId
from sweeper import backfill as module
from sweeper.backfill import BackfillControl, BackfillProgress, BackfillWindow, backfill
from sweeper.commands.output import failure_code

HOUR, DAY = 3600, 86400


@pytest.fixture
def world(tmp_path: Path) -> SweptWorld:
    """Return a site whose accounting has three days of history."""
    made = SweptWorld(tmp_path / "spool")
    for number in range(1, 7):
        end = int(made.world.now) - number * 12 * HOUR
        job = made.world.job(number, start_time=end - 60, state="COMPLETED", end_time=end)
        made.slurm.rows.append(job)
    return made


def window(world: SweptWorld, **facts: int) -> BackfillWindow:
    """Return a window of the last four days."""
    now = int(world.world.now)
    return replace(BackfillWindow(since=now - 4 * DAY, until=now), **facts)


def pace(*, room: bool = True, dry_run: bool = False) -> BackfillControl:
    """Return a control that does not slow the backfill down."""
    return BackfillControl(make_room=lambda: room, window_done=lambda _tally: None, dry_run=dry_run)


def test_past_runs_are_queued_oldest_first_and_once(world: SweptWorld) -> None:
    """Six runs of three days; a repeated backfill skips runs that cc-backend already has."""
    pages: list[int] = []
    slow = replace(pace(), window_done=lambda progress: pages.append(progress.queued))

    progress = backfill(world.site, window(world), slow)
    world.drain()
    again = backfill(world.site, window(world), pace())

    assert (progress.seen, progress.at_backend, progress.queued, progress.failure) == (
        6,
        0,
        6,
        None,
    )
    assert pages == [0, 2, 4, 6]
    assert {key.job_id: state for key, state in world.rows().items()} == dict.fromkeys(
        range(1, 7), "completed"
    )
    assert (again.seen, again.at_backend, again.queued) == (6, 6, 0)


def test_after_a_day_with_very_many_runs_the_rest_is_read_by_the_hour(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a whole day of a large site would need gigabytes of memory."""
    monkeypatch.setattr(module, "LARGE_WINDOW_RUNS", 1)
    pages: list[int] = []
    slow = replace(pace(), window_done=lambda progress: pages.append(progress.queued))

    progress = backfill(world.site, window(world), slow)

    assert (6, 6, None) == (progress.seen, progress.queued, progress.failure)
    assert (2 + 2 * 24, [0, 2]) == (len(pages), pages[:2])


def test_a_busy_site_is_read_by_the_hour_from_the_beginning(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first hour has so many runs that a whole day would exceed LARGE_WINDOW_RUNS."""
    monkeypatch.setattr(module, "LARGE_WINDOW_RUNS", 24)
    end = int(world.world.now) - 4 * DAY
    ended = [world.world.job(i, start_time=end - 60, state="COMPLETED", end_time=end + i)
             for i in (11, 12)]  # fmt: skip
    world.slurm.rows.extend(ended)
    pages: list[int] = []
    slow = replace(pace(), window_done=lambda progress: pages.append(progress.queued))

    progress = backfill(world.site, window(world), slow)

    assert (8, 8, None) == (progress.seen, progress.queued, progress.failure)
    assert (4 * 24, [2, 2]) == (len(pages), pages[:2])


def test_missing_metrics_are_reported_as_missing(world: SweptWorld) -> None:
    """`--monitoring-status 0`: each start that is sent has monitoringStatus 0."""
    backfill(world.site, window(world, monitoring_status=0), pace())
    world.drain()

    starts = [d for d in world.world.backend.documents if "stopTime" not in d]
    assert {document["monitoringStatus"] for document in starts} == {0}
    assert len(starts) == 6


def test_events_are_synced_before_their_directory(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A completed window is not read again, so fsync is called for each event, last for new/."""
    synced: list[Path] = []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", note)

    progress = backfill(world.site, window(world), pace())

    root = world.layout.root
    files = {path for path in synced if path.parent == root / Directory.TMP}
    assert (6, 6, root / Directory.NEW) == (progress.queued, len(files), synced[-1])


def test_excluded_runs_and_runs_in_the_spool_are_only_counted(world: SweptWorld) -> None:
    """Two runs whose job id has a newer row at cc-backend are not queued either."""
    rows = world.slurm.rows
    rows[0] = replace(rows[0], partition="quiet")
    world.world.hook("stop", 2)
    world.world.backend.rows[3, (rows[2].start_time or 0) + 7200] = "completed"
    world.world.backend.rows[4, (rows[3].start_time or 0) + 90 * DAY] = "completed"

    progress = backfill(world.site, window(world), pace(dry_run=True))

    assert (
        progress.seen,
        progress.excluded,
        progress.in_spool,
        progress.at_backend,
        progress.queued,
    ) == (6, 1, 1, 2, 2)
    assert world.world.files()["new"] == [f"1-stop-2-0-0-{world.world.pid}"]


@pytest.mark.parametrize("what", ["config", "ended", "accounting"])
def test_a_failed_slurm_query_ends_the_backfill(world: SweptWorld, what: str) -> None:
    """The exit code is 11; the progress has the time from which to resume."""
    world.slurm.failures = {what: SlurmError("away", reason=FailureReason.FAILED)}

    progress = backfill(world.site, window(world), pace())

    assert progress.failure is not None
    assert (failure_code(progress.failure), progress.queued) == (REFUSED, 0)
    assert progress.resume_at <= int(world.world.now) - 3 * DAY


def test_failed_look_ups_at_cc_backend_end_the_backfill(world: SweptWorld) -> None:
    """No run is queued, because each of them may already be at cc-backend."""
    world.backend.silent = True

    progress = backfill(world.site, window(world), pace())

    assert (progress.queued, progress.failure is None) == (0, False)
    assert world.world.files() == {}


def test_the_backfill_waits_for_a_slow_drain(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MAX_PENDING events in new/ (3 here) no more are queued until the drain has read them."""
    monkeypatch.setattr(module, "CHECK_EVERY", 1)
    monkeypatch.setattr(module, "MAX_PENDING", 3)
    crowds: list[int] = []

    def make_room() -> bool:
        crowds.append(module.count_events(world.layout))
        world.drain()
        return True

    progress = backfill(world.site, window(world), replace(pace(), make_room=make_room))

    assert (crowds, progress.queued, progress.failure) == ([3], 6, None)


def test_a_drain_that_reads_no_events_ends_the_backfill(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 75; the three events already in new/ are counted as queued."""
    monkeypatch.setattr(module, "CHECK_EVERY", 1)
    monkeypatch.setattr(module, "MAX_PENDING", 3)

    progress = backfill(world.site, window(world), pace(room=False))

    assert progress.failure is not None
    assert (progress.queued, failure_code(progress.failure)) == (3, TRY_AGAIN)


def test_the_counts_of_a_backfill_begin_at_zero() -> None:
    """The report of a window without runs has only zeros."""
    assert BackfillProgress() == BackfillProgress(
        seen=0, at_backend=0, in_spool=0, excluded=0, queued=0, resume_at=0
    )
    assert RunId(1, 2) == (1, 2)
