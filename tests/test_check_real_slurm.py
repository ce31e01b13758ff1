"""`cc-spool check --full` with a real Slurm: data that it sees, and data that Slurm hides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from real_site import RealSite
from slurm_lab import Lab, Settings, require_slurm, wait_until

ROOT = Path(__file__).resolve().parent.parent
BOB = 20002
# Imported before the change of user: bob may have no access to the interpreter's directory.
CHECK = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r});"
    " import encodings.idna, spool.preflight.full_check; from spool.cli import main;"
    " sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Run a cluster that hides jobs from ordinary users, in slurmdbd too."""
    require_slurm()
    with Lab(Settings(hooks=ROOT / "hooks", options={"PrivateData": "jobs"})) as cluster:
        with (cluster.root / "etc" / "slurm" / "slurmdbd.conf").open("a") as conf:
            conf.write("PrivateData=jobs\n")
        cluster.dbd.restart()
        yield cluster


@dataclass(frozen=True)
class Site:
    """A site on the cluster's host whose service user is bob."""

    lab: Lab
    config: Path

    def check(self) -> dict[str, dict[str, Any]]:
        """Start the full check as root, as an administrator would; it changes to the user bob."""
        argv = [sys.executable, "-c", CHECK, "check", "--full", "--json", "-c", str(self.config)]
        done = self.lab.run(*argv, check=False)
        assert done.stderr == ""
        return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


@pytest.fixture
def site(lab: Lab) -> Site:
    """Give bob access to spool, state and token, as the installation does."""
    root = lab.root / "site"
    state, token = root / "state", root / "token"
    state.mkdir(parents=True)
    root.chmod(0o755)
    token.write_text("TOKEN:api\n")
    token.chmod(0o640)
    for path in (state, *(lab.spool / name for name in ("todo", "open", "dead", "tmp"))):
        os.chown(path, BOB, BOB)
        path.chmod(0o750)
    os.chown(lab.spool / "new", -1, BOB)
    (lab.spool / "new").chmod(0o2770)
    os.chown(token, -1, BOB)
    config = root / "config.json"
    document = {
        "clustername": "lab",
        "cc-backend": {"host": "http://127.0.0.1:9", "token_file": str(token)},
        "spool": {"directory": str(lab.spool), "state_directory": str(state)},
    }
    config.write_text(json.dumps(document))
    return Site(lab, config)


@pytest.mark.slurm
def test_missing_rights_are_reported_and_an_operator_has_all(site: Site) -> None:
    """PrivateData=jobs hides jobs and accounting from bob without an error until he is Operator."""
    job = site.lab.jobs.sbatch(user="alice", script="sleep 600")
    site.lab.jobs.wait_state(job, "RUNNING")
    wait_until(lambda: bool(site.lab.jobs.accounted(job, "Start")), "accounting to know the job")

    hidden = site.check()
    assert ("CRITICAL", "CRITICAL", "WARNING") == tuple(
        hidden[name]["verdict"] for name in ("jobs seen", "accounting seen", "scripts")
    )
    assert "PrivateData hides other users' jobs from bob" in hidden["jobs seen"]["text"]
    assert "adminlevel=Operator" in hidden["accounting seen"]["hint"]

    site.lab.run("sacctmgr", "-i", "modify", "user", "bob", "set", "adminlevel=Operator")
    shown = site.check()
    assert ("OK", "OK", "OK") == tuple(
        shown[name]["verdict"] for name in ("jobs seen", "accounting seen", "scripts")
    )
    assert f"sacct shows job {job} of alice (bob is Operator)" == shown["accounting seen"]["text"]
    assert "scontrol reads them" in shown["scripts"]["text"]
    assert ("OK", "OK", "OK", "OK") == tuple(
        shown[name]["verdict"]
        for name in ("spool", "PrologSlurmctld", "EpilogSlurmctld", "controller")
    )
    site.lab.jobs.cancel(job)


@pytest.mark.slurm
def test_a_real_drain_is_checked_before_and_during_a_halt(lab: Lab, tmp_path: Path) -> None:
    """Before the halt only five checks are not OK (test setup); the halt is shown within 10 s."""
    for name in ("todo", "open", "dead", "tmp"):
        os.chown(lab.spool / name, 0, 0)
    real = RealSite(lab, "1.5.4", tmp_path)
    document = json.loads(real.config.read_text())
    document["slurm"]["sacctmgr"] = str(lab.command("sacctmgr"))
    real.config.write_text(json.dumps(document))
    with real as site:
        wait_until((site.state / "drain.json").exists, "the drain's first word")
        found = {check["name"]: check for check in run(site, "--full")["checks"]}
        odd = {name for name, check in found.items() if check["verdict"] != "OK"}
        # causes: paths in /tmp, not slurmctld's host, no sweep, no accelerators at cc-backend
        assert odd == {"configuration", "controller", "spool", "sweep", "accelerators"}
        assert "cc-backend has all nodes (6)" == found["hosts"]["text"]

        site.token.write_text("TOKEN:stranger.of.no.use\n")
        job = lab.jobs.sbatch(user="alice", script="sleep 1")
        wait_until(lambda: any(e.status == 401 for e in site.server.log), "the refusal")
        wait_until(lambda: run(site)["verdict"] == "CRITICAL", "the halt to be shown", timeout=10)
        halted = run(site)
        assert "halted" in str(halted)
        lab.jobs.wait_ended(job)


def run(site: RealSite, *options: str) -> Any:
    """Call the command as monitoring does; return its JSON."""
    argv = [sys.executable, "-m", "spool.cli", "check", "--json", *options, "-c", str(site.config)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)
