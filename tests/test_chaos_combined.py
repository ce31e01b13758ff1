"""Random combinations of faults, with the installed commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos.combined import combined

FIRST_SEED = int(os.environ.get("CHAOS_SEED", "1"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("CHAOS_SEEDS", "4")))


@pytest.mark.parametrize("seed", SEEDS)
def test_combined_faults_lose_no_run(tmp_path: Path, seed: int) -> None:
    """After any sequence of faults every run is at the server once, with all facts."""
    history, verdict = combined(tmp_path, seed)

    assert not verdict, f"seed {seed}: {', '.join(history)}\n{verdict}"
