"""The stages of a start, from the end of its hook to the accepted request.

The drain's debug log shows them; a separate process puts the time before each line. Another run,
without a drain, observes when Slurm itself lists a job as running, so that neither disturbs the
other. Debug messages cost time: the total is higher than without them.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from real_site import ROOT, RealSite
from slurm_lab import Lab

Seconds = dict[int, float]
STAMP = """
import sys, time
for line in sys.stdin:
    sys.stdout.write(f"{time.time():.6f} {line}")
    sys.stdout.flush()
"""
STAGES = {
    "event seen": re.compile(r"job=(\d+) start event is in new/"),
    "Slurm asked": re.compile(r"slurmctld is asked about (.*)"),
    "Slurm has answered": re.compile(r"job=(\d+) slurmctld: "),
    "request sent": re.compile(r"job=(\d+) start=\d+ cluster=\S+ call=start: sending"),
    "accepted": re.compile(r"job=(\d+) start=\d+ cluster=\S+ call=start outcome="),
}


class LoggedSite(RealSite):
    """A site whose drain logs everything, each line with the time at which it was written."""

    def start_drain(self) -> None:
        """Start the drain."""
        document = json.loads(self.config.read_text())
        self.config.write_text(json.dumps(document | {"log": {"level": "debug"}}))
        argv = [sys.executable, "-m", "spool.cli", "drain", "-c", str(self.config)]
        with self.log.open("ab") as log:
            stamp = subprocess.Popen(
                [sys.executable, "-c", STAMP], stdin=subprocess.PIPE, stdout=log
            )
        self._drain = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=stamp.stdin, cwd=ROOT)
        if stamp.stdin is not None:
            stamp.stdin.close()  # only the drain keeps it open: the process ends with the drain


def stages(log: Path, jobs: set[int]) -> dict[str, Seconds]:
    """Return when each job reached each stage; Slurm's last answer before the request counts."""
    found: dict[str, Seconds] = {name: {} for name in STAGES}
    for line in log.read_text(errors="replace").splitlines():
        at, _, text = line.partition(" ")
        for name, pattern in STAGES.items():
            match = pattern.search(text)
            for word in re.findall(r"\d+", match[1]) if match else ():
                job = int(word)
                is_last_answer = name == "Slurm has answered" and job not in found["request sent"]
                if job in jobs and (job not in found[name] or is_last_answer):
                    found[name][job] = float(at)
    return found


def table(hooks: Seconds, found: dict[str, Seconds]) -> Iterator[tuple[str, list[float]]]:
    """Yield the name of each stage with its seconds after the end of the hooks."""
    for name, times in found.items():
        yield name, [at - hooks[job] for job, at in times.items() if job in hooks]


LIGHT = ("-h", "-r", "-t", "running", "-o", "%A")
WITH_CORES = ("--local", "-a", "-t", "all", "--json")
"""Arguments of squeue: the cheapest answer, and the one with the cores that a start needs."""


def running(answer: str) -> list[int]:
    """Return the running jobs in squeue's answer to either of these arguments."""
    if not answer.startswith("{"):
        return [int(word) for word in answer.split()]
    return [job["job_id"] for job in json.loads(answer)["jobs"] if "RUNNING" in job["job_state"]]


@contextmanager
def observing(lab: Lab, asked: tuple[str, ...] = LIGHT) -> Iterator[Seconds]:
    """Observe when squeue first lists each job as running; the answers are parsed at the end."""
    seen: Seconds = {}
    answers: list[tuple[float, str]] = []
    is_over = threading.Event()
    argv = [str(lab.command("squeue")), *asked]

    def look() -> None:
        while not is_over.is_set():
            said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
            answers.append((time.time(), said))
            is_over.wait(0.01)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()
        for at, answer in answers:
            for job in running(answer):
                seen.setdefault(job, at)


def show(
    words: str, hooks: Seconds, found: dict[str, Seconds], tell: Callable[[str, list[float]], None]
) -> None:
    """Print the stages of some starts, and how much the median of each adds."""
    print(f"{words}, after the end of the hook:", flush=True)
    before = 0.0
    for name, values in table(hooks, found):
        if values:
            middle = statistics.median(values)
            tell(f"  {name} (adds {1000 * (middle - before):.0f})", values)
            before = middle
