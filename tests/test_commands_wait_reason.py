"""The reason why a run or an event waits, as `cc-spool list` and `show` print it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from command_views import DONE, EVENT, N1, say

from spool.commands.drain_view import DrainView
from spool.commands.entries import job_id_of, wait_reason
from spool.files.drain_state import DrainState, HealthReport, HealthState
from spool.files.inventory import RunFile
from spool.files.layout import Directory
from spool.files.lock import LockState, take_lock
from spool.files.run import Run
from spool.formatting import format_time

RUNNING = DrainView(lock=LockState.HELD)


def running(state: HealthState = HealthState.UP, reason: str = "", **more: Any) -> DrainView:
    """Return the view of a drain that runs, with cc-backend in some health."""
    health = HealthReport(state=state, since=NOON, reason=reason)
    return DrainView(lock=LockState.HELD, state=DrainState(health=health, **more))


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def drained(site: CommandSite) -> Iterator[CommandSite]:
    """Return a site on which a drain holds the lock."""
    site.write_drain_state(
        destination={"health": "up"}, server={"version": "1.5.4", "dialect": "shared"}
    )
    lock = take_lock(site.state / "drain.lock", site.state / "drain.json")
    yield site
    lock.release()


PARKED = run_of(not_before=NOON + 50)
PENDING: list[tuple[Run, DrainView, str]] = [
    (run_of(), DrainView(lock=LockState.FREE), "start is pending; no drain is running"),
    (run_of(), running(), "start is pending; it will be delivered next"),
    (
        run_of(last_error=REFUSED),
        running(),
        "start is pending; it will be delivered next; last error: bad",
    ),
    (
        run_of(),
        running(HealthState.HALTED, "401"),
        "start is pending; all deliveries are halted: 401",
    ),
    (
        run_of(),
        running(HealthState.DOWN, "timeout"),
        "start is pending; cc-backend does not answer: timeout",
    ),
    (
        run_of(replaces=(1,)),
        RUNNING,
        "start (after deletion of the replaced run) is pending; it will be delivered next",
    ),
    (DONE, RUNNING, "stop is pending; cc-backend may need some time before it accepts the stop"),
    (
        replace(PARKED, last_error=replace(REFUSED, message="")),
        RUNNING,
        f"start is pending; next attempt {format_time(NOON + 50)}; last error: bad request",
    ),
    (PARKED, RUNNING, f"start is pending; next attempt {format_time(NOON + 50)}"),
    (run_of(started=NOON), RUNNING, "nothing is pending; cc-backend may need some time"),
    (
        PARKED,
        running(waiting=(N1,)),
        f"start is pending; waits because {N1.cause} (since {format_time(NOON)})",
    ),
    (
        PARKED,
        running(waiting=(replace(N1, cause="host n11 is unknown"),)),
        "start is pending; next",
    ),
    (
        replace(PARKED, cluster="alex"),
        running(waiting=(replace(N1, cause="cluster alex is unknown", since=None),)),
        "start is pending; waits because cluster alex is unknown",
    ),
    (DONE, running(waiting=(N1,)), "stop is pending; cc-backend may need some time"),
]


@pytest.mark.parametrize(("run", "view", "words"), PENDING)
def test_a_run_in_todo_has_a_wait_reason(run: Run, view: DrainView, words: str) -> None:
    """The text says which request is pending and what the run waits for."""
    file = RunFile(directory=Directory.TODO, name=run.name, time=NOON, run=run)

    assert wait_reason(file, view, NOON).startswith(words)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (run_of(started=NOON), "its start was delivered; it waits for the end of the job"),
        (
            run_of(reported=False, reason="opted out"),
            "not reported: opted out; its file is kept until",
        ),
        (run_of(reported=False), "not reported: no reason recorded; its file is kept until"),
    ],
)
def test_a_run_in_open_has_a_wait_reason(run: Run, words: str) -> None:
    """A delivered start, or a run that is not reported, waits for the end of its job."""
    held = RunFile(directory=Directory.OPEN, name=run.name, time=NOON, run=run)

    assert wait_reason(held, RUNNING, NOON).startswith(words)


def test_an_event_has_a_wait_reason(drained: CommandSite) -> None:
    """An event waits for Slurm, which is being queried or does not answer."""
    drained.put_event(EVENT)
    asked = drained.call("list", "--json").json[0]["waits"]
    say(drained, slurm_silent_since=NOON)
    silent = drained.call("list", "--json").json[0]["waits"]
    say(drained, slurm_silent_since=NOON, slurm_reason="no route")
    reason = drained.call("list", "--json").json[0]["waits"]

    since = f"Slurm has not answered since {format_time(NOON)}"
    assert ["Slurm is being asked about the job", since, f"{since}: no route"] == [
        asked,
        silent,
        reason,
    ]


def test_a_retry_event_is_shown_with_its_purpose(drained: CommandSite) -> None:
    """An event of `cc-spool retry` with job id 0 is shown as `retry of all runs`."""
    drained.put_event("1-retry-0-0-0-7")
    (found,) = drained.call("list", "--json").json

    assert (None, "the drain is about to process it") == (
        found["job_id"],
        found["waits"],
    )
    assert "retry of all runs" in drained.call("show", "1-retry-0-0-0-7").out


@pytest.mark.parametrize(
    ("name", "job_id"),
    [("5-100.json", 5), (EVENT, 7), ("2-start-7-0-0-1", None), ("odd", None)],
)
def test_a_file_belongs_to_the_job_in_its_name(name: str, job_id: int | None) -> None:
    """Commands find runs and events by the job id in the file name."""
    assert job_id == job_id_of(name)
