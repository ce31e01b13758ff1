"""The production drain in a simulated world: no seed breaks a guarantee; a seed can be replayed."""

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
    """Run the simulation in a process of its own: the order of its sets depends on the seed."""
    path = f"{Path(__file__).parent}{os.pathsep}{TREE}"
    return subprocess.run(
        [sys.executable, "-m", "simulation", *arguments],
        env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_a_guarantee(part: int) -> None:
    """No run is lost, doubled, wrong, dead without a rejection, or late without a fault.

    `python -m simulation --seed N --story` shows what happened in a seed that fails.
    """
    first, last = SEEDS * part // PARTS, SEEDS * (part + 1) // PARTS

    done = simulate("--seeds", f"{first}..{last}")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_can_be_replayed() -> None:
    """Two runs of a seed print the same story, except for the last line with the time they took."""
    stories = [simulate("--seed", "7", "--story").stdout.splitlines()[:-1] for _ in range(2)]

    assert stories[0] == stories[1]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.what)
def test_a_bug_can_be_planted(bug: Bug) -> None:
    """The text that a planted bug replaces is in the source file exactly once."""
    text = (TREE / bug.file).read_text()

    assert (1, False) == (text.count(bug.search), bug.search == bug.replace)
