"""The list of planted bugs fits the code; `make planted` shows that the suite catches each."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import TREE, Bug, bugs

BUGS = bugs()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.what)
def test_a_bug_can_be_planted(bug: Bug) -> None:
    """Its text is in the file exactly once, and its tests exist."""
    text = (TREE / bug.file).read_text()

    assert (1, False) == (text.count(bug.search), bug.search == bug.replace)
    assert all((TREE / test).is_file() for test in bug.tests)


def test_every_package_has_its_bugs() -> None:
    """There are at least 25 bugs, and all are different."""
    places = {Path(bug.file).parts[0] for bug in BUGS}

    assert {"hooks", "slurm", "ccbackend", "spool", "sweeper"} == places
    assert len({bug.what for bug in BUGS}) == len(BUGS) >= 25
