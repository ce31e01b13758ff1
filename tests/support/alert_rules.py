"""The alert rules of `deploy/prometheus`, and promtool, which checks them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "cc-slurm-sync.rules.yml"
DOCS = "/usr/share/doc/cc-slurm-sync/docs"
"""The directory in which the packages install the documentation (`packaging/stage`)."""
PROGRAMS = ("prometheus", "promtool", "prometheus-node-exporter")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]

needs_prometheus = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("REQUIRE_SLURM") != "1",
    reason=f"not installed (Debian: prometheus, prometheus-node-exporter): {', '.join(MISSING)}",
)


def alert_rules() -> dict[str, dict[str, Any]]:
    """Return all alert rules by the name of the alert."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def promtool(*words: object) -> str:
    """Run promtool and return its output; fail with that output if promtool fails."""
    command = ["promtool", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
