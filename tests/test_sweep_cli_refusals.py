"""`cc-sweep` changes nothing on incomplete answers, on a standby and without a server."""

from __future__ import annotations

import json
from pathlib import Path

from sweep_site import drifted, site


def test_a_sweep_on_a_standby_controller_changes_nothing(tmp_path: Path) -> None:
    """The exit code is 0; stderr names the active controller, whose own sweep repairs."""
    with site(tmp_path) as made:
        drifted(made)
        before = made.server.rows()
        ping = "Slurmctld(primary) at elsewhere is UP\nSlurmctld(backup) at here is UP\n"
        (made.root / "ping.txt").write_text(ping)

        said = made.sweep("apply")

        assert (said.code, made.server.rows()) == (0, before)
        assert "slurmctld is active on elsewhere" in said.err


def test_without_slurmctld_apply_exits_with_69(tmp_path: Path) -> None:
    """The command scontrol fails, and stderr says that slurmctld does not answer."""
    with site(tmp_path) as made:
        (made.root / "scontrol").write_text("#!/bin/sh\necho 'error: no' >&2\nexit 9\n")

        said = made.sweep("apply")

    assert said.code == 69
    assert "slurmctld does not answer" in said.err


def test_a_truncated_job_list_of_squeue_is_refused(tmp_path: Path) -> None:
    """Exit 11; the state file has the refusal and keeps the stored time of the last sweep."""
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


def test_a_refusal_stays_stored_after_a_sweep_of_one_job(tmp_path: Path) -> None:
    """Only a complete sweep removes the refusal from the state file."""
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


def test_a_token_that_only_graphql_accepts_is_refused(tmp_path: Path) -> None:
    """GraphQL does not check roles; without REST no job list is accepted: exit 77."""
    with site(tmp_path) as made:
        drifted(made)
        made.token.write_text("TOKEN:user\n")

        said = made.sweep("apply", "--json")

    assert said.code == 77
    assert said.json["changes"] == []
    assert [guard["name"] for guard in said.json["guards"]] == ["listing"]


def test_an_unreachable_cc_backend_is_reported(tmp_path: Path) -> None:
    """`plan` exits with 69; the plan has no changes and no counts of running jobs."""
    with site(tmp_path) as made:
        drifted(made)
        made.server.close()

        said = made.sweep("plan", "--json")

        made.server = type(made.server)()
        made.server.__enter__()
    assert (said.code, said.json["changes"]) == (69, [])
    assert said.json["running"] == {"slurm": None, "cc_backend": None}
