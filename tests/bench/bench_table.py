"""Print one table of what the drain and its commands cost: `make bench-table` (without Slurm).

Each figure has its goal, and where the machine's noise would blur it a baseline of the same run, by
turns: then the ratio counts, and minimum, median and maximum of the turns are shown.
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
from dataclasses import dataclass
from pathlib import Path

from bench_idle import idle_drain, site
from bench_nodes import nodes_cost
from bench_replay import bare, cpu_per_run, drain, runs

TURNS = 5
RUNS = 400
COMMANDS = (("status",), ("list",), ("show", "5"), ("check",))
MIB = "MiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure with its goal; `baseline` "" for none. `is_minimum`: the goal is a lower limit."""

    name: str
    values: Sequence[float]
    goal: float
    unit: str = ""
    baseline: str = ""
    is_minimum: bool = False

    def line(self) -> str:
        """Return the row of the table."""
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        spread = f"{low:.2f} / {middle:.2f} / {high:.2f}" if len(self.values) > 1 else f"{low:.3f}"
        is_met = middle >= self.goal if self.is_minimum else middle <= self.goal
        goal = f"{'>=' if self.is_minimum else '<='} {self.goal:g}"
        cells = (self.name, spread, self.unit, self.baseline, goal, "met" if is_met else "MISSED")
        return "| " + " | ".join(cells) + " |"


def command_seconds(command: Sequence[str]) -> float:
    """Return the CPU time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def idle_rows() -> Iterator[Row]:
    """Yield the cost of a drain without work."""
    for is_down, words in ((False, "idle drain"), (True, "idle drain, cc-backend down")):
        found = idle_drain(is_down=is_down)
        yield Row(name=f"{words}: CPU", values=[found.cpu_percent], goal=0.1, unit="% of a core")
        yield Row(name=f"{words}: wake-ups", values=[found.wakeups_per_second], goal=2, unit="/s")
        yield Row(name=f"{words}: memory", values=[found.resident_mib], goal=32, unit=MIB)


def node_rows() -> Iterator[Row]:
    """Yield the cost of a round of node states."""
    found = nodes_cost()
    yield Row(name="10 000 nodes: CPU a round", values=[found.cpu_seconds], goal=0.3, unit="s")
    yield Row(name="10 000 nodes: memory", values=[found.peak_mib], goal=20, unit=MIB)


def replay_rows() -> Iterator[Row]:
    """Yield what it takes to deliver a backlog."""
    todo, loop = runs(RUNS), "bare `requests` loop"
    for is_paced, words, goal in ((True, "at 1.5.4's pace", 1.0), (False, "instant server", 0.7)):
        ratios = [drain(todo, is_paced=is_paced) / bare(todo, is_paced=is_paced) for _ in range(5)]
        name = f"backlog, {words}: rate"
        yield Row(name=name, values=ratios, goal=goal, unit="ratio", baseline=loop, is_minimum=True)
    yield Row(
        name="own CPU per run (start and stop)",
        values=[cpu_per_run(todo, drain) / cpu_per_run(todo, bare) for _ in range(TURNS)],
        goal=2,
        unit="ratio",
        baseline=loop,
    )


def command_rows() -> Iterator[Row]:
    """Yield the CPU time of the commands that an administrator or a monitor calls often."""
    with tempfile.TemporaryDirectory() as root:
        config = site(Path(root), "http://127.0.0.1:9")
        (Path(root) / "new" / "1-start-5-0-0-1").write_text("end\n")
        start = [sys.executable, "-m", "spool.cli"]
        for words in COMMANDS:
            command = [*start, *words, "-c", str(config)]
            ratios = [
                command_seconds(command) / command_seconds([sys.executable, "-I", "-c", "pass"])
                for _ in range(TURNS)
            ]
            yield Row(
                name=f"`cc-spool {words[0]}`: CPU",
                values=ratios,
                goal=3,
                unit="ratio",
                baseline="`python3 -I -c pass`",
            )


def main() -> int:
    """Print the table; the exit code does not depend on the goals."""
    logging.disable(logging.WARNING)
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}, Python {sys.version.split()[0]}\n")
    print("| figure | value (min / median / max) | unit | baseline in the same run | goal | |")
    print("|---|---|---|---|---|---|")
    groups: tuple[Callable[[], Iterator[Row]], ...] = (
        idle_rows,
        node_rows,
        replay_rows,
        command_rows,
    )
    for group in groups:
        for row in group():
            print(row.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
