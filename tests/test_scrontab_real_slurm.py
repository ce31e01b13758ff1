"""Runs that Slurm requeues after they ended by themselves, on a real Slurm.

Slurm requeues a job of scrontab under the same id after every run, and a job with an exit code of
`RequeueExit` once; accounting calls such a run REQUEUED. The hooks report the first runs; only a
sweep finds the next ones of scrontab, as if the hooks had not run; one of them was requeued by
hand. Debian 12 has no `scrontab` command.
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

ROOT = Path(__file__).parents[1]
TABLE = """\
#SCRON -J good -n1
* * * * * /bin/sleep 2
#SCRON -J bad -n1
* * * * * exit 3
#SCRON -J long -n1
* * * * * /bin/sleep 30
"""
STATES = {"good": "completed", "bad": "failed", "long": "completed"}
SWEPT = {**STATES, "long": "cancelled"}
OPTIONS = {"ScronParameters": "enable", "RequeueExit": "7"}
pytestmark = pytest.mark.slurm


@dataclass
class Story:
    """The jobs of scrontab by name, ended rows by job after each part, and their explanations."""

    jobs: dict[str, int] = field(default_factory=dict)
    requeued: int = 0
    by_hooks: dict[int, list[str]] = field(default_factory=dict)
    by_sweep: dict[int, list[str]] = field(default_factory=dict)
    explained: dict[str, dict[str, Any]] = field(default_factory=dict)


@pytest.fixture(scope="module", params=RELEASES)
def story(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Story]:
    """Run the jobs, and run those of scrontab again without a hook or a drain."""
    require_slurm()
    root = tmp_path_factory.mktemp("scrontab")
    settings = Settings(hooks=ROOT / "hooks", options=OPTIONS, tree=require_tree(request.param))
    with Lab(settings) as lab, RealSite(lab, "1.4.4", root) as site:
        document = json.loads(site.config.read_text())
        site.config.write_text(json.dumps({**document, "sweep": {"grace_seconds": 1}}))
        yield live_through(lab, site)


def live_through(lab: Lab, site: RealSite) -> Story:
    """Run the jobs and return what the site has recorded about them."""
    story = Story()
    sweep(site, "apply")  # sets its mark
    story.requeued = lab.jobs.sbatch("-n1", "--requeue", script="sleep 1; exit 7")
    if lab.settings.tree is not None:
        lab.run("scrontab", "-", user="alice", stdin=TABLE)
        words = lab.run("squeue", "-h", "-t", "PD", "-o", "%i %j").stdout.split()
        found = dict(zip(words[1::2], words[::2], strict=True))
        story.jobs = {name: int(found[name]) for name in STATES}
    story.by_hooks = wait_ended(site, (story.requeued, *story.jobs.values()), runs=1)
    if story.jobs:
        run_unseen(lab, site, story)
    return story


def run_unseen(lab: Lab, site: RealSite, story: Story) -> None:
    """Run the scrontab jobs again, delete their events and rows, and let a sweep find the runs."""
    site.stop_drain()
    lab.jobs.wait_state(story.jobs["long"], "RUNNING", timeout=90)
    lab.jobs.control("requeue", story.jobs["long"])
    for job in story.jobs.values():
        wait_second_run(lab, job)
    for event in (lab.spool / "new").iterdir():
        event.unlink()
    site.server.model.job.clear()
    site.start_drain()
    time.sleep(1.2)  # the grace of this site
    sweep(site, "apply")
    story.by_sweep = wait_ended(site, tuple(story.jobs.values()), runs=1)
    story.explained = {
        name: json.loads(sweep(site, "explain", str(job), "--json"))
        for name, job in story.jobs.items()
    }


def wait_second_run(lab: Lab, job: int) -> None:
    """Wait until accounting has the ends of two runs of a job."""

    def is_over() -> bool:
        return sum(end.isdigit() for (end,) in lab.jobs.accounted(job, "End")) > 1

    wait_until(is_over, f"the end of the second run of {job}", timeout=150)


def sweep(site: RealSite, *words: str) -> str:
    """Call `cc-sweep` and return what it prints."""
    argv = [sys.executable, "-m", "sweeper.cli", *words, "-c", str(site.config)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    print(words, done.returncode, done.stdout, done.stderr)  # shown with a failure
    return done.stdout


def wait_ended(site: RealSite, jobs: tuple[int, ...], *, runs: int) -> dict[int, list[str]]:
    """Return the states of the ended rows of jobs when each job has `runs` of them."""

    def found() -> dict[int, list[str]]:
        states = {job: [row["jobState"] for row in site.rows(job)] for job in jobs}
        return {job: [each for each in own if each != "running"] for job, own in states.items()}

    wait_until(
        lambda: all(len(own) >= runs for own in found().values()),
        f"{runs} ended runs of each of {jobs}",
        timeout=150,
    )
    return found()


def test_a_run_requeued_for_its_exit_code_has_failed(story: Story) -> None:
    """The job was not interrupted (`RequeueExit=7`): its epilog has the prolog's restart count."""
    assert ["failed"] == story.by_hooks[story.requeued]


def test_a_run_of_scrontab_has_its_own_end_state(story: Story) -> None:
    """The row of a run is completed or failed, and not cancelled as after an interruption."""
    for name, job in story.jobs.items():
        assert {STATES[name]} == set(story.by_hooks[job])


def test_a_scrontab_run_that_a_sweep_finds_has_its_own_end_state(story: Story) -> None:
    """The state follows from accounting's exit code and batch step, and the controller's flag."""
    for name, job in story.jobs.items():
        assert {SWEPT[name]} == set(story.by_sweep[job])


def test_a_job_of_scrontab_is_explained_with_its_runs_end_states(story: Story) -> None:
    """`cc-sweep explain` shows REQUEUED only for the run that was requeued by hand."""
    for name, page in story.explained.items():
        states = {run["state"] for run in page["slurm"]["accounting"]}
        assert {STATES[name].upper()} == states - {"RUNNING", "REQUEUED"}
        assert (name == "long") == ("REQUEUED" in states)
