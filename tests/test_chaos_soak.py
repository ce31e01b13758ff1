"""A short soak test: traffic with all faults at once, with a seed that is printed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from chaos.soak import soak

SECONDS = float(os.environ.get("SOAK_SECONDS") or ("90" if os.environ.get("CI") else "20"))
SEED = int(os.environ.get("SOAK_SEED") or int(time.time()) % 100_000)


def test_a_soak_test_loses_no_run_and_leaves_none_pending(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No run is lost, duplicated or wrong; memory does not grow; soon no run is pending."""
    report = soak(tmp_path, seconds=SECONDS, rate=15, seed=SEED)

    with capfd.disabled():  # print the seed whatever the result is
        print(f"\nsoak of {SECONDS:g} s, {report}", file=sys.stderr)
    assert report.is_healthy, str(report)
