"""The production drain in a virtual world: no seed breaks a promise, and a seed replays exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulation.planted import TREE, Bug, bugs

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "40"))
PARTS = 8
BUGS = bugs()


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the simulation in a process of its own: the order of its sets belongs to the seed."""
    path = f"{Path(__file__).parent}{os.pathsep}{TREE}"
    return subprocess.run(
        [sys.executable, "-m", "simulation", *arguments],
        env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_a_promise(part: int) -> None:
    """Nothing is lost, doubled, wrong, buried without a refusal, or late in a world that is well.

    `python -m simulation --seed N --story` tells what happened in a seed that fails.
    """
    first, last = SEEDS * part // PARTS, SEEDS * (part + 1) // PARTS

    done = simulate("--seeds", f"{first}..{last}")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_replays_exactly() -> None:
    """Two runs of a seed have the same story to the last line, except the time they took."""
    stories = [simulate("--seed", "7", "--story").stdout.splitlines()[:-1] for _ in range(2)]

    assert stories[0] == stories[1]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.what)
def test_a_bug_can_be_planted(bug: Bug) -> None:
    """Its text stands in the file once."""
    text = (TREE / bug.file).read_text()

    assert (1, False) == (text.count(bug.search), bug.search == bug.replace)
