"""Dead letters are given up: what goes, and what leaves a mark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from dead_letter_changes import discard, retry
from drain_world import World

from spool.errors import BadFileError
from spool.files import codec
from spool.files.codec import load_run
from spool.files.dead_letters import DISCARDED
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource, Run

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
DEAD = run_of(5, end=END, attempts=3, not_before=NOON + 50, last_error=REFUSED)
LIVE = run_of(5, attempts=3, last_error=REFUSED)


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def layout(site: CommandSite) -> Iterator[Layout]:
    """Return its spool."""
    with Layout(site.spool) as made:
        yield made


def inside(site: CommandSite) -> dict[str, list[str]]:
    """Return what lies where."""
    found = {str(directory): site.names(directory) for directory in Directory}
    return {directory: names for directory, names in found.items() if names}


@pytest.mark.parametrize("run", [DEAD, replace(LIVE, reported=False, reason="opted out")])
def test_a_discarded_run_is_gone(site: CommandSite, layout: Layout, run: Run) -> None:
    """If it is over, or was not to be reported anyway."""
    site.put(Directory.DEAD, run)

    assert "is discarded" == discard(layout, run.name)
    assert {} == inside(site)


@pytest.mark.parametrize("contents", [b"{", b'{"version": 2}'])
def test_a_discarded_file_is_gone(site: CommandSite, layout: Layout, contents: bytes) -> None:
    """With its reason, readable or not."""
    site.bury(DEAD.name, contents, origin="todo")
    site.bury("odd")
    discard(layout, DEAD.name)
    discard(layout, "odd")

    assert {} == inside(site)


def test_an_empty_directory_can_be_discarded(site: CommandSite, layout: Layout) -> None:
    """Somebody put it into new/."""
    (site.spool / "dead" / "odd").mkdir()
    discard(layout, "odd")

    assert {} == inside(site)


def test_a_directory_with_contents_is_left_to_the_operator(
    site: CommandSite, layout: Layout
) -> None:
    """Who knows what it is."""
    (site.spool / "dead" / "odd" / "more").mkdir(parents=True)

    with pytest.raises(BadFileError, match="remove it with rm -r"):
        discard(layout, "odd")


def test_a_discarded_live_run_leaves_a_mark(site: CommandSite, layout: Layout) -> None:
    """Or the sweep would find its job missing and bring it back."""
    site.put(Directory.DEAD, LIVE)
    discard(layout, LIVE.name)

    mark = load_run(layout, Directory.TODO, LIVE.name)
    assert (False, DISCARDED, 0, None) == (
        mark.reported,
        mark.reason,
        mark.attempts,
        mark.last_error,
    )
    assert {"todo": [LIVE.name]} == inside(site)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_mark_of_a_run_that_is_over_goes(tmp_path: Path, *, restarts: bool) -> None:
    """Somebody put it there by hand; nothing of it is to be delivered."""
    world = World(tmp_path)
    mark = run_of(5, end=END, reported=False, reason="opted out")
    (world.root / "todo" / mark.name).write_bytes(codec.encode(mark))
    if restarts:
        world.boot()
    world.run(3)

    assert {} == world.files()
    assert [] == world.backend.documents


def test_nothing_is_left_in_tmp(site: CommandSite, layout: Layout) -> None:
    """Whatever was done."""
    site.put(Directory.DEAD, LIVE)
    discard(layout, LIVE.name)
    site.put(Directory.DEAD, LIVE)
    retry(layout, LIVE.name)

    assert [] == site.names("tmp")
