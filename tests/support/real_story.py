"""The story of one cluster: jobs of every kind side by side, reported to two servers at once.

Each act submits jobs and waits for Slurm; the tests check what cc-backend has afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from real_expected import SHOW, Accounting, accounting, with_start
from real_site import RealSite
from slurm_lab import Lab, wait_until
from slurm_lab.jobs import ENDED

from spool.deliver.reaction import FLUSH_SECONDS

FOR_EVER = f"{SHOW}; sleep 600"
A_SECOND = f"{SHOW}; sleep 1"
# Slurm has GPU indices only while a job runs: such jobs run until the drain has read them.
UNTIL_SEEN = f'{SHOW}; until [ -e "$HOME/seen" ]; do sleep 0.1; done'
UNTIL_STORED = f'{SHOW}; until [ -e "$HOME/stored" ]; do sleep 0.1; done'
NOTHING = "true"
ALLOCATION = "x\n     Nodes=n2cn004 CPU_IDs=0-15 Mem=0 GRES=gpu:a100:4(IDX:0-3)"
SEPARATORS = "a|b\x1fc\x1ed|RUNNING|1|1|n2cn004\n1|1|N/A|RUNNING|1|1|1|1|cpu|bob|k2000|n2cn004"
STATES = "x\n   UserId=bob(20002)\n   JobState=FAILED Reason=None\n   NodeList=n2cn004"
RECORD = (
    "y\n\nJobId={victim} JobName=z\n   UserId=alice(20001) GroupId=alice(20001)\n"
    "   JobState=CANCELLED Reason=None\n   StartTime=1 EndTime=2\n   NodeList=n2cn004\n"
    "   OverSubscribe=NO\n     Nodes=n2cn004 CPU_IDs=0-15 Mem=0 GRES=gpu:a100:4(IDX:0-3)\n\n"
)
_RUNS = {"array": 20, "killed": 100, "away": 200, "het": 2, "requeued": 2}
FORGERIES = (ALLOCATION, SEPARATORS, STATES, RECORD)


@dataclass
class Story:
    """The job ids by name, the tasks of arrays, all runs, and the observations at each site."""

    lab: Lab
    sites: tuple[RealSite, RealSite]
    jobs: dict[str, list[int]] = field(default_factory=dict)
    seen: dict[tuple[str, str], Any] = field(default_factory=dict)
    runs: Accounting = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    tasks: dict[str, list[int]] = field(default_factory=dict)

    def submit(self, name: str, *options: str, script: str = A_SECOND, user: str = "alice") -> int:
        """Submit a batch job; record its id under a name and return it."""
        job = self.lab.jobs.sbatch(*options, script=script, user=user)
        self.jobs.setdefault(name, []).append(job)
        return job

    def one(self, name: str) -> int:
        """Return the id of the only job of a name."""
        (job,) = self.jobs[name]
        return job


def play(story: Story) -> None:
    """Run all acts of the story on the cluster."""
    for act in (_submit_all_kinds, _changes, _restart, _without_drain, _kills, _outage, _end):
        act(story)
        note_starts(story)
    for job, start in story.starts.items():
        story.runs[job][-1] = with_start(story.runs[job][-1], start)


def _submit_all_kinds(story: Story) -> None:
    """Submit jobs of every kind."""
    bare = story.lab.popen("srun", "-n1", "sh", "-c", f"{SHOW}; echo $SLURM_JOB_ID", user="bob")
    story.submit("timeout", "-t1", "-wn2cn001", script=FOR_EVER)
    story.submit("long", "-wn2cn001", script=FOR_EVER, user="bob")
    for name in ("cancelled", "requeued", "suspended"):
        story.submit(name, "-wn2cn002", "--requeue", script=FOR_EVER)
    story.submit("failed", script=f"{SHOW}; exit 3")
    story.submit("whole", "-pwhole", "-n2", user="bob")
    story.submit("own", "--exclusive=user", "-n1")
    story.submit("batch", "-n2", "-t90", "-Ak2000", "-Jname")
    story.submit("two nodes", "-N2", "-n4", user="bob")
    gpu = ("-pgpu", "-n1")
    two_nodes = ("-pgpu", "-N2", "-n2", "--gpus-per-node=a100:2")
    story.submit("typed", *two_nodes, script=UNTIL_SEEN)
    story.submit("untyped", *gpu, "-wn2gpu01", "--gpus=1", script=UNTIL_SEEN, user="bob")
    story.submit("untyped", *gpu, "-wn2gpu02", "--gres=gpu:1", script=UNTIL_SEEN, user="bob")
    story.submit("het", "-n1", ":", *gpu, "--gpus=1", script=UNTIL_SEEN)
    story.submit("array", "--array=0-19")
    _submit_forged_jobs(story)
    out, _ = bare.communicate(timeout=120)
    story.jobs["srun"] = [int(out)]


def _submit_forged_jobs(story: Story) -> None:
    """Submit jobs whose free text imitates Slurm's records, also of another user's job."""
    bystander = story.submit("bystander", "-n2", user="bob")
    for number, text in enumerate(FORGERIES):
        lie = text.format(victim=bystander)
        home = story.lab.root / "home" / "alice" / f"{number}\n{lie.replace('/', '')[:180]}"
        home.mkdir()
        home.chmod(0o777)
        options = ("-J", lie, "--comment", lie, "-D", str(home), "-o/dev/null")
        story.submit("forged", "-n2", *options, script="sleep 2")


def _changes(story: Story) -> None:
    """Cancel, suspend, resume and requeue running jobs."""
    jobs = story.lab.jobs
    running = [story.one(name) for name in ("cancelled", "requeued", "suspended", "long")]
    running.append(story.one("timeout"))
    for job in running:
        jobs.wait_state(job, "RUNNING")
    gpus = [*story.jobs["typed"], *story.jobs["untyped"], story.one("het"), story.one("het") + 1]
    for site in story.sites:
        site.wait_running(*running, *gpus)
        site.server.model.commit()  # else 1.5.4 accepts the second run beside the cached first one
    _release_jobs(story, "seen")
    jobs.cancel(story.one("cancelled"))
    jobs.control("suspend", story.one("suspended"))
    jobs.wait_state(story.one("suspended"), "SUSPENDED")
    jobs.control("requeue", story.one("requeued"))
    jobs.start_now(story.one("requeued"))
    for site in story.sites:
        site.wait_running(story.one("suspended"), story.one("requeued"))
    jobs.control("resume", story.one("suspended"))
    jobs.cancel(story.one("suspended"))
    jobs.cancel(story.one("requeued"))


def _restart(story: Story) -> None:
    """Restart the controller while jobs run."""
    story.lab.controller.restart()
    story.lab.jobs.wait_state(story.one("long"), "RUNNING")


def _without_drain(story: Story) -> None:
    """Run jobs from start to end while no drain runs."""
    for site in story.sites:
        story.seen[site.name, "exit code"] = site.stop_drain()
    for options in (("-n2",), ("-pgpu", "-n1", "--gpus=2"), ("-pcrowd", "-n4", "-c2")):
        story.submit("alone", *options, script=NOTHING)
    for job in story.jobs["alone"]:
        story.lab.jobs.wait_ended(job)
    for site in story.sites:
        site.start_drain()


def _kills(story: Story) -> None:
    """Kill the drains whenever eight more of 100 jobs have ended."""
    array = story.submit("killed", "-pcrowd", "--array=0-99%8", script=A_SECOND)
    left, kills = 100, 0
    while left:
        left = _wait_fewer(story.lab, array, left - 8)
        for site in story.sites:
            site.kill_drain()
            site.start_drain()
        note_starts(story)
        kills += 1
    story.seen["", "kills"] = kills


def _outage(story: Story) -> None:
    """Make both servers fail until Slurm has purged the jobs, then change their releases."""
    for site in story.sites:
        # a kill may have lost the answer to a DELETE, which is repeated after a commit interval
        is_idle = partial(getattr, site, "has_delivered_all")
        wait_until(is_idle, "everything to be delivered", timeout=FLUSH_SECONDS + 60)
        site.go_away()
        story.seen[site.name, "requests before"] = len(site.server.log)
    story.submit("away", "-pcrowd", "--array=0-199", script=NOTHING, user="bob")
    gpus = ("-pgpu", "-n2", "--gpus=a100:2")
    gpu_job = story.submit("away with gpu", *gpus, script=UNTIL_STORED, user="bob")
    story.submit("over", "-wn2cn003", script=FOR_EVER, user="bob")
    story.lab.jobs.wait_state(story.one("over"), "RUNNING")
    wait_until(lambda: all(site.has_stored(gpu_job) for site in story.sites), "the GPUs' indices")
    _release_jobs(story, "stored")
    story.lab.jobs.cancel(story.one("long"))
    away = [story.one("away"), story.one("away with gpu"), story.one("long")]
    for job in away:
        _wait_fewer(story.lab, job, 0)
    note_starts(story)
    wait_until(
        lambda: not any(story.lab.jobs.states(job) for job in away),
        "Slurm to forget",
        timeout=180,
        interval=0.5,
    )
    for site, other in zip(story.sites, reversed(story.sites), strict=True):
        story.seen[site.name, "requests after"] = len(site.server.log)
        site.come_back(other.version)


def _end(story: Story) -> None:
    """End the last jobs and wait until accounting has all runs."""
    lab = story.lab
    lab.jobs.cancel(story.one("over"))
    for job in [job for jobs in story.jobs.values() for job in jobs]:
        _wait_fewer(lab, job, 0)
    for name, jobs in story.jobs.items():
        for job in jobs:
            lab.jobs.wait_accounted(job, runs=_RUNS.get(name, 1))
    story.runs = accounting(lab, story.starts)
    for name in ("array", "killed", "away"):
        tasks = lab.jobs.accounted(story.one(name), "JobIDRaw")
        story.tasks[name] = sorted(int(task) for (task,) in tasks)


def note_starts(story: Story) -> None:
    """Record the starts of the runs that the controller still has, as it reports them."""
    asked = ("squeue", "-h", "-a", "-r", "-t", "all", "-o", "%A|%T|%S")
    for line in story.lab.run("env", "SLURM_TIME_FORMAT=%s", *asked).stdout.splitlines():
        job, state, start = line.split("|")
        if state != "PENDING" and start.isdigit():
            story.starts[int(job)] = int(start)


def _release_jobs(story: Story, name: str) -> None:
    """Release the jobs that wait until they have been seen or stored, so that they end."""
    for user in ("alice", "bob"):
        (story.lab.root / "home" / user / name).touch()


def _live(lab: Lab, job: int) -> int:
    """Return how many records of a job or array have not ended; purged records have ended."""
    return len([state for state in lab.jobs.states(job) if state not in ENDED])


def _wait_fewer(lab: Lab, job: int, limit: int) -> int:
    """Wait until at most so many records of an array have not ended; return their number."""
    wait_until(
        lambda: _live(lab, job) <= max(0, limit),
        f"all but {limit} of {job} to be over",
        timeout=150,
        interval=0.1,
    )
    return _live(lab, job)
