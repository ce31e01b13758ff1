"""Plant known bugs one by one in a copy of the tree and run the tests that must fail with them."""

from __future__ import annotations

import argparse
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
COPIED = ("hooks", "slurm", "ccbackend", "spool", "sweeper", "tests", "pyproject.toml")
LIMIT_SECONDS = 300
FAILED = 1  # pytest: some tests failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A bug: one replacement in one file, and the test files that must fail with it."""

    what: str
    file: str
    search: str
    replace: str
    tests: tuple[str, ...]


def bugs() -> list[Bug]:
    """Return all bugs of the list."""
    document = tomllib.loads(LIST.read_text())
    return [Bug(**bug | {"tests": tuple(bug["tests"])}) for bug in document["bug"]]


def run_tests(tree: Path, tests: tuple[str, ...]) -> int:
    """Run test files of a tree until one fails; return pytest's exit code."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return FAILED  # a bug that makes a test hang is caught
    return done.returncode


def is_caught(tree: Path, bug: Bug) -> bool:
    """Plant a bug, run its tests, remove the bug; return whether a test failed."""
    path = tree / bug.file
    whole = path.read_text()
    path.write_text(whole.replace(bug.search, bug.replace))
    try:
        return run_tests(tree, bug.tests) == FAILED
    finally:
        path.write_text(whole)


def main() -> int:
    """Plant all bugs, or those that match given words; return 1 if one is not caught."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="plant only bugs of which these are a part")
    words = parser.parse_args().words
    chosen = [b for b in bugs() if not words or any(w in b.what or w in b.file for w in words)]
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place)
        for name in COPIED:
            source = TREE / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, tree / name)
        sound = tuple(sorted({test for bug in chosen for test in bug.tests}))
        if run_tests(tree, sound):
            print("the tests fail without any bug planted")
            return 1
        missed = 0
        for number, bug in enumerate(chosen, 1):
            caught = is_caught(tree, bug)
            missed += not caught
            print(f"{number:3} {'caught' if caught else 'MISSED'}  {bug.what}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
