"""A soak of seconds: traffic under every fault at once, with a seed that is printed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from chaos.soak import soak

SECONDS = float(os.environ.get("SOAK_SECONDS") or ("90" if os.environ.get("CI") else "20"))
SEED = int(os.environ.get("SOAK_SEED") or int(time.time()) % 100_000)


def test_a_soak_loses_nothing_and_gets_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is lost, doubled or wrong; memory stays; soon nothing waits any more."""
    report = soak(tmp_path, seconds=SECONDS, rate=15, seed=SEED)

    with capfd.disabled():  # the seed is worth a line whatever comes of it
        print(f"\nsoak of {SECONDS:g} s, {report}", file=sys.stderr)
    assert report.is_well, str(report)
