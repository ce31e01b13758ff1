"""Measure how soon starts and stops are delivered: `make bench-latency` (needs root and Slurm).

The times are from the start of PrologSlurmctld to the accepted start, and from the start of
EpilogSlurmctld to the accepted stop. The server is a stub of cc-backend 1.4.4: the drain holds no
stop for it. A loop of empty POSTs shows what a request costs on this machine at this time. Then
follow the stages of a start, from a drain that logs them, and the time at which Slurm itself shows
the jobs as running: with the cheapest query, and with their cores.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import requests
from latency_stages import LIGHT, WITH_CORES, LoggedSite, observing, show, stages
from real_site import RealSite
from slurm_lab import Lab, Settings, wait_until
from slurm_lab.requirements import what_is_missing
from table_row import Row

HOOKS = Path(__file__).resolve().parents[2] / "hooks"
ALONE = 100
CROWDS = (64, 500)
OBSERVED_ALONE = 20
OBSERVED = {
    LIGHT: "Slurm lists the jobs as running, without a drain",
    WITH_CORES: "Slurm shows them with their cores, without a drain",
}
STAMPED = """#!/bin/sh
: >"{stamps}/{kind}.$SLURM_JOB_ID"
{hook}
status=$?
: >"{stamps}/{kind}-end.$SLURM_JOB_ID"
exit $status
"""

Seconds = dict[int, float]


def stamp(lab: Lab) -> Path:
    """Make both hooks touch a file first and last; return the directory of these files."""
    stamps = lab.root / "stamps"
    stamps.mkdir()
    stamps.chmod(0o777)
    programs = []
    for kind in ("prolog", "epilog"):
        program = lab.root / "bin" / f"stamped-{kind}"
        hook = lab.root / "hooks" / f"{kind}_slurmctld"
        program.write_text(STAMPED.format(stamps=stamps, kind=kind, hook=hook))
        program.chmod(0o755)
        programs.append(program)
    lab.set_hooks(programs[0], programs[1])
    return stamps


def begun(stamps: Path, kind: str) -> Seconds:
    """Return when the hooks of a kind began, by job id."""
    found = stamps.glob(f"{kind}.*")
    return {int(path.suffix[1:]): path.stat().st_mtime for path in found}


def accepted(site: RealSite, call: str) -> Seconds:
    """Return when cc-backend accepted requests of a kind, by job id."""
    return {job: reported[0][0] for job, reported in site.reported(call).items()}


def tell(words: str, values: list[float]) -> None:
    """Print one line of figures in milliseconds."""
    ordered = sorted(values)
    p99 = ordered[math.ceil(len(ordered) * 0.99) - 1]
    figures = (statistics.median(ordered), p99, ordered[-1])
    columns = "".join(f"{1000 * figure:9.1f}" for figure in figures)
    print(f"{words:<44}{len(ordered):>5}{columns}", flush=True)


def latencies(site: RealSite, stamps: Path, jobs: list[int]) -> dict[str, list[float]]:
    """Return the seconds from each hook's start to the accepted request."""
    wait_until(partial(all_stops_accepted, site, set(jobs)), "every stop", timeout=300)
    pairs = {"start": ("prolog", "start_job"), "stop": ("epilog", "stop_job")}
    found = {}
    for word, (kind, call) in pairs.items():
        hooks, reported = begun(stamps, kind), accepted(site, call)
        found[word] = [reported[job] - hooks[job] for job in jobs]
    return found


def one_at_a_time(site: RealSite, number: int = ALONE, *, is_reported: bool = True) -> list[int]:
    """Run jobs so that no start or stop overlaps another one; return their ids."""
    jobs = []
    for _ in range(number):
        done = site.lab.run("srun", "sh", "-c", "echo $SLURM_JOB_ID; sleep 0.3", user="alice")
        jobs.append(int(done.stdout))
        if is_reported:
            wait_until(lambda: jobs[-1] in site.reported("stop_job"), "the stop", interval=0.05)
        else:
            time.sleep(0.3)
    return jobs


def all_at_once(site: RealSite, number: int) -> list[int]:
    """Run the tasks of one array together; the lab has cores for 256 of them."""
    crowd = f"--array=0-{number - 1}"
    array = site.lab.jobs.sbatch("-pcrowd", "--mem=100", crowd, script="sleep 3", user="alice")
    site.lab.jobs.wait_ended(array, timeout=300)
    site.lab.jobs.wait_accounted(array, runs=number, timeout=300)
    return [int(task) for (task,) in site.lab.jobs.accounted(array, "JobIDRaw")]


def empty_posts(site: RealSite) -> list[float]:
    """Return the seconds of each POST to a path that the server rejects at once."""
    document = json.dumps({"jobId": 1, "cluster": "none", "startTime": 1})
    url = f"{site.server.url}/nothing/"
    values = []
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(200):
            before = time.perf_counter()
            session.post(url, data=document, timeout=10)
            values.append(time.perf_counter() - before)
    return values


def measure(words: str, run: Callable[[RealSite], list[int]], site: RealSite, stamps: Path) -> None:
    """Run jobs and print their latencies."""
    jobs = run(site)
    for word, values in latencies(site, stamps, jobs).items():
        tell(f"{words}: hook to accepted {word}", values)


def latency_rows() -> Iterator[Row]:
    """Yield how much later than Slurm's own answer starts are accepted; no rows without Slurm."""
    if missing := what_is_missing():
        print(f"| latencies | not measured: {missing} | | | | |")
        return
    with (
        tempfile.TemporaryDirectory() as root,
        Lab(Settings(hooks=HOOKS)) as lab,
        RealSite(lab, "1.4.4", Path(root), log_to=sys.stderr) as site,
    ):
        stamps = stamp(lab)
        crowd = partial(all_at_once, number=CROWDS[0])
        one_at_a_time(site, 1)  # a drain that has just started reads configuration and nodes first
        jobs = crowd(site)
        starts = latencies(site, stamps, jobs)["start"]
        site.stop_drain()
        for asked, own in OBSERVED.items():
            with observing(lab, asked) as seen:
                others = crowd(site)
            hooks = begun(stamps, "prolog")
            slurm = [seen[job] - hooks[job] for job in others if job in seen]
            name = f"start, {CROWDS[0]} at once"
            for word, which, goal in (("median", statistics.median, 100), ("maximum", max, 200)):
                more = [1000 * (which(starts) - which(slurm))]
                words = f"{name}: {word}"
                yield Row(name=words, values=more, goal=goal, unit="ms more", baseline=own)


Kind = tuple[str, Callable[[RealSite], list[int]], Callable[[RealSite], list[int]]]


def kinds() -> list[Kind]:
    """Return each kind of start with two functions that run it: with a drain, and without one."""
    found: list[Kind] = [
        (
            "one at a time",
            one_at_a_time,
            lambda site: one_at_a_time(site, OBSERVED_ALONE, is_reported=False),
        )
    ]
    for number in CROWDS:
        run = partial(all_at_once, number=number)
        found.append((f"{number} in one array", run, run))
    return found


def show_stages(site: LoggedSite, stamps: Path) -> None:
    """Print the stages of starts with a drain that logs them."""
    for words, run, _ in kinds():
        jobs = set(run(site))
        is_delivered = partial(all_stops_accepted, site, jobs)
        wait_until(is_delivered, "every stop", timeout=300)
        show(words, begun(stamps, "prolog-end"), stages(site.log, jobs), tell)


def all_stops_accepted(site: RealSite, jobs: set[int]) -> bool:
    """Return whether the stops of all jobs were accepted."""
    return jobs <= set(accepted(site, "stop_job"))


def show_observed(site: RealSite, stamps: Path) -> None:
    """Print when Slurm shows jobs as running, measured without a drain."""
    site.stop_drain()
    for words, _, run in kinds():
        for asked in OBSERVED:
            what = "RUNNING and its cores" if asked is WITH_CORES else "RUNNING"
            with observing(site.lab, asked) as seen:
                jobs = run(site)
            hooks = begun(stamps, "prolog-end")
            values = [seen[job] - hooks[job] for job in jobs if job in seen]
            tell(f"{words}: hook's end to {what}", values)


def main() -> int:
    """Print the figures."""
    missing = what_is_missing()
    if missing:
        print(f"no real Slurm here: {missing}", file=sys.stderr)
        return 0
    with (
        tempfile.TemporaryDirectory() as root,
        Lab(Settings(hooks=HOOKS)) as lab,
        RealSite(lab, "1.4.4", Path(root), log_to=sys.stderr) as site,
    ):
        stamps = stamp(lab)
        version = lab.run("squeue", "--version").stdout.strip()
        load = os.getloadavg()[0]
        print(f"{version}, {os.cpu_count()} cores, load {load:.1f}; milliseconds")
        print(f"{'':<44}{'n':>5}{'p50':>9}{'p99':>9}{'max':>9}")
        tell("an empty POST", empty_posts(site))
        for words, run, _ in kinds():
            measure(words, run, site, stamps)
        show_observed(site, stamps)
    with (
        tempfile.TemporaryDirectory() as root,
        Lab(Settings(hooks=HOOKS)) as lab,
        LoggedSite(lab, "1.4.4", Path(root), log_to=sys.stderr) as logged,
    ):
        show_stages(logged, stamp(lab))
    return 0


if __name__ == "__main__":
    sys.exit(main())
