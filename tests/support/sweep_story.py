"""Drift of every kind on a real Slurm cluster, and the sweeps that repair it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from real_site import RealSite
from slurm_lab import Lab, wait_until

ROOT = Path(__file__).parents[2]
FIRST_ID = 900
OLDER = """#!/bin/sh
{scontrol} "$@" > {root}/scontrol.out 2> {root}/scontrol.err
code=$?
cat {root}/scontrol.err >&2
awk '/^BOOT_TIME/ {{ $NF = $NF - 3600 }} {{ print }}' {root}/scontrol.out
exit $code
"""


@dataclass
class Swept:
    """The exit code and the output of a sweep."""

    code: int
    plan: dict[str, Any]
    err: str


@dataclass
class Story:
    """A cluster, its jobs by name, and the output of the sweeps by name."""

    lab: Lab
    site: RealSite
    jobs: dict[str, int] = field(default_factory=dict)
    sweeps: dict[str, Swept] = field(default_factory=dict)

    def sweep(self, name: str, *words: str) -> Swept:
        """Call `cc-sweep` and keep its output."""
        argv = [sys.executable, "-m", "sweeper.cli", *words, "-c", str(self.site.config), "--json"]
        said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        plan = json.loads(said.stdout) if said.stdout else {}
        self.sweeps[name] = Swept(said.returncode, plan, said.stderr)
        return self.sweeps[name]

    def submit(self, name: str, *options: str, script: str = "sleep 600") -> int:
        """Submit a job under a name."""
        self.jobs[name] = self.lab.jobs.sbatch(*options, script=script)
        return self.jobs[name]

    def ids(self) -> set[int]:
        """Return all job ids so far, those of tasks and components too."""
        return {*self.jobs.values(), *(key[0] for key in self.site.server.model.job)}


def planned(swept: Swept) -> dict[int, list[str]]:
    """Return what a plan would do, by job id."""
    found: dict[int, list[str]] = {}
    for change in swept.plan["changes"]:
        found.setdefault(change["job_id"], []).append(change["what"])
    return found


def age(site: RealSite, root: Path) -> None:
    """Make the controller look older, and make every run old enough to be repaired."""
    older = root / "scontrol"
    older.write_text(OLDER.format(scontrol=site.lab.command("scontrol"), root=root))
    older.chmod(0o755)
    document = json.loads(site.config.read_text())
    document["slurm"]["scontrol"] = str(older)
    document["sweep"] = {"grace_seconds": 1}
    site.config.write_text(json.dumps(document))


def play(story: Story) -> None:
    """Run the whole story: make drift and repair it, three times."""
    lab, site = story.lab, story.site
    for name in ("kept", "deleted", "ends", "cancelled", "requeued", "suspended"):
        story.submit(name, "-n1", "--requeue")
    story.submit("node dies", "-n1", "-p", "gpu", "-w", "n2gpu01")
    site.wait_running(*story.jobs.values())
    site.stop_drain()
    story.submit("no drain", "-n1")
    lab.jobs.wait_ended(story.submit("no drain, over", "-n1", script="true"))
    ended = time.time()  # a job that ends in the second of the first sweep is not history
    wait_until(lambda: time.time() > ended + 2, "the first sweep to be later")
    story.sweep("first", "apply")
    lose_hooks(story)
    run_again(story)
    lose_accounting(story)
    wrap_ids_with_slow_hooks(story)
    for name, states in EXPLAINED.items():
        wait_rows(story, story.jobs[name], states)
        story.sweep(f"explain {name}", "explain", str(story.jobs[name]))
    forget(story)


def forget(story: Story) -> None:
    """Remove rows of ended jobs from the server, and restore one job, then the history."""
    for name in ("ends", "unseen", "unseen, over"):
        remove_rows(story, name)
    story.sweep("one job", "apply", "-j", str(story.jobs["ends"]))
    history = ("backfill", "--since", "1d", "--until", "now")
    story.sweep("history, counted", *history, "--dry-run")
    story.sweep("history", *history)
    story.sweep("history again", *history)


def lose_hooks(story: Story) -> None:
    """Make drift that no hook reports."""
    lab = story.lab
    lab.set_hooks(None, None)
    for name in ("deleted", "suspended"):
        remove_rows(story, name)
    lab.jobs.control("suspend", story.jobs["suspended"])
    lab.jobs.control("requeue", story.jobs["requeued"])
    for name in ("ends", "cancelled"):
        lab.jobs.cancel(story.jobs[name])
    lab.fail_node("n2gpu01")
    story.submit("unseen", "-n1")
    story.submit("unseen, over", "-n1", script="true")
    story.submit("array", "-n1", "--array=0-2")
    story.submit("het", "-n1", ":", "-n1", "-p", "cpu")
    for name in ("unseen", "array", "het"):
        lab.jobs.wait_state(story.jobs[name], "RUNNING")
    for name in ("ends", "cancelled", "unseen, over"):
        lab.jobs.wait_accounted(story.jobs[name])
        wait_purged(story, name)
    for name, job in story.jobs.items():  # pytest shows this output if a test fails
        print(
            name, lab.jobs.accounted(job, "JobIDRaw", "State", "Start", "End", "NodeList", "User")
        )
    story.sweep("lost hooks", "plan")
    repair(story, "lost hooks")


def run_again(story: Story) -> None:
    """Start the second run of jobs whose first run was requeued."""
    story.lab.resume_node("n2gpu01")
    for name in ("requeued", "node dies"):
        story.lab.jobs.start_now(story.jobs[name])
    repair(story, "run again")


def lose_accounting(story: Story) -> None:
    """Let a job end while slurmdbd is stopped."""
    lab = story.lab
    lab.dbd.stop()
    lab.jobs.cancel(story.jobs["unseen"])
    lab.jobs.wait_ended(story.jobs["unseen"])
    wait_purged(story, "unseen")
    story.sweep("no accounting", "apply")
    lab.dbd.start()
    lab.jobs.wait_accounted(story.jobs["unseen"])
    repair(story, "accounting again")


def wrap_ids_with_slow_hooks(story: Story) -> None:
    """Make job ids wrap, and let slow hooks keep jobs CONFIGURING and COMPLETING."""
    lab = story.lab
    slow = lab.root / "slow"
    slow.write_text("#!/bin/sh\nexec /bin/sleep 15\n")
    slow.chmod(0o755)
    lab.configure({"FirstJobId": str(FIRST_ID), "MaxJobId": str(max(story.ids()) + 1)})
    lab.set_hooks(slow, slow)
    story.submit("last id", "-n1", "-H")
    lab.jobs.cancel(story.jobs["last id"])
    stranger = (story.submit("wrapped", "-n1"), "lab", int(time.time()) - 2 * 86400)
    row = {**story.site.rows(story.jobs["kept"])[0], "jobId": stranger[0], "id": 999}
    story.site.server.model.job[stranger] = {**row, "startTime": stranger[2]}
    lab.jobs.wait_state(story.jobs["wrapped"], "CONFIGURING")
    lab.jobs.cancel(story.jobs["kept"])
    lab.jobs.wait_state(story.jobs["kept"], "COMPLETING")
    lab.jobs.wait_accounted(story.jobs["kept"])
    time.sleep(1)  # the grace of this site
    story.sweep("slow", "apply")
    lab.jobs.wait_state(story.jobs["wrapped"], "RUNNING")
    kept = story.jobs["kept"]
    wait_until(lambda: "COMPLETING" not in lab.jobs.states(kept), "kept to be over", timeout=150)
    repair(story, "wrapped")


def repair(story: Story, name: str) -> None:
    """Wait for the grace, apply a sweep, and plan once more."""
    time.sleep(1.2)  # the grace of this site
    story.sweep(f"{name}: apply", "apply")
    story.sweep(f"{name}: after", "plan")


def wait_purged(story: Story, name: str) -> None:
    """Return when the controller has purged a job."""
    wait_until(lambda: not story.lab.jobs.states(story.jobs[name]), f"{name} to be purged")


def wait_rows(story: Story, job: int, states: list[str]) -> None:
    """Return when accounting has the runs of a job in these states, which takes a while."""

    def has_all() -> bool:
        rows = story.lab.jobs.accounted(job, "JobIDRaw", "State")
        return [state.split()[0] for raw, state in rows if raw == str(job)] == states

    wait_until(has_all, f"accounting to have {states} of {job}")


def remove_rows(story: Story, name: str) -> None:
    """Delete a job's rows on the server."""
    rows = story.site.server.model.job
    for key in [key for key in rows if key[0] == story.jobs[name]]:
        del rows[key]


EXPLAINED = {
    "requeued": ["REQUEUED", "RUNNING"],
    "array": ["RUNNING"],
    "het": ["RUNNING"],
    "wrapped": ["RUNNING"],
    "ends": ["CANCELLED"],
}
