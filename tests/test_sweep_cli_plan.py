"""`cc-sweep plan` as a shell calls it: table, JSON, filters, one job, progress, bad input."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path

import pytest
from command_line import call
from faulty_slurm import ListedRun
from filelock import FileLock
from sweep_site import drifted, site

from sweeper.cli import main

HOUR = 3600
RELEASE = "cc-sweep: Slurm 22.05.8\n"  # logged when the version is queried


def test_a_plan_without_differences_is_one_line(tmp_path: Path) -> None:
    """The line has the running jobs of Slurm and cc-backend; the exit code is 0."""
    with site(tmp_path) as made:
        kept = ListedRun(7, made.now - 2 * HOUR)
        made.run(kept)
        made.row(7, kept.start)

        said = made.sweep()

    assert (said.code, said.err.removeprefix(RELEASE)) == (0, "")
    assert said.out == ("nothing to repair; running: 1 in Slurm, 1 at cc-backend\n")


def test_a_plan_is_a_short_table_and_changes_nothing(tmp_path: Path) -> None:
    """`plan` is the default command; the table has action, job, user, times and evidence."""
    with site(tmp_path) as made:
        drifted(made)
        before = made.everything()

        said = made.sweep("plan")

        assert made.sweep() == said
        assert made.everything() == before
    assert said.code == 10
    head, stop, start, summary = said.out.splitlines()
    assert head.split() == ["what", "job", "user", "start", "end", "why"]
    assert stop.split()[:3] == ["stop", "8", "ada"]
    assert stop.endswith("FAILED according to accounting, still running at cc-backend")
    assert start.split()[:3] == ["start", "9", "ada"]
    assert summary.startswith("1 missing start, 1 missing stop; ")


def test_a_plan_as_json_has_stable_keys(tmp_path: Path) -> None:
    """Scripts read the keys, for example changes, held, reports and guards."""
    with site(tmp_path) as made:
        _, ended, _ = drifted(made)

        plan = made.sweep("plan", "--json").json

    assert list(plan) == [
        *("changes", "first_sightings", "held", "reports", "refused", "guards"),
        *("known", "left", "drift", "running", "ends_read_until"),
    ]
    assert plan["changes"][0] == {
        "what": "stop",
        "job_id": 8,
        "start": ended.start,
        "user": "ada",
        "why": "FAILED according to accounting, still running at cc-backend",
        "end": ended.end,
        "state": "FAILED",
        "proof": "accounting",
    }
    assert plan["running"] == {"slurm": 1, "cc_backend": 2}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "0"], "expected a number above 0 such as 4711, got '0'"),
        (["-l", "many"], "expected a number above 0 such as 4711, got 'many'"),
        (["-j", "x"], "expected a number above 0 such as 4711, got 'x'"),
        (["--direction", "up"], "unknown value 'up'"),
        (["apply", "--force"], "give --force and --stops N together, or neither"),
        (["apply", "--stops", "3"], "give --force and --stops N together, or neither"),
        (["apply", "--force", "--stops", "0"], "expected a number above 0 such as 4711, got '0'"),
        (["plan", "--force"], "unknown argument --force"),
        (["plan", "-j", "4711"], "job 4711 is unknown"),
        (["apply", "-j", "4711"], "job 4711 is unknown"),
        (["explain", "4711"], "job 4711 is unknown"),
        (["explain", "seven"], "expected a number above 0 such as 4711, got 'seven'"),
        (["backfill", "--since", "2d"], "--until"),
        (
            ["backfill", "--since", "1d", "--until", "2d"],
            "must be in the past and before --until 2d",
        ),
        (["backfill", "--since", "yesterday", "--until", "now"], "got 'yesterday'"),
        (["backfill", "--since", "2026-02-30", "--until", "now"], "got '2026-02-30'"),
        (["backfill", "--since", "2d", "--until", "now", "--monitoring-status", "2"], "unknown"),
    ],
)
def test_bad_arguments_exit_with_2(tmp_path: Path, words: list[str], message: str) -> None:
    """The message on stderr names the argument or the unknown job; stdout is empty."""
    with site(tmp_path) as made:
        said = made.sweep(*words)

    assert said.code == 2
    assert message in said.err
    assert said.out == ""


def test_only_the_given_jobs_are_planned_and_repaired(tmp_path: Path) -> None:
    """After `-j` the stored time of the last sweep stays for the next complete sweep."""
    with site(tmp_path) as made:
        _, ended, unseen = drifted(made)

        plan = made.sweep("plan", "-j", 8, "--json").json
        said = made.sweep("apply", "-j", 8, "-j", 9)

        assert [change["job_id"] for change in plan["changes"]] == [8]
        assert said.code == 0, said.err
        assert made.server.rows()[8, ended.start] == "failed"
        assert made.server.rows()[9, unseen.start] == "completed"
        state = json.loads((made.state / "sweep.json").read_text())
    assert state["mark"] == made.now - 600
    assert list(state["stops_queued"]) == [f"8-{ended.start}"]
    assert list(state["starts_queued"]) == [f"9-{unseen.start}"]


def test_the_wait_for_the_drain_is_shown_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`apply --wait` shows how many changes are left; with NO_COLOR this is not shown."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with site(tmp_path) as made:
        drifted(made)
        with FileLock(made.state / "drain.lock"):
            said = made.sweep("apply", "--wait", 0, terminal=True)
            monkeypatch.setenv("NO_COLOR", "")
            plain = made.sweep("apply", "--wait", 0, terminal=True)

        assert "waiting for the drain: 2 to deliver" in said.err
        assert "waiting for the drain" not in plain.err
        assert made.sweep("apply", terminal=True).code == 0


def test_a_fast_plan_shows_no_progress_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that takes less than a second shows no step; NO_COLOR switches progress off."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with site(tmp_path) as made:
        kept = ListedRun(7, made.now - 2 * HOUR)
        made.run(kept)
        made.row(7, kept.start)

        shown = made.sweep("plan", terminal=True)
        monkeypatch.setenv("NO_COLOR", "1")
        plain = made.sweep("plan", terminal=True)

    assert (shown.code, plain.code, plain.err.removeprefix(RELEASE)) == (0, 0, "")
    assert "squeue" not in shown.err


def test_help_and_version_need_no_command(tmp_path: Path) -> None:
    """`cc-sweep --help` names the commands plan, apply, explain and backfill."""
    with site(tmp_path) as made:
        shown, version = call("--help", program=main), call("--version", program=main)
        assert made.sweep("--version").code == 0

    assert (shown.code, version.code) == (0, 0)
    assert {"plan", "apply", "explain", "backfill"} <= set(shown.out.split())


def test_runs_on_ignored_hosts_are_not_started(tmp_path: Path) -> None:
    """All hosts of the run match ignoreHosts: the plan counts it as unreported."""
    with site(tmp_path) as made:
        _, _, unseen = drifted(made)
        made.document["ignoreHosts"] = "^n1$"
        made.document["partition_clusters"] = {"other": "fritz"}
        made.write()

        plan = made.sweep("plan", "--json").json

        assert unseen.job_id == 9
    assert [change["job_id"] for change in plan["changes"]] == [8]
    assert plan["known"] == {"unreported": 1}


def test_a_user_id_without_a_name_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container the process can have such a user id; this Slurm hides no jobs from it."""
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    with site(tmp_path) as made:
        said = made.sweep("plan")

    assert said.code == 0, said.err


def test_the_module_sweeper_cli_can_be_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests and a checkout that is not installed call `python -m sweeper.cli`."""
    monkeypatch.setattr("sys.argv", ["cc-sweep", "--version"])

    with pytest.warns(RuntimeWarning, match="found in sys.modules"), pytest.raises(SystemExit):
        runpy.run_module("sweeper.cli", run_name="__main__")
