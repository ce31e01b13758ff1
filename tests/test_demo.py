"""`make demo` ends as expected with both generations of the server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from demo_site import REJECTION

TERMINAL_COLUMNS = 80
DEMO = Path(__file__).parent / "support" / "demo.py"


@pytest.mark.parametrize(
    ("series", "server"), [("24.05", "1.5.4"), ("22.05", "1.4.4")], ids=["new", "old"]
)
def test_the_demo_ends_as_expected(series: str, server: str) -> None:
    """`make demo` succeeds with cc-backend 1.5.4 and 1.4.4, and shows the text of a rejection."""
    done = subprocess.run(
        [sys.executable, str(DEMO), "--series", series, "--server", server],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert "\nAll is as expected.\n" in done.stdout
    assert REJECTION in done.stdout
    assert [] == [line for line in done.stdout.splitlines() if len(line) > TERMINAL_COLUMNS]
