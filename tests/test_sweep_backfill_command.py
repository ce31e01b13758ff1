"""`cc-sweep backfill` from end to end: report, room in the spool, interruption, lock."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from faulty_slurm import ListedRun
from filelock import FileLock
from sweep_site import SweepSite, site

from spool.files.layout import Directory
from sweeper import backfill as module
from sweeper.apply import DrainWait
from sweeper.commands.backfill import has_room

HOUR, DAY = 3600, 86400


def waiting(state: Path, *, drained: list[int], counts: list[int]) -> DrainWait:
    """Return a wait whose clock advances a minute at each reading."""
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


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_past_runs_of_another_cluster_are_not_reported(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """slurm.conf was copied from another cluster: exit 11, and no event is queued."""
    with site(tmp_path) as made:
        history(made)
        (made.state / "sweep.json").write_text('{"cluster": "fritz"}')

        said = made.sweep("backfill", "--since", "1d", "--until", "now", *words)

        assert (said.code, made.names("new"), made.server.rows()) == (11, [], {})
        assert "Slurm's cluster is 'lab', but at the last sweep it was 'fritz'" in said.err
        assert "repeat the same command" not in said.err


def test_the_backfill_waits_for_room_in_new(tmp_path: Path) -> None:
    """The command waits for a running drain or runs one itself; without progress it gives up."""
    drained: list[int] = []
    counts = [1000, 900, 800, 400]
    assert has_room(lambda: counts[0], waiting(tmp_path, drained=drained, counts=counts))
    assert len(drained) == 3
    assert not has_room(lambda: 900, waiting(tmp_path, drained=drained, counts=[]))
    with FileLock(tmp_path / "drain.lock"):
        counts = [1000, 900, 900, 400]
        assert has_room(lambda: counts[0], waiting(tmp_path, drained=[], counts=counts))
        assert not has_room(lambda: 900, waiting(tmp_path, drained=[], counts=[]))


def history(made: SweepSite, count: int = 3) -> list[ListedRun]:
    """Add runs that ended hours ago and are unknown to cc-backend; return them."""
    runs = [
        ListedRun(i, made.now - i * HOUR, "FAILED", made.now - i * HOUR + 60, in_squeue=False)
        for i in range(1, count + 1)
    ]
    made.run(*runs)
    return runs


def test_backfill_delivers_past_runs_and_prints_counts(tmp_path: Path) -> None:
    """`--dry-run` only counts the 3 runs; a repeated backfill skips them."""
    with site(tmp_path) as made:
        runs = history(made)

        dry = made.sweep("backfill", "--since", "2d", "--until", "now", "--dry-run")
        reported = made.sweep("backfill", "--since", "2d", "--until", "now")
        again = made.sweep("backfill", "--since", "2d", "--until", "now", "--json")

        assert made.server.rows() == {(run.job_id, run.start): "failed" for run in runs}
    assert "3 would be reported, 0 not yet taken by the drain" in dry.out
    assert reported.code == 0, reported.err
    assert "3 runs ended between --since and --until: 0 already at cc-backend" in reported.out
    assert (again.json["at_backend"], again.json["queued"], again.json["failed"]) == (3, 0, None)


def test_an_interrupted_backfill_resumes_where_it_ended(tmp_path: Path) -> None:
    """Only a command with the same window resumes; one with another --since begins anew."""
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


def test_undelivered_events_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another drain holds the lock: 3 events stay in new/, and the exit code is 75."""
    monkeypatch.setattr("sweeper.commands.backfill.WAIT_SECONDS", 0)
    with site(tmp_path) as made:
        history(made)
        with FileLock(made.state / "drain.lock"):
            said = made.sweep("backfill", "--since", "2d", "--until", "now")

        assert len(list((made.spool / Directory.NEW).iterdir())) == 3
    assert said.code == 75
    assert "3 not yet taken by the drain" in said.out


def test_backfill_drains_itself_to_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No drain is running and new/ may have one event: the command runs the drain."""
    monkeypatch.setattr(module, "CHECK_EVERY", 1)
    monkeypatch.setattr(module, "MAX_PENDING", 1)
    monkeypatch.setattr("sweeper.commands.backfill.MAX_PENDING", 1)
    with site(tmp_path) as made:
        runs = history(made)

        said = made.sweep("backfill", "--since", "2d", "--until", "now")

        assert made.server.rows() == {(run.job_id, run.start): "failed" for run in runs}
    assert said.code == 0, said.err


def test_a_second_backfill_is_refused_by_the_lock(tmp_path: Path) -> None:
    """The exit code is 75; the message names the process that holds backfill.lock."""
    with site(tmp_path) as made:
        (made.state / "backfill.json").write_text(json.dumps({"pid": os.getpid()}))
        with FileLock(made.state / "backfill.lock"):
            said = made.sweep("backfill", "--since", "2d", "--until", "now")

    assert said.code == 75
    assert f"held by process {os.getpid()}" in said.err
