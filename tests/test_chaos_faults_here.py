"""Each class of faults of Slurm and of this host by itself, with the installed commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chaos.fault_class import FaultClass
from chaos.faults_here import CLASSES_HERE
from chaos.harness import World
from chaos.single import run_alone


@pytest.mark.parametrize("fault", CLASSES_HERE, ids=str)
def test_new_runs_are_delivered_whatever_fails_on_this_host(
    tmp_path: Path, fault: FaultClass, record_property: Callable[[str, object], None]
) -> None:
    """Runs that a fault does not concern are delivered during it, and all runs after its end."""
    with World(tmp_path / "world", **fault.options) as world:
        verdict = run_alone(world, fault)
    for figure in world.figures:
        record_property("figure", f"{fault}: {figure}")

    assert not verdict, str(verdict)
