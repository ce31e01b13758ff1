"""The list of planted bugs fits the code; `make planted` shows that the suite catches each."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import TREE, Bug, bugs

BUGS = bugs()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.what)
def test_a_bug_can_be_planted(bug: Bug) -> None:
    """The text that a planted bug replaces is in its file exactly once, and its tests exist."""
    text = (TREE / bug.file).read_text()

    assert (1, False) == (text.count(bug.search), bug.search == bug.replace)
    assert all((TREE / test).is_file() for test in bug.tests)


def test_every_package_has_planted_bugs() -> None:
    """The list has at least 25 different bugs: in hooks, slurm, ccbackend, spool and sweeper."""
    places = {Path(bug.file).parts[0] for bug in BUGS}

    assert {"hooks", "slurm", "ccbackend", "spool", "sweeper"} == places
    assert len({bug.what for bug in BUGS}) == len(BUGS) >= 25
