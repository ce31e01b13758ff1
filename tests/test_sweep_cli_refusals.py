"""`cc-sweep` does nothing on incomplete answers, on a standby and without a server."""

from __future__ import annotations

import json
from pathlib import Path

from sweep_site import drifted, site


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
