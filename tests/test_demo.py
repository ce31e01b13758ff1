"""`make demo` is played as its text says, against both generations of the server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parent / "support" / "demo.py"


@pytest.mark.parametrize(
    ("series", "server"), [("24.05", "1.5.4"), ("22.05", "1.4.4")], ids=["new", "old"]
)
def test_the_demo_goes_as_told(series: str, server: str) -> None:
    """Every scene ends as expected, and what the refused job says is shown."""
    done = subprocess.run(
        [sys.executable, str(DEMO), "--series", series, "--server", server],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert "\nAll is as expected.\n" in done.stdout
    assert "  answer    bad walltime: the project's time is used up\n" in done.stdout
