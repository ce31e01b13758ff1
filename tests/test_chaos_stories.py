"""Faults with a story of their own, against the installed commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.harness import World
from chaos.special import STORIES, Story


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_story_ends_well(tmp_path: Path, story: Story) -> None:
    """What only one source knows, or only the operator can see, is not lost."""
    with World(tmp_path / "world", **story.options) as world:
        verdict = story.tell(world)

    assert not verdict, str(verdict)
