"""Site configurations on a real Slurm: odd definitions, typed GPUs, multi-line comments.

One cluster per release has all of it at once. Some jobs run while the drain runs; others run and
end while it is stopped, their events are lost and slurmctld forgets them, so a sweep finds them
only in accounting.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from real_site import RealSite
from slurm_lab import RELEASES, Lab, Settings, require_slurm, require_tree, wait_until

from slurm.cluster_survey import ClusterSurvey
from slurm.commands import CommandPaths
from slurm.process import ProcessRunner

ROOT = Path(__file__).parents[1]
GPU_TYPE = "1g.10gb+me"
COMMENT = '[\n  {\n    "name": "hpc-1",\n    "spot": false\n  }\n]'
FLAG = "disable_cc_submission"
OPTIONS = {
    # more CPUs than the node can have: every client of 22.05 prints an error about it
    "NodeName": "odd001 NodeHostname=ctl01 Port=17031 CPUs=13 Sockets=2 CoresPerSocket=4"
    " ThreadsPerCore=2 State=DOWN",
    "GresTypes": "gpu,bandwidth",
    "AccountingStorageTRES": f"gres/gpu:{GPU_TYPE}",
    "MinJobAge": "2",
}
GPUS = ("-p", "gpu", "-n1", "--gres=gpu:2")
pytestmark = pytest.mark.slurm


@dataclass
class Story:
    """The jobs by name, their rows at the server, and what the check and the survey say."""

    jobs: dict[str, int] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    stderr: str = ""
    warnings: list[str] = field(default_factory=list)
    node_gres: set[tuple[str, int]] = field(default_factory=set)
    backfilled: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module", params=RELEASES)
def story(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Story]:
    """Run the jobs on one release and return what the site has recorded about them."""
    require_slurm()
    settings = Settings(
        hooks=ROOT / "hooks",
        options=OPTIONS,
        tree=require_tree(request.param),
        gpu_type=GPU_TYPE,
        more_gres="bandwidth:no_consume:4G",
    )
    with Lab(settings) as lab, RealSite(lab, "1.4.4", tmp_path_factory.mktemp("site")) as site:
        document = json.loads(site.config.read_text()) | {"sweep": {"grace_seconds": 1}}
        site.config.write_text(json.dumps(document))
        yield live_through(lab, site)


def live_through(lab: Lab, site: RealSite) -> Story:
    """Run jobs while the drain runs, then without it."""
    story = Story()
    call(site, "sweeper", "apply")  # sets its mark
    story.jobs = submit(lab, "seen")
    site.wait_closed(*(story.jobs[f"seen {name}"] for name in ("plain", "commented", "gpus")))
    story.stderr = lab.run("squeue", "--version").stderr
    checks = json.loads(call(site, "spool", "check", "--json"))["checks"]
    story.warnings = [each["text"] for each in checks if each["name"] == "drain warning"]
    run_unseen(lab, site, story)
    story.rows = {name: site.rows(job) for name, job in story.jobs.items()}
    names = ("squeue", "sacct", "scontrol")
    paths = CommandPaths(**{name: lab.command(name) for name in names}, conf=lab.conf)
    survey = ClusterSurvey(paths, lab.command("sacctmgr"), ProcessRunner())
    story.node_gres = {(kind, n) for node in survey.nodes() for kind, _, n in node.devices}
    return story


def submit(lab: Lab, when: str) -> dict[str, int]:
    """Submit the jobs held, and release them when all have their comments."""
    found = {
        "plain": lab.jobs.sbatch("--hold", "-n1", script="sleep 2"),
        "commented": lab.jobs.sbatch("--hold", "-n1", script="sleep 2"),
        "gpus": lab.jobs.sbatch("--hold", *GPUS, script="sleep 2"),
        "hidden by the site": lab.jobs.sbatch("--hold", "-n1", script="sleep 2"),
        "hidden by its user": lab.jobs.sbatch("--hold", "-n1", f"--comment={FLAG}"),
        "hidden on a line": lab.jobs.sbatch("--hold", "-n1", script="sleep 2"),
    }
    texts = {"commented": COMMENT, "hidden by the site": FLAG, "hidden on a line": f"x\n{FLAG}"}
    for name, text in texts.items():
        lab.run("scontrol", "update", f"JobId={found[name]}", f"AdminComment={text}")
    for job in found.values():
        lab.jobs.control("release", job)
    return {f"{when} {name}": job for name, job in found.items()}


def run_unseen(lab: Lab, site: RealSite, story: Story) -> None:
    """Run jobs that only accounting knows at the end, then sweep and backfill."""
    site.stop_drain()
    jobs = submit(lab, "unseen")
    story.jobs |= jobs
    for job in jobs.values():
        lab.jobs.wait_accounted(job)
    wait_until(lambda: not any(map(lab.jobs.states, jobs.values())), "slurmctld to forget them")
    for event in (lab.spool / "new").iterdir():
        event.unlink()
    site.start_drain()
    time.sleep(1.2)  # the grace of this site
    call(site, "sweeper", "apply")
    window = ("--since", "1d", "--until", "now")
    story.backfilled = json.loads(call(site, "sweeper", "backfill", *window, "--json"))
    site.wait_closed(*(jobs[f"unseen {name}"] for name in ("plain", "commented", "gpus")))


def call(site: RealSite, package: str, *words: str) -> str:
    """Call one of the commands and return what it prints."""
    argv = [sys.executable, "-m", f"{package}.cli", *words, "-c", str(site.config)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    print(words, done.returncode, done.stdout, done.stderr)  # shown with a failure
    return done.stdout


@pytest.mark.parametrize("when", ["seen", "unseen"])
@pytest.mark.parametrize("name", ["plain", "commented", "gpus"])
def test_each_job_is_reported_as_completed(story: Story, when: str, name: str) -> None:
    """Slurm prints error lines, and an administrator's comment may have several lines."""
    assert ["completed"] == [row["jobState"] for row in story.rows[f"{when} {name}"]]


@pytest.mark.parametrize("when", ["seen", "unseen"])
@pytest.mark.parametrize("name", ["hidden by the site", "hidden by its user", "hidden on a line"])
def test_no_excluded_job_is_reported(story: Story, when: str, name: str) -> None:
    """Drain, sweep and backfill exclude a job that has the opt-out flag in a comment."""
    assert [] == story.rows[f"{when} {name}"]
    assert 0 == story.backfilled["queued"]


@pytest.mark.parametrize("when", ["seen", "unseen"])
def test_gpus_are_counted_where_accounting_has_only_counts_by_type(story: Story, when: str) -> None:
    """The GPU type has dots and a plus sign."""
    (row,) = story.rows[f"{when} gpus"]

    assert 2 == row["numAcc"]


def test_the_addresses_of_both_gpus_are_reported(story: Story) -> None:
    """The job was queried while it ran; its GPU type has dots and a plus sign."""
    (row,) = story.rows["seen gpus"]

    assert 2 == len(row["resources"][0]["accelerators"])


@pytest.mark.parametrize("name", ["plain", "commented"])
def test_a_job_that_only_accounting_knows_shares_its_node(story: Story, name: str) -> None:
    """The job used two threads of sixteen, so that its row is not exclusive."""
    (row,) = story.rows[f"unseen {name}"]

    assert 0 == row["exclusive"]


def test_all_gres_of_a_node_are_read(story: Story) -> None:
    """The GPU type has a plus sign; the GRES `bandwidth` has no devices."""
    assert {("gpu", 4), ("bandwidth", 4 << 30)} == story.node_gres


def test_errors_that_slurms_commands_print_are_drain_warnings(story: Story) -> None:
    """`cc-spool check` shows the errors; only some releases print one."""
    lines = [line for line in story.stderr.splitlines() if "error" in line]
    expected = [line.partition("error: ")[2] for line in lines]

    assert expected == [text.partition("error: ")[2] for text in story.warnings]
