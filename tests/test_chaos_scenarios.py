"""Faults that have a scenario of their own, with the installed commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chaos.harness import World
from chaos.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_each_chaos_scenario_passes_its_checks(
    tmp_path: Path, scenario: Scenario, record_property: Callable[[str, object], None]
) -> None:
    """Each scenario makes its own fault, and the list of complaints at its end must be empty."""
    with World(tmp_path / "world", **scenario.options) as world:
        verdict = scenario.run(world)
    for figure in world.figures:
        record_property("figure", f"{scenario}: {figure}")

    assert not verdict, str(verdict)
