"""History from accounting: paged, paced, resumed, and repeated without harm."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from lying_slurm import Told
from sweep_site import SweepSite, site
from sweep_world import SweptWorld

from slurm.errors import FailureReason, SlurmError
from spool.exit_codes import REFUSED, TRY_AGAIN
from spool.files.layout import Directory
from spool.files.run import RunId
from sweeper import backfill as module
from sweeper.apply import DrainWait
from sweeper.backfill import BackfillControl, BackfillProgress, BackfillWindow, backfill
from sweeper.commands.arguments import parse_instant
from sweeper.commands.backfill import has_room
from sweeper.commands.output import failure_code

HOUR, DAY = 3600, 86400
NOON = 1_774_785_600


@pytest.fixture
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_berlin")
@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("now", NOON),
        ("1774785600", NOON),
        ("@1774785600", NOON),
        ("90s", NOON - 90),
        ("36h", NOON - 36 * HOUR),
        ("7d", NOON - 7 * DAY),
        ("2w", NOON - 14 * DAY),
        ("2026-03-29", 1_774_738_800),
        ("2026-03-29T14:00", NOON),
        ("2026-03-29 14:00:30", NOON + 30),
        ("2026-03-29T12:00Z", NOON),
        ("2026-03-29T14:00:00+02:00", NOON),
        ("2026-03-28T12:00", NOON - DAY - HOUR),
    ],
)
def test_an_instant_may_be_written_in_several_ways(text: str, instant: int) -> None:
    """Without an offset it is in this machine's zone, as on that day."""
    assert instant == parse_instant(text, now=NOON + 0.7)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "7", "7y", "-3d", "12:00", "1-1-1"])
def test_what_is_no_instant_is_told_with_examples(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="expected a time such as 2026-03-29"):
        parse_instant(text, now=NOON)


@pytest.fixture
def world(tmp_path: Path) -> SweptWorld:
    """A site whose accounting has three days of history."""
    made = SweptWorld(tmp_path / "spool")
    for number in range(1, 7):
        end = int(made.world.now) - number * 12 * HOUR
        job = made.world.job(number, start_time=end - 60, state="COMPLETED", end_time=end)
        made.slurm.rows.append(job)
    return made


def window(world: SweptWorld, **facts: int) -> BackfillWindow:
    """The last four days."""
    now = int(world.world.now)
    return replace(BackfillWindow(since=now - 4 * DAY, until=now), **facts)


def pace(*, room: bool = True, dry_run: bool = False) -> BackfillControl:
    """As fast as it goes."""
    return BackfillControl(make_room=lambda: room, window_done=lambda _tally: None, dry_run=dry_run)


def test_history_is_told_oldest_first_and_once(world: SweptWorld) -> None:
    """What is there is skipped when the command is repeated."""
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
    """A day of a large site would need gigabytes of memory."""
    monkeypatch.setattr(module, "LARGE_WINDOW_RUNS", 1)
    pages: list[int] = []
    slow = replace(pace(), window_done=lambda progress: pages.append(progress.queued))

    progress = backfill(world.site, window(world), slow)

    assert (6, 6, None) == (progress.seen, progress.queued, progress.failure)
    assert (2 + 2 * 24, [0, 2]) == (len(pages), pages[:2])


def test_a_site_with_very_many_runs_an_hour_is_read_by_the_hour_from_the_beginning(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the first day is read at once."""
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


def test_metrics_that_do_not_exist_are_said_to_be_missing(world: SweptWorld) -> None:
    """`--monitoring-status 0` reaches the server's document."""
    backfill(world.site, window(world, monitoring_status=0), pace())
    world.drain()

    starts = [d for d in world.world.backend.documents if "stopTime" not in d]
    assert {document["monitoringStatus"] for document in starts} == {0}
    assert len(starts) == 6


def test_events_outlive_a_power_cut(world: SweptWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that is done is not read again."""
    synced: list[Path] = []
    note = lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink())  # noqa: E731
    monkeypatch.setattr(os, "fsync", note)

    progress = backfill(world.site, window(world), pace())

    root = world.layout.root
    files = {path for path in synced if path.parent == root / Directory.TMP}
    assert (6, 6, root / Directory.NEW) == (progress.queued, len(files), synced[-1])


def test_what_is_left_out_or_in_the_spool_is_only_counted(world: SweptWorld) -> None:
    """Filtered, queued, requeued within a day; or the job id was used again: history is refused."""
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
def test_a_question_without_an_answer_ends_it(world: SweptWorld, what: str) -> None:
    """The message says where to continue."""
    world.slurm.failures = {what: SlurmError("away", reason=FailureReason.FAILED)}

    progress = backfill(world.site, window(world), pace())

    assert progress.failure is not None
    assert (failure_code(progress.failure), progress.queued) == (REFUSED, 0)
    assert progress.resume_at <= int(world.world.now) - 3 * DAY


def test_look_ups_that_fail_end_it(world: SweptWorld) -> None:
    """Nothing is reported that may be there."""
    world.backend.silent = True

    progress = backfill(world.site, window(world), pace())

    assert (progress.queued, progress.failure is None) == (0, False)
    assert world.world.files() == {}


def test_a_drain_that_does_not_keep_up_is_waited_for(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most so many events lie in new/; one that never does ends it."""
    monkeypatch.setattr(module, "CHECK_EVERY", 1)
    monkeypatch.setattr(module, "MAX_PENDING", 3)
    crowds: list[int] = []

    def make_room() -> bool:
        crowds.append(module.count_events(world.layout))
        world.drain()
        return True

    progress = backfill(world.site, window(world), replace(pace(), make_room=make_room))

    assert (crowds, progress.queued, progress.failure) == ([3], 6, None)


def test_a_drain_that_never_keeps_up_ends_it(
    world: SweptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 75; what was delivered counts."""
    monkeypatch.setattr(module, "CHECK_EVERY", 1)
    monkeypatch.setattr(module, "MAX_PENDING", 3)

    progress = backfill(world.site, window(world), pace(room=False))

    assert progress.failure is not None
    assert (progress.queued, failure_code(progress.failure)) == (3, TRY_AGAIN)


def waiting(state: Path, *, drained: list[int], counts: list[int]) -> DrainWait:
    """A wait whose clock runs a minute at each look."""
    times = iter(range(0, 10**6, 60))

    def less(_seconds: float = 0) -> None:
        if len(counts) > 1:
            counts.pop(0)

    def drain_once() -> None:
        drained.append(1)
        less()

    return DrainWait(
        state_directory=state,
        timeout_seconds=60,
        drain_once=drain_once,
        clock=lambda: next(times),
        sleep=less,
    )


def test_room_is_made_by_the_drain(tmp_path: Path) -> None:
    """A running one is waited for, else one runs here; without progress it is given up."""
    drained: list[int] = []
    counts = [1000, 900, 800, 400]
    assert has_room(lambda: counts[0], waiting(tmp_path, drained=drained, counts=counts))
    assert len(drained) == 3
    assert not has_room(lambda: 900, waiting(tmp_path, drained=drained, counts=[]))
    with FileLock(tmp_path / "drain.lock"):
        counts = [1000, 900, 900, 400]
        assert has_room(lambda: counts[0], waiting(tmp_path, drained=[], counts=counts))
        assert not has_room(lambda: 900, waiting(tmp_path, drained=[], counts=[]))


def history(made: SweepSite, count: int = 3) -> list[Told]:
    """Runs that ended hours ago, unknown to cc-backend."""
    runs = [
        Told(i, made.now - i * HOUR, "FAILED", made.now - i * HOUR + 60, in_squeue=False)
        for i in range(1, count + 1)
    ]
    made.run(*runs)
    return runs


def test_the_command_tells_history_and_reports(tmp_path: Path) -> None:
    """Where no drain is running it drains itself; repeated it skips what is there."""
    with site(tmp_path) as made:
        runs = history(made)

        dry = made.sweep("backfill", "--since", "2d", "--until", "now", "--dry-run")
        told = made.sweep("backfill", "--since", "2d", "--until", "now")
        again = made.sweep("backfill", "--since", "2d", "--until", "now", "--json")

        assert made.server.rows() == {(run.job_id, run.start): "failed" for run in runs}
    assert "3 would be reported, 0 pending" in dry.out
    assert told.code == 0, told.err
    assert "3 runs ended between --since and --until: 0 already at cc-backend" in told.out
    assert (again.json["at_backend"], again.json["queued"], again.json["failed"]) == (3, 0, None)


def test_an_interrupted_backfill_goes_on_where_it_ended(tmp_path: Path) -> None:
    """The same window alone; another begins anew."""
    with site(tmp_path) as made:
        history(made)
        since, until = made.now - 3 * DAY, made.now - 60
        made.say(sacct=1)
        failed = made.sweep("backfill", "--since", since, "--until", until)
        made.say()
        path = made.state / "backfill.json"
        document = json.loads(path.read_text())
        path.write_text(json.dumps(document | {"at": made.now - DAY}))

        on = made.sweep("backfill", "--since", since, "--until", until, "--json")
        anew = made.sweep("backfill", "--since", since - 1, "--until", until)

    assert failed.code == 11
    assert "repeat the same command to continue from here" in failed.err
    assert "where the last backfill ended" in on.err
    assert on.json["queued"] == 3
    assert "goes on" not in anew.err


def test_what_the_drain_has_not_told_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 75."""
    monkeypatch.setattr("sweeper.commands.backfill.WAIT_SECONDS", 0)
    with site(tmp_path) as made:
        history(made)
        with FileLock(made.state / "drain.lock"):
            said = made.sweep("backfill", "--since", "2d", "--until", "now")

        assert len(list((made.spool / Directory.NEW).iterdir())) == 3
    assert said.code == 75
    assert "3 pending" in said.out


def test_the_command_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By draining itself where no drain runs."""
    monkeypatch.setattr(module, "CHECK_EVERY", 1)
    monkeypatch.setattr(module, "MAX_PENDING", 1)
    monkeypatch.setattr("sweeper.commands.backfill.MAX_PENDING", 1)
    with site(tmp_path) as made:
        runs = history(made)

        said = made.sweep("backfill", "--since", "2d", "--until", "now")

        assert made.server.rows() == {(run.job_id, run.start): "failed" for run in runs}
    assert said.code == 0, said.err


def test_two_backfills_do_not_mix(tmp_path: Path) -> None:
    """The second says who holds the lock."""
    with site(tmp_path) as made:
        (made.state / "backfill.json").write_text(json.dumps({"pid": os.getpid()}))
        with FileLock(made.state / "backfill.lock"):
            said = made.sweep("backfill", "--since", "2d", "--until", "now")

    assert said.code == 75
    assert f"held by process {os.getpid()}" in said.err


def test_a_tally_begins_with_nothing() -> None:
    """So that a report of nothing is one of zeros."""
    assert BackfillProgress() == BackfillProgress(
        seen=0, at_backend=0, in_spool=0, excluded=0, queued=0, resume_at=0
    )
    assert RunId(1, 2) == (1, 2)
