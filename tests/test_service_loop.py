"""A drain that runs until it is stopped: token, comparison with Slurm, clean-up, shutdown."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drain_world import NOON, World
from service_site import Site

from ccbackend.outcomes import Reason
from spool.files.archive import DeliveredArchive
from spool.files.layout import Directory

DAY = 24 * 3600


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return an empty site."""
    return Site(World(tmp_path))


def test_a_service_works_until_it_is_stopped(site: Site) -> None:
    """The running job is delivered, its run file is in `open/`, and the workers are closed."""
    start = site.world.begin(1).start_time
    site.run(passes=20)

    assert {"open": [f"1-{start}.json"]} == site.world.files()
    assert ["close", "join"] == site.ended


def test_a_hanging_request_is_abandoned_at_shutdown(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning says that the next drain sends the unanswered request again."""
    site.ends = False
    site.run(passes=1)

    assert ["controller: a request was unfinished at shutdown; the next drain sends it again"] == [
        record.message for record in caplog.records if record.levelno == logging.WARNING
    ]


def test_an_answer_during_shutdown_is_used(site: Site) -> None:
    """The next drain does not send an accepted request again."""
    start = site.world.begin(1).start_time
    site.settle(0.1)
    site.run(passes=1)
    site.boot()
    site.run(passes=30)

    assert {"open": [f"1-{start}.json"]} == site.world.files()
    assert 1 == site.world.backend.asked.count(("start", 1))


def test_a_changed_token_ends_a_halt_without_a_restart(site: Site) -> None:
    """cc-backend refused the token; after the change of the file the run is delivered."""
    site.world.begin(1)
    site.world.backend.everything = Reason.TOKEN_REFUSED
    health = []

    def watched(number: int) -> bool:
        health.append(site.world.health.state.server.health.value)
        if number == 30:
            site.world.backend.everything = None
            return True
        return False

    site.watched = watched
    site.run(passes=60)

    assert ("halted", "up") == (health[29], health[59])
    assert ["running"] == list(site.world.backend.rows.values())


def test_open_runs_that_do_not_run_in_slurm_are_looked_up(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """The epilogs of these runs never ran; a run still needs proof from Slurm that it has ended."""
    caplog.set_level(logging.INFO)
    for job_id in (1, 2, 3):
        site.world.begin(job_id)
    site.settle()
    record = site.world.slurm.records[1]
    over = replace(record, state="COMPLETED", end_time=NOON + 1)
    site.world.slurm.records[1] = over
    del site.world.slurm.records[3]
    site.boot()
    site.run(passes=60)

    assert {1: "completed", 2: "running", 3: "running"} == {
        job_id: state for (job_id, _), state in site.world.backend.rows.items()
    }
    assert "open runs not in Slurm's job list, to be looked up: 2" in caplog.text


def test_an_empty_spool_needs_no_job_list(site: Site) -> None:
    """A drain without an open run does not ask Slurm for its job list."""
    site.run(passes=5)

    assert 0 == site.world.slurm.lists


@pytest.mark.parametrize(("seconds", "passes", "lists"), [(600, 13, 3), (30, 5, 1)])
def test_open_runs_are_compared_with_slurm_hourly(
    site: Site, seconds: int, passes: int, lists: int
) -> None:
    """Slurm's job list is requested when the drain starts, and then each hour."""
    site.world.begin(1)
    site.settle()
    site.boot()

    def later(_number: int) -> bool:
        site.world.now += seconds
        return False

    site.watched = later
    site.run(passes=passes)

    assert lists == site.world.slurm.lists


def test_a_failed_job_list_is_requested_again_after_a_minute(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """`squeue` does not answer; the log says that open runs cannot be compared."""
    site.world.begin(1)
    site.settle()
    site.boot()
    site.world.slurm.silent = True

    def later(_number: int) -> bool:
        site.world.now += 30
        return False

    site.watched = later
    site.run(passes=9)

    assert 3 == site.world.slurm.lists
    expected = "open runs cannot be compared with Slurm's job list: squeue does not answer"
    assert expected in caplog.text


def test_a_job_list_that_was_not_requested_is_logged(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """A closed worker returns the query without an answer: the open runs were not compared."""
    site.world.begin(1)
    site.settle()
    site.boot()
    worker: Any = site.world.parts.slurm.controller
    worker.work = lambda _question: None
    site.settle()

    assert "cannot be compared with Slurm's job list: Slurm was not asked" in caplog.text


def test_a_service_that_hands_over_does_not_notify_stopping(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After STOPPING=1 systemd would kill the successor, which runs in the same process."""
    said: list[str] = []
    monkeypatch.setattr("spool.drain.service.notify_systemd", said.append)
    monkeypatch.setattr("spool.drain.systemd.notify_systemd", said.append)

    def watched(_: int) -> bool:
        site.world.service.hand_over()
        return False

    site.watched = watched
    site.world.service.run()

    assert ["READY=1", "WATCHDOG=1"] == said


def test_a_service_notifies_systemd_at_stop(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drain sends READY=1 when it starts, and STOPPING=1 when it ends."""
    said: list[str] = []
    monkeypatch.setattr("spool.drain.service.notify_systemd", said.append)
    site.run(passes=1)

    assert ["READY=1", "STOPPING=1"] == said


def test_old_archived_runs_and_temporary_files_are_removed(site: Site) -> None:
    """Archived runs are removed after three days, files in `tmp/` after an hour."""
    archive = DeliveredArchive(site.world.state / "delivered", keep_days=3)
    site.world.begin(1)
    site.world.end(1)
    site.settle()
    leftover = site.world.root / Directory.TMP / "half-written"
    leftover.touch()
    site.world.now = leftover.stat().st_ctime  # which no test can set
    for path in (site.world.state / "delivered").iterdir():
        os.utime(path, (site.world.now, site.world.now))

    def later(number: int) -> bool:
        site.world.now += 4 * DAY if number == 5 else 0
        return False

    before = list(archive.recent_runs())
    site.watched = later
    site.run(passes=10)

    assert (1, []) == (len(before), list(archive.recent_runs()))
    assert not leftover.exists()
