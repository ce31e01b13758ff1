"""Plant known bugs one by one in a copy of the tree and show how many seeds find each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("planted_bugs.toml")
COPIED = ("slurm", "ccbackend", "spool", "tests/simulation")
MAX_SEEDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """One replacement in one file, and the test files that must fail with it."""

    what: str
    file: str
    search: str
    replace: str
    tests: tuple[str, ...]


def bugs() -> list[Bug]:
    """Return the bugs of `planted_bugs.toml`."""
    document = tomllib.loads(LIST.read_text())
    return [Bug(**bug | {"tests": tuple(bug["tests"])}) for bug in document["bug"]]


def run_planted(words: list[str]) -> int:
    """Plant all bugs, or those whose words match; return 1 if one is not found."""
    missed = 0
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place)
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(TREE / name, tree / name, ignore=ignored)
        for bug in bugs():
            if not words or any(word in bug.what for word in words):
                found = _find(tree, bug)
                missed += not found
                print(f"{found or 'MISSED':>24}  {bug.what}", flush=True)
    return 1 if missed else 0


def _find(tree: Path, bug: Bug) -> str:
    """Plant a bug, run seeds until one finds it, and remove it; return what found it."""
    path = tree / bug.file
    whole = path.read_text()
    if whole.count(bug.search) != 1:
        return ""
    path.write_text(whole.replace(bug.search, bug.replace))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "simulation", "--seeds", f"0..{MAX_SEEDS}", "--first"],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": f"{tree}/tests:{tree}", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        path.write_text(whole)
    seeds = [line for line in done.stdout.splitlines() if line.startswith("seed ")]
    return f"found by {seeds[0].partition(':')[0]}" if seeds else ""
