"""The state report of the drain: process, server, outages, deliveries, files and halts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from drain_world import NOON
from state_reporter import BEHIND, HOUR, Reporter

from ccbackend.outcomes import Reason
from ccbackend.version import Version
from spool import __version__
from spool.drain.state_report import (
    MAX_UNREADABLE,
    WAITING_SECONDS,
    StateReport,
)
from spool.files.drain_state import (
    HealthReport,
    HealthState,
    UnreadableFile,
)


@pytest.fixture
def reporter(tmp_path: Path) -> Reporter:
    """Return a drain that has done nothing yet."""
    return Reporter(tmp_path)


def test_the_state_report_names_the_process_and_its_start(reporter: Reporter) -> None:
    """The state report has pid, version and start by the wall clock; no server version yet."""
    began = reporter.wall
    reporter.world.now += 60
    state = reporter.state()

    assert (os.getpid(), began, __version__) == (state.pid, state.started, state.version)
    assert (False, None, None) == (state.once, state.server_version, state.server_dialect)
    assert HealthReport(state=HealthState.UP) == state.health


@pytest.mark.parametrize("once", [True, False])
def test_a_drain_that_ends_by_itself_is_marked_as_once(reporter: Reporter, *, once: bool) -> None:
    """`once` is true in the state file, so monitoring raises no alarm when the drain has ended."""
    world = reporter.world
    report = StateReport(world.drain, world.parts, once=once)

    assert once is report.state(world.moment).once


def test_the_state_report_names_a_server_that_has_answered(reporter: Reporter) -> None:
    """The state report has version and dialect of cc-backend."""
    reporter.world.backend.version = Version(1, 5, 4)
    reporter.world.run()
    state = reporter.state()

    assert ("1.5.4", True) == (state.server_version, bool(state.server_dialect))


@pytest.mark.parametrize(
    ("reason", "health"),
    [(Reason.UNREACHABLE, HealthState.DOWN), (Reason.TOKEN_REFUSED, HealthState.HALTED)],
)
def test_an_outage_is_reported_in_times_of_the_wall_clock(
    reporter: Reporter, reason: Reason, health: HealthState
) -> None:
    """The state report has the start of the outage, its reason and the time of the next try."""
    reporter.world.backend.everything = reason
    reporter.world.run()
    found = reporter.state().health

    assert health is found.state
    assert found.since is not None
    assert NOON + BEHIND <= found.since <= NOON + BEHIND + 1
    assert found.next_try is not None
    assert reporter.wall < found.next_try <= reporter.wall + HOUR
    assert "made up" in found.reason


def test_starts_and_stops_have_separate_health_states(reporter: Reporter) -> None:
    """If cc-backend refuses starts for an unknown cluster, only starts are halted."""
    for job_id in (1, 2):
        reporter.world.backend.answers[job_id] = Reason.UNKNOWN_CLUSTER
        reporter.world.begin(job_id)
        reporter.world.run()
    state = reporter.state()

    assert (HealthState.HALTED, HealthState.UP) == (state.starts.state, state.stops.state)
    assert HealthState.UP is state.health.state


def test_an_outage_of_the_controller_is_reported(reporter: Reporter) -> None:
    """The state report has the start of the outage by the wall clock and the error of squeue."""
    reporter.world.slurm.silent = True
    reporter.world.begin(1)
    reporter.world.run()
    state = reporter.state()

    assert ("squeue does not answer", None) == (state.slurm_reason, state.accounting_silent_since)
    assert state.slurm_silent_since is not None
    assert NOON + BEHIND <= state.slurm_silent_since <= reporter.wall
    assert 1 == state.inquiries


def test_an_outage_of_accounting_alone_is_reported(reporter: Reporter) -> None:
    """The state report has the start of the outage of accounting, and none for the controller."""
    reporter.world.slurm.accounting_silent = True
    reporter.world.hook("start", 1)
    reporter.world.run()
    state = reporter.state()

    assert (None, "") == (state.slurm_silent_since, state.slurm_reason)
    assert state.accounting_silent_since is not None


def test_twenty_unreadable_files_are_named(reporter: Reporter) -> None:
    """The state report has the total, 31, and names files of the loader and of the deliveries."""
    parts = reporter.world.parts
    many = {f"{number}-100.json": "Input/output error" for number in range(10, 40)}
    parts.loader.unreadable.update(many)
    parts.delivery.builder.unreadable["1-100.json"] = "Permission denied"
    state = reporter.state()

    assert (31, MAX_UNREADABLE) == (state.unreadable_count, len(state.unreadable))
    assert UnreadableFile(name="1-100.json", reason="Permission denied") == state.unreadable[0]


def test_a_full_disk_is_reported(reporter: Reporter) -> None:
    """The state report also has the reason, such as `No space left on device`."""
    reporter.world.drain.disk_reason = "No space left on device"
    state = reporter.state()

    assert (True, "No space left on device") == (state.disk_full, state.disk_reason)


def test_deliveries_of_the_last_hour_are_counted(reporter: Reporter) -> None:
    """Deliveries of more than an hour ago no longer count."""
    world, counts = reporter.world, []
    for job_id in (1, 2, 3):
        world.begin(job_id)
        world.run()
        counts.append(reporter.state().deliveries_last_hour)
        world.now += HOUR / 2
        reporter.state()
    world.now += HOUR
    reporter.state()
    world.now += 61

    assert ([1, 2, 2], 0) == (counts, reporter.state().deliveries_last_hour)


def test_the_time_of_the_last_delivery_is_reported(reporter: Reporter) -> None:
    """The time is that of the wall clock, also if the drain's own clock differs."""
    reporter.world.begin(1)
    reporter.world.run()
    seen = reporter.state().last_delivery

    assert seen is not None
    assert NOON + BEHIND <= seen <= reporter.wall


def test_excluded_runs_are_counted(reporter: Reporter) -> None:
    """A run with disable_cc_submission in its comment stays in `open/` until the job ends."""
    reporter.world.begin(1, comment="disable_cc_submission")
    reporter.world.begin(2)
    reporter.world.run(5)
    reporter.state()
    reporter.world.now += WAITING_SECONDS

    assert 1 == reporter.state().unreported


def test_a_halt_has_its_reason_in_one_word(reporter: Reporter) -> None:
    """Monitoring gets a code such as token_refused, and no free text."""
    reporter.world.backend.everything = Reason.TOKEN_REFUSED
    reporter.world.run()

    assert "token_refused" == reporter.state().health.code
