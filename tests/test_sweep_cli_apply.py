"""`cc-sweep apply` as a shell calls it: first sweep, force, limit, lock, the wait for the drain."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from faulty_slurm import ListedRun
from filelock import FileLock
from sweep_site import drifted, site

HOUR = 3600


def test_apply_repairs_and_the_next_plan_is_empty(tmp_path: Path) -> None:
    """One start and one stop are missing; without a running drain `apply` runs one itself."""
    with site(tmp_path) as made:
        kept, ended, unseen = drifted(made)

        said = made.sweep("apply")

        assert said.code == 0, said.err
        assert made.server.rows() == {
            (7, kept.start): "running",
            (8, ended.start): "failed",
            (9, unseen.start): "completed",
        }
        assert made.sweep("plan").code == 0
        state = json.loads((made.state / "sweep.json").read_text())
    assert (state["refused"], state["guards"]) == (False, [])
    assert state["drift"] == {"start": 1, "stop": 1, "close": 0, "report": 0}
    assert state["mark"] == made.now
    assert state["started"] <= state["finished"]
    assert "sweep: done (repairs: 2)" in said.err


def test_the_first_apply_repairs_nothing(tmp_path: Path) -> None:
    """The first apply stores its time and exits with 11; the second one repairs."""
    with site(tmp_path, mark=False) as made:
        _, ended, _ = drifted(made)

        first = made.sweep("apply", "--json")
        between = made.server.rows()[8, ended.start]
        second = made.sweep("apply")

        assert (first.code, between) == (11, "running")
        assert [guard["name"] for guard in first.json["guards"]] == ["first"]
        assert second.code == 0
        assert made.server.rows()[8, ended.start] == "failed"


def test_force_repairs_in_the_first_sweep(tmp_path: Path) -> None:
    """`--force --stops 1` is enough, because the plan has one stop."""
    with site(tmp_path, mark=False) as made:
        _, ended, _ = drifted(made)

        said = made.sweep("apply", "--force", "--stops", 1)

        assert said.code == 0
        assert made.server.rows()[8, ended.start] == "failed"


def test_a_too_low_number_of_forced_stops_is_refused(tmp_path: Path) -> None:
    """`--stops 29` for 30 stops: exit 2, the right number in the message, and no repair."""
    with site(tmp_path) as made:
        for job in range(100, 130):
            made.run(
                ListedRun(job, made.now - 2 * HOUR, "FAILED", made.now - HOUR, in_squeue=False)
            )
            made.row(job, made.now - 2 * HOUR)

        said = made.sweep("apply", "--force", "--stops", 29)

        assert said.code == 2
        assert "--stops 29 is too low: the plan has 30 stops" in said.err
        assert set(made.server.rows().values()) == {"running"}


def test_a_second_sweep_names_the_process_that_holds_the_lock(tmp_path: Path) -> None:
    """The exit code is 75; the first sweep is not disturbed."""
    with site(tmp_path) as made:
        drifted(made)
        (made.state / "sweep.json").write_text(f'{{"pid": {os.getpid()}, "mark": 1}}')
        with FileLock(made.state / "sweep.lock"):
            said = made.sweep("apply")

        assert said.code == 75
        assert f"sweep.lock is held by process {os.getpid()}" in said.err
        assert "running" in made.server.rows().values()
        assert json.loads((made.state / "sweep.json").read_text())["mark"] == 1


def test_changes_over_the_limit_are_left_and_reported(tmp_path: Path) -> None:
    """The exit code is 75; sweep.json keeps the old time, so the next sweep finds the rest."""
    with site(tmp_path) as made:
        drifted(made)
        made.run(ListedRun(10, made.now - HOUR, "FAILED", made.now - HOUR // 2, in_squeue=False))

        said = made.sweep("apply", "-l", 1)

        assert said.code == 75
        assert "1 change over the limit (--limit), left for the next sweep" in said.out
        assert json.loads((made.state / "sweep.json").read_text())["mark"] == made.now - 600
        assert made.sweep("apply", "--direction", "start").code == 0


def test_undelivered_repairs_are_reported(tmp_path: Path) -> None:
    """Another drain holds the lock and `--wait` is 0: exit 75, `not delivered yet: 2`."""
    with site(tmp_path) as made:
        drifted(made)
        with FileLock(made.state / "drain.lock"):
            said = made.sweep("apply", "--wait", 0)

        assert said.code == 75
        assert "not delivered yet: 2" in said.err
        assert len(made.names("new")) == 2
        assert "nothing to do for: 2 runs already in the spool" in made.sweep("plan").out


def test_a_full_disk_leaves_changes_for_the_next_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two events was written; `apply` exits with 75 and reports the one left."""
    real = os.link
    links: list[str] = []

    def full(source: str, target: str, **places: Any) -> None:
        if links:
            raise OSError(28, "No space left on device")
        links.append(target)
        real(source, target, **places)

    with site(tmp_path) as made:
        drifted(made)
        monkeypatch.setattr(os, "link", full)

        said = made.sweep("apply")

    assert said.code == 75
    assert "new/ cannot be written" in said.err
    assert "left for the next sweep: 1" in said.err
