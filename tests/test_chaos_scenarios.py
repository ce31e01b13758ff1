"""Faults with a scenario of their own, against the installed commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chaos.harness import World
from chaos.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_the_scenario_ends_well(
    tmp_path: Path, scenario: Scenario, record_property: Callable[[str, object], None]
) -> None:
    """What only one source knows, or only the operator can see, is not lost."""
    with World(tmp_path / "world", **scenario.options) as world:
        verdict = scenario.run(world)
    for figure in world.figures:
        record_property("figure", f"{scenario}: {figure}")

    assert not verdict, str(verdict)
