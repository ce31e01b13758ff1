"""Print one table of all figures with their goals: `make bench`.

The latencies need root and Slurm; where these are missing, the table says so.

Each figure has its goal. Where noise of the machine would hide a change, a baseline is measured in
turn in the same run: then the ratio counts, and the table shows its minimum, median and maximum.
"""

from __future__ import annotations

import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench_hook import HOOKS, seconds
from bench_idle import bare_process, idle_drain, site
from bench_latency import latency_rows
from bench_nodes import nodes_cost
from bench_replay import bare, drain, runs
from bench_sweep import sweep
from installed import CC_SPOOL
from table_row import Row

from spool.files import codec

BUILD = Path(__file__).parent.parent.parent / "build"
TURNS = 5
RUNS = 400
COMMANDS = (("status",), ("list",), ("show", "5"), ("check",))
MIB = "MiB"


def command_seconds(command: Sequence[str]) -> float:
    """Return the CPU time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def idle_rows() -> Iterator[Row]:
    """Yield the cost of a drain without work."""
    plain = bare_process()
    for is_down, words in ((False, "idle drain"), (True, "idle drain, cc-backend down")):
        found = idle_drain(is_down=is_down)
        yield Row(
            name=f"{words}: CPU",
            values=[found.cpu_percent],
            goal=0.1,
            unit="% of a core",
            baseline=f"a Python process that wakes up once a second: {plain.cpu_percent:.3f}",
        )
        yield Row(name=f"{words}: wake-ups", values=[found.wakeups_per_second], goal=2, unit="/s")
        yield Row(name=f"{words}: memory", values=[found.resident_mib], goal=32, unit=MIB)


def node_rows() -> Iterator[Row]:
    """Yield the cost of a round of node states."""
    found = nodes_cost()
    yield Row(name="10 000 nodes: CPU a round", values=[found.cpu_seconds], goal=0.3, unit="s")
    yield Row(name="10 000 nodes: memory", values=[found.peak_mib], goal=20, unit=MIB)


def replay_rows() -> Iterator[Row]:
    """Yield rate and CPU time of the delivery of a backlog."""
    todo, loop = runs(RUNS), "bare `requests` loop"
    for is_paced, words, goal in ((True, "at 1.5.4's pace", 1.0), (False, "instant server", 0.7)):
        turns = [(drain(todo, is_paced=is_paced), bare(todo, is_paced=is_paced)) for _ in range(5)]
        name = f"backlog, {words}: rate"
        rates = [ours.rate / plain.rate for ours, plain in turns]
        yield Row(name=name, values=rates, goal=goal, unit="ratio", baseline=loop, is_minimum=True)
    cpus = [ours.cpu / plain.cpu for ours, plain in turns]
    name = "own CPU per run (start and stop)"
    yield Row(name=name, values=cpus, goal=2, unit="ratio", baseline=loop)


def hook_rows() -> Iterator[Row]:
    """Yield the time of a hook's process."""
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "new").mkdir()
        empty = Path(root) / "empty"
        empty.write_text("#!/bin/sh\nexit 0\n")
        environment = {"CC_SLURM_SYNC_SPOOL": root, "SLURM_JOB_ID": "4711"}
        hook, nothing = (["/bin/sh", str(file)] for file in (HOOKS / "prolog_slurmctld", empty))
        ratios = [
            statistics.median(seconds(hook, environment) for _ in range(100))
            / statistics.median(seconds(nothing, environment) for _ in range(100))
            for _ in range(TURNS)
        ]
    yield Row(name="hook", values=ratios, goal=1.6, unit="ratio", baseline="empty script")


def sweep_rows() -> Iterator[Row]:
    """Yield the cost of a sweep over 100 000 running jobs."""
    turns = [sweep(100_000, 0) for _ in range(TURNS)]
    name, bare_reads = "sweep, 100 000 running jobs", "split of squeue + `json.loads` of GraphQL"
    yield Row(name=f"{name}: CPU", values=[each.cpu for each in turns], goal=0.8, unit="s")
    ratios = [each.cpu / each.baseline for each in turns]
    yield Row(name=f"{name}: CPU", values=ratios, goal=2.5, unit="ratio", baseline=bare_reads)
    sizes = [each.rss / 2**20 for each in turns]
    yield Row(name=f"{name}: memory", values=sizes, goal=90, unit=MIB)


def command_rows() -> Iterator[Row]:
    """Yield the CPU time of the commands that an administrator or a monitor calls often."""
    BUILD.mkdir(exist_ok=True)  # below /tmp the commands would warn about the directory
    with tempfile.TemporaryDirectory(dir=BUILD) as root:
        config = site(Path(root), "http://127.0.0.1:9")
        (Path(root) / "new" / "1-start-5-0-0-1").write_text("end\n")
        (run,) = runs(1)
        (Path(root) / "todo" / run.name).write_bytes(codec.encode(run))
        nothing = [sys.executable, "-I", "-c", "pass"]
        for words in COMMANDS:
            command = [*CC_SPOOL, *words, "-c", str(config)]
            ratios = []
            for _ in range(TURNS):
                turn = [(command_seconds(command), command_seconds(nothing)) for _ in range(5)]
                ours, bare_python = map(statistics.median, zip(*turn, strict=True))
                ratios.append(ours / bare_python)
            name, empty = f"`cc-spool {words[0]}`: CPU", "`python3 -I -c pass`"
            yield Row(name=name, values=ratios, goal=3, unit="ratio", baseline=empty)


def main() -> int:
    """Print the table; the exit code does not depend on the goals."""
    logging.disable(logging.WARNING)
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}, Python {sys.version.split()[0]}\n")
    print("| figure | value (min / median / max) | unit | baseline in the same run | goal | |")
    print("|---|---|---|---|---|---|")
    groups: tuple[Callable[[], Iterator[Row]], ...] = (
        hook_rows,
        idle_rows,
        node_rows,
        replay_rows,
        sweep_rows,
        command_rows,
        latency_rows,
    )
    for group in groups:
        for row in group():
            print(row.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
