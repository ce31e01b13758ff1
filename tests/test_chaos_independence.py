"""The chaos harness is independent: it shares no code with the program or with other tests."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent / "chaos"


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level names that a module imports, at any place in its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports by a relative name"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", sorted(CHAOS.rglob("*.py")), ids=lambda path: path.name)
def test_the_chaos_harness_imports_only_the_standard_library(path: Path) -> None:
    """A module of tests/chaos imports the standard library and the harness itself, nothing else."""
    known = sys.stdlib_module_names | {"chaos"}

    assert {name for name in imported(path) if name not in known} == set()


def test_the_modules_of_the_chaos_harness_are_found() -> None:
    """server.py, slurm.py and oracle.py are in tests/chaos, where the import test looks."""
    assert {"server.py", "slurm.py", "oracle.py"} <= {path.name for path in CHAOS.iterdir()}
