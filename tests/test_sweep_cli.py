"""`cc-sweep` as a shell calls it: words in; stdout, stderr and exit code out."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from filelock import FileLock
from lying_slurm import Told
from sweep_site import drifted, site

from sweeper.cli import main

HOUR = 3600
RELEASE = "cc-sweep: Slurm 22.05.8\n"  # told if it is asked for


def test_without_drift_there_is_nothing_to_say(tmp_path: Path) -> None:
    """One line of summary, exit code 0."""
    with site(tmp_path) as made:
        kept = Told(7, made.now - 2 * HOUR)
        made.run(kept)
        made.row(7, kept.start)

        said = made.sweep()

    assert (said.code, said.err.removeprefix(RELEASE)) == (0, "")
    assert said.out == (
        "0 starts, 0 stops, 0 closes, 0 reports; running: 1 in Slurm, 1 at cc-backend\n"
    )


def test_a_plan_is_a_short_table_and_changes_nothing(tmp_path: Path) -> None:
    """Without a verb too; what, job, user, start, and the evidence of each side."""
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
    assert summary.startswith("1 start, 1 stop, 0 closes, 0 reports; ")


def test_a_plan_as_json_has_stable_keys(tmp_path: Path) -> None:
    """For scripts."""
    with site(tmp_path) as made:
        _, ended, _ = drifted(made)

        plan = made.sweep("plan", "--json").json

    assert list(plan) == [
        *("changes", "first_sightings", "held", "reports", "refused", "guards"),
        *("known", "left", "drift", "running"),
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


def test_applying_repairs_and_the_next_plan_is_empty(tmp_path: Path) -> None:
    """Where no drain is running, apply drains once itself."""
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
    assert "sweep: done, 2 applied" in said.err


def test_the_first_apply_ever_only_looks(tmp_path: Path) -> None:
    """It sets the mark and exits 11; the second one acts."""
    with site(tmp_path, mark=False) as made:
        _, ended, _ = drifted(made)

        first = made.sweep("apply", "--json")
        between = made.server.rows()[8, ended.start]
        second = made.sweep("apply")

        assert (first.code, between) == (11, "running")
        assert [guard["name"] for guard in first.json["guards"]] == ["first"]
        assert second.code == 0
        assert made.server.rows()[8, ended.start] == "failed"


def test_force_skips_the_wait_of_the_first_sweep(tmp_path: Path) -> None:
    """If the number is right."""
    with site(tmp_path, mark=False) as made:
        _, ended, _ = drifted(made)

        said = made.sweep("apply", "--force", "--stops", 1)

        assert said.code == 0
        assert made.server.rows()[8, ended.start] == "failed"


def test_a_forced_number_that_is_too_small_is_refused(tmp_path: Path) -> None:
    """With the right one in the message; nothing is done."""
    with site(tmp_path) as made:
        for job in range(100, 130):
            made.run(Told(job, made.now - 2 * HOUR, "FAILED", made.now - HOUR, in_squeue=False))
            made.row(job, made.now - 2 * HOUR)

        said = made.sweep("apply", "--force", "--stops", 29)

        assert said.code == 2
        assert "--stops 29 is too low, 30 stops are planned" in said.err
        assert set(made.server.rows().values()) == {"running"}


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
def test_bad_input_is_a_clear_line_and_exit_2(
    tmp_path: Path, words: list[str], message: str
) -> None:
    """And nothing is done."""
    with site(tmp_path) as made:
        said = made.sweep(*words)

    assert said.code == 2
    assert message in said.err
    assert said.out == ""


def test_one_job_is_looked_at_alone(tmp_path: Path) -> None:
    """And repaired alone; the mark stays."""
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


def test_a_second_sweep_says_who_holds_the_lock(tmp_path: Path) -> None:
    """Exit 75; the first is not disturbed."""
    with site(tmp_path) as made:
        drifted(made)
        (made.state / "sweep.json").write_text(f'{{"pid": {os.getpid()}, "mark": 1}}')
        with FileLock(made.state / "sweep.lock"):
            said = made.sweep("apply")

        assert said.code == 75
        assert f"sweep.lock is held by process {os.getpid()}" in said.err
        assert "running" in made.server.rows().values()
        assert json.loads((made.state / "sweep.json").read_text())["mark"] == 1


def test_on_a_standby_controller_nothing_is_done(tmp_path: Path) -> None:
    """The sweep on the active one acts."""
    with site(tmp_path) as made:
        drifted(made)
        before = made.server.rows()
        ping = "Slurmctld(primary) at elsewhere is UP\nSlurmctld(backup) at here is UP\n"
        (made.root / "ping.txt").write_text(ping)

        said = made.sweep("apply")

        assert (said.code, made.server.rows()) == (0, before)
        assert "slurmctld is active on elsewhere" in said.err


def test_without_a_controller_nothing_is_done(tmp_path: Path) -> None:
    """Exit 69."""
    with site(tmp_path) as made:
        (made.root / "scontrol").write_text("#!/bin/sh\necho 'error: no' >&2\nexit 9\n")

        said = made.sweep("apply")

    assert said.code == 69
    assert "slurmctld does not answer" in said.err


def test_a_cut_answer_is_refused_and_stays_visible(tmp_path: Path) -> None:
    """In the state, until a sweep is clean."""
    with site(tmp_path) as made:
        drifted(made)
        listing = made.root / "squeue.txt"
        listing.write_text(listing.read_text()[:-3])

        said = made.sweep("apply")
        state = json.loads((made.state / "sweep.json").read_text())

    assert said.code == 11
    assert "no complete answer from slurmctld (cut)" in said.err
    assert (state["refused"], state["guards"]) == (True, ["slurm"])
    assert state["mark"] == made.now - 600


def test_a_refusal_is_not_hidden_by_a_sweep_of_one_job(tmp_path: Path) -> None:
    """Only a sweep of all is clean."""
    with site(tmp_path) as made:
        drifted(made)
        listing = made.root / "squeue.txt"
        listing.write_text(listing.read_text()[:-3])
        made.sweep("apply")
        made.say()

        assert made.sweep("apply", "-j", 8).code == 0
        after_one = json.loads((made.state / "sweep.json").read_text())
        made.sweep("apply")
        after_all = json.loads((made.state / "sweep.json").read_text())

    assert (after_one["refused"], after_one["guards"]) == (True, ["slurm"])
    assert (after_all["refused"], after_all["guards"]) == (False, [])


def test_a_token_that_rest_refuses_sees_an_empty_cluster_and_does_nothing(tmp_path: Path) -> None:
    """GraphQL does not look at roles; no listing is believed without REST: exit 77."""
    with site(tmp_path) as made:
        drifted(made)
        made.token.write_text("TOKEN:user\n")

        said = made.sweep("apply", "--json")

    assert said.code == 77
    assert said.json["changes"] == []
    assert [guard["name"] for guard in said.json["guards"]] == ["listing"]


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    """Exit 69; nothing is planned."""
    with site(tmp_path) as made:
        drifted(made)
        made.server.close()

        said = made.sweep("plan", "--json")

        made.server = type(made.server)()
        made.server.__enter__()
    assert (said.code, said.json["changes"]) == (69, [])
    assert said.json["running"] == {"slurm": None, "cc_backend": None}


def test_a_limit_leaves_work_and_says_so(tmp_path: Path) -> None:
    """Exit 75; the mark stays for the rest."""
    with site(tmp_path) as made:
        drifted(made)
        made.run(Told(10, made.now - HOUR, "FAILED", made.now - HOUR // 2, in_squeue=False))

        said = made.sweep("apply", "-l", 1)

        assert said.code == 75
        assert "1 left for the next sweep" in said.out
        assert json.loads((made.state / "sweep.json").read_text())["mark"] == made.now - 600
        assert made.sweep("apply", "--direction", "start").code == 0


def test_what_the_drain_cannot_tell_yet_waits(tmp_path: Path) -> None:
    """A running drain is waited for, as long as was said."""
    with site(tmp_path) as made:
        drifted(made)
        with FileLock(made.state / "drain.lock"):
            said = made.sweep("apply", "--wait", 0)

        assert said.code == 75
        assert "changes pending in the spool: 2" in said.err
        assert len(made.names("new")) == 2
        assert "nothing to do for: 2 already in the spool" in made.sweep("plan").out


def test_on_a_terminal_the_wait_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And wiped away; never where NO_COLOR is set."""
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


def test_progress_on_a_terminal_is_silent_for_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colour and bars can be switched off."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with site(tmp_path) as made:
        kept = Told(7, made.now - 2 * HOUR)
        made.run(kept)
        made.row(7, kept.start)

        shown = made.sweep("plan", terminal=True)
        monkeypatch.setenv("NO_COLOR", "1")
        plain = made.sweep("plan", terminal=True)

    assert (shown.code, plain.code, plain.err.removeprefix(RELEASE)) == (0, 0, "")
    assert "squeue" not in shown.err


def test_a_full_spool_is_told_and_left_for_the_next_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is applied."""
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


def test_help_and_version_need_no_verb(tmp_path: Path) -> None:
    """All verbs are named."""
    with site(tmp_path) as made:
        shown, version = call("--help", program=main), call("--version", program=main)
        assert made.sweep("--version").code == 0

    assert (shown.code, version.code) == (0, 0)
    assert {"plan", "apply", "explain", "backfill"} <= set(shown.out.split())


def test_filters_leave_runs_out(tmp_path: Path) -> None:
    """By partition, or where all hosts are ignored."""
    with site(tmp_path) as made:
        _, _, unseen = drifted(made)
        made.document["ignoreHosts"] = "^n1$"
        made.document["partition_clusters"] = {"other": "fritz"}
        made.write()

        plan = made.sweep("plan", "--json").json

        assert unseen.job_id == 9
    assert [change["job_id"] for change in plan["changes"]] == [8]
    assert plan["known"] == {"unreported": 1}


def test_an_account_without_a_name_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container; where Slurm hides nothing it does not matter."""
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    with site(tmp_path) as made:
        said = made.sweep("plan")

    assert said.code == 0, said.err


def test_the_module_is_a_program_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the tests and a bare checkout call it."""
    monkeypatch.setattr("sys.argv", ["cc-sweep", "--version"])

    with pytest.warns(RuntimeWarning, match="found in sys.modules"), pytest.raises(SystemExit):
        runpy.run_module("sweeper.cli", run_name="__main__")
